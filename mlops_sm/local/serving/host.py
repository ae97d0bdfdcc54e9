"""A variant of an endpoint as it runs here: the servers of its containers, in a folder of their own."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from mlops_sm.local.jobs.folder import JobFailureError, JobFolder
from mlops_sm.local.serving.connection import Response
from mlops_sm.local.serving.model import ModelSource, ServedModel
from mlops_sm.local.serving.server import GoneError, NoResponseError, NotHealthyError, Running
from mlops_sm.local.serving.start import Settings, start_container
from mlops_sm.local.site import Site

PRIMARY: Final = "primary"
"""What the service calls the only container of a model."""
_UNLOADING: Final = 60.0
"""Seconds that requests to a model get which is unloaded meanwhile."""
BEGAN: Final = "began"
"""A file beside the log with the epoch second at which it was begun."""
_LOADED: Final = 4
"""Models of one multi-model container that are loaded at once; the one that was used last stays longest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container of a variant.

    Attributes:
        name: Its host name, or what the service calls one that has none.
        model: What it serves.
        several: Whether it serves many models, whose archives are below its source.
    """

    name: str
    model: ServedModel
    several: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A model to be hosted.

    Attributes:
        name: The variant's, or the inference component's.
        kind: What the service calls it.
        containers: Those of its model, in the order in which they answer.
        direct: Whether each request is for one of them only.
        settings: How they are run.
        limit: How many requests it takes at once; None for any number.
    """

    name: str
    kind: str = "production variant"
    containers: tuple[Container, ...]
    direct: bool = False
    settings: Settings = field(default_factory=Settings)
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """A request to a model.

    Attributes:
        body: Its content.
        content_type: Of the content; None when it was not said.
        accept: Of the answer.
        attributes: Further headers.
        timeout: Seconds.
        model: The archive that is meant, of a container with several.
        container: The container that is meant, of a variant that is called directly.
    """

    body: bytes
    content_type: str | None = None
    accept: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 60.0
    model: str | None = None
    container: str | None = None


class HostError(Exception):
    """A variant could not be started; the message is the endpoint's FailureReason."""


class BusyError(Exception):
    """A variant has as many requests as it takes."""


class RetiredError(Exception):
    """A variant takes no requests any more: another one has its place."""


class MisdirectedError(Exception):
    """A request is for a container or model that is not there; the message says which."""


class ContainerError(Exception):
    """A container gave another answer than 200, or none.

    Attributes:
        container: Its name.
        response: What it said; None when it said nothing.
        cause: Why it said nothing.
    """

    def __init__(self, container: str, response: Response | None, cause: NoResponseError | None = None) -> None:
        self.container = container
        self.response = response
        self.cause = cause
        super().__init__(container)


