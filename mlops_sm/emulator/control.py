"""SageMaker as the pipeline service calls it: the operations themselves, without HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from mlops_sm.checks.service import ServiceModel
from mlops_sm.definition.document import Json
from mlops_sm.emulator.callbacks import Callbacks
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.jobs import Jobs
from mlops_sm.emulator.protocol import render
from mlops_sm.emulator.store import Kind, Scope
from mlops_sm.emulator.validation import read_request
from mlops_sm.local.handlers import Callback, CallbackAnswer, FunctionAnswer, ServiceError, StopSignal

Perform = Callable[[Scope, str, dict[str, Json]], Mapping[str, Json]]
"""Performs an operation of a scope on a validated request; raises AwsError."""

SendMessage = Callable[[Scope, str, str], None]
"""Sends a body to a queue, named by its URL, with the rights of a scope; raises ServiceError."""

InvokeFunction = Callable[[Scope, str, str], FunctionAnswer]
"""Calls a function, named by its ARN, with an event and the rights of a scope; raises AwsError."""

DeleteObjects = Callable[[Scope, str, bool], None]
"""Deletes an object, or all under a URI, with the rights of a scope; raises ServiceError."""

_STOPS: Mapping[str, tuple[Kind, str, str]] = {
    "DescribeProcessingJob": (Kind.PROCESSING_JOB, "ProcessingJobName", "StopProcessingJob"),
    "DescribeTrainingJob": (Kind.TRAINING_JOB, "TrainingJobName", "StopTrainingJob"),
    "DescribeHyperParameterTuningJob": (
        Kind.TUNING_JOB,
        "HyperParameterTuningJobName",
        "StopHyperParameterTuningJob",
    ),
    "DescribeTransformJob": (Kind.TRANSFORM_JOB, "TransformJobName", "StopTransformJob"),
}


@dataclass(frozen=True, slots=True)
class DirectControl:
    """The `ControlPlane` of the executions of one scope.

    Attributes:
        scope: Account and region.
        model: SageMaker's service model.
        perform: The operations.
        jobs: Knows when a job ends.
        callbacks: Knows when a token is answered.
        send: SQS.
        invoke: Lambda.
        delete: S3.
    """

    scope: Scope
    model: Callable[[], ServiceModel]
    perform: Perform
    jobs: Jobs
    callbacks: Callbacks
    send: SendMessage
    invoke: InvokeFunction
    delete: DeleteObjects

    def call(self, operation: str, request: Mapping[str, Json]) -> dict[str, Json]:
        """Call an operation.

        Raises:
            ServiceError: It was refused.
        """
        shapes = self.model().operation_model(operation)
        try:
            asked = read_request(dict(request), shapes.input_shape)
            answer = self.perform(self.scope, operation, asked)
        except AwsError as error:
            raise ServiceError(error.code, error.message) from error
        return dict(render(answer, shapes.output_shape)) if shapes.output_shape is not None else {}

    def wait_for_job(self, describe: str, request: Mapping[str, Json], stop: StopSignal) -> dict[str, Json]:
        """The Describe response once the job has ended; when `stop` is set, the job is stopped first.

        Raises:
            ServiceError: The job is gone.
        """
        kind, name_member, stop_operation = _STOPS[describe]

        def end() -> None:
            try:
                self.call(stop_operation, request)
            except ServiceError:
                # It has ended in between, or somebody else has stopped it; the waiter sees which.
                return

        end_watch = stop.watch(end)
        self.jobs.wait(self.scope.arn(kind, request[name_member]))
        end_watch()
        return self.call(describe, request)

    def send_message(self, queue_url: str, body: str) -> None:
        """Send a message to a queue.

        Raises:
            ServiceError: SQS refused it.
        """
        self.send(self.scope, queue_url, body)

    def invoke_function(self, function: str, payload: str) -> FunctionAnswer:
        """Call a function and wait for its end.

        Raises:
            ServiceError: It cannot be called.
        """
        try:
            return self.invoke(self.scope, function, payload)
        except AwsError as error:
            raise ServiceError(error.code, error.message) from error

    def delete_objects(self, uri: str, *, folder: bool) -> None:
        """Delete an object, or everything under a URI.

        Raises:
            ServiceError: S3 refused.
        """
        self.delete(self.scope, uri, folder)

    def open_callback(self, callback: Callback) -> AbstractContextManager[Callable[[], CallbackAnswer | None]]:
        """As long as the context lasts the token may be answered; its value waits for that."""
        return self.callbacks.opened(self.scope, callback)
