"""Deploying a model version: a model, an endpoint configuration and an endpoint, named by what they hold.

The same wish makes the same names, so that a deployment which is repeated makes nothing, and one that was interrupted
goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from mlops_sm import naming
from mlops_sm.errors import InputError, Problem, RefusedError
from mlops_sm.operations.approvals import APPROVED
from mlops_sm.operations.clients import Clients
from mlops_sm.operations.endpoints import (
    ENDPOINT_TAG,
    FAILED,
    IN_PROGRESS,
    IN_SERVICE,
    PREVIOUS_TAG,
    Endpoint,
    Seen,
    config_of,
    describe,
    refuse_busy,
    show_endpoint,
    tags_of,
    wait,
)
from mlops_sm.operations.models import Package, find_package, list_packages, show_package
from mlops_sm.operations.refusals import AwsError
from mlops_sm.operations.runs import Pace
from mlops_sm.project import Environment

LATEST_APPROVED: Final = "latest-approved"
VARIANT: Final = "AllTraffic"
"""The only variant, as the SDK calls it."""
INSTANCE_TYPE: Final = "ml.m5.large"
_NAME: Final = 52
"""Characters of a name before its digest; with it there are 63, as many as a name may have."""


class Action(StrEnum):
    """What became of an endpoint."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "no change"
    ROLLED_BACK = "rolled back"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How traffic goes to the new fleet (API reference, BlueGreenUpdatePolicy).

    Attributes:
        kind: ``ALL_AT_ONCE``, ``CANARY`` or ``LINEAR``.
        percent: Of the capacity that gets traffic first, or in each step.
        wait_seconds: After each step, while the alarms are watched.
        alarms: CloudWatch alarms that take everything back.
    """

    kind: str = "ALL_AT_ONCE"
    percent: int = 0
    wait_seconds: int = 0
    alarms: tuple[str, ...] = ()

    def config(self) -> dict[str, Any]:
        """The DeploymentConfig of UpdateEndpoint."""
        routing: dict[str, Any] = {"Type": self.kind, "WaitIntervalInSeconds": self.wait_seconds}
        member = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}.get(self.kind)
        if member is not None:
            routing[member] = {"Type": "CAPACITY_PERCENT", "Value": self.percent}
        config: dict[str, Any] = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}
        if self.alarms:
            config["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in self.alarms]}
        return config


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be deployed, and how.

    Attributes:
        endpoint: The endpoint's name.
        package: The version; it must be approved.
        instance_type: Of its instances.
        instances: How many.
        serverless: Memory in MB and requests at once, instead of instances.
        capture_percentage: How many of 100 requests are captured with their answers; None captures nothing.
        rollout: How an endpoint that exists gets there.
    """

    endpoint: str
    package: Package
    instance_type: str = INSTANCE_TYPE
    instances: int = 1
    serverless: tuple[int, int] | None = None
    capture_percentage: int | None = None
    rollout: Rollout = Rollout()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What came of a deployment.

    Attributes:
        action: What became of the endpoint.
        endpoint: The endpoint as it is now.
        package: The version that was to be deployed.
        made: What was made for it: names of models, configurations and endpoints.
        failure_reason: Why the service has given up; empty when it has not.
    """

    action: Action
    endpoint: Endpoint
    package: Package
    made: tuple[str, ...] = ()
    failure_reason: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the endpoint serves what was wished for."""
        return self.action not in {Action.ROLLED_BACK, Action.FAILED}


