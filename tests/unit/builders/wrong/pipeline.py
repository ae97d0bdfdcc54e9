"""Wrong calls of builders, one function each. The pipeline makes all of them and raises what they raised.

A function that raises nothing is reported as such. The problems' `where` begins with the function's name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sagemaker.core.model_metrics import ModelMetrics
from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter
from sagemaker.core.workflow.parameters import ParameterBoolean, ParameterFloat, ParameterInteger, ParameterString
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.for_each_step import ForEachSelector, IterationOutput

from mlops_sm.builders import (
    Asynchronous,
    Channel,
    Compute,
    Context,
    Security,
    Serverless,
    algorithm_image,
    at_least,
    at_most,
    batch_transform,
    best_model,
    collected,
    create_model,
    deploy,
    equals,
    evaluation,
    fail,
    for_each,
    framework_image,
    gate,
    metric,
    model_artifacts,
    model_per_segment,
    output,
    policy_gate,
    predictions,
    processing,
    quality_gate,
    register_model,
    report_uri,
    top_model,
    training,
    tuning,
)
from mlops_sm.errors import InputError, Problem

Case = Callable[[Context], object]
CASES: list[Case] = []


def case(function: Case) -> Case:
    CASES.append(function)
    return function


def pipeline(ctx: Context) -> None:
    found = []
    for function in CASES:
        try:
            function(ctx)
        except InputError as wrong:
            found += [p._replace(where=f"{function.__name__}: {p.where}") for p in wrong.problems]
        else:
            found.append(Problem("E399", function.__name__, "it raised nothing", ""))
    raise InputError(*found)


def a_processing(ctx: Context, name: str = "Split", **changed: Any) -> Any:
    arguments = {"image": "image", "code": "jobs/job.py", "outputs": ["train"]} | changed
    return processing(ctx, name, **arguments)


def a_training(ctx: Context, **changed: Any) -> Any:
    arguments = {"image": "image", "channels": {"train": "s3://bucket/train/"}} | changed
    return training(ctx, "Train", **arguments)


def an_evaluation(ctx: Context) -> Any:
    return evaluation(ctx, "Evaluate", image="image", code="jobs/job.py", inputs={"model": "s3://bucket/model.tar.gz"})


def a_gate(ctx: Context, *bounds: Any, **changed: Any) -> Any:
    auc = metric(an_evaluation(ctx), "metrics.auc.value")
    arguments = {"thresholds": [at_least(auc, b) for b in bounds], "if_met": [FailStep(name="Done")]} | changed
    return gate(ctx, "Gate", **arguments)


def a_registration(ctx: Context, **changed: Any) -> Any:
    arguments = {"image": "image", "model_data": "s3://b/model.tar.gz", "model_package_group_name": "group"} | changed
    return register_model(ctx, "Register", **arguments)


@case
def step_name(ctx: Context) -> None:
    a_processing(ctx, "Split the data")


@case
def step_name_is_empty(ctx: Context) -> None:
    fail(ctx, "", message="no")


@case
def step_name_is_no_text(ctx: Context) -> None:
    create_model(ctx, 7, image="image", model_data="s3://b/m")  # type: ignore[arg-type] # what the case is about


@case
def no_outputs(ctx: Context) -> None:
    a_processing(ctx, outputs=[])


@case
def outputs_is_a_text(ctx: Context) -> None:
    a_processing(ctx, outputs="train")


@case
def two_outputs_of_one_name(ctx: Context) -> None:
    a_processing(ctx, outputs=["train", "test", "train"])


@case
def output_name_is_a_path(ctx: Context) -> None:
    a_processing(ctx, outputs=["../train"])


@case
def input_is_called_code(ctx: Context) -> None:
    a_processing(ctx, inputs={"code": "s3://bucket/x"})


@case
def unknown_option(ctx: Context) -> None:
    a_processing(ctx, enviroment={"A": "b"})


@case
def script_is_missing(ctx: Context) -> None:
    a_processing(ctx, code="jobs/jbo.py")


@case
def script_is_a_parameter(ctx: Context) -> None:
    a_processing(ctx, code=ParameterString("Code"))


@case
def counts(ctx: Context) -> None:
    a_processing(ctx, compute=Compute(instance_count=0, volume_size_in_gb=True, max_runtime_in_seconds=1.5))


@case
def volume_is_a_parameter(ctx: Context) -> None:
    a_training(ctx, compute=Compute(volume_size_in_gb=ParameterInteger("Volume")))


@case
def isolation_is_a_parameter(ctx: Context) -> None:
    a_training(ctx, security=Security(enable_network_isolation=ParameterBoolean(name="Isolated")))


@case
def half_a_vpc(ctx: Context) -> None:
    create_model(ctx, "Model", image="image", model_data="s3://b/m", security=Security(subnets=["subnet-0a1b2c3d"]))


@case
def everything_at_once(ctx: Context) -> None:
    processing(
        ctx,
        "a b",
        image="image",
        outputs=[],
        inputs={"x y": "s3://b/x"},
        compute=Compute(instance_count=-1),
        security=Security(security_group_ids=["sg-0a1b2c3d"]),
        cache_expires_after="P1D",  # type: ignore[call-arg] # what the case is about
    )


@case
def no_channels(ctx: Context) -> None:
    a_training(ctx, channels={})


@case
def augmented_manifest_in_file_mode(ctx: Context) -> None:
    a_training(ctx, channels={"lines": Channel(s3_uri="s3://b/lines", s3_data_type="AugmentedManifestFile")})


@case
def code_without_entry_point(ctx: Context) -> None:
    a_training(ctx, code="jobs")


@case
def entry_point_without_code(ctx: Context) -> None:
    a_training(ctx, entry_point="job.py")


@case
def entry_point_is_missing(ctx: Context) -> None:
    a_training(ctx, code="jobs", entry_point="jbo.py")


@case
def folder_is_missing(ctx: Context) -> None:
    a_training(ctx, code="job", entry_point="job.py")


@case
def channel_is_called_code(ctx: Context) -> None:
    a_training(ctx, code="jobs", entry_point="job.py", channels={"code": "s3://b/x"})


@case
def script_and_entrypoint(ctx: Context) -> None:
    a_training(ctx, code="jobs", entry_point="job.py", container_entrypoint=["/train"])


@case
def arguments_without_entrypoint(ctx: Context) -> None:
    a_training(ctx, container_arguments=["--fast"])


@case
def hyperparameter_of_aws(ctx: Context) -> None:
    a_training(ctx, hyperparameters={"sagemaker_program": "train.py"})


@case
def spot_wait_is_zero(ctx: Context) -> None:
    a_training(ctx, max_wait_time_in_seconds=0)


@case
def output_that_is_not_there(ctx: Context) -> None:
    output(a_processing(ctx, outputs=["train", "test"]), "tets")


@case
def output_of_a_training(ctx: Context) -> None:
    output(a_training(ctx), "train")


@case
def model_of_a_processing(ctx: Context) -> None:
    model_artifacts(a_processing(ctx))


@case
def metric_without_a_report(ctx: Context) -> None:
    metric(a_processing(ctx), "auc")


@case
def report_of_a_text(_: Context) -> None:
    report_uri("Evaluate")


@case
def threshold_is_true(ctx: Context) -> None:
    a_gate(ctx, True)


@case
def threshold_is_text(ctx: Context) -> None:
    a_gate(ctx, "0.8")


@case
def threshold_is_not_a_number(ctx: Context) -> None:
    a_gate(ctx, float("nan"))


@case
def threshold_is_a_text_parameter(ctx: Context) -> None:
    a_gate(ctx, ParameterString("MinAuc"))


@case
def threshold_is_none(ctx: Context) -> None:
    a_gate(ctx, None)


@case
def threshold_on_a_constant(ctx: Context) -> None:
    a_gate(ctx, thresholds=[at_most(0.5, 0.8), equals(1, 1, label="ones")])


@case
def no_thresholds(ctx: Context) -> None:
    a_gate(ctx)


@case
def no_thresholds_of_a_quality_gate(ctx: Context) -> None:
    quality_gate(ctx, "Gate", thresholds=[], if_met=[FailStep(name="Done")])


@case
def nothing_behind_the_gate(ctx: Context) -> None:
    a_gate(ctx, ParameterFloat("MinAuc"), if_met=[])


@case
def gate_with_retries(ctx: Context) -> None:
    a_gate(ctx, 0.5, retry_policies=[])


@case
def fail_with_retries(ctx: Context) -> None:
    fail(ctx, "Stop", message="no", retry_policies=[])


@case
def fail_without_a_message(ctx: Context) -> None:
    fail(ctx, "Stop", message="")


@case
def approval_status(ctx: Context) -> None:
    a_registration(ctx, approval_status="Aproved")


@case
def two_kinds_of_metrics(ctx: Context) -> None:
    a_registration(ctx, evaluation=an_evaluation(ctx), model_metrics=ModelMetrics())


@case
def framework(ctx: Context) -> None:
    framework_image(ctx, "sklern", "1.2-1")


@case
def framework_version(ctx: Context) -> None:
    framework_image(ctx, "sklearn", "1.2-2")


@case
def framework_region(ctx: Context) -> None:
    framework_image(replace_region(ctx, "mx-central-9"), "pytorch", "2.6")


@case
def framework_scope(ctx: Context) -> None:
    framework_image(ctx, "pytorch", "2.6", scope="serving")  # type: ignore[arg-type] # what the case is about


@case
def image_version_is_a_parameter(ctx: Context) -> None:
    framework_image(ctx, "sklearn", ParameterString("Version"))


@case
def algorithm(ctx: Context) -> None:
    algorithm_image(ctx, "linear-lerner")


@case
def algorithm_is_a_parameter(ctx: Context) -> None:
    algorithm_image(ctx, ParameterString("Algorithm"))


@case
def algorithm_without_a_version(ctx: Context) -> None:
    algorithm_image(ctx, "xgboost")


def a_tuning(ctx: Context, **changed: Any) -> Any:
    arguments = {
        "image": "image",
        "channels": {"train": "s3://bucket/train/"},
        "ranges": {"eta": ContinuousParameter(0.1, 0.5)},
        "objective": "auc",
        "metrics": {"auc": "auc=(.*)"},
        "max_jobs": 4,
    } | changed
    return tuning(ctx, "Tune", **arguments)


@case
def no_ranges(ctx: Context) -> None:
    a_tuning(ctx, ranges={})


@case
def range_is_the_wrong_way_round(ctx: Context) -> None:
    a_tuning(ctx, ranges={"eta": ContinuousParameter(0.5, 0.1)})


@case
def searched_and_fixed(ctx: Context) -> None:
    a_tuning(ctx, hyperparameters={"eta": 0.3})


@case
def no_such_strategy(ctx: Context) -> None:
    a_tuning(ctx, strategy="Bayes")


@case
def grid_of_numbers(ctx: Context) -> None:
    a_tuning(ctx, strategy="Grid", max_jobs=None)


@case
def grid_with_a_number_of_jobs(ctx: Context) -> None:
    a_tuning(ctx, strategy="Grid", ranges={"booster": CategoricalParameter(["a", "b"])})


@case
def no_number_of_jobs(ctx: Context) -> None:
    a_tuning(ctx, max_jobs=None)


@case
def no_jobs_at_all(ctx: Context) -> None:
    a_tuning(ctx, max_jobs=0)


@case
def objective_is_not_measured(ctx: Context) -> None:
    a_tuning(ctx, objective="auk")


@case
def model_of_rank_zero(ctx: Context) -> None:
    top_model(a_tuning(ctx), 0)


@case
def best_of_a_training(ctx: Context) -> None:
    best_model(a_training(ctx))


def replace_region(ctx: Context, region: str) -> Context:
    elsewhere = ctx.environment.model_copy(update={"region": region})
    make = partial(Context, elsewhere, ctx.pipeline_name, ctx.project_name)
    return make(ctx.root, ctx.session, ctx.role)


def a_transform(ctx: Context, **changed: Any) -> Any:
    arguments = {"model": "credit", "data": "s3://bucket/applications/"} | changed
    return batch_transform(ctx, "Score", **arguments)


@case
def choices_of_batch(ctx: Context) -> Any:
    return a_transform(ctx, split_type="Lines", strategy="Multi", join_source="input", max_payload=0)


@case
def limits_that_batch_does_not_have(ctx: Context) -> Any:
    return a_transform(ctx, compute=Compute(max_runtime_in_seconds=60, volume_size_in_gb=100))


@case
def predictions_of_a_processing(ctx: Context) -> Any:
    return predictions(a_processing(ctx))


def a_loop(ctx: Context, **changed: Any) -> Any:
    def body(each: Context, _: object) -> Any:
        return a_processing(each, "Score", outputs={"scores": "s3://bucket/scores"}), a_processing(each, "Split")

    return for_each(ctx, "Each", **({"items": ["a", "b"], "body": body} | changed))


@case
def no_items(ctx: Context) -> Any:
    return a_loop(ctx, items=[])


@case
def too_many_items(ctx: Context) -> Any:
    return a_loop(ctx, items=list(range(101)))


@case
def items_is_a_text(ctx: Context) -> Any:
    return a_loop(ctx, items="ab")


@case
def items_of_all_kinds(ctx: Context) -> Any:
    return a_loop(
        ctx, items=["a", None, {"name": "b"}, "a", ["c"], 1, "1", True], max_concurrency=51, retry_policies=[]
    )


@case
def items_without_the_key(ctx: Context) -> Any:
    return a_loop(ctx, items=[{"name": "a"}, {"nam": "b"}, 3, {"name": "a"}], key="name")


@case
def concurrency_is_a_parameter(ctx: Context) -> Any:
    return a_loop(ctx, max_concurrency=ParameterInteger("Many", default_value=3))


@case
def empty_body(ctx: Context) -> Any:
    return a_loop(ctx, body=lambda _, __: [])


@case
def gate_in_a_body(ctx: Context) -> Any:
    return a_loop(ctx, body=lambda each, _: [a_gate(each, 0.8), an_evaluation(each), "Split"])


@case
def selector_on_another_step(ctx: Context) -> Any:
    return a_loop(ctx, selector=ForEachSelector("MaxBy", IterationOutput("Scores").ProcessingJobName))


@case
def selector_on_a_parameter(ctx: Context) -> Any:
    return a_loop(ctx, selector=ForEachSelector("MaxBy", ParameterFloat("Auc")))


@case
def collected_from_no_step(ctx: Context) -> Any:
    return collected(a_loop(ctx), "Splits")


@case
def collected_from_a_fixed_place(ctx: Context) -> Any:
    return collected(a_loop(ctx), "Score")


@case
def segments(ctx: Context) -> Any:
    return model_per_segment(
        ctx,
        "Segments",
        image="image",
        data="s3://bucket/raw",
        split="jobs/job.py",
        code="jobs",
        entry_point="job.py",
        evaluate="jobs/job.py",
        model="limit",
        parts=["train"],
        segments=["north", "north/east"],
    )


@case
def gate_of_no_policy(ctx: Context) -> Any:
    return policy_gate(ctx, "Gate", evaluated=an_evaluation(ctx), if_met=[FailStep(name="Done")])


@case
def deployment_of_everything(ctx: Context) -> Any:
    return deploy(
        ctx,
        "Deploy",
        endpoint="x" * 51,
        model="model",
        compute=Compute(max_runtime_in_seconds=60),
        serverless=Serverless(memory_size_in_mb=1500, max_concurrency=0),
        asynchronous=Asynchronous(output_path="s3://bucket/answers"),
        capture_percentage=101,
    )


@case
def deployment_with_an_unknown_option(ctx: Context) -> Any:
    return deploy(ctx, "Deploy", endpoint="mine", model="model", instances=2)
