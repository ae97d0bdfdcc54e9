"""Executions: start one, follow it, list them, show one, stop one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from mlops_sm import naming
from mlops_sm.errors import InputError, Problem, did_you_mean
from mlops_sm.operations.clients import Clients
from mlops_sm.operations.refusals import AwsError

TERMINAL: Final = frozenset({"Succeeded", "Failed", "Stopped", "CompletedWithFailures"})
"""Statuses of an execution that nothing follows."""
LATEST: Final = "latest"
_MAX_PASSING_FAILURES: Final = 5
"""How many polls in a row may fail for a passing reason before following gives up."""

_JOBS: Final = frozenset({"ProcessingJob", "TrainingJob", "TransformJob", "TuningJob", "QualityCheck", "ClarifyCheck"})


_REUSES: Final = ("CacheHitResult", "SelectiveExecutionResult")
"""Members of a step that took over the result of another execution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The job a step started; `kind` as in the step's metadata, e.g. ``ProcessingJob``."""

    kind: str
    arn: str

    @property
    def name(self) -> str:
        """The job's name, as far as the ARN keeps its spelling."""
        return self.arn.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepState:
    """One step of an execution, as ListPipelineExecutionSteps tells.

    Attributes:
        name: The step.
        status: AWS's word, e.g. ``Executing``.
        started: When it started.
        ended: When it ended; None while it runs.
        failure_reason: Why it failed.
        attempts: How often it was tried.
        metadata: What the step made, by kind.
        reused_from: The execution whose result it took over, by cache or selection; empty when it ran.
    """

    name: str
    status: str
    started: datetime | None = None
    ended: datetime | None = None
    failure_reason: str | None = None
    attempts: int = 0
    metadata: Mapping[str, Any]
    reused_from: str = ""

    @property
    def seconds(self) -> float | None:
        """How long it took; None until it ended."""
        return (self.ended - self.started).total_seconds() if self.started and self.ended else None

    @property
    def job(self) -> Job | None:
        """The job it started, if it starts one."""
        for kind, made in self.metadata.items():
            arn = made.get("Arn") or made.get("CheckJobArn")
            if arn and kind in _JOBS:
                return Job(kind=kind, arn=arn)
        return None

    @property
    def result(self) -> str:
        """What came of it beyond its status: a reason, where it was reused from, an outcome, a package's version."""
        if self.failure_reason:
            return self.failure_reason.strip().splitlines()[0]
        if self.reused_from:
            return f"reused from {self.reused_from.rpartition('/')[2]}"
        condition = self.metadata.get("Condition", {}).get("Outcome")
        if condition:
            return f"the condition is {str(condition).lower()}"
        arn = self.metadata.get("RegisterModel", {}).get("Arn", "")
        return "/".join(arn.split("/")[1:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """An execution in a list."""

    arn: str
    pipeline_name: str
    status: str
    started: datetime | None
    failure_reason: str | None

    @property
    def id(self) -> str:
        """The last part of its ARN."""
        return self.arn.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution(Summary):
    """An execution with its steps, in the order they started; steps that never started are not among them."""

    ended: datetime | None
    steps: tuple[StepState, ...]

    @property
    def succeeded(self) -> bool:
        """Whether every step that had to run succeeded."""
        return self.status == "Succeeded"

    @property
    def seconds(self) -> float | None:
        """How long it took; None until it ended."""
        return (self.ended - self.started).total_seconds() if self.started and self.ended else None

    def failed_steps(self) -> tuple[StepState, ...]:
        """The steps that failed, first one first."""
        return tuple(step for step in self.steps if step.status == "Failed")

    def step(self, name: str) -> StepState:
        """The step of that name.

        Raises:
            InputError: The execution has started no step of that name (E111).
        """
        for step in self.steps:
            if step.name == name:
                return step
        known = did_you_mean(name, (s.name for s in self.steps))
        what = f'execution {self.id} of {self.pipeline_name} has started no step "{name}"'
        raise InputError(Problem("E111", name, what, known or "It has started no step at all."))


@dataclass(frozen=True, slots=True)
class StepChanged:
    """A step started, or its status changed."""

    step: StepState


@dataclass(frozen=True, slots=True)
class ExecutionChanged:
    """The execution's status changed."""

    status: str
    failure_reason: str | None


Event = StepChanged | ExecutionChanged


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two polls: `shortest` after a change, then half as much again each time, up to `longest`."""

    shortest: float
    longest: float


LOCAL_PACE: Final = Pace(0.02, 0.1)
AWS_PACE: Final = Pace(5.0, 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Only:
    """Steps that an execution is to run alone; `source` is the execution that their inputs come from, if any do."""

    steps: tuple[str, ...]
    source: str | None


def start(
    clients: Clients,
    pipeline_name: str,
    parameters: Mapping[str, str | int | float | bool],
    *,
    only: Only | None = None,
    description: str = "",
) -> str:
    """Start an execution of a published pipeline with these parameters; returns the execution's ARN.

    Args:
        clients: The account.
        pipeline_name: Whose execution it is.
        parameters: Those that are given; the others have their defaults.
        only: Run only some steps (API reference, SelectiveExecutionConfig).
        description: The execution's.
    """
    given = [{"Name": name, "Value": _as_text(value)} for name, value in parameters.items()]
    request: dict[str, Any] = {"PipelineName": pipeline_name}
    if given:
        request["PipelineParameters"] = given
    if description:
        request["PipelineExecutionDescription"] = description
    if only is not None:
        source = {} if only.source is None else {"SourcePipelineExecutionArn": only.source}
        request["SelectiveExecutionConfig"] = {**source, "SelectedSteps": [{"StepName": name} for name in only.steps]}
    arn: str = clients.sagemaker.start_pipeline_execution(**request)["PipelineExecutionArn"]
    return arn


def _as_text(value: str | int | float | bool) -> str:
    """A value in the API's form, which has text only."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def follow(clients: Clients, arn: str, *, pace: Pace, sleep: Callable[[float], None]) -> Iterator[Event]:
    """What changes in an execution, from its first step until its end.

    The last event is an `ExecutionChanged` with a terminal status.

    Raises:
        RefusedError: AWS refused a poll, or could not be reached several times in a row.
    """
    seen: dict[str, tuple[str, int]] = {}
    status = ""
    pause = pace.shortest
    failures = 0
    while status not in TERMINAL:
        try:
            # the status first: steps read after a terminal status are the last ones
            described = clients.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
            steps = steps_of(clients, arn)
        except AwsError as err:
            failures += 1
            if not err.passing or failures >= _MAX_PASSING_FAILURES:
                raise
            sleep(pace.longest * failures)
            continue
        failures = 0
        pause = min(pause * 1.5, pace.longest)
        for step in steps:
            if seen.get(step.name) != (step.status, step.attempts):
                seen[step.name] = (step.status, step.attempts)
                pause = pace.shortest
                yield StepChanged(step)
        if described["PipelineExecutionStatus"] != status:
            status = described["PipelineExecutionStatus"]
            pause = pace.shortest
            yield ExecutionChanged(status, described.get("FailureReason"))
        if status not in TERMINAL:
            sleep(pause)


def show(clients: Clients, arn: str) -> Execution:
    """An execution with its steps."""
    described = clients.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    status = described["PipelineExecutionStatus"]
    return Execution(
        arn=arn,
        pipeline_name=pipeline_of(arn),
        status=status,
        started=described.get("CreationTime"),
        ended=described.get("LastModifiedTime") if status in TERMINAL else None,
        failure_reason=described.get("FailureReason"),
        steps=tuple(steps_of(clients, arn)),
    )


def list_executions(
    clients: Clients, *, pipeline: str | None = None, prefix: str = "", limit: int | None = 20
) -> list[Summary]:
    """Executions, newest first.

    Args:
        clients: The account.
        pipeline: Only this pipeline's.
        prefix: Without `pipeline`, only pipelines whose names start so.
        limit: At most so many; None for all.
    """
    names = [pipeline] if pipeline is not None else _pipeline_names(clients, prefix)
    found = [summary for name in names for summary in _of_pipeline(clients, name, limit)]
    found.sort(key=lambda s: (s.started is not None, s.started), reverse=True)
    return found[:limit]


def find_pipeline(clients: Clients, project: str, reference: str) -> str:
    """The name of a pipeline in the account that is named by that name or by its module.

    Raises:
        InputError: The account has no such pipeline (E114).
    """
    known = _pipeline_names(clients, "")
    for name in (reference, naming.pipeline_name(project, reference)):
        if name in known:
            return name
    fix = did_you_mean(reference, known) or "Publish or run it first."
    raise InputError(Problem("E114", reference, f'the account has no pipeline "{reference}"', fix))


def find(clients: Clients, reference: str, *, prefix: str = "") -> str:
    """The ARN of an execution that is named by its ARN, its id, or ``latest``.

    Raises:
        InputError: There is no such execution (E110).
    """
    if reference.startswith("arn:"):
        return reference
    if reference == LATEST:
        newest = list_executions(clients, prefix=prefix, limit=1)
        if not newest:
            problem = Problem("E110", reference, "there is no execution yet", "Start one: mlops-sm run PIPELINE")
            raise InputError(problem)
        return newest[0].arn
    known = list_executions(clients, prefix=prefix, limit=None)
    for summary in known:
        if summary.id == reference:
            return summary.arn
    close = did_you_mean(reference, (summary.id for summary in known[:20]))
    fix = f"{close} mlops-sm executions list shows them; latest is the newest.".strip()
    raise InputError(Problem("E110", reference, f'there is no execution "{reference}"', fix))


def stop(clients: Clients, arn: str) -> bool:
    """Ask an execution to stop; False when it had already ended. Its jobs end some time after this returns."""
    described = clients.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    if described["PipelineExecutionStatus"] in TERMINAL:
        return False
    if described["PipelineExecutionStatus"] != "Stopping":
        clients.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    return True


def retry(clients: Clients, arn: str) -> None:
    """Run the failed and the unstarted steps of an execution again; those that succeeded keep their results."""
    clients.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn)


def definition_of(clients: Clients, arn: str) -> str:
    """The definition that an execution runs."""
    described = clients.sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=arn)
    definition: str = described["PipelineDefinition"]
    return definition


