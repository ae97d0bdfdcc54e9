"""The script of this case; it never runs."""
