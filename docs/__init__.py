"""The project's documents; those that can be computed are generated."""
