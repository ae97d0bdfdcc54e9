"""What a step handler gets and gives: its step, a control plane to call, and the outcome for the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mlops_sm.definition.document import Json, Step
from mlops_sm.engine.status import Outcome


class ServiceError(Exception):
    """A SageMaker operation was refused.

    Attributes:
        code: The error's name, e.g. ``ValidationException``, ``ResourceInUse``.
        message: The service's message.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}")


class ControlPlane(Protocol):
    """SageMaker's operations, as the pipeline service calls them."""

    def call(self, operation: str, request: Mapping[str, Json]) -> dict[str, Json]:
        """Call an operation, e.g. ``CreateProcessingJob``. Raises ServiceError."""

    def wait_for_job(self, describe: str, request: Mapping[str, Json], stop: threading.Event) -> dict[str, Json]:
        """The Describe response once the job is terminal; when `stop` is set, stops the job and waits for its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRun:
    """One step that is to run now.

    Attributes:
        arguments: The step's Arguments without expressions.
        new_suffix: Ten random characters for a job's name.
        tags: The execution's tags in the service's form; a tag of the step wins.
    """

    step: Step
    arguments: dict[str, Json]
    execution_id: str
    execution_arn: str
    pipeline_name: str
    control: ControlPlane
    stop: threading.Event
    new_suffix: Callable[[], str]
    tags: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step left.

    Attributes:
        outcome: For the engine.
        metadata: The step's Metadata in ListPipelineExecutionSteps, e.g. ``{"TrainingJob": {"Arn": ...}}``.
    """

    outcome: Outcome
    metadata: dict[str, Json] = field(default_factory=dict)
