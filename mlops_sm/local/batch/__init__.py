"""Batch transform: records out of objects, filters and joins, a model's server that answers them."""