def find_version(clients: Clients, reference: str, *, prefix: str = "") -> Package:
    """The version that a reference names: ``GROUP`` or ``GROUP@latest-approved``, ``GROUP@3``, ``GROUP/3`` or an ARN.

    Raises:
        InputError: There is no such version (E113).
        RefusedError: The group has no approved one (E150).
    """
    group, at, which = reference.partition("@")
    if at and which != LATEST_APPROVED:
        return show_package(clients, find_package(clients, f"{group}/{which}", prefix=prefix))
    named = show_package(clients, find_package(clients, group, prefix=prefix))
    if named.group != group:
        return named
    approved = next((p for p in list_packages(clients, group=group, limit=None) if p.approval == APPROVED), None)
    if approved is None:
        raise RefusedError(
            Problem(
                "E150",
                group,
                f"no version of it is approved; the newest, {named.name}, is {named.approval}",
                _how_to_approve(named),
            )
        )
    return approved


def refuse_unapproved(package: Package) -> None:
    """Refuse a version that is not approved.

    Raises:
        RefusedError: It is not (E150).
    """
    if package.approval != APPROVED:
        why = f" ({package.approval_description})" if package.approval_description else ""
        what = f"it is {package.approval}, not {APPROVED}{why}: only approved versions are deployed"
        raise RefusedError(Problem("E150", package.name, what, _how_to_approve(package)))


def deploy(
    clients: Clients,
    environment: Environment,
    wish: Wish,
    *,
    pace: Pace,
    sleep: Callable[[float], None],
    told: Callable[[Seen], None] = lambda _: None,
) -> Deployment:
    """Take an endpoint to an approved version, and wait until it serves it or the service gives up.

    Args:
        clients: The account.
        environment: Says role, network, keys and tags.
        wish: What and how.
        pace: How often to look.
        sleep: Waits, in seconds.
        told: Told of what is seen.

    Raises:
        InputError: The endpoint's name is none (E154).
        RefusedError: The version is not approved (E150), or something else goes on with the endpoint (E155).
    """
    refuse_unapproved(wish.package)
    if naming.JOB_NAME.fullmatch(wish.endpoint) is None:
        what = f'"{wish.endpoint}" is no endpoint\'s name: up to {naming.MAX_JOB_NAME} letters, digits and hyphens'
        raise InputError(Problem("E154", "--name", what, "Give another name."))
    model, config = _model_request(environment, wish), _config_request(environment, wish)
    config_name = config["EndpointConfigName"]
    described = describe(clients, wish.endpoint)
    if described is not None and described["EndpointStatus"] == FAILED:
        # Nothing but its deletion can be done with it (API reference, DescribeEndpoint, EndpointStatus).
        clients.sagemaker.delete_endpoint(EndpointName=wish.endpoint)
        described = wait(clients, wish.endpoint, pace=pace, sleep=sleep)
    current = None if described is None else show_endpoint(clients, wish.endpoint)
    made: list[str] = []
    action = Action.CREATED if current is None else Action.UPDATED
    if current is not None and current.status in IN_PROGRESS:
        if config_name not in (current.pending_config, current.config):
            refuse_busy(current)
    elif current is not None and current.config == config_name and current.status == IN_SERVICE:
        return Deployment(action=Action.UNCHANGED, endpoint=current, package=wish.package)
    elif current is not None and current.status != IN_SERVICE:
        what = f"it is {current.status}: {current.failure_reason or 'nothing can be deployed to it'}"
        fix = f"Delete it and deploy again: mlops-sm endpoints delete {wish.endpoint}"
        raise RefusedError(Problem("E155", wish.endpoint, what, fix))
    else:
        tags = {**environment.tags, ENDPOINT_TAG: wish.endpoint}
        made += _make_model(clients, model, tags)
        made += _make_config(clients, config, tags, "" if current is None else current.config)
        if current is None:
            clients.sagemaker.create_endpoint(
                EndpointName=wish.endpoint, EndpointConfigName=config_name, Tags=_tags(tags)
            )
            made.append(f"endpoint {wish.endpoint}")
        else:
            clients.sagemaker.update_endpoint(
                EndpointName=wish.endpoint, EndpointConfigName=config_name, DeploymentConfig=wish.rollout.config()
            )
    wait(clients, wish.endpoint, pace=pace, sleep=sleep, told=told)
    endpoint = show_endpoint(clients, wish.endpoint)
    if endpoint.status != IN_SERVICE:
        action = Action.FAILED
    elif endpoint.config != config_name:
        action = Action.ROLLED_BACK
    reason = "" if action in {Action.CREATED, Action.UPDATED} else endpoint.failure_reason or f"it is {endpoint.status}"
    return Deployment(action=action, endpoint=endpoint, package=wish.package, made=tuple(made), failure_reason=reason)


