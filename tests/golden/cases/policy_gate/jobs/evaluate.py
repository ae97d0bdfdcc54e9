"""Measure the model."""
