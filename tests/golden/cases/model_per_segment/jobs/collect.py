"""Compare the models."""
