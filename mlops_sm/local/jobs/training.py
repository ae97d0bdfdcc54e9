"""One training job under the container contract: its instances start, and start again when they are lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.local.faults import NO_CAPACITY, FaultKind, JobFault
from mlops_sm.local.jobs.artifacts import upload_artifacts
from mlops_sm.local.jobs.attend import Cause
from mlops_sm.local.jobs.budget import Budget
from mlops_sm.local.jobs.cluster import ClusterEnding, Instance, run_cluster
from mlops_sm.local.jobs.continuous import ContinuousUpload
from mlops_sm.local.jobs.folder import JobFailureError, JobFolder, end_line, last_line
from mlops_sm.local.jobs.metrics import FoundMetrics, MetricScanner
from mlops_sm.local.jobs.outcome import JobOutcome, JobStatus, Metric
from mlops_sm.local.jobs.running import INSTANCE_FAULTS, MAX_RUNTIME_EXCEEDED, JobRun, JobStoppedError, failure_of
from mlops_sm.local.jobs.script_mode import ScriptMode
from mlops_sm.local.jobs.staging import Staging
from mlops_sm.local.site import Site

_FAILURE: Final = "output/failure"
_MAX_FAILURE: Final = 1024
"""Characters of /opt/ml/output/failure that become FailureReason."""
_LOOK_AROUND: Final = 0.1
"""Seconds between looks at the clock and the stop event while there are no instances."""
_WAITED_TOO_LONG: Final = "MaxWaitTimeExceeded"
_INTERRUPTED: Final = "The job stopped because the managed spot training instances were interrupted."
_RETRYING: Final = "Insufficient capacity error from EC2 while launching instances, retrying!"
"""Messages in the words of the API reference, SecondaryStatus and SecondaryStatusTransition."""


def run_training(
    request: Mapping[str, Json],
    *,
    name: str,
    arn: str,
    site: Site,
    stop: threading.Event,
    on_status: Callable[[str, str], None],
    on_metric: Callable[[Metric], None] = lambda _: None,
) -> JobOutcome:
    """Run a training job to its end.

    Args:
        request: A CreateTrainingJob request without expressions.
        name: The job's name; the log of its first instance is at `log_path(site.jobs, name)`.
        arn: The job's ARN.
        site: Where it runs.
        stop: Set it to stop the job.
        on_status: Called with every secondary status and its message.
        on_metric: Called with every metric while the logs are written, one at a time.
    """
    run = JobRun(name=name, site=site, stop=stop, on_status=on_status)
    return run.guarded(lambda folder: _Training(request, arn, run, folder, FoundMetrics(on_metric)).run_to_end())


class _WaitedTooLongError(Exception):
    """MaxWaitTimeInSeconds was over while there were no instances."""


@dataclass(slots=True)
class _Training:
    request: Mapping[str, Json]
    arn: str
    run: JobRun
    folder: JobFolder
    metrics: FoundMetrics
    folders: list[JobFolder] = field(default_factory=list)
    script: ScriptMode | None = None

    def run_to_end(self) -> JobOutcome:
        started = self.run.site.clock()
        spot = bool(self.request.get("EnableManagedSpotTraining"))
        able = INSTANCE_FAULTS | ({FaultKind.SPOT_INTERRUPTION} if spot else frozenset())
        budget = Budget(self.request.get("StoppingCondition") or {}, spot=spot)
        retries: int = (self.request.get("RetryStrategy") or {}).get("MaximumRetryAttempts", 0)
        first = True
        try:
            while True:
                self.run.on_status("Starting", "Starting the training job")
                fault = self.run.site.faults.next(able)
                if fault is not None and fault.kind is FaultKind.CAPACITY:
                    fault.happened()
                    if not spot:
                        raise JobFailureError(NO_CAPACITY)
                    # Spot instances that are not there are waited for.
                    self.run.on_status("Starting", _RETRYING)
                    self._wait(fault.seconds, budget)
                    fault = None
                cluster, checkpoints = self._attempt(fault, budget, again=not first)
                first = False
                match cluster.ending.cause:
                    case Cause.INTERRUPTED:
                        checkpoints.finish()
                        self.run.check_stop()
                        self.run.on_status("Interrupted", _INTERRUPTED)
                        self._wait(fault.seconds if fault is not None else 0.0, budget)
                    case Cause.LOST | Cause.BROKEN if retries > 0 and not self.run.stop.is_set():
                        checkpoints.finish()
                        retries -= 1
                    case _:
                        return self._outcome(cluster, checkpoints, budget)
        except _WaitedTooLongError:
            self.run.on_status("Stopping", "Stopping the training job")
            stopped = self.run.without_process(JobStatus.STOPPED, started, None)
            return replace(stopped, secondary_status=_WAITED_TOO_LONG, metrics=tuple(self.metrics.found))

    def _attempt(
        self, fault: JobFault | None, budget: Budget, *, again: bool
    ) -> tuple[ClusterEnding, ContinuousUpload]:
        """One start of the instances, until they have ended."""
        run, site = self.run, self.run.site
        # A pattern that is none is told before anything is fetched.
        self._scanner()
        run.on_status("Downloading", "Downloading input data")
        staging = Staging.of(self.request, self.arn, run)
        hosts = staging.layout.hosts
        self.folders = [self.folder.of_host(host) for host in hosts]
        instances = []
        for host, folder in zip(hosts, self.folders, strict=True):
            if again or len(hosts) > 1:
                folder.furnish(hosts)
            if again:
                end_line(folder.log)
            inputs = staging.fill(host, folder)
            own = fault if fault is not None and fault.host == host else None
            command = replace(staging.command(host, budget.runtime), inputs=inputs, fault=own)
            instances.append(Instance(host=host, folder=folder, command=command, scanner=self._scanner()))
        self.script = staging.script
        run.check_stop()
        run.on_status("Training", "Training image download completed. Training in progress.")
        kept = [each for folder in self.folders for each in staging.checkpoints(folder)]
        began = time.monotonic()
        with ContinuousUpload(site.store, kept, mirror=True) as checkpoints:
            cluster = run_cluster(instances, site, stop=run.stop)
        budget.ran(time.monotonic() - began)
        return cluster, checkpoints

    def _scanner(self) -> MetricScanner:
        definitions = self.request["AlgorithmSpecification"].get("MetricDefinitions") or []
        return MetricScanner(definitions, self.run.site.clock, self.metrics.add)

    def _wait(self, seconds: float | None, budget: Budget) -> None:
        """Have no instances for so many seconds of the account's clock; None is for ever.

        Raises:
            JobStoppedError: The job was asked to stop.
            _WaitedTooLongError: It may not wait so long.
        """
        began, allowed, waited = self.run.site.clock(), budget.wait, 0.0
        while seconds is None or waited < seconds:
            if allowed is not None and waited >= allowed:
                raise _WaitedTooLongError
            if self.run.stop.wait(_LOOK_AROUND):
                raise JobStoppedError
            waited = (self.run.site.clock() - began).total_seconds()
        budget.waited(seconds)

    def _outcome(self, cluster: ClusterEnding, checkpoints: ContinuousUpload, budget: Budget) -> JobOutcome:
        run, ending = self.run, cluster.ending
        if ending.cause in {Cause.STOPPED, Cause.TIMED_OUT}:
            run.on_status("Stopping", "Stopping the training job")
        status, reason = self._verdict(cluster)
        model = None
        try:
            checkpoints.finish()
            if status is not JobStatus.FAILED:
                run.on_status("Uploading", "Uploading generated training model")
                model = upload_artifacts(self.request["OutputDataConfig"], run.name, self.folders, run.site.store)
        except JobFailureError as error:
            status, reason = JobStatus.FAILED, reason or error.reason
        outcome = run.outcome(status, ending, reason, model_artifacts=model, metrics=tuple(self.metrics.found))
        if outcome.secondary_status == MAX_RUNTIME_EXCEEDED and budget.ends_by_waiting:
            return replace(outcome, secondary_status=_WAITED_TOO_LONG)
        return outcome

    def _verdict(self, cluster: ClusterEnding) -> tuple[JobStatus, str | None]:
        ending, folder = cluster.ending, cluster.folder
        match ending.cause:
            case Cause.STOPPED | Cause.TIMED_OUT:
                return JobStatus.STOPPED, None
            case Cause.EXITED if ending.code == 0:
                return JobStatus.COMPLETED, None
            case _:
                message = folder.read_text(_FAILURE, _MAX_FAILURE)
                if message is None and self.script is not None:
                    message = self.script.failure(ending.code, last_line(folder.log))
                return JobStatus.FAILED, failure_of(ending, message or "", folder)
