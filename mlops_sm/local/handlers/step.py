"""What a step handler gets and gives: its step, a control plane to call, and the outcome for the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from mlops_sm.definition.document import Json, Step
from mlops_sm.engine.resolve import ResolveError
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


class StopSignal(threading.Event):
    """An event that calls who watches it, so that nobody has to look at it again and again."""

    def __init__(self) -> None:
        super().__init__()
        self._guard = threading.Lock()
        self._watchers: list[Callable[[], None]] = []

    def set(self) -> None:
        """Set the event and call every watcher; a second time does nothing."""
        with self._guard:
            super().set()
            watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher()

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Have something called once the event is set, at once when it is; returns what ends the watch."""
        with self._guard:
            waits = not self.is_set()
            if waits:
                self._watchers.append(watcher)
        if not waits:
            watcher()

        def end() -> None:
            with self._guard:
                if watcher in self._watchers:
                    self._watchers.remove(watcher)

        return end


class Callback(NamedTuple):
    """A callback step that waits; the execution is named by its ARN."""

    token: str
    execution: str
    step: str
    queue_url: str


class CallbackAnswer(NamedTuple):
    """What somebody said about a callback step; `failure` is None when it succeeded."""

    outputs: Mapping[str, str]
    failure: str | None = None


class FunctionAnswer(NamedTuple):
    """How a call of a function ended.

    Attributes:
        payload: What it returned, or how it failed: JSON text.
        failed: Whether it failed.
        lost: Whether it was ended because nobody waits for it any more.
    """

    payload: str
    failed: bool = False
    lost: bool = False


class Caller(Protocol):
    """SageMaker as the pipeline service calls it."""

    def call(self, operation: str, request: Mapping[str, Json]) -> dict[str, Json]:
        """Call an operation of SageMaker, e.g. ``CreateProcessingJob``. Raises ServiceError."""


class ControlPlane(Caller, Protocol):
    """The services as the pipeline service calls them."""

    def wait_for_job(self, describe: str, request: Mapping[str, Json], stop: StopSignal) -> dict[str, Json]:
        """The Describe response once the job is terminal; when `stop` is set, stops the job and waits for its end."""

    def send_message(self, queue_url: str, body: str) -> None:
        """Send a message to a queue of SQS. Raises ServiceError."""

    def invoke_function(self, function: str, payload: str) -> FunctionAnswer:
        """Call a function of Lambda, named by its ARN, and wait for its end. Raises ServiceError."""

    def delete_objects(self, uri: str, *, folder: bool) -> None:
        """Delete an object of S3, or everything under a URI. Raises ServiceError."""

    def open_callback(self, callback: Callback) -> AbstractContextManager[Callable[[], CallbackAnswer | None]]:
        """As long as the context lasts the token may be answered; its value waits, and is None when nobody can."""


def _no_file(uri: str) -> Json:
    raise ResolveError(f"there is nothing at {uri}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRun:
    """One step that is to run now.

    Attributes:
        arguments: The step's Arguments without expressions.
        new_suffix: Ten random characters, for a job's name or a callback's token.
        tags: The execution's tags in the service's form; a tag of the step wins.
        members: What the step has beside its Arguments, without expressions, e.g. a Callback's SqsQueueUrl.
        read_json: The JSON content of an S3 URI; raises `ResolveError` when there is none.
        upstream: What the steps left behind that a Cleanup step cleans, by name; those that have not ended are missing.
    """

    step: Step
    arguments: dict[str, Json]
    execution_id: str
    execution_arn: str
    pipeline_name: str
    control: ControlPlane
    stop: StopSignal
    new_suffix: Callable[[], str]
    tags: tuple[Mapping[str, str], ...] = ()
    members: Mapping[str, Json] = field(default_factory=dict)
    upstream: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    read_json: Callable[[str], Json] = _no_file

    def with_arguments(self, arguments: dict[str, Json]) -> StepRun:
        """The same step with other Arguments."""
        return replace(self, arguments=arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step left.

    Attributes:
        outcome: For the engine.
        metadata: The step's Metadata in ListPipelineExecutionSteps, e.g. ``{"TrainingJob": {"Arn": ...}}``.
    """

    outcome: Outcome
    metadata: dict[str, Json] = field(default_factory=dict)
