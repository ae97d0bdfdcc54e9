"""Pipelines of this project: one package for each product, one module for each pipeline."""
