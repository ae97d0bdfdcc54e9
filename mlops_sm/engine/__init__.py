"""Decides what an execution does next and what its expressions are worth. Pure: no clock, no I/O, no threads."""

from mlops_sm.engine.loops import Iteration, item_text, recalled
from mlops_sm.engine.resolve import ResolveError, as_text
from mlops_sm.engine.retry import Fault, retry_delay
from mlops_sm.engine.run import STEP_FAILURE, Run
from mlops_sm.engine.selection import Selection
from mlops_sm.engine.states import ENGINE_KINDS, MisuseError
from mlops_sm.engine.status import ExecutionStatus, Failed, Outcome, StepStatus, Stopped, Succeeded

__all__ = [
    "ENGINE_KINDS",
    "STEP_FAILURE",
    "ExecutionStatus",
    "Failed",
    "Fault",
    "Iteration",
    "MisuseError",
    "Outcome",
    "ResolveError",
    "Run",
    "Selection",
    "StepStatus",
    "Stopped",
    "Succeeded",
    "as_text",
    "item_text",
    "recalled",
    "retry_delay",
]
