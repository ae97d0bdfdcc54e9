"""``pytest tests/golden --regenerate`` writes the expected documents again. Look at the diff before you commit it."""

from __future__ import annotations

import os

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", help="write the expected documents instead of comparing")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--regenerate", default=False) and os.environ.get("CI"):
        raise pytest.UsageError("--regenerate is for people: in CI the documents are what is checked")
