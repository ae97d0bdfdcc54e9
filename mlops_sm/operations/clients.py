"""The seam to AWS: the calls that are used, as protocols, and the clients of one account behind them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Final, Protocol

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from mlops_sm.checks.service import data_loader
from mlops_sm.errors import Problem, RefusedError
from mlops_sm.operations.refusals import translate, translated
from mlops_sm.project import Environment

Response = Mapping[str, Any]

_CONFIG: Final = Config(retries={"mode": "standard", "max_attempts": 6}, user_agent_extra="mlops-sm")
UNCONFIGURED: Final = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
"""``session_vars`` of a botocore session that reads nothing of the user's AWS configuration, whatever variables say."""
_LOOPBACK_CONFIG: Final = Config(
    proxies={},
    retries={"mode": "standard", "max_attempts": 3},
    s3={"addressing_style": "path"},
    use_fips_endpoint=False,
    use_dualstack_endpoint=False,
    user_agent_extra="mlops-sm",
)
"""No proxy stands between two processes of one machine, no bucket's name can be resolved, no variant is there."""


class SageMakerClient(Protocol):
    """SageMaker's control plane, as far as it is used."""

    def create_pipeline(self, **request: object) -> Response:
        """``CreatePipeline``."""

    def update_pipeline(self, **request: object) -> Response:
        """``UpdatePipeline``."""

    def describe_pipeline(self, **request: object) -> Response:
        """``DescribePipeline``."""

    def list_pipelines(self, **request: object) -> Response:
        """``ListPipelines``."""

    def list_tags(self, **request: object) -> Response:
        """``ListTags``."""

    def add_tags(self, **request: object) -> Response:
        """``AddTags``."""

    def start_pipeline_execution(self, **request: object) -> Response:
        """``StartPipelineExecution``."""

    def stop_pipeline_execution(self, **request: object) -> Response:
        """``StopPipelineExecution``."""

    def describe_pipeline_execution(self, **request: object) -> Response:
        """``DescribePipelineExecution``."""

    def retry_pipeline_execution(self, **request: object) -> Response:
        """``RetryPipelineExecution``."""

    def describe_pipeline_definition_for_execution(self, **request: object) -> Response:
        """``DescribePipelineDefinitionForExecution``."""

    def list_pipeline_executions(self, **request: object) -> Response:
        """``ListPipelineExecutions``."""

    def list_pipeline_execution_steps(self, **request: object) -> Response:
        """``ListPipelineExecutionSteps``."""

    def list_pipeline_parameters_for_execution(self, **request: object) -> Response:
        """``ListPipelineParametersForExecution``."""

    def describe_processing_job(self, **request: object) -> Response:
        """``DescribeProcessingJob``."""

    def describe_training_job(self, **request: object) -> Response:
        """``DescribeTrainingJob``."""

    def list_model_package_groups(self, **request: object) -> Response:
        """``ListModelPackageGroups``."""

    def list_model_packages(self, **request: object) -> Response:
        """``ListModelPackages``."""

    def describe_model_package(self, **request: object) -> Response:
        """``DescribeModelPackage``."""

    def create_model_package(self, **request: object) -> Response:
        """``CreateModelPackage``."""

    def update_model_package(self, **request: object) -> Response:
        """``UpdateModelPackage``."""

    def create_model_package_group(self, **request: object) -> Response:
        """``CreateModelPackageGroup``."""

    def describe_model_package_group(self, **request: object) -> Response:
        """``DescribeModelPackageGroup``."""

    def get_model_package_group_policy(self, **request: object) -> Response:
        """``GetModelPackageGroupPolicy``."""

    def put_model_package_group_policy(self, **request: object) -> Response:
        """``PutModelPackageGroupPolicy``."""

    def create_model(self, **request: object) -> Response:
        """``CreateModel``."""

    def describe_model(self, **request: object) -> Response:
        """``DescribeModel``."""

    def delete_model(self, **request: object) -> Response:
        """``DeleteModel``."""

    def create_endpoint_config(self, **request: object) -> Response:
        """``CreateEndpointConfig``."""

    def describe_endpoint_config(self, **request: object) -> Response:
        """``DescribeEndpointConfig``."""

    def list_endpoint_configs(self, **request: object) -> Response:
        """``ListEndpointConfigs``."""

    def delete_endpoint_config(self, **request: object) -> Response:
        """``DeleteEndpointConfig``."""

    def create_endpoint(self, **request: object) -> Response:
        """``CreateEndpoint``."""

    def update_endpoint(self, **request: object) -> Response:
        """``UpdateEndpoint``."""

    def describe_endpoint(self, **request: object) -> Response:
        """``DescribeEndpoint``."""

    def list_endpoints(self, **request: object) -> Response:
        """``ListEndpoints``."""

    def delete_endpoint(self, **request: object) -> Response:
        """``DeleteEndpoint``."""


class S3Client(Protocol):
    """S3, as far as it is used."""

    def head_object(self, **request: object) -> Response:
        """``HeadObject``."""

    def get_object(self, **request: object) -> Response:
        """``GetObject``."""

    def put_object(self, **request: object) -> Response:
        """``PutObject``."""

    def list_objects_v2(self, **request: object) -> Response:
        """``ListObjectsV2``."""


