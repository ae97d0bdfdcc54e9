"""An AWS account in memory: the calls `mlops_sm.operations` uses, recorded, and executions that follow a script."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from botocore.exceptions import ClientError

from mlops_sm import naming

Request = Mapping[str, Any]
Reply = dict[str, Any]

_READS: Final = ("describe_", "list_", "get_", "head_")
_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Call:
    """One recorded call, e.g. ``sagemaker``, ``create_pipeline``."""

    service: str
    operation: str
    request: Request


@dataclass(frozen=True, slots=True)
class Frame:
    """What an execution looks like at one poll.

    Attributes:
        status: The execution's status.
        steps: Entries as ListPipelineExecutionSteps answers them.
        failure_reason: Why the execution failed.
    """

    status: str
    steps: Sequence[Mapping[str, Any]] = ()
    failure_reason: str | None = None


@dataclass(slots=True)
class _Refusal:
    code: str
    message: str
    left: int


@dataclass(slots=True)
class _Execution:
    arn: str
    started: datetime
    frames: list[Frame]
    parameters: Mapping[str, str]
    frame: Frame = field(init=False)

    def __post_init__(self) -> None:
        self.frame = self.frames[0]


class FakeAws:
    """One account and region.

    Attributes:
        calls: Every call, in order.
        buckets: Names of buckets.
        objects: S3 contents by (bucket, key).
        pipelines: Pipelines by name, as DescribePipeline answers them.
        tags: Tags by ARN.
        packages: Model packages by ARN, as DescribeModelPackage answers them.
        events: Log messages by (group, stream).
    """

    def __init__(
        self, *, account: str = "111111111111", region: str = naming.DEFAULT_REGION, buckets: Iterable[str] = ()
    ) -> None:
        self.account = account
        self.region = region
        self.buckets = set(buckets)
        self.calls: list[Call] = []
        self.objects: dict[tuple[str, str], bytes] = {}
        self.object_requests: dict[tuple[str, str], Request] = {}
        self.pipelines: dict[str, Reply] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.packages: dict[str, Reply] = {}
        self.events: dict[tuple[str, str], list[str]] = {}
        self._executions: dict[str, _Execution] = {}
        self._next_frames: list[Frame] = [Frame("Succeeded")]
        self._refusals: dict[str, _Refusal] = {}

    def client(self, service: str) -> Any:  # noqa: ANN401 - stands for any boto3 client
        """A client of one service; give this method to `Clients`."""
        return _FakeClient(self, service)

    def refuse(self, operation: str, code: str, message: str = "", *, times: int = 1_000_000) -> None:
        """Answer an operation, e.g. ``create_pipeline``, with an error from now on, so many times."""
        self._refusals[operation] = _Refusal(code, message, times)

    def script(self, *frames: Frame) -> None:
        """How executions started from now on go: each poll shows the next frame, the last one stays."""
        self._next_frames = list(frames)

    @property
    def writes(self) -> list[Call]:
        """The recorded calls that change something."""
        return [call for call in self.calls if not call.operation.startswith(_READS)]

    def parameters_of(self, execution_arn: str) -> Mapping[str, str]:
        """The parameters an execution was started with."""
        return self._executions[execution_arn].parameters

    def answer(self, service: str, operation: str, request: Request) -> Reply:
        """Record a call and answer it."""
        self.calls.append(Call(service, operation, request))
        refusal = self._refusals.get(operation)
        if refusal is not None and refusal.left > 0:
            refusal.left -= 1
            raise _error(operation, refusal.code, refusal.message)
        reply: Reply = getattr(self, f"_{service}_{operation}")(request)
        return reply

    # ------------------------------------------------------------ STS and S3

    def _sts_get_caller_identity(self, _request: Request) -> Reply:
        return {"Account": self.account, "Arn": f"arn:aws:sts::{self.account}:assumed-role/someone/here"}

    def _s3_head_object(self, request: Request) -> Reply:
        if (request["Bucket"], request["Key"]) not in self.objects:
            raise _error("head_object", "404", "Not Found")
        return {}

    def _s3_put_object(self, request: Request) -> Reply:
        if request["Bucket"] not in self.buckets:
            raise _error("put_object", "NoSuchBucket", "The specified bucket does not exist", request["Bucket"])
        body = request["Body"]
        place = (request["Bucket"], request["Key"])
        self.objects[place] = body if isinstance(body, bytes) else body.read()
        self.object_requests[place] = request
        return {}

    def _s3_get_object(self, request: Request) -> Reply:
        place = (request["Bucket"], request["Key"])
        if place not in self.objects:
            raise _error("get_object", "NoSuchKey", "The specified key does not exist.")
        return {"Body": io.BytesIO(self.objects[place])}

    # ------------------------------------------------------------ pipelines

    def _pipeline(self, operation: str, name: str) -> Reply:
        if name not in self.pipelines:
            raise _error(operation, "ResourceNotFound", f"Pipeline '{name}' does not exist.")
        return self.pipelines[name]

    def _definition(self, request: Request) -> Reply:
        if "PipelineDefinition" in request:
            return {"PipelineDefinition": request["PipelineDefinition"]}
        place = request["PipelineDefinitionS3Location"]
        return {"PipelineDefinition": self.objects[place["Bucket"], place["ObjectKey"]].decode()}

    def _sagemaker_create_pipeline(self, request: Request) -> Reply:
        name = request["PipelineName"]
        arn = naming.sagemaker_arn(self.region, self.account, "pipeline", name)
        self.pipelines[name] = {
            "PipelineName": name,
            "PipelineArn": arn,
            "RoleArn": request["RoleArn"],
            **self._definition(request),
        }
        self.tags[arn] = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
        return {"PipelineArn": arn}

    def _sagemaker_update_pipeline(self, request: Request) -> Reply:
        pipeline = self._pipeline("update_pipeline", request["PipelineName"])
        pipeline.pop("ParallelismConfiguration", None)
        kept = {key: request[key] for key in ("RoleArn", "ParallelismConfiguration") if key in request}
        pipeline |= {**kept, **self._definition(request)}
        return {"PipelineArn": pipeline["PipelineArn"]}

    def _sagemaker_describe_pipeline(self, request: Request) -> Reply:
        return dict(self._pipeline("describe_pipeline", request["PipelineName"]))

    def _sagemaker_list_pipelines(self, request: Request) -> Reply:
        names = sorted(name for name in self.pipelines if name.startswith(request.get("PipelineNamePrefix", "")))
        return _page(request, "PipelineSummaries", [{"PipelineName": name} for name in names])

    def _sagemaker_list_tags(self, request: Request) -> Reply:
        tags = self.tags.get(request["ResourceArn"], {})
        return _page(request, "Tags", [{"Key": key, "Value": value} for key, value in tags.items()])

    def _sagemaker_add_tags(self, request: Request) -> Reply:
        self.tags.setdefault(request["ResourceArn"], {}).update({t["Key"]: t["Value"] for t in request["Tags"]})
        return {}

    # ------------------------------------------------------------ executions

    def _sagemaker_start_pipeline_execution(self, request: Request) -> Reply:
        pipeline = self._pipeline("start_pipeline_execution", request["PipelineName"])
        number = len(self._executions) + 1
        arn = f"{pipeline['PipelineArn']}/execution/exec{number:08d}"
        parameters = {p["Name"]: p["Value"] for p in request.get("PipelineParameters", [])}
        started = _EPOCH + timedelta(minutes=number)
        self._executions[arn] = _Execution(arn, started, list(self._next_frames), parameters)
        return {"PipelineExecutionArn": arn}

    def _execution(self, operation: str, request: Request) -> _Execution:
        arn = request["PipelineExecutionArn"]
        if arn not in self._executions:
            raise _error(operation, "ResourceNotFound", f"Pipeline execution {arn} does not exist.")
        return self._executions[arn]

    def _sagemaker_describe_pipeline_execution(self, request: Request) -> Reply:
        execution = self._execution("describe_pipeline_execution", request)
        execution.frame = execution.frames.pop(0) if len(execution.frames) > 1 else execution.frames[0]
        reply = {
            "PipelineExecutionArn": execution.arn,
            "PipelineExecutionStatus": execution.frame.status,
            "CreationTime": execution.started,
            "LastModifiedTime": execution.started + timedelta(seconds=30),
        }
        if execution.frame.failure_reason is not None:
            reply["FailureReason"] = execution.frame.failure_reason
        return reply

    def _sagemaker_list_pipeline_execution_steps(self, request: Request) -> Reply:
        steps = self._execution("list_pipeline_execution_steps", request).frame.steps
        return _page(request, "PipelineExecutionSteps", list(steps))

    def _sagemaker_list_pipeline_executions(self, request: Request) -> Reply:
        pipeline = self._pipeline("list_pipeline_executions", request["PipelineName"])
        mine = [e for e in self._executions.values() if e.arn.startswith(pipeline["PipelineArn"] + "/")]
        mine.sort(key=lambda e: e.started, reverse=True)
        summaries = [
            {
                "PipelineExecutionArn": e.arn,
                "StartTime": e.started,
                "PipelineExecutionStatus": e.frame.status,
                "PipelineExecutionFailureReason": e.frame.failure_reason,
            }
            for e in mine
        ]
        return _page(request, "PipelineExecutionSummaries", summaries)

    def _sagemaker_stop_pipeline_execution(self, request: Request) -> Reply:
        execution = self._execution("stop_pipeline_execution", request)
        steps = [
            {**step, "StepStatus": "Stopped", "EndTime": step["StartTime"] + timedelta(seconds=1)}
            if step["StepStatus"] == "Executing"
            else step
            for step in execution.frame.steps
        ]
        execution.frames = [Frame("Stopping", execution.frame.steps), Frame("Stopped", steps)]
        return {"PipelineExecutionArn": execution.arn}

    def _sagemaker_retry_pipeline_execution(self, request: Request) -> Reply:
        execution = self._execution("retry_pipeline_execution", request)
        if execution.frame.status not in {"Failed", "Stopped"}:
            message = f"Only executions that failed or were stopped can be retried, not {execution.frame.status}."
            raise _error("retry_pipeline_execution", "ValidationException", message)
        execution.frames = list(self._next_frames)
        return {"PipelineExecutionArn": execution.arn}

    def _sagemaker_list_pipeline_parameters_for_execution(self, request: Request) -> Reply:
        parameters = self._execution("list_pipeline_parameters_for_execution", request).parameters
        return _page(request, "PipelineParameters", [{"Name": k, "Value": v} for k, v in parameters.items()])

    def _sagemaker_describe_pipeline_definition_for_execution(self, request: Request) -> Reply:
        operation = "describe_pipeline_definition_for_execution"
        name = self._execution(operation, request).arn.split("/")[1]
        return {"PipelineDefinition": self._pipeline(operation, name)["PipelineDefinition"]}

    # ------------------------------------------------------------ model registry

    def add_package(self, group: str, **described: object) -> str:
        """Register a package version; `described` are members of DescribeModelPackage. Returns its ARN."""
        version = 1 + sum(1 for p in self.packages.values() if p["ModelPackageGroupName"] == group)
        arn = naming.sagemaker_arn(self.region, self.account, "model-package", f"{group}/{version}")
        self.packages[arn] = {
            "ModelPackageArn": arn,
            "ModelPackageGroupName": group,
            "ModelPackageVersion": version,
            "ModelApprovalStatus": "PendingManualApproval",
            "ModelPackageStatus": "Completed",
            "CreationTime": _EPOCH + timedelta(minutes=len(self.packages)),
            **described,
        }
        return arn

    def _sagemaker_list_model_package_groups(self, request: Request) -> Reply:
        names = sorted({p["ModelPackageGroupName"] for p in self.packages.values()})
        names = [name for name in names if request.get("NameContains", "") in name]
        return _page(request, "ModelPackageGroupSummaryList", [{"ModelPackageGroupName": name} for name in names])

    def _sagemaker_list_model_packages(self, request: Request) -> Reply:
        mine = [p for p in self.packages.values() if p["ModelPackageGroupName"] == request["ModelPackageGroupName"]]
        mine.sort(key=lambda p: int(p["ModelPackageVersion"]), reverse=True)
        return _page(request, "ModelPackageSummaryList", mine)

    def _sagemaker_describe_model_package(self, request: Request) -> Reply:
        arn = request["ModelPackageName"]
        if arn not in self.packages:
            raise _error("describe_model_package", "ValidationException", f"ModelPackage {arn} does not exist.")
        return self.packages[arn]

    # ------------------------------------------------------------ logs

    def _logs_describe_log_streams(self, request: Request) -> Reply:
        group = request["logGroupName"]
        if not any(g == group for g, _ in self.events):
            raise _error("describe_log_streams", "ResourceNotFoundException", "The specified log group does not exist.")
        prefix = request.get("logStreamNamePrefix", "")
        names = sorted(stream for g, stream in self.events if g == group and stream.startswith(prefix))
        return {"logStreams": [{"logStreamName": name} for name in names]}

    def _logs_get_log_events(self, request: Request) -> Reply:
        """Pages of `limit` events; a token is the offset of the next page, as text."""
        messages = self.events[request["logGroupName"], request["logStreamName"]]
        limit = request.get("limit", 10_000)
        token = request.get("nextToken")
        if request.get("startFromHead"):
            first = int(token) if token is not None else 0
        else:
            first = max((int(token) if token is not None else len(messages)) - limit, 0)
        stop = int(token) if token is not None and not request.get("startFromHead") else first + limit
        chosen = messages[first:stop]
        epoch = int(_EPOCH.timestamp() * 1000)
        return {
            "events": [{"timestamp": epoch + first + i, "message": m} for i, m in enumerate(chosen)],
            "nextForwardToken": str(first + len(chosen)),
            "nextBackwardToken": str(first),
        }


class _FakeClient:
    def __init__(self, account: FakeAws, service: str) -> None:
        self._account = account
        self._service = service

    def __getattr__(self, operation: str) -> Any:  # noqa: ANN401 - stands for any method of any client
        def call(**request: object) -> Reply:
            return self._account.answer(self._service, operation, request)

        return call


def _page(request: Request, member: str, items: list[Any], size: int = 100) -> Reply:
    first = int(request.get("NextToken", 0))
    size = min(size, request.get("MaxResults", size))
    reply: Reply = {member: items[first : first + size]}
    if first + size < len(items):
        reply["NextToken"] = str(first + size)
    return reply


def _error(operation: str, code: str, message: str, bucket: str | None = None) -> ClientError:
    name = "".join(part.capitalize() for part in operation.split("_"))
    error = {"Code": code, "Message": message, **({"BucketName": bucket} if bucket else {})}
    return ClientError({"Error": error, "ResponseMetadata": {"RequestId": "fake-request"}}, name)
