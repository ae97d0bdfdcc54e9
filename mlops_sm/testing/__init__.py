"""For tests of pipelines: the local account as a context manager and as pytest fixtures, and fakes."""

from mlops_sm.testing.account import Clock, OpenAccount, local_account
from mlops_sm.testing.faults import Faults

__all__ = ["Clock", "Faults", "OpenAccount", "local_account"]
