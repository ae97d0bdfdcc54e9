"""One invocation of an endpoint: who answers it, and what is said when nobody can."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from mlops_sm.definition.document import Json
from mlops_sm.emulator.endpoints.capture import Exchange
from mlops_sm.emulator.endpoints.components import Components
from mlops_sm.emulator.endpoints.fleet import Fleet, pick
from mlops_sm.emulator.endpoints.hosting import Hosting
from mlops_sm.emulator.endpoints.measures import Dimensions, Measured
from mlops_sm.emulator.endpoints.observation import Observation
from mlops_sm.emulator.endpoints.refusals import model_error, not_found, not_valid
from mlops_sm.emulator.endpoints.shadows import Shadows
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.store import Scope
from mlops_sm.local.serving.connection import Response
from mlops_sm.local.serving.host import (
    BusyError,
    ContainerError,
    Host,
    HostError,
    MisdirectedError,
    Payload,
    RetiredError,
)

MAX_PAYLOAD: Final = 6_291_456
"""Bytes of a payload (API reference, InvokeEndpoint, Body)."""
_MAX_SERVERLESS: Final = 4 << 20
"""Likewise of a serverless variant ("Invoke a serverless endpoint")."""
_SECONDS: Final = 60.0
"""A container has a minute to answer (API reference, InvokeEndpoint)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """A request to an endpoint.

    Attributes:
        endpoint: Its name.
        body: The payload.
        content_type: Of the payload.
        accept: Of the answer.
        attributes: Custom attributes.
        variant: The variant that is meant; the weights decide when None.
        model: The model that is meant, of a multi-model endpoint.
        container: The container that is meant, of an endpoint with direct invocation.
        component: The inference component that is meant.
        inference_id: What the caller calls it.
        timeout: Seconds.
    """

    endpoint: str
    body: bytes
    content_type: str | None = None
    accept: str | None = None
    attributes: str | None = None
    variant: str | None = None
    model: str | None = None
    container: str | None = None
    component: str | None = None
    inference_id: str | None = None
    timeout: float = _SECONDS

    @property
    def payload(self) -> Payload:
        """What the container is given."""
        headers = {
            "X-Amzn-SageMaker-Custom-Attributes": self.attributes,
            "X-Amzn-SageMaker-Inference-Id": self.inference_id,
            "X-Amzn-SageMaker-Target-Model": self.model,
        }
        return Payload(
            body=self.body,
            content_type=self.content_type,
            accept=self.accept,
            attributes={name: value for name, value in headers.items() if value is not None},
            timeout=self.timeout,
            model=self.model,
            container=self.container,
        )


class Answered(NamedTuple):
    """What an endpoint has answered, and the variant that did."""

    response: Response
    variant: str


class Streamed(NamedTuple):
    """What an endpoint answers in parts, the first of them again, and the variant that does."""

    first: Response
    parts: Iterator[Response]
    variant: str


class _Watch(NamedTuple):
    scope: Scope
    invocation: Invocation
    fleet: Fleet
    variant: str
    began: float
    asked: float
    """When the request came, and when the container was given it; by the machine's performance counter."""