def parameters_of(clients: Clients, arn: str) -> dict[str, str]:
    """The parameters that an execution was started with; those that had their defaults are not among them."""
    found: dict[str, str] = {}
    request: dict[str, Any] = {"PipelineExecutionArn": arn}
    while True:
        page = clients.sagemaker.list_pipeline_parameters_for_execution(**request)
        found |= {each["Name"]: each["Value"] for each in page.get("PipelineParameters", [])}
        if not page.get("NextToken"):
            return found
        request["NextToken"] = page["NextToken"]


def pipeline_of(arn: str) -> str:
    """The pipeline's name in an execution's ARN: ``...:pipeline/NAME/execution/ID``."""
    return arn.rpartition(":")[2].split("/")[1]


def steps_of(clients: Clients, arn: str) -> list[StepState]:
    """The steps of an execution, in the order they started; those that never started are not among them."""
    steps: list[StepState] = []
    request: dict[str, Any] = {"PipelineExecutionArn": arn, "SortOrder": "Ascending", "MaxResults": 100}
    while True:
        page = clients.sagemaker.list_pipeline_execution_steps(**request)
        steps += (_step(step) for step in page["PipelineExecutionSteps"])
        if not page.get("NextToken"):
            return steps
        request["NextToken"] = page["NextToken"]