class Host:
    """Hosts a variant. Safe to use from several threads.

    Args:
        variant: What is hosted.
        folder: Where; made anew.
        site: Its surroundings.
    """

    def __init__(self, variant: Variant, folder: Path, site: Site) -> None:
        self.variant = variant
        self._folder = JobFolder(folder)
        self._site = site
        self._lock = threading.Lock()
        self._counting = threading.Condition()
        self._running: dict[str, Running] = {}
        self._loaded: OrderedDict[str, Running] = OrderedDict()
        self._starts = 0
        self._requests = 0
        self._retired = False
        self._stopped = False

    @property
    def log(self) -> Path:
        """What its containers print."""
        return self._folder.log

    def start(self, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Start every container and wait until all are healthy.

        Raises:
            HostError: One is not, or nothing could run beside it.
        """
        isolation = self._site.isolation
        if isolation.capabilities.parallel == 1:
            raise HostError(
                f'InternalServerError: jobs are isolated by "{isolation.name}" here, one at a time, and nothing could '
                "run beside an endpoint [E442]"
            )
        JobFolder.create(self._folder.root.parent, self._folder.root.name)
        (self._folder.root / BEGAN).write_text(f"{self._site.clock().timestamp():.3f}", encoding="utf-8")
        with self._lock:
            for container in self.variant.containers:
                if not container.several:
                    self._running[container.name] = self._start(container, is_stopped)

    def stop(self, grace_seconds: float = 30.0) -> None:
        """End every container; requests that wait get no answer. The log stays."""
        with self._lock:
            self._stopped = True
            running = [*self._running.values(), *self._loaded.values()]
            self._running.clear()
            self._loaded.clear()
        for each in running:
            each.stop(grace_seconds)
        self._folder.remove()

    def drain(self, timeout: float) -> None:
        """Take no request any more, and wait at most so many seconds until none is under way."""
        with self._counting:
            self._retired = True
            self._counting.wait_for(lambda: not self._requests, timeout)

    def invoke(self, payload: Payload) -> Response:
        """The answer of the last container; each is given what the one before has said.

        Raises:
            BusyError: It has as many requests as it takes.
            RetiredError: It takes none any more.
            MisdirectedError: It has no such container or model.
            ContainerError: A container has failed.
        """
        with self._counted():
            chain = self._chain(payload)
            for number, container in enumerate(chain, start=1):
                last = number == len(chain)
                accept = payload.accept if last else None
                try:
                    try:
                        response = self._ask(container, payload, accept)
                    except GoneError:
                        # It ended a moment ago, and another one is started.
                        response = self._ask(container, payload, accept)
                except NoResponseError as error:
                    raise ContainerError(container.name, None, error) from error
                if not response.ok:
                    raise ContainerError(container.name, response)
                payload = replace(payload, body=response.body, content_type=response.content_type)
            return response

    def _ask(self, container: Container, payload: Payload, accept: str | None) -> Response:
        return self._server(container, payload.model).invoke(
            payload.body, payload.content_type, accept, payload.attributes, timeout=payload.timeout
        )

    def parts(self, payload: Payload) -> Iterator[Response]:
        """As `invoke`, with the parts of the last container's answer as they come; the last part is empty."""
        with self._counted():
            *before, last = self._chain(payload)
            if before:
                raise MisdirectedError("An inference pipeline does not answer in parts.")
            parts = self._server(last, payload.model).parts(
                payload.body, payload.content_type, payload.accept, payload.attributes, timeout=payload.timeout
            )
            try:
                for part in parts:
                    if not part.ok:
                        rest = b"".join(more.body for more in parts)
                        raise ContainerError(last.name, replace(part, body=part.body + rest))
                    yield part
            except NoResponseError as error:
                raise ContainerError(last.name, None, error) from error

    @contextmanager
    def _counted(self) -> Iterator[None]:
        limit = self.variant.limit
        with self._counting:
            if self._retired:
                raise RetiredError
            if limit is not None and self._requests >= limit:
                raise BusyError
            self._requests += 1
        try:
            yield
        finally:
            with self._counting:
                self._requests -= 1
                self._counting.notify_all()

    def _chain(self, payload: Payload) -> tuple[Container, ...]:
        containers = self.variant.containers
        if payload.model is not None and not any(container.several for container in containers):
            raise MisdirectedError("TargetModel is only for endpoints that host multi-model containers.")
        if payload.model is None and any(container.several for container in containers):
            raise MisdirectedError("TargetModel is required to invoke a multi-model endpoint.")
        if payload.container is None:
            if self.variant.direct:
                raise MisdirectedError("TargetContainerHostname is required: the containers are invoked directly.")
            return containers
        if not self.variant.direct:
            raise MisdirectedError("TargetContainerHostname is only for endpoints with direct invocation.")
        found = tuple(container for container in containers if container.name == payload.container)
        if not found:
            raise MisdirectedError(f"TargetContainerHostname {payload.container} is none of the endpoint's containers.")
        return found

    def _server(self, container: Container, model: str | None) -> Running:
        """A container's server; one that has ended is started again."""
        running = self._running.get(container.name)
        if running is not None and not running.ended:
            return running
        unused: list[Running] = []
        try:
            with self._lock:
                if self._stopped:
                    raise ContainerError(container.name, None, NoResponseError("the endpoint is being deleted"))
                if container.several and model is not None:
                    return self._load(container, model, unused)
                running = self._running[container.name]
                if running.ended:
                    unused.append(running)
                    running = self._running[container.name] = self._start(container)
                return running
        except HostError as error:
            raise ContainerError(container.name, None, NoResponseError(str(error))) from error
        finally:
            for each in unused:
                each.drain(0 if each.ended else _UNLOADING)
                each.stop(0)

    def _load(self, container: Container, model: str, unused: list[Running]) -> Running:
        key = f"{container.name}/{model}"
        running = self._loaded.get(key)
        if running is not None and running.ended:
            unused.append(self._loaded.pop(key))
            running = None
        if running is None:
            source = container.model.source
            if source is None or ".." in model.split("/"):
                raise MisdirectedError(f"There is no model {model}.")
            archive = ModelSource(f"{source.uri.rstrip('/')}/{model.lstrip('/')}")
            try:
                running = self._start(replace(container, model=replace(container.model, source=archive)))
            except HostError as error:
                raise MisdirectedError(str(error)) from error
            while len(self._loaded) >= _LOADED:
                unused.append(self._loaded.popitem(last=False)[1])
        self._loaded[key] = running
        self._loaded.move_to_end(key)
        return running

    def _start(self, container: Container, is_stopped: Callable[[], bool] = lambda: False) -> Running:
        self._starts += 1
        # The first one is where the variant is; further ones are in its scratch folder, which goes with it.
        first = self._starts == 1
        folder = self._folder if first else JobFolder.create(self._folder.scratch, f"server-{self._starts}")
        try:
            return start_container(
                container.model, folder, self._site, self.variant.settings, log=self.log, is_stopped=is_stopped
            )
        except JobFailureError as error:
            raise HostError(_without_blame(error.reason)) from error
        except NotHealthyError as error:
            why = f" ({error})" if str(error) else ""
            raise HostError(
                f"The {container.name} container for {self.variant.kind} {self.variant.name} did not pass the ping "
                f"health check. Please check CloudWatch logs for this endpoint.{why}"
            ) from error


def _without_blame(reason: str) -> str:
    for blame in ("ClientError: ", "AlgorithmError: "):
        reason = reason.removeprefix(blame)
    return reason