class Invocations:
    """Invokes endpoints. Safe to use from several threads.

    Args:
        hosting: The endpoints.
        components: The inference components.
        observation: Keeps what requests were like.
        shadows: Copies requests.
    """

    def __init__(self, hosting: Hosting, components: Components, observation: Observation, shadows: Shadows) -> None:
        self._hosting = hosting
        self._components = components
        self._observation = observation
        self._shadows = shadows

    def invoke(self, scope: Scope, invocation: Invocation) -> Answered:
        """Have a request answered.

        Raises:
            AwsError: ValidationError, ModelError, ThrottlingException or ServiceUnavailable.
        """
        check_size(invocation.body, MAX_PAYLOAD)
        return self.perform(scope, invocation, asynchronous=False)

    def config(self, scope: Scope, endpoint: str) -> Mapping[str, Json] | None:
        """The AsyncInferenceConfig of an endpoint in service; None of one without.

        Raises:
            AwsError: ValidationError, there is no such endpoint.
        """
        return self._fleet(scope, endpoint).snapshot.asynchronous

    def perform(self, scope: Scope, invocation: Invocation, *, asynchronous: bool = True) -> Answered:
        """Have a request answered, whatever its size.

        Args:
            scope: Whose endpoint.
            invocation: The request.
            asynchronous: Whether it comes from the endpoint's queue.

        Raises:
            AwsError: As `invoke`.
        """
        began = time.perf_counter()
        with self._entered(scope, invocation.endpoint) as fleet:
            if not asynchronous and fleet.snapshot.asynchronous is not None:
                raise not_valid(
                    f"Endpoint {invocation.endpoint} of account {scope.account} is an asynchronous endpoint: it is "
                    "invoked with InvokeEndpointAsync."
                )
            name, host = self._host(scope, fleet, invocation)
            if host.variant.limit is not None:
                check_size(invocation.body, _MAX_SERVERLESS)
            watch = _Watch(scope, invocation, fleet, name, began, time.perf_counter())
            try:
                try:
                    response = host.invoke(invocation.payload)
                except RetiredError:
                    # A component that was updated a moment ago.
                    name, host = self._host(scope, fleet, invocation)
                    response = host.invoke(invocation.payload)
            except BusyError:
                raise throttled() from None
            except MisdirectedError as error:
                raise not_valid(str(error)) from error
            except ContainerError as error:
                self._observe(watch, 500 if error.response is None else error.response.status, None)
                raise model_error(scope, invocation.endpoint, error) from error
            self._observe(watch, response.status, response)
            if fleet.shadows:
                self._shadows.copy(fleet, fleet.weights[name], lambda shadow: self._copy(watch, shadow))
            return Answered(response, name)

    def _copy(self, watch: _Watch, shadow: Host) -> None:
        """Have a shadow variant answer a request too; nobody is told what it says."""
        began = time.perf_counter()
        watch = watch._replace(variant=shadow.variant.name, began=began, asked=began)
        try:
            response = shadow.invoke(watch.invocation.payload)
        except (BusyError, MisdirectedError):
            return
        except ContainerError as error:
            self._observe(watch, 500 if error.response is None else error.response.status, None)
            return
        self._observe(watch, response.status, response)

    def stream(self, scope: Scope, invocation: Invocation) -> Streamed:
        """Have a request answered in parts; the first is there when this returns.

        Raises:
            AwsError: As `invoke`.
        """
        parts = self._parts(scope, invocation)
        name, first = next(parts)
        rest = (part for _, part in parts)
        return Streamed(first, itertools.chain((first,), rest), name)

    def _parts(self, scope: Scope, invocation: Invocation) -> Iterator[tuple[str, Response]]:
        began = time.perf_counter()
        check_size(invocation.body, MAX_PAYLOAD)
        with self._entered(scope, invocation.endpoint) as fleet:
            name, host = self._host(scope, fleet, invocation)
            watch = _Watch(scope, invocation, fleet, name, began, time.perf_counter())
            said: list[Response] = []
            try:
                for part in host.parts(invocation.payload):
                    said.append(part)
                    yield name, part
            except BusyError:
                raise throttled() from None
            except MisdirectedError as error:
                raise not_valid(str(error)) from error
            except ContainerError as error:
                self._observe(watch, 500 if error.response is None else error.response.status, None)
                if said:
                    raise
                raise model_error(scope, invocation.endpoint, error) from error
            whole = replace(said[-1], body=b"".join(part.body for part in said))
            self._observe(watch, 500 if whole.broken else whole.status, None if whole.broken else whole)

    def _observe(self, watch: _Watch, status: int, response: Response | None) -> None:
        """Keep what a request was like; what it said too, if its endpoint captures data."""
        now, invocation = time.perf_counter(), watch.invocation
        model = now - watch.asked
        measured = Measured(status, watch.fleet.instances.get(watch.variant, 1), model, watch.asked - watch.began)
        dimensions: list[Dimensions] = [(("EndpointName", invocation.endpoint), ("VariantName", watch.variant))]
        if invocation.component is not None:
            dimensions.append((("InferenceComponentName", invocation.component),))
        self._observation.measures.add(watch.scope, dimensions, measured.values())
        capture = watch.fleet.snapshot.capture
        if response is not None and capture is not None and self._is_sampled(capture):
            self._observation.captures.add(
                watch.scope,
                invocation.endpoint,
                watch.variant,
                capture,
                Exchange(
                    request=invocation.body,
                    request_type=invocation.content_type,
                    response=response.body,
                    response_type=response.content_type,
                    inference_id=invocation.inference_id,
                    attributes=invocation.attributes,
                ),
            )
        self._observation.noted()

    def _is_sampled(self, capture: Mapping[str, Json]) -> bool:
        return self._hosting.draw() * 100 < float(capture["InitialSamplingPercentage"])

    @contextmanager
    def _entered(self, scope: Scope, endpoint: str) -> Iterator[Fleet]:
        """The fleet whose turn it is; it goes on as long as the context lasts."""
        fleet = self._fleet(scope, endpoint)
        while not fleet.enter():
            # An update has just ended it, and another one has the traffic.
            fleet = self._fleet(scope, endpoint)
        try:
            yield fleet
        finally:
            fleet.leave()

    def _fleet(self, scope: Scope, endpoint: str) -> Fleet:
        try:
            traffic = self._hosting.find(scope, endpoint)
        except HostError as error:
            raise AwsError(
                "ServiceUnavailable", f"Endpoint {endpoint} could not be started again: {error}", 503
            ) from error
        if traffic is None:
            raise not_found(scope, endpoint)
        return traffic.fleet(self._hosting.draw())

    def _host(self, scope: Scope, fleet: Fleet, invocation: Invocation) -> tuple[str, Host]:
        if invocation.component is not None:
            return self._component(scope, invocation)
        name = invocation.variant or pick(fleet.weights, self._hosting.draw())
        if name is None:
            raise not_valid(f"Endpoint {invocation.endpoint} of account {scope.account} has no variant with a weight.")
        if name not in fleet.weights:
            raise not_valid(f"Variant {name} not found for Request: {invocation.endpoint}")
        if name not in fleet.hosts:
            raise not_valid(
                "Inference Component Name header is required for endpoints to which you plan to deploy inference "
                "components. Please include Inference Component Name header or consider using SageMaker models."
            )
        return name, fleet.hosts[name]

    def _component(self, scope: Scope, invocation: Invocation) -> tuple[str, Host]:
        name = invocation.component or ""
        try:
            found = self._components.find(scope, name)
        except HostError as error:
            message = f"Inference component {name} could not be started again: {error}"
            raise AwsError("ServiceUnavailable", message, 503) from error
        if found is None or found[0].parent != invocation.endpoint:
            raise not_valid(f"Inference Component {name} of account {scope.account} not found.")
        entity, host = found
        if not entity.body["RuntimeConfig"]["DesiredCopyCount"]:
            raise _no_capacity()
        return str(entity.body["VariantName"]), host


def _no_capacity() -> AwsError:
    """The service's words for a component without copies (API reference, UpdateInferenceComponentRuntimeConfig)."""
    return not_valid(
        "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress (if "
        "configured) or try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig API."
    )


def check_size(body: bytes, limit: int) -> None:
    """Refuse a payload that is too long.

    Raises:
        AwsError: ValidationError.
    """
    if len(body) > limit:
        raise not_valid(
            "1 validation error detected: Value at 'body' failed to satisfy constraint: Member must have length less "
            f"than or equal to {limit}"
        )


def throttled() -> AwsError:
    """A serverless variant has as many requests as it takes ("Serverless endpoints", concurrency)."""
    return AwsError("ThrottlingException", "Rate exceeded: the endpoint has reached its MaxConcurrency.", 429)
