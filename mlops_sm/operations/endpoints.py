"""Endpoints: list, show, take back to the configuration before, delete."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from mlops_sm.errors import InputError, Problem, RefusedError, did_you_mean
from mlops_sm.operations.clients import Clients, Response
from mlops_sm.operations.models import read_package
from mlops_sm.operations.refusals import AwsError
from mlops_sm.operations.runs import Pace

IN_SERVICE: Final = "InService"
FAILED: Final = "Failed"
IN_PROGRESS: Final = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})
"""Statuses of an endpoint that nothing else can be done with (API reference, DescribeEndpoint, EndpointStatus)."""
ENDPOINT_TAG: Final = "mlops-sm:endpoint"
"""Of a model and a configuration: the endpoint that they were made for, and are deleted with."""
PREVIOUS_TAG: Final = "mlops-sm:previous-config"
"""Of a configuration: the one that its endpoint had before."""
_SLOWER: Final = 1.5
_MANY: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One variant of an endpoint.

    Attributes:
        name: Its name.
        model: Its model; empty when it hosts inference components.
        package: The ARN of the model package version that the model was made of; empty when it was made otherwise.
        version: The same as ``GROUP/VERSION``.
        approval: That version's approval as it is now.
        weight: Its part of the traffic, relative to the others.
        instances: How many; None when it is serverless.
        instance_type: Their type.
        serverless: Memory in MB and requests at once; None when it has instances.
    """

    name: str
    model: str
    package: str = ""
    version: str = ""
    approval: str = ""
    weight: float = 1.0
    instances: int | None = None
    instance_type: str = ""
    serverless: tuple[int, int] | None = None

    @property
    def size(self) -> str:
        """What it runs on, for people."""
        if self.serverless is not None:
            return f"serverless, {self.serverless[0]} MB, {self.serverless[1]} at once"
        return f"{self.instances or 0} x {self.instance_type}" if self.instance_type else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An endpoint.

    Attributes:
        name: Its name.
        arn: Its ARN.
        status: AWS's word, e.g. ``InService``.
        config: Its configuration; while it is being created the one it is going to have.
        previous_config: The one that `roll_back` leads to; empty when nobody has written one down.
        variants: What serves.
        created: When it was created.
        modified: When it was changed.
        failure_reason: Why it failed, or why its last deployment was taken back; empty without a reason.
        pending_config: The configuration that a deployment is taking it to; empty when none is.
        stage: What that deployment is doing, e.g. ``Baking``.
        capture: How many of 100 requests are captured, and below which S3 URI; None when none are.
    """

    name: str
    arn: str
    status: str
    config: str
    previous_config: str = ""
    variants: tuple[Variant, ...] = ()
    created: datetime | None = None
    modified: datetime | None = None
    failure_reason: str = ""
    pending_config: str = ""
    stage: str = ""
    capture: tuple[int, str] | None = None

    @property
    def versions(self) -> str:
        """The model versions that serve, for people."""
        return ", ".join(dict.fromkeys(variant.version or variant.model for variant in self.variants))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An endpoint at one look while something goes on with it."""

    status: str
    stage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What a deletion removed: whether there was an endpoint, its configurations, and its models."""

    endpoint: bool
    configs: tuple[str, ...]
    models: tuple[str, ...]


def list_endpoints(clients: Clients, *, prefix: str = "", limit: int | None = 20) -> list[Endpoint]:
    """Endpoints, newest first.

    Args:
        clients: The account.
        prefix: Only those whose names start so.
        limit: At most so many; None for all.
    """
    found: list[Endpoint] = []
    for summary in _summaries(clients, prefix):
        if limit is not None and len(found) >= limit:
            break
        described = describe(clients, summary["EndpointName"])
        if described is not None:
            found.append(_endpoint(clients, described))
    return found


def show_endpoint(clients: Clients, name: str) -> Endpoint:
    """One endpoint.

    Raises:
        InputError: There is none of that name (E151).
    """
    described = describe(clients, name)
    if described is None:
        raise InputError(_missing(clients, name))
    return _endpoint(clients, described)


def roll_back(
    clients: Clients,
    name: str,
    *,
    pace: Pace,
    sleep: Callable[[float], None],
    told: Callable[[Seen], None] = lambda _: None,
) -> Endpoint:
    """Take an endpoint to the configuration that it had before, all of its traffic at once, and wait for it.

    A rollback that was interrupted is waited for, rather than followed by another one.

    Args:
        clients: The account.
        name: The endpoint.
        pace: How often to look.
        sleep: Waits, in seconds.
        told: Told of what is seen.

    Returns:
        The endpoint as it is then. Its configuration is the one it had now, if the service has refused to go back.

    Raises:
        InputError: There is no such endpoint (E151).
        RefusedError: Nothing is known of a configuration before, or it is gone (E152); or it is being changed (E155).
    """
    endpoint = show_endpoint(clients, name)
    previous = endpoint.previous_config
    if not previous:
        what = f"nothing is known of a configuration before {endpoint.config}: nothing to roll back to"
        raise RefusedError(
            Problem("E152", name, what, f"Deploy a version: mlops-sm endpoints deploy ... --name {name}")
        )
    if endpoint.pending_config != previous:
        refuse_busy(endpoint)
        if config_of(clients, previous) is None:
            what = f"its configuration {previous} has been deleted: nothing to roll back to"
            fix = f"Deploy that version again: mlops-sm endpoints deploy ... --name {name}"
            raise RefusedError(Problem("E152", name, what, fix))
        clients.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=previous)
    wait(clients, name, pace=pace, sleep=sleep, told=told)
    return show_endpoint(clients, name)


def delete(
    clients: Clients,
    name: str,
    *,
    pace: Pace,
    sleep: Callable[[float], None],
    told: Callable[[Seen], None] = lambda _: None,
) -> Removed:
    """Delete an endpoint, and the configurations and models that were made for it; wait until it is gone.

    A deletion that was interrupted can be repeated.

    Args:
        clients: The account.
        name: The endpoint.
        pace: How often to look.
        sleep: Waits, in seconds.
        told: Told of what is seen.

    Raises:
        InputError: Nothing of it is there (E151).
        RefusedError: It is being changed (E155).
    """
    described = describe(clients, name)
    owned = list(_owned_configs(clients, name))
    if described is None and not owned:
        raise InputError(_missing(clients, name))
    if described is not None and described["EndpointStatus"] != "Deleting":
        refuse_busy(_endpoint(clients, described))
        clients.sagemaker.delete_endpoint(EndpointName=name)
    wait(clients, name, pace=pace, sleep=sleep, told=told)
    models = dict.fromkeys(
        variant["ModelName"]
        for config in owned
        for variant in config["ProductionVariants"]
        if "ModelName" in variant and _is_owned(clients, _model(clients, variant["ModelName"]), "ModelArn", name)
    )
    for config in owned:
        clients.sagemaker.delete_endpoint_config(EndpointConfigName=config["EndpointConfigName"])
    for model in models:
        clients.sagemaker.delete_model(ModelName=model)
    names = tuple(config["EndpointConfigName"] for config in owned)
    return Removed(endpoint=described is not None, configs=names, models=tuple(models))


def wait(
    clients: Clients,
    name: str,
    *,
    pace: Pace,
    sleep: Callable[[float], None],
    told: Callable[[Seen], None] = lambda _: None,
) -> Response | None:
    """Wait until nothing goes on with an endpoint; its description, None when it is gone."""
    delay, last = pace.shortest, None
    while True:
        described = describe(clients, name)
        if described is None:
            return None
        seen = Seen(status=described["EndpointStatus"], stage=_stage(described))
        if seen != last:
            told(seen)
            delay, last = pace.shortest, seen
        if seen.status not in IN_PROGRESS:
            return described
        sleep(delay)
        delay = min(delay * _SLOWER, pace.longest)


def describe(clients: Clients, name: str) -> Response | None:
    """What the service says of an endpoint; None when there is none."""
    return _or_none(lambda: clients.sagemaker.describe_endpoint(EndpointName=name))


def config_of(clients: Clients, name: str) -> Response | None:
    """What the service says of an endpoint configuration; None when there is none."""
    return _or_none(lambda: clients.sagemaker.describe_endpoint_config(EndpointConfigName=name))


def tags_of(clients: Clients, arn: str) -> dict[str, str]:
    """The tags of something."""
    tags: dict[str, str] = {}
    request: dict[str, Any] = {"ResourceArn": arn}
    while True:
        page = clients.sagemaker.list_tags(**request)
        tags |= {tag["Key"]: tag["Value"] for tag in page.get("Tags", [])}
        if not page.get("NextToken"):
            return tags
        request["NextToken"] = page["NextToken"]


def refuse_busy(endpoint: Endpoint) -> None:
    """Refuse to change an endpoint that something goes on with.

    Raises:
        RefusedError: Something does (E155).
    """
    if endpoint.status in IN_PROGRESS:
        what = f"it is {endpoint.status}" + (
            f", on its way to {endpoint.pending_config}" * bool(endpoint.pending_config)
        )
        fix = f"Wait for it: mlops-sm endpoints show {endpoint.name}"
        raise RefusedError(Problem("E155", endpoint.name, what, fix))


def _endpoint(clients: Clients, described: Response) -> Endpoint:
    # An endpoint that is being created has, in some answers, only a pending configuration.
    pending = described.get("PendingDeploymentSummary") or {}
    name = described.get("EndpointConfigName") or pending.get("EndpointConfigName", "")
    config = config_of(clients, name) if name else None
    capture = described.get("DataCaptureConfig") or {}
    captured = (capture.get("CurrentSamplingPercentage", 0), capture.get("DestinationS3Uri", ""))
    return Endpoint(
        name=described["EndpointName"],
        arn=described["EndpointArn"],
        status=described["EndpointStatus"],
        config=name,
        previous_config="" if config is None else tags_of(clients, config["EndpointConfigArn"]).get(PREVIOUS_TAG, ""),
        variants=tuple(_variants(clients, described, config or {})),
        created=described.get("CreationTime"),
        modified=described.get("LastModifiedTime"),
        failure_reason=described.get("FailureReason", ""),
        pending_config=pending.get("EndpointConfigName", ""),
        stage=_stage(described),
        capture=captured if capture.get("EnableCapture") else None,
    )


def _variants(clients: Clients, described: Response, config: Response) -> Iterator[Variant]:
    configured = {variant["VariantName"]: variant for variant in config.get("ProductionVariants", [])}
    shown = {variant["VariantName"]: variant for variant in described.get("ProductionVariants", [])}
    for name in shown or configured:
        of_config, now = configured.get(name, {}), shown.get(name, {})
        serverless = now.get("CurrentServerlessConfig") or of_config.get("ServerlessConfig")
        model = of_config.get("ModelName", "")
        arn, version, approval = _package(clients, model)
        yield Variant(
            name=name,
            model=model,
            package=arn,
            version=version,
            approval=approval,
            weight=now.get("CurrentWeight", of_config.get("InitialVariantWeight", 1.0)),
            instances=None if serverless else now.get("CurrentInstanceCount", of_config.get("InitialInstanceCount")),
            instance_type=of_config.get("InstanceType", ""),
            serverless=(serverless["MemorySizeInMB"], serverless["MaxConcurrency"]) if serverless else None,
        )


def _package(clients: Clients, model: str) -> tuple[str, str, str]:
    """The package that a model was made of: ARN, name and approval; empty when it was made otherwise or is gone."""
    made = _model(clients, model) if model else None
    containers = [] if made is None else [made.get("PrimaryContainer") or {}, *made.get("Containers", [])]
    arn = next((c["ModelPackageName"] for c in containers if "ModelPackageName" in c), "")
    if not arn:
        return "", "", ""
    described = _or_none(lambda: clients.sagemaker.describe_model_package(ModelPackageName=arn))
    if described is None:
        return arn, arn.partition(":model-package/")[2], "deleted"
    package = read_package(clients, {k: v for k, v in described.items() if k != "ModelMetrics"})
    return package.arn, package.name if package.group else package.arn.rpartition("/")[2], package.approval


def _model(clients: Clients, name: str) -> Response | None:
    return _or_none(lambda: clients.sagemaker.describe_model(ModelName=name))


def _stage(described: Response) -> str:
    pending = described.get("PendingDeploymentSummary") or {}
    stages = [
        status["Status"]
        for variant in pending.get("ProductionVariants", [])
        for status in variant.get("VariantStatus", [])
    ]
    return stages[0] if stages else ""


def _owned_configs(clients: Clients, endpoint: str) -> Iterator[Response]:
    """The configurations that were made for an endpoint."""
    # A configuration's name starts with as much of its endpoint's as there is room for.
    request: dict[str, Any] = {"MaxResults": _MANY, "NameContains": endpoint[:40].rstrip("-")}
    while True:
        page = clients.sagemaker.list_endpoint_configs(**request)
        for summary in page["EndpointConfigs"]:
            if _is_owned(clients, summary, "EndpointConfigArn", endpoint):
                config = config_of(clients, summary["EndpointConfigName"])
                if config is not None:
                    yield config
        if not page.get("NextToken"):
            return
        request["NextToken"] = page["NextToken"]


def _is_owned(clients: Clients, described: Response | None, member: str, endpoint: str) -> bool:
    return described is not None and tags_of(clients, described[member]).get(ENDPOINT_TAG) == endpoint


def _summaries(clients: Clients, prefix: str) -> Iterator[Mapping[str, Any]]:
    request: dict[str, Any] = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": _MANY}
    if prefix:
        request["NameContains"] = prefix
    while True:
        page = clients.sagemaker.list_endpoints(**request)
        yield from (summary for summary in page["Endpoints"] if summary["EndpointName"].startswith(prefix))
        if not page.get("NextToken"):
            return
        request["NextToken"] = page["NextToken"]


def _missing(clients: Clients, name: str) -> Problem:
    known = [summary["EndpointName"] for summary in _summaries(clients, "")]
    fix = f"{did_you_mean(name, known)} mlops-sm endpoints list shows them.".strip()
    return Problem("E151", name, f'there is no endpoint "{name}"', fix)


def _or_none(ask: Callable[[], Response]) -> Response | None:
    try:
        return ask()
    except AwsError as error:
        if error.is_not_found:
            return None
        raise
