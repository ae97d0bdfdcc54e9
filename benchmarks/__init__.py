"""Measurements against a baseline in the same run. They print ratios and never fail a build."""
