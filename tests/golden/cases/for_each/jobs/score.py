"""Predict one region."""
