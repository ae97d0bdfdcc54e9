"""Split the data."""
