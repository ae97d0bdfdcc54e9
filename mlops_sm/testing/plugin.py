"""The pytest plugin: fixtures for tests of pipelines. Loaded with every run of pytest, so it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlops_sm.testing import account
from mlops_sm.testing.account import OpenAccount


@pytest.fixture
def local_account() -> Iterator[OpenAccount]:
    """An empty local account for this test only; every AWS client finds it by itself."""
    with account.local_account() as opened:
        yield opened


@pytest.fixture(scope="session")
def local_account_session() -> Iterator[OpenAccount]:
    """A local account for the whole run, in a process of its own; with pytest-xdist one for each worker.

    What one test makes is there for the next. A test that uses `local_account` as well finds that one by itself.
    """
    with account.local_account(own_process=True) as opened:
        yield opened
