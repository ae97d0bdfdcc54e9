"""Registry: a model from an artifact, and a version of it in a model package group, waiting for approval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Unpack

from sagemaker.core.model_metrics import MetricsSource, ModelMetrics
from sagemaker.core.training.configs import Networking
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.mlops.workflow.model_step import ModelStep
from sagemaker.mlops.workflow.steps import ProcessingStep
from sagemaker.serve import ModelBuilder

from mlops_sm import naming
from mlops_sm.builders.context import Context
from mlops_sm.builders.problems import location, refuse
from mlops_sm.builders.references import report_uri
from mlops_sm.builders.settings import (
    NOTHING,
    Security,
    StepOptions,
    call_retries,
    request_tags,
    step_arguments,
    step_option_problems,
)
from mlops_sm.builders.values import Text, is_variable
from mlops_sm.errors import Problem, did_you_mean

PENDING: Final = "PendingManualApproval"
APPROVAL_STATUSES: Final = ("Approved", PENDING, "Rejected")


def package_group(ctx: Context, model: str) -> str:
    """The name of the model package group of one model of the project."""
    return naming.package_group_name(ctx.project_name, model)


def create_model(
    ctx: Context,
    name: str,
    *,
    image: Text,
    model_data: Text,
    inference_program: str | None = None,
    environment: Mapping[str, Text] = NOTHING,
    security: Security | None = None,
    tags: Mapping[str, str] = NOTHING,
    **options: Unpack[StepOptions],
) -> ModelStep:
    """A step that makes a SageMaker model, for batch transform or an endpoint in the same pipeline.

    Args:
        ctx: The context of the pipeline.
        name: The step's name.
        image: The container image that serves.
        model_data: The model.tar.gz; usually `model_artifacts` of a training step.
        inference_program: For AWS's script-mode images: the script in the archive's folder ``code/``.
        environment: Further variables for the container.
        security: Network of the model's container. Default: `Security.of` the environment.
        tags: Added to the environment's tags.
        **options: See `StepOptions`.

    Raises:
        InputError: A wrong name or combination (E33x).
    """
    security = security or Security.of(ctx.environment)
    where = location(ctx, name)
    refuse([*step_option_problems(where, name, options), *security.problems(where)])
    variables = {**_serving(ctx, inference_program), **environment}
    network = Networking(
        subnets=list(security.subnets) or None,
        security_group_ids=list(security.security_group_ids) or None,
        enable_network_isolation=security.enable_network_isolation,
    )
    step_args = _builder(ctx, image, model_data, variables, network=network).build(tags=request_tags(ctx, tags))
    return ModelStep(name=name, step_args=step_args, **step_arguments(options, retries=call_retries()))


def register_model(
    ctx: Context,
    name: str,
    *,
    image: Text,
    model_data: Text,
    model_package_group_name: Text,
    evaluation: ProcessingStep | None = None,
    model_metrics: ModelMetrics | None = None,
    content_types: Sequence[Text] = ("text/csv",),
    response_types: Sequence[Text] = ("text/csv",),
    inference_instances: Sequence[Text] = ("ml.m5.large",),
    transform_instances: Sequence[Text] = ("ml.m5.large",),
    approval_status: Text = PENDING,
    inference_program: str | None = None,
    environment: Mapping[str, Text] = NOTHING,
    customer_metadata_properties: Mapping[str, Text] = NOTHING,
    **options: Unpack[StepOptions],
) -> ModelStep:
    """A step that registers a new version of a model.

    The package remembers where it comes from: the execution's ARN and the pipeline's name are among its metadata. It
    gets no tags: a version uses those of its group (API reference, CreateModelPackage).

    Args:
        ctx: The context of the pipeline.
        name: The step's name.
        image: The container image that serves.
        model_data: The model.tar.gz; usually `model_artifacts` of a training step.
        model_package_group_name: See `package_group`. The service makes the group if there is none.
        evaluation: The step whose report becomes the version's model quality; see `evaluation`.
        model_metrics: All reports of the version, where one is not enough.
        content_types: What the model reads.
        response_types: What it answers.
        inference_instances: Instance types for endpoints.
        transform_instances: Instance types for batch transform.
        approval_status: Whether a person must approve the version first.
        inference_program: For AWS's script-mode images: the script in the archive's folder ``code/``.
        environment: Further variables for the container.
        customer_metadata_properties: Added to the two that are always there.
        **options: See `StepOptions`.

    Raises:
        InputError: A wrong name, status or combination (E33x).
    """
    where = location(ctx, name)
    problems = list(step_option_problems(where, name, options))
    if not is_variable(approval_status) and approval_status not in APPROVAL_STATUSES:
        fix = did_you_mean(str(approval_status), APPROVAL_STATUSES)
        problems.append(Problem("E339", where, f"there is no approval status {approval_status!r}", fix))
    if evaluation is not None and model_metrics is not None:
        problems.append(
            Problem("E339", where, "both evaluation and model_metrics", "put the report into model_metrics")
        )
    refuse(problems)
    variables = {**_serving(ctx, inference_program), **environment}
    step_args = _builder(ctx, image, model_data, variables).register(
        model_package_group_name=model_package_group_name,
        model_metrics=model_metrics if evaluation is None else _model_quality(evaluation),
        content_types=list(content_types),
        response_types=list(response_types),
        inference_instances=list(inference_instances),
        transform_instances=list(transform_instances),
        approval_status=approval_status,
        customer_metadata_properties={
            "pipeline": ctx.pipeline_name,
            "pipeline_execution_arn": ExecutionVariables.PIPELINE_EXECUTION_ARN,
            **customer_metadata_properties,
        },
    )
    return ModelStep(name=name, step_args=step_args, **step_arguments(options, retries=call_retries()))


def _builder(
    ctx: Context, image: Text, model_data: Text, variables: Mapping[str, Text], *, network: Networking | None = None
) -> ModelBuilder:
    """Without ``source_code``: with it the SDK inserts a training job, randomly named, that packs the model again."""
    return ModelBuilder(
        image_uri=image,
        s3_model_data_url=model_data,
        env_vars=dict(variables),
        role_arn=ctx.role,
        network=network,
        sagemaker_session=ctx.session,
    )


def _serving(ctx: Context, program: str | None) -> dict[str, str]:
    """How AWS's script-mode images find the code to serve with."""
    if program is None:
        return {}
    return {
        "SAGEMAKER_PROGRAM": program,
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
        "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
        "SAGEMAKER_REGION": ctx.environment.region,
    }


def _model_quality(evaluation: ProcessingStep) -> ModelMetrics:
    return ModelMetrics(model_statistics=MetricsSource(content_type="application/json", s3_uri=report_uri(evaluation)))
