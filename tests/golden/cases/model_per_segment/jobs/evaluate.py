"""Measure one model."""