def _model_request(environment: Environment, wish: Wish) -> dict[str, Any]:
    request: dict[str, Any] = {
        "ExecutionRoleArn": environment.role_arn,
        "Containers": [{"ModelPackageName": wish.package.arn}],
        "EnableNetworkIsolation": environment.network_isolation,
    }
    if environment.subnets:
        request["VpcConfig"] = {
            "Subnets": list(environment.subnets),
            "SecurityGroupIds": list(environment.security_group_ids),
        }
    return {"ModelName": _named(f"{wish.endpoint}-v{wish.package.version}", wish.endpoint, request), **request}


def _config_request(environment: Environment, wish: Wish) -> dict[str, Any]:
    variant: dict[str, Any] = {
        "VariantName": VARIANT,
        "ModelName": _model_request(environment, wish)["ModelName"],
        "InitialVariantWeight": 1.0,
    }
    request: dict[str, Any] = {"ProductionVariants": [variant]}
    if wish.serverless is not None:
        memory, concurrency = wish.serverless
        variant["ServerlessConfig"] = {"MemorySizeInMB": memory, "MaxConcurrency": concurrency}
    else:
        variant |= {"InitialInstanceCount": wish.instances, "InstanceType": wish.instance_type}
        if environment.kms_key_arn is not None:
            request["KmsKeyId"] = environment.kms_key_arn
    if wish.capture_percentage is not None:
        capture: dict[str, Any] = {
            "EnableCapture": True,
            "InitialSamplingPercentage": wish.capture_percentage,
            "DestinationS3Uri": f"s3://{environment.artifact_bucket}/captured",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
        }
        if environment.kms_key_arn is not None:
            capture["KmsKeyId"] = environment.kms_key_arn
        request["DataCaptureConfig"] = capture
    return {"EndpointConfigName": _named(wish.endpoint, wish.endpoint, request), **request}


def _named(start: str, endpoint: str, request: Mapping[str, Any]) -> str:
    """A name that says what the request holds and whose it is."""
    text = json.dumps([endpoint, request], sort_keys=True, separators=(",", ":"))
    return f"{naming.shorten(start, _NAME)}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _make_model(clients: Clients, request: Mapping[str, Any], tags: Mapping[str, str]) -> list[str]:
    try:
        clients.sagemaker.describe_model(ModelName=request["ModelName"])
    except AwsError as error:
        if not error.is_not_found:
            raise
        clients.sagemaker.create_model(**request, Tags=_tags(tags))
        return [f"model {request['ModelName']}"]
    return []


def _make_config(clients: Clients, request: Mapping[str, Any], tags: Mapping[str, str], previous: str) -> list[str]:
    """Make a configuration; one that is there keeps what it was deployed after, unless it is deployed after another."""
    name = request["EndpointConfigName"]
    written = {**tags, **({PREVIOUS_TAG: previous} if previous else {})}
    found = config_of(clients, name)
    if found is None:
        clients.sagemaker.create_endpoint_config(**request, Tags=_tags(written))
        return [f"endpoint configuration {name}"]
    arn = found["EndpointConfigArn"]
    if previous and tags_of(clients, arn).get(PREVIOUS_TAG) != previous:
        clients.sagemaker.add_tags(ResourceArn=arn, Tags=_tags({PREVIOUS_TAG: previous}))
    return []


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def _how_to_approve(package: Package) -> str:
    return f'mlops-sm models approve {package.name} --why "..."'
