"""Train one region."""
