"""What jobs run on and how they are protected, and how a pipeline treats a step. Shared by every builder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypedDict

from sagemaker.mlops.workflow.retry import (
    RetryPolicy,
    SageMakerJobExceptionTypeEnum,
    SageMakerJobStepRetryPolicy,
    StepExceptionTypeEnum,
    StepRetryPolicy,
)
from sagemaker.mlops.workflow.step_collections import StepCollection
from sagemaker.mlops.workflow.steps import CacheConfig, Step

from mlops_sm.builders.context import Context
from mlops_sm.builders.problems import constant_problems, count_problems, option_problems, step_name_problems
from mlops_sm.builders.values import Text, Whole
from mlops_sm.errors import Problem
from mlops_sm.project import Environment

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
"""What a builder is given where nothing is."""
PIPELINE_TAG: Final = "mlops-sm:pipeline"
"""Its value is the pipeline's name; it joins the environment's tags."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """What a job runs on and how long it may.

    Attributes:
        instance_type: For example ``ml.m5.large``.
        instance_count: How many instances share the job.
        volume_size_in_gb: Size of each instance's volume.
        max_runtime_in_seconds: A job that takes longer is stopped.
    """

    instance_type: Text = "ml.m5.large"
    instance_count: Whole = 1
    volume_size_in_gb: int = 30
    max_runtime_in_seconds: Whole = 3600

    def problems(self, where: str) -> Iterator[Problem]:
        """Values that no job can have."""
        yield from constant_problems(where, volume_size_in_gb=self.volume_size_in_gb)
        yield from count_problems(
            where,
            instance_count=self.instance_count,
            volume_size_in_gb=self.volume_size_in_gb,
            max_runtime_in_seconds=self.max_runtime_in_seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """How a job's data and network are protected.

    Attributes:
        volume_kms_key: Key for the instances' volumes; None is the account's default. Instance types with local disks
            (``ml.g5``, ``ml.m5d``, ...) encrypt those themselves and refuse a key.
        output_kms_key: Key for what the job uploads.
        subnets: Where the job runs; given together with `security_group_ids`.
        security_group_ids: What the job may reach.
        enable_network_isolation: The container gets no network at all.
        encrypt_inter_container_traffic: Encrypt what the instances of one job say to each other.
    """

    volume_kms_key: Text | None = None
    output_kms_key: Text | None = None
    subnets: Sequence[Text] = ()
    security_group_ids: Sequence[Text] = ()
    enable_network_isolation: bool = False
    encrypt_inter_container_traffic: bool = False

    @classmethod
    def of(cls, environment: Environment) -> Security:
        """What the environment asks for; the default of every builder."""
        return cls(
            volume_kms_key=environment.kms_key_arn,
            output_kms_key=environment.kms_key_arn,
            subnets=environment.subnets,
            security_group_ids=environment.security_group_ids,
            enable_network_isolation=environment.network_isolation,
        )

    def problems(self, where: str) -> Iterator[Problem]:
        """Combinations AWS refuses."""
        yield from constant_problems(
            where,
            enable_network_isolation=self.enable_network_isolation,
            encrypt_inter_container_traffic=self.encrypt_inter_container_traffic,
        )
        if bool(self.subnets) != bool(self.security_group_ids):
            yield Problem(
                "E337",
                where,
                "only one of subnets and security_group_ids is given",
                "a VPC configuration takes both; give both or none",
            )


class StepOptions(TypedDict, total=False):
    """Keyword arguments of every builder of a step.

    Attributes:
        depends_on: Steps that must have succeeded first, beyond those whose results are used.
        display_name: The name people see; default is the step's name.
        description: One sentence for the people who look at the execution.
        retry_policies: Default: `job_retries` for jobs, `call_retries` for the others. An empty list leaves it to the
            service, which retries its own faults and throttling.
    """

    depends_on: Sequence[str | Step | StepCollection]
    display_name: str
    description: str
    retry_policies: Sequence[RetryPolicy]


class JobOptions(StepOptions, total=False):
    """Keyword arguments of every builder of a step that runs a job.

    Attributes:
        compute: What it runs on. Default: one ``ml.m5.large``, 30 GB, one hour.
        security: How it is protected. Default: `Security.of` the environment.
        environment: Variables for the container.
        tags: Added to the environment's tags; the same key wins over the environment's.
        cache_expire_after: A successful run of this step with the same arguments is taken over instead of running again
            when it is younger than this ISO 8601 duration. Default 30 days; None runs it every time. The *contents* of
            an S3 input are not compared, only its URI: give inputs that change under the same URI a None.
    """

    compute: Compute
    security: Security
    environment: Mapping[str, Text]
    tags: Mapping[str, str]
    cache_expire_after: str | None


DEFAULT_CACHE: Final = "P30D"


def step_option_problems(where: str, name: object, options: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the name and the options of a step that runs no job."""
    yield from step_name_problems(where, name)
    yield from option_problems(where, options, StepOptions.__annotations__)


def job_option_problems(
    where: str, name: object, options: Mapping[str, Any], compute: Compute, security: Security
) -> Iterator[Problem]:
    """What is wrong with the name and the options of a step that runs a job."""
    yield from step_name_problems(where, name)
    yield from option_problems(where, options, StepOptions.__annotations__ | JobOptions.__annotations__)
    yield from compute.problems(where)
    yield from security.problems(where)


def job_retries() -> list[RetryPolicy]:
    """Retry what passes: throttling, faults of the service, and instances that are not to be had just now."""
    return [
        StepRetryPolicy(
            exception_types=[StepExceptionTypeEnum.SERVICE_FAULT, StepExceptionTypeEnum.THROTTLING],
            interval_seconds=5,
            max_attempts=5,
        ),
        SageMakerJobStepRetryPolicy(
            failure_reason_types=[SageMakerJobExceptionTypeEnum.INTERNAL_ERROR],
            interval_seconds=30,
            max_attempts=3,
        ),
        SageMakerJobStepRetryPolicy(
            failure_reason_types=[SageMakerJobExceptionTypeEnum.CAPACITY_ERROR],
            interval_seconds=60,
            expire_after_mins=180,
        ),
    ]


def call_retries() -> list[RetryPolicy]:
    """Retry throttling and faults of the service; steps that make a single call can fail in no other passing way."""
    return job_retries()[:1]


def step_arguments(options: Mapping[str, Any], *, retries: list[RetryPolicy]) -> dict[str, Any]:
    """The options of a retryable step as the SDK's steps take them."""
    given = options.get("retry_policies")
    return {
        "depends_on": list(options.get("depends_on", ())) or None,
        "display_name": options.get("display_name"),
        "description": options.get("description"),
        "retry_policies": retries if given is None else list(given),
    }


def cache_config(options: Mapping[str, Any]) -> CacheConfig | None:
    """The step's cache settings; None leaves the cache off."""
    expire_after = options.get("cache_expire_after", DEFAULT_CACHE)
    return None if expire_after is None else CacheConfig(enable_caching=True, expire_after=expire_after)


def merged_tags(ctx: Context, tags: Mapping[str, str]) -> dict[str, str]:
    """The environment's tags, the pipeline's and the step's own, sorted by key."""
    return dict(sorted({**ctx.environment.tags, PIPELINE_TAG: ctx.pipeline_name, **tags}.items()))


def request_tags(ctx: Context, tags: Mapping[str, str]) -> list[dict[str, str]]:
    """`merged_tags` as a request has them."""
    return [{"Key": key, "Value": value} for key, value in merged_tags(ctx, tags).items()]
