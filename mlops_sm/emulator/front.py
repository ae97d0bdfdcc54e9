"""Decides who answers a request: our operations, our log reader, or moto with what it holds kept on disk."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import MappingProxyType
from typing import Final, assert_never

from mlops_sm.checks.service import sagemaker_model
from mlops_sm.definition.document import Json
from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.backends.requests import READING_METHODS, Effect, effect
from mlops_sm.emulator.callers import user_context
from mlops_sm.emulator.errors import AwsError, UnsavedError, unknown_operation
from mlops_sm.emulator.moto_requests import ask_moto, aws_request
from mlops_sm.emulator.protocol import Answer, answer, refuse
from mlops_sm.emulator.refusals import refusal
from mlops_sm.emulator.service import Call, Operation, Service
from mlops_sm.emulator.service_names import SAGEMAKER
from mlops_sm.emulator.storage import Storage
from mlops_sm.emulator.store import Scope
from mlops_sm.emulator.uploads import is_upload, receive

_S3_WRITERS: Final = frozenset({"s3-control", "s3tables", "cloudformation", "firehose", "athena"})
"""Other services of moto that change S3's state."""
_S3_EXPORT: Final = ("cloudwatch-logs", "CreateExportTask")
_WITHOUT_S3: Final = frozenset({"iam", "cloudwatch-logs", "sts"})
"""Services of moto that never look at S3."""
_LENT: Final = frozenset({"GetObject", "CopyObject", "UploadPartCopy"})
"""Operations of S3 for which an object's content stays in its file."""
_log = logging.getLogger(__name__)


Intercept = Callable[[Arrival], Answer | None]
"""Answers some requests of a service other than SageMaker's control plane; None leaves a request to moto."""

Amend = Callable[[Arrival, Answer], Answer]
"""Adds to what moto has answered."""


class AccountFront:
    """The front of an open account.

    Args:
        service: What operations work with.
        operations: SageMaker's operations by name.
        storage: S3, and what moto's other services hold.
        region: Of requests that are not signed.
        intercepts: What of other services is answered here, by botocore's id of the service.
        first: Sees every request of other services before them.
        amends: What of moto's answers is added to here, by botocore's id of the service.
    """

    def __init__(
        self,
        service: Service,
        operations: Mapping[str, Operation],
        storage: Storage,
        region: str,
        intercepts: Mapping[str, Intercept],
        *,
        first: Intercept = lambda _: None,
        amends: Mapping[str, Amend] = MappingProxyType({}),
    ) -> None:
        self._first = first
        self._amends = amends
        self._region = region
        self._service = service
        self._operations = operations
        self._storage = storage
        self._intercepts = intercepts

    def answer(self, arrival: Arrival, forward: Callable[[], Answer | None]) -> Answer | None:
        """Answer a request, or have it answered with `forward`; None when nobody here can."""
        if arrival.service == SAGEMAKER:
            return self._sagemaker(arrival)
        for intercept in (self._first, self._intercepts.get(arrival.service)):
            answered = None if intercept is None else intercept(arrival)
            if answered is not None:
                return answered
        if arrival.service.startswith(f"{SAGEMAKER}-"):
            return refuse(unknown_operation(arrival.service, arrival.operation))
        answered = self._moto(arrival, forward)
        amend = self._amends.get(arrival.service)
        return answered if amend is None or answered is None else amend(arrival, answered)

    def _moto(self, arrival: Arrival, forward: Callable[[], Answer | None]) -> Answer | None:
        exports = (arrival.service, arrival.operation) == _S3_EXPORT
        if exports or arrival.service not in _WITHOUT_S3:
            self._storage.mirror()
        try:
            if is_upload(arrival):
                return self._uploaded(arrival)
            if arrival.service == "s3":
                return self._s3(arrival, forward)
            if exports or (arrival.service in _S3_WRITERS and arrival.method not in READING_METHODS):
                with self._storage.mirror().changing():
                    return forward()
            match effect(arrival):
                case Effect.NONE:
                    return forward()
                case Effect.CHANGES:
                    with self._storage.keeper.changing():
                        return forward()
                case Effect.WAITS:
                    with self._storage.keeper.noting():
                        return forward()
                case never:
                    assert_never(never)
        except UnsavedError as error:
            _log.warning("a change could not be saved and was taken back: %s", error)
            message = f"The local account could not save the change: {error}. Nothing was changed."
            return refusal(arrival, AwsError("InsufficientStorage", message, 507))

    def _s3(self, arrival: Arrival, forward: Callable[[], Answer | None]) -> Answer | None:
        with ExitStack() as around:
            if arrival.method not in READING_METHODS:
                around.enter_context(self._storage.mirror().changing())
            if arrival.operation in _LENT:
                around.enter_context(self._storage.contents.lending())
            return forward()

    def _uploaded(self, arrival: Arrival) -> Answer | None:
        """The answer to a request that brings the content of an object; nobody waits for a slow one."""
        contents = self._storage.contents
        try:
            received = receive(arrival, contents)
        except AwsError as error:
            return refusal(arrival, error)
        except OSError as error:
            raise UnsavedError(str(error)) from error
        try:
            with self._storage.mirror().changing():
                contents.offer(received.content, received.etag)
                return ask_moto(received.request, aws_request(received.request, self._region))
        except BaseException:
            contents.remove([received.content])
            raise

    def perform(
        self,
        scope: Scope,
        operation: str,
        request: dict[str, Json],
        step: str = "",
        caller: Callable[[], dict[str, Json]] = dict,
    ) -> Mapping[str, Json]:
        """Perform an operation of SageMaker on a validated request.

        Args:
            scope: The account and region.
            operation: Its name.
            request: Its members.
            step: The pipeline's step that calls.
            caller: Who calls, in the form of CreatedBy.

        Raises:
            AwsError: It was refused, or it is not available here.
        """
        performed = self._operations.get(operation)
        if performed is None:
            raise unknown_operation(SAGEMAKER, operation)
        self._service.faults.check_call(operation, request, step)
        try:
            call = Call(
                service=self._service, scope=scope, operation=operation, request=request, step=step, caller=caller
            )
            return performed(call)
        except sqlite3.Error as error:
            # 507 is not among the statuses that botocore retries.
            raise AwsError("InsufficientStorage", f"The local account's database refused: {error}.", 507) from error

    def _sagemaker(self, arrival: Arrival) -> Answer:
        if arrival.operation not in self._operations:
            return refuse(unknown_operation(SAGEMAKER, arrival.operation))
        scope = Scope(arrival.account, arrival.region or self._region)
        return answer(
            sagemaker_model(),
            arrival.operation,
            arrival.read(),
            lambda request: self.perform(
                scope, arrival.operation, request, caller=lambda: user_context(arrival, self._region)
            ),
        )