def _step(step: Mapping[str, Any]) -> StepState:
    return StepState(
        name=step["StepName"],
        status=step["StepStatus"],
        started=step.get("StartTime"),
        ended=step.get("EndTime"),
        failure_reason=step.get("FailureReason"),
        attempts=step.get("AttemptCount", 0),
        metadata=step.get("Metadata", {}),
        reused_from=next((step[found]["SourcePipelineExecutionArn"] for found in _REUSES if found in step), ""),
    )


def _pipeline_names(clients: Clients, prefix: str) -> list[str]:
    names: list[str] = []
    request: dict[str, Any] = {"MaxResults": 100}
    if prefix:
        request["PipelineNamePrefix"] = prefix
    while True:
        page = clients.sagemaker.list_pipelines(**request)
        names += (summary["PipelineName"] for summary in page["PipelineSummaries"])
        if not page.get("NextToken"):
            return names
        request["NextToken"] = page["NextToken"]


def _of_pipeline(clients: Clients, name: str, limit: int | None) -> list[Summary]:
    found: list[Summary] = []
    request: dict[str, Any] = {
        "PipelineName": name,
        "SortBy": "CreationTime",
        "SortOrder": "Descending",
        "MaxResults": min(limit or 100, 100),
    }
    while True:
        page = clients.sagemaker.list_pipeline_executions(**request)
        found += (_summary(entry, name) for entry in page["PipelineExecutionSummaries"])
        if not page.get("NextToken") or (limit is not None and len(found) >= limit):
            return found[:limit]
        request["NextToken"] = page["NextToken"]


def _summary(entry: Mapping[str, Any], pipeline_name: str) -> Summary:
    return Summary(
        arn=entry["PipelineExecutionArn"],
        pipeline_name=pipeline_name,
        status=entry["PipelineExecutionStatus"],
        started=entry.get("StartTime"),
        failure_reason=entry.get("PipelineExecutionFailureReason"),
    )
