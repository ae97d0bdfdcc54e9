"""Fakes that ship, for our tests and for users' tests."""