class LogsClient(Protocol):
    """CloudWatch Logs, as far as it is used."""

    def describe_log_streams(self, **request: object) -> Response:
        """``DescribeLogStreams``."""

    def get_log_events(self, **request: object) -> Response:
        """``GetLogEvents``."""


class RuntimeClient(Protocol):
    """SageMaker's endpoints as their callers see them, as far as they are used."""

    def invoke_endpoint(self, **request: object) -> Response:
        """``InvokeEndpoint``."""


class CloudWatchClient(Protocol):
    """CloudWatch's metrics, as far as they are used."""

    def get_metric_data(self, **request: object) -> Response:
        """``GetMetricData``."""


class EventsClient(Protocol):
    """EventBridge, as far as it is used."""

    def put_rule(self, **request: object) -> Response:
        """``PutRule``."""

    def put_targets(self, **request: object) -> Response:
        """``PutTargets``."""

    def remove_targets(self, **request: object) -> Response:
        """``RemoveTargets``."""

    def delete_rule(self, **request: object) -> Response:
        """``DeleteRule``."""


class StsClient(Protocol):
    """STS, as far as it is used."""

    def get_caller_identity(self) -> Response:
        """``GetCallerIdentity``."""


class Clients:
    """The clients of one account and region; each is made when it is first used, and raises `AwsError`.

    Args:
        make: Gives the client of a service by boto3's name, for example ``sagemaker``.
    """

    def __init__(self, make: Callable[[str], Any]) -> None:
        self._make = make

    @cached_property
    def sagemaker(self) -> SageMakerClient:
        """SageMaker."""
        client: SageMakerClient = self._make("sagemaker")
        return translated(client, "sagemaker")

    @cached_property
    def s3(self) -> S3Client:
        """S3."""
        client: S3Client = self._make("s3")
        return translated(client, "s3")

    @cached_property
    def logs(self) -> LogsClient:
        """CloudWatch Logs."""
        client: LogsClient = self._make("logs")
        return translated(client, "logs")

    @cached_property
    def runtime(self) -> RuntimeClient:
        """Endpoints as their callers see them."""
        client: RuntimeClient = self._make("sagemaker-runtime")
        return translated(client, "sagemaker-runtime")

    @cached_property
    def cloudwatch(self) -> CloudWatchClient:
        """CloudWatch."""
        client: CloudWatchClient = self._make("cloudwatch")
        return translated(client, "cloudwatch")

    @cached_property
    def events(self) -> EventsClient:
        """EventBridge."""
        client: EventsClient = self._make("events")
        return translated(client, "events")

    @cached_property
    def sts(self) -> StsClient:
        """STS."""
        client: StsClient = self._make("sts")
        return translated(client, "sts")


def connect(environment: Environment, *, session: Callable[..., Any] = boto3.Session) -> Clients:
    """Clients of an environment's AWS account, once it is certain that the credentials are for that account.

    Raises:
        RefusedError: No, wrong or expired credentials, or they belong to another account (E520-E526).
    """
    try:
        opened = session(profile_name=environment.profile, region_name=environment.region)
    except BotoCoreError as err:
        raise translate(err, "sts:GetCallerIdentity") from err

    def make(service: str) -> Any:  # noqa: ANN401 - boto3's clients have no types
        return opened.client(service, config=_CONFIG)

    clients = Clients(make)
    identity = clients.sts.get_caller_identity()
    if identity["Account"] != environment.account:
        raise RefusedError(
            Problem(
                "E525",
                f"environment {environment.name} ({environment.provenance.get('account', 'account')})",
                f"the credentials belong to account {identity['Account']} ({identity.get('Arn', '')}), "
                f"the environment is account {environment.account}",
                "Use that account's credentials: set profile in the environment, or AWS_PROFILE. Nothing was changed.",
            )
        )
    return clients


class _EndpointSession(botocore.session.Session):  # type: ignore[misc] # botocore has no types
    """A session whose clients all go to one URL, and that reads nothing of the user's AWS configuration."""

    def __init__(self, url: str) -> None:
        super().__init__(session_vars=UNCONFIGURED)
        self._url = url

    def create_client(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - botocore has no types
        options["endpoint_url"] = options.get("endpoint_url") or self._url
        return super().create_client(*arguments, **options)


def endpoint_session(url: str, *, access_key: str, region: str) -> boto3.Session:
    """A session of a server on this machine; proxies and the user's AWS configuration have no part in it.

    Args:
        url: The server, e.g. ``http://127.0.0.1:5225``.
        access_key: Names the account; the secret opens nothing anywhere.
        region: Of clients that name none.
    """
    plain = _EndpointSession(url)
    plain.register_component("data_loader", data_loader())
    plain.set_default_client_config(_LOOPBACK_CONFIG)
    return boto3.Session(
        aws_access_key_id=access_key,
        aws_secret_access_key="local",  # noqa: S106 - opens nothing anywhere
        region_name=region,
        botocore_session=plain,
    )
