"""What builders refuse, with which code, and what the message says."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_sm.compile import Request, compile_pipeline
from mlops_sm.compile.structure import Structure
from mlops_sm.errors import InputError, Problem
from mlops_sm.project import load_project

pytestmark = pytest.mark.sdk

# function of wrong/pipeline.py -> (code, part of what is wrong and how to fix it) of each problem
EXPECTED: dict[str, list[tuple[str, str]]] = {
    "step_name": [("E330", "'Split the data' is no step name")],
    "step_name_is_empty": [("E330", "'' is no step name")],
    "step_name_is_no_text": [("E330", "7 is no step name")],
    "no_outputs": [("E333", 'name what it leaves behind: outputs=["train"]')],
    "outputs_is_a_text": [("E333", "give a list of names: outputs=['train']")],
    "two_outputs_of_one_name": [("E332", 'there are two outputs called "train"')],
    "output_name_is_a_path": [("E330", "'../train' is no name for the output")],
    "input_is_called_code": [("E332", 'the input "code" is the script itself')],
    "unknown_option": [("E331", 'there is no argument "enviroment" Did you mean "environment"?')],
    "script_is_missing": [("E307", 'there is no file "pipelines/wrong/jobs/jbo.py"')],
    "script_is_a_parameter": [("E335", "code is a pipeline variable")],
    "counts": [
        ("E336", "instance_count is 0"),
        ("E336", "volume_size_in_gb is True"),
        ("E336", "max_runtime_in_seconds is 1.5"),
    ],
    "volume_is_a_parameter": [("E335", "volume_size_in_gb is a pipeline variable")],
    "isolation_is_a_parameter": [("E335", "enable_network_isolation is a pipeline variable")],
    "half_a_vpc": [("E337", "only one of subnets and security_group_ids is given")],
    "everything_at_once": [
        ("E330", "'a b' is no step name"),
        ("E331", 'Did you mean "cache_expire_after"?'),
        ("E336", "instance_count is -1"),
        ("E337", "only one of subnets and security_group_ids"),
        ("E333", "it has no outputs"),
        ("E330", "'x y' is no name for the input"),
    ],
    "no_channels": [("E333", "it has no channels")],
    "augmented_manifest_in_file_mode": [
        ("E339", 'only Pipe mode does set input_mode="Pipe"'),
        ("E339", "names none of its attributes"),
    ],
    "code_without_entry_point": [("E339", "code without entry_point")],
    "entry_point_without_code": [("E339", "entry_point without code")],
    "entry_point_is_missing": [("E307", 'Did you mean "job.py"?')],
    "folder_is_missing": [("E307", 'there is no folder "pipelines/wrong/job"')],
    "channel_is_called_code": [("E332", 'the channel "code" is the script itself')],
    "script_and_entrypoint": [("E339", "both a script and an entrypoint of the container")],
    "arguments_without_entrypoint": [("E339", "container_arguments without container_entrypoint")],
    "hyperparameter_of_aws": [("E339", '"sagemaker_program" is AWS\'s own')],
    "spot_wait_is_zero": [("E336", "max_wait_time_in_seconds is 0")],
    "output_that_is_not_there": [("E338", 'it has no output "tets" Did you mean "test"?')],
    "output_of_a_training": [("E338", "`output` takes a ProcessingStep, not a TrainingStep")],
    "model_of_a_processing": [("E338", "`model_artifacts` takes a TrainingStep, not a ProcessingStep")],
    "metric_without_a_report": [("E338", "make the step with `evaluation`")],
    "report_of_a_text": [("E338", "`report_uri` takes a ProcessingStep, not a str")],
    "threshold_is_true": [("E334", "auc: the threshold True is no number")],
    "threshold_is_text": [("E334", "auc: the threshold '0.8' is no number")],
    "threshold_is_not_a_number": [("E334", "auc: the threshold nan is no number")],
    "threshold_is_a_text_parameter": [("E334", "auc: the threshold MinAuc is no number")],
    "threshold_is_none": [("E334", "auc: the threshold None is no number")],
    "threshold_on_a_constant": [("E334", "the value: 0.5 is known already"), ("E334", "ones: 1 is known already")],
    "no_thresholds": [("E334", "it has no thresholds, so it stops nothing")],
    "no_thresholds_of_a_quality_gate": [("E334", "it has no thresholds, so it stops nothing")],
    "nothing_behind_the_gate": [("E333", "nothing depends on it")],
    "gate_with_retries": [("E331", "a gate has nothing to retry")],
    "fail_with_retries": [("E331", "a step that fails has nothing to retry")],
    "fail_without_a_message": [("E333", "it fails without a message")],
    "deployment_of_everything": [
        ("E443", "no endpoint's name give 1 to 50 characters"),
        ("E443", "an endpoint has no max_runtime_in_seconds"),
        ("E443", "capture_percentage is 101"),
        ("E336", "max_concurrency is 0"),
        ("E443", "memory_size_in_mb is 1500 choose one of 1024"),
        ("E443", "a serverless endpoint has no instances"),
        ("E443", "AWS has no asynchronous for serverless endpoints"),
    ],
    "deployment_with_an_unknown_option": [("E331", 'there is no argument "instances"')],
    "approval_status": [("E339", 'Did you mean "Approved"?')],
    "two_kinds_of_metrics": [("E339", "both evaluation and model_metrics")],
    "framework": [("E340", 'Did you mean "sklearn"?')],
    "framework_version": [("E340", "Unsupported sklearn version: 1.2-2")],
    "framework_region": [("E340", "Unsupported region: mx-central-9 take another region")],
    "framework_scope": [("E340", "there is no scope 'serving' Known: inference, training.")],
    "image_version_is_a_parameter": [("E335", "the version is no text")],
    "algorithm": [("E340", 'Did you mean "linear-learner"?')],
    "algorithm_is_a_parameter": [("E335", "the algorithm is no text")],
    "algorithm_without_a_version": [("E340", "there are several versions of xgboost give one: ")],
    "no_ranges": [("E333", "there is nothing to search")],
    "range_is_the_wrong_way_round": [("E339", 'the range of "eta" begins at 0.5 and ends at 0.1')],
    "searched_and_fixed": [("E339", '"eta" is both fixed and searched')],
    "no_such_strategy": [("E339", 'Did you mean "Bayesian"?')],
    "grid_of_numbers": [("E339", 'the range of "eta" is not categorical')],
    "grid_with_a_number_of_jobs": [("E339", "a grid has as many jobs as combinations")],
    "no_number_of_jobs": [("E339", "max_jobs is missing")],
    "no_jobs_at_all": [("E336", "max_jobs is 0")],
    "objective_is_not_measured": [("E339", 'the objective "auk" is not one of the metrics Did you mean "auc"?')],
    "model_of_rank_zero": [("E338", "there is no training of rank 0")],
    "best_of_a_training": [("E338", "`best_model` takes a TuningStep, not a TrainingStep")],
    "choices_of_batch": [
        ("E336", "max_payload is 0"),
        ("E339", "there is no split_type 'Lines' Did you mean \"Line\"?"),
        ("E339", "there is no strategy 'Multi' Did you mean \"MultiRecord\"?"),
        ("E339", "there is no join_source 'input' Did you mean \"Input\"?"),
    ],
    "limits_that_batch_does_not_have": [
        ("E339", "a transform job has no volume_size_in_gb"),
        ("E339", "a transform job has no max_runtime_in_seconds"),
    ],
    "predictions_of_a_processing": [("E338", "`predictions` takes a TransformStep, not a ProcessingStep")],
    "gate_of_no_policy": [("E334", "the project's policy bounds no metric")],
    "no_items": [("E437", "there are 0 items")],
    "too_many_items": [("E437", "there are 101 items give 1 to 100 of them; a longer list comes as a parameter")],
    "items_is_a_text": [("E437", "items is 'ab' give a list of items")],
    "items_of_all_kinds": [
        ("E331", "a ForEach has nothing to retry"),
        ("E437", "item 1 is None"),
        ("E437", "item 2 is an object and there is no key give the field that tells the items apart, e.g. key='name'"),
        ("E437", "there are two items 'a'"),
        ("E437", "item 4 is ['c']"),
        ("E437", "there are two items '1'"),
        ("E438", "max_concurrency is 51"),
    ],
    "items_without_the_key": [
        ("E437", 'item 1 has no "name" every item needs it as text or a number; it has nam'),
        ("E437", 'item 2 is 3, which has no "name"'),
        ("E437", "there are two items 'a'"),
    ],
    "concurrency_is_a_parameter": [("E438", "max_concurrency is Many")],
    "empty_body": [("E438", "its body returned []")],
    "gate_in_a_body": [("E438", '"Gate" is a Condition step'), ("E438", "a str among the steps")],
    "selector_on_another_step": [("E438", 'IterationOutput.Scores.ProcessingJobName Did you mean "Score"?')],
    "selector_on_a_parameter": [("E438", "the selector compares Parameters.Auc")],
    "collected_from_no_step": [("E439", 'there is no processing step "Splits" in its body Did you mean "Split"?')],
    "collected_from_a_fixed_place": [("E439", 'no output of "Score" goes to a place below which')],
    "segments": [("E437", "parts is ['train']"), ("E437", "'north/east' is no name of a segment")],
}


@pytest.fixture(scope="module")
def problems(
    sdk_spawn: Callable[[Request], Structure], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Problem]]:
    """What each function of wrong/pipeline.py raised: all of them in one compile."""
    root = tmp_path_factory.mktemp("refusals")
    shutil.copytree(Path(__file__).parent / "wrong", root / "pipelines" / "wrong")
    (root / "pyproject.toml").write_text('[tool.mlops_sm]\nname = "wrong"\n')
    project = load_project(root)
    with pytest.raises(InputError) as raised:
        compile_pipeline(
            project, project.environment("local"), "wrong.pipeline", cache_dir=root / "cache", spawn=sdk_spawn
        )
    by_case: dict[str, list[Problem]] = {}
    for problem in raised.value.problems:
        by_case.setdefault(problem.where.partition(":")[0], []).append(problem)
    return by_case


@pytest.mark.parametrize("case", EXPECTED)
def test_refuses(case: str, problems: dict[str, list[Problem]]) -> None:
    found = problems[case]
    assert [p.code for p in found] == [code for code, _ in EXPECTED[case]]
    for problem, (_, part) in zip(found, EXPECTED[case], strict=True):
        assert part in f"{problem.what} {problem.fix}"


def test_every_wrong_call_is_expected_here(problems: dict[str, list[Problem]]) -> None:
    assert set(problems) == set(EXPECTED)


def test_a_problem_says_which_line_and_which_step(problems: dict[str, list[Problem]]) -> None:
    lines = (Path(__file__).parent / "wrong" / "pipeline.py").read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if text.strip() == 'fail(ctx, "Stop", message="")')
    (problem,) = problems["fail_without_a_message"]
    assert problem.where == f'fail_without_a_message: pipelines/wrong/pipeline.py:{line}, step "Stop"'
