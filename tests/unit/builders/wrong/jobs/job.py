"""A script that never runs."""
