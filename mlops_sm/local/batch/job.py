"""One batch transform job: its model's server, its payloads in order, its outputs beside each other."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from mlops_sm.definition.document import Json
from mlops_sm.local.batch.association import AssociationError
from mlops_sm.local.batch.failures import PayloadFailedError, bad_status, reason_of, shown
from mlops_sm.local.batch.plan import Plan
from mlops_sm.local.batch.records import PayloadError, opened, payloads
from mlops_sm.local.faults import INTERNAL_ERROR, FaultKind
from mlops_sm.local.jobs.folder import JobFailureError, JobFolder
from mlops_sm.local.jobs.outcome import JobOutcome, JobStatus
from mlops_sm.local.jobs.running import INSTANCE_FAULTS, JobRun
from mlops_sm.local.jobs.transfer import as_job_failure, fetch_object, find_sources, upload_file
from mlops_sm.local.serving import NoResponseError, NotHealthyError, Response, Running, ServedModel
from mlops_sm.local.serving.start import CONNECTIONS, Settings, start_container
from mlops_sm.local.site import Site
from mlops_sm.naming import S3Uri, parse_s3_uri

_LOOK_AROUND: Final = 0.1
_PING_SECONDS: Final = 10.0
_TRY_AGAIN: Final = frozenset({502, 503, 504})


def run_transform(
    request: Mapping[str, Json],
    *,
    name: str,
    arn: str,
    site: Site,
    stop: threading.Event,
    on_status: Callable[[str, str], None],
) -> JobOutcome:
    """Run a batch transform job to its end.

    Args:
        request: A CreateTransformJob request without expressions; beside it ``Containers``, those of its model, and
            ``EnableNetworkIsolation``.
        name: The job's name; its log is at `log_path(site.jobs, name)`.
        arn: The job's ARN.
        site: Where it runs.
        stop: Set it to stop the job.
        on_status: Called with ``Downloading``, ``Transforming`` and the final status, and a message.
    """
    run = JobRun(name=name, site=site, stop=stop, on_status=on_status)
    return run.guarded(lambda folder: _Transform(Plan.of(request, arn), run, folder).run())


@dataclass(slots=True)
class _Object:
    """One input object on its way to an output object."""

    source: S3Uri
    relative: str
    path: Path
    output: IO[bytes]
    failure: PayloadFailedError | None = None


@dataclass(frozen=True, slots=True)
class _Work:
    """A payload that is being transformed; without one, the end of its object."""

    object: _Object
    answer: Future[bytes] | None = None


@dataclass(slots=True)
class _Transform:
    plan: Plan
    job: JobRun
    folder: JobFolder
    finished: list[_Object] = field(default_factory=list)

    @property
    def site(self) -> Site:
        return self.job.site

    def run(self) -> JobOutcome:
        started = self.site.clock()
        fault = self.job.fault(INSTANCE_FAULTS - {FaultKind.KILL})
        if fault is not None:
            fault.happened()
            raise JobFailureError(INTERNAL_ERROR)
        self.job.on_status("Downloading", "Downloading the model")
        sources = find_sources(
            self.site.store,
            self.plan.source,
            self.folder.root,
            data_type=self.plan.data_type,
            region=self.site.region,
            role=self.plan.role,
        )
        with self._servers() as servers:
            plan = self.plan
            self.job.on_status("Transforming", "Transforming the input")
            self._log(
                f"MaxConcurrentTransforms={plan.concurrency}, MaxPayloadInMB={plan.max_payload}, "
                f"BatchStrategy={plan.strategy_name}"
            )
            self._transform(sources, servers)
        if self.plan.capture is not None:
            self._capture(self.plan.capture)
        reason = reason_of([(shown(each.source), each.failure) for each in self.finished if each.failure is not None])
        return self.job.without_process(JobStatus.COMPLETED if reason is None else JobStatus.FAILED, started, reason)

    @contextmanager
    def _servers(self) -> Iterator[list[Running]]:
        """The servers of the model's containers, in the order in which they answer."""
        with ExitStack() as stack:
            servers = []
            for number, container in enumerate(self.plan.containers):
                self.job.check_stop()
                # The first one is where the job is; further ones are in its scratch folder, which goes with it.
                folder = self.folder if number == 0 else JobFolder.create(self.folder.scratch, f"container-{number}")
                running = self._start(container, folder)
                stack.callback(running.stop)
                servers.append(running)
            if servers[0].asks:
                with suppress(NoResponseError):  # it has said nothing; what is wrong with it shows at the first payload
                    self.plan = self.plan.completed(servers[0].execution_parameters(timeout=_PING_SECONDS))
            yield servers

    def _start(self, container: Mapping[str, Json], folder: JobFolder) -> Running:
        plan = self.plan
        settings = Settings(
            workers=min(plan.concurrency, os.cpu_count() or 1),
            connections=max(plan.concurrency, CONNECTIONS),
            network=plan.network,
            overrides={**plan.variables, **plan.environment},
        )
        try:
            return start_container(
                ServedModel.of(container),
                folder,
                self.site,
                settings,
                log=self.folder.log,
                is_stopped=self.job.stop.is_set,
            )
        except NotHealthyError as error:
            self.job.check_stop()
            why = f" ({error})" if str(error) else ""
            raise JobFailureError(
                "AlgorithmError: Model container failed to respond to ping; Please ensure /ping endpoint is "
                f"implemented and responds with an HTTP 200 status code{why}"
            ) from error

    def _transform(self, sources: list[tuple[S3Uri, str]], servers: list[Running]) -> None:
        """Keep the servers busy, and settle the payloads in the order of the input."""
        waiting: deque[_Work] = deque()
        outputs = ExitStack()
        pool = ThreadPoolExecutor(self.plan.concurrency, thread_name_prefix=f"transform {self.job.name}")
        try:
            for number, (source, relative) in enumerate(sources):
                with as_job_failure("Data download failed", self.folder.scratch):
                    path = self.folder.scratch / "tmp" / f"output-{number}"
                    each = _Object(source, relative, path, outputs.enter_context(path.open("wb")))
                for payload in self._payloads(each):
                    # One more than can run, so that the next payload is ready when a server is.
                    while len(waiting) > self.plan.concurrency:
                        self._settle(waiting.popleft())
                    if each.failure is not None:
                        break
                    waiting.append(_Work(each, pool.submit(self._answer, payload, servers)))
                waiting.append(_Work(each))
                while waiting and waiting[0].answer is None:
                    self._settle(waiting.popleft())
            while waiting:
                self._settle(waiting.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            outputs.close()

    def _payloads(self, each: _Object) -> Iterator[bytes]:
        """The payloads of an object; what cannot be one is the object's failure."""
        plan, fetched = self.plan, self.folder.scratch / "input"
        fetch_object(self.site.store, str(each.source), fetched)
        try:
            with opened(fetched, compressed=plan.compressed) as content:
                yield from payloads(content, lines=plan.lines, single=plan.single, limit=plan.limit)
        except PayloadError as error:
            each.failure = each.failure or PayloadFailedError("ClientError", str(error))
        finally:
            fetched.unlink()

    def _settle(self, work: _Work) -> None:
        each = work.object
        if work.answer is None:
            self._finish(each)
            return
        while True:
            try:
                result = work.answer.result(_LOOK_AROUND)
            except FutureTimeoutError:
                self.job.check_stop()
                continue
            except PayloadFailedError as error:
                self.job.check_stop()
                each.failure = each.failure or error
                return
            break
        self.job.check_stop()
        if each.failure is None:
            with as_job_failure("Artifact upload failed", self.folder.scratch):
                each.output.write(result)
                if self.plan.assemble and not result.endswith(b"\n"):
                    each.output.write(b"\n")

    def _finish(self, each: _Object) -> None:
        with as_job_failure("Artifact upload failed", self.folder.scratch):
            each.output.close()
        if each.failure is None:
            upload_file(self.site.store, each.path, str(self._target(each)))
        else:
            for line in each.failure.lines(shown(each.source)):
                self._log(line)
        self.finished.append(each)
        each.path.unlink()

    def _target(self, each: _Object) -> S3Uri:
        return parse_s3_uri(self.plan.target).join(f"{each.relative}.out")

    def _answer(self, payload: bytes, servers: list[Running]) -> bytes:
        """The output for one payload; runs in a thread of its own."""
        plan = self.plan
        try:
            body, content_type = plan.association.request(payload), plan.content_type
            for number, server in enumerate(servers, start=1):
                accept = plan.accept if number == len(servers) else None
                response = self._invoke(server, body, content_type, accept)
                if not response.ok:
                    raise bad_status(response)
                body, content_type = response.body, response.content_type
            return plan.association.result(payload, body)
        except AssociationError as error:
            raise PayloadFailedError("ClientError", str(error)) from error

    def _invoke(self, server: Running, body: bytes, content_type: str | None, accept: str | None) -> Response:
        """One invocation, repeated when the server gave none or an answer that says to try again."""
        for left in reversed(range(self.plan.retries + 1)):
            try:
                response = server.invoke(body, content_type, accept, timeout=self.plan.timeout)
            except NoResponseError as error:
                if not left or server.ended or self.job.stop.is_set():
                    raise PayloadFailedError(
                        "AlgorithmError", "Unable to get response from algorithm", str(error)
                    ) from error
            else:
                if not left or response.status not in _TRY_AGAIN:
                    return response
        raise PayloadFailedError("AlgorithmError", "Unable to get response from algorithm")

    def _capture(self, uri: str) -> None:
        """What went in and what came out, as manifests by the hour of the job.

        Source: SageMaker developer guide, "Capture data from batch transform job".
        """
        done = [each for each in self.finished if each.failure is None]
        if not done:
            return
        hour = f"{self.site.clock():%Y/%m/%d/%H}"
        prefix = str(done[0].source).removesuffix(done[0].relative)
        manifests: dict[str, Json] = {
            "input": [{"prefix": prefix}, *(each.relative for each in done)],
            "output": [{"prefix": f"{self.plan.target}/"}, *(f"{each.relative}.out" for each in done)],
        }
        for side, manifest in manifests.items():
            self.folder.write_json("manifest.json", manifest)
            path = self.folder.ml / "manifest.json"
            upload_file(self.site.store, path, f"{uri.rstrip('/')}/{side}/{hour}/{self.job.name}.json")

    def _log(self, line: str) -> None:
        time = self.site.clock()
        with as_job_failure("Log", self.folder.log), self.folder.log.open("ab") as log:
            stamp = f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}"
            log.write(f"{stamp}:[sagemaker logs]: {line}\n".encode())
