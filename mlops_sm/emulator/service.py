"""What an operation works with: the account's machinery and the call it answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mlops_sm.checks.service import sagemaker_model
from mlops_sm.definition.document import Definition, Json, Scalar
from mlops_sm.emulator.callbacks import Callbacks
from mlops_sm.emulator.endpoints.components import Components
from mlops_sm.emulator.endpoints.hosting import Hosting
from mlops_sm.emulator.endpoints.observation import Observation
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.faults import Faults
from mlops_sm.emulator.jobs import Jobs
from mlops_sm.emulator.runner import Executions
from mlops_sm.emulator.sharing import is_shared
from mlops_sm.emulator.storage import ObjectsOf
from mlops_sm.emulator.store import Entity, Kind, Scope, Store, Token
from mlops_sm.errors import Problem

_TOKEN_MEMBERS: Final = frozenset({"ClientRequestToken", "ClientToken"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The control plane of every account and region that one state directory holds.

    Attributes:
        store: Entities.
        objects: The S3 of a scope.
        jobs: Runs jobs.
        executions: Runs pipeline executions.
        callbacks: Callback steps that wait for an answer.
        hosting: Runs endpoints.
        components: Runs inference components.
        observation: Takes metrics for CloudWatch.
        faults: What tests have planted.
        preflight: What of a definition this machine refuses or ignores.
        clock: The time, timezone-aware.
        new_id: So many random characters of [a-z0-9].
    """

    store: Store
    objects: ObjectsOf
    jobs: Jobs
    executions: Executions
    callbacks: Callbacks
    hosting: Hosting
    components: Components
    observation: Observation
    faults: Faults
    preflight: Callable[[Definition, Mapping[str, Scalar]], list[Problem]]
    clock: Callable[[], datetime]
    new_id: Callable[[int], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request: who, where, what. Its members have been validated against the service's model.

    Attributes:
        service: What the operation works with.
        scope: The account and region that it is for.
        operation: Its name.
        request: Its members.
        step: The pipeline's step that calls; empty when nobody's step does.
        caller: Who calls, in the form of CreatedBy; empty of what the account does by itself.
    """

    service: Service
    scope: Scope
    operation: str
    request: dict[str, Json]
    step: str = ""
    caller: Callable[[], dict[str, Json]] = dict

    @property
    def store(self) -> Store:
        """The account's entities."""
        return self.service.store

    def now(self) -> float:
        """The time in epoch seconds."""
        return self.service.clock().timestamp()

    def named(self, arn: str) -> Entity | None:
        """The entity of an ARN, None when the request's account and region have none and none is shared with them."""
        entity = self.store.by_arn(arn)
        if entity is None or entity.scope == self.scope or is_shared(self.store, entity, self.scope, self.operation):
            return entity
        return None

    def members(self, *excluded: str) -> dict[str, Json]:
        """The request without some members and without tokens and tags, which are kept elsewhere."""
        return {
            name: value
            for name, value in self.request.items()
            if name not in excluded and name not in _TOKEN_MEMBERS and name != "Tags"
        }

    def refuse_members(self, *names: str) -> None:
        """Refuse members that would have to be ignored here.

        Raises:
            AwsError: One of them is in the request.
        """
        given = [name for name in names if name in self.request]
        if given:
            raise invalid(f"{', '.join(given)}: not available in the local account for {self.operation}.")


Operation = Callable[[Call], Mapping[str, Json]]


def find(call: Call, kind: Kind, value: str, missing: Callable[[str], AwsError]) -> Entity:
    """The entity that a name or an ARN names.

    Args:
        call: The request, in whose scope it is.
        kind: What it is.
        value: Name or ARN.
        missing: Makes the service's error for an ARN that nothing has.

    Raises:
        AwsError: There is none.
    """
    arn = value if value.startswith("arn:") else call.scope.arn(kind, value)
    entity = call.named(arn)
    if entity is None or entity.kind is not kind:
        raise missing(arn)
    return entity


def modelled(call: Call, code: str, message: str) -> AwsError:
    """An error that the model lists for the call's operation; ValidationException, which all have, when it does not."""
    errors = sagemaker_model().operation_model(call.operation).error_shapes
    return AwsError(code, message) if code in {error.name for error in errors} else invalid(message)


def once(call: Call, perform: Callable[[], dict[str, Json]]) -> dict[str, Json]:
    """Perform a request unless its idempotency token was used: then the first answer is given again.

    Everything in `perform` is one transaction; it must not touch S3.

    Raises:
        AwsError: ConflictException or ValidationException, the token was used with another request.
    """
    token = next((call.request[name] for name in _TOKEN_MEMBERS if name in call.request), None)
    if token is None:
        with call.store.transaction():
            return perform()
    request = json.dumps(
        {name: value for name, value in call.request.items() if name not in _TOKEN_MEMBERS}, sort_keys=True
    )
    with call.store.transaction():
        used = call.store.token(call.scope, call.operation, token)
        if used is not None:
            if used.request != request:
                raise modelled(call, "ConflictException", f"The client token {token} was used with another request.")
            return used.answer
        answer = perform()
        call.store.put_token(call.scope, call.operation, token, Token(request, answer))
        return answer
