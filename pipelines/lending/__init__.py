"""The reference project: credit decisions on real mortgage applications."""
