"""Statistics, constraints, bias and drift over tables."""
