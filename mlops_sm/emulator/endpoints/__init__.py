"""Endpoints that serve: their fleets, who gets a request, what is measured and captured, how they are updated."""
