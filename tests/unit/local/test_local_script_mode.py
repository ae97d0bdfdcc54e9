"""Script mode's arguments and variables, as the sagemaker-training toolkit makes them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.local.jobs.script_mode import ScriptMode, decode, to_arguments

RESOURCES = {
    "current_host": "algo-1",
    "current_instance_type": "ml.m5.large",
    "current_group_name": "homogeneousCluster",
    "hosts": ["algo-1"],
    "instance_groups": [
        {"instance_group_name": "homogeneousCluster", "instance_type": "ml.m5.large", "hosts": ["algo-1"]}
    ],
    "network_interface_name": "eth0",
}


def script(**hyperparameters: str) -> ScriptMode:
    made = ScriptMode.of({"sagemaker_program": "train.py", **hyperparameters}, {})
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"train.py"', "train.py"),
        ("train.py", "train.py"),
        ("0.5", 0.5),
        ("10", 10),
        ("true", True),
        ("True", "True"),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ('{"a": 1}', {"a": 1}),
        ("", ""),
        ("1e3", 1000.0),
        ("007", "007"),
    ],
)
def test_values_are_json_where_they_are_json(text: str, value: Any) -> None:
    assert decode(text) == value


@given(st.dictionaries(st.text(min_size=1), st.none() | st.booleans() | st.integers() | st.text()))
def test_arguments_are_pairs_in_the_order_of_the_names(hyperparameters: dict[str, Any]) -> None:
    arguments = to_arguments(hyperparameters)
    names, values = arguments[::2], arguments[1::2]
    assert len(names) == len(values) == len(hyperparameters)
    assert names == [("--" if len(name) > 1 else "-") + name for name in sorted(hyperparameters)]
    assert all(isinstance(value, str) for value in values)


def test_arguments_of_structures() -> None:
    given_ = {"b": [1, "x"], "map": {"k2": 2, "k1": "v"}, "none": None, "flag": True, "text": "a b"}
    assert to_arguments(given_) == [
        *("-b", "[1, 'x']", "--flag", "True", "--map", "k1=v,k2=2", "--none", "", "--text", "a b")
    ]


def test_platform_parameters_are_not_arguments() -> None:
    made = script(
        sagemaker_submit_directory='"s3://b/s.tar.gz"',
        sagemaker_container_log_level="10",
        sagemaker_estimator_class_name='"SKLearn"',
        _tuning_objective_metric="auc",
        depth="3",
    )
    assert made.argv() == ("python3", "train.py", "--depth", "3")
    assert made.source == "s3://b/s.tar.gz"
    variables = made.environment("job", {}, RESOURCES)
    assert json.loads(variables["SM_HPS"]) == {"depth": 3}
    assert json.loads(variables["SM_FRAMEWORK_PARAMS"]) == {"sagemaker_estimator_class_name": "SKLearn"}
    assert variables["SM_LOG_LEVEL"] == "10"


def test_variables() -> None:
    made = script(**{"n-estimators": "10", "name": '"x"', "sagemaker_submit_directory": "s3://b/s.tar.gz"})
    data = {name: {"TrainingInputMode": "File"} for name in ("train", "a-b")}
    variables = made.environment("my-job", data, RESOURCES)
    expected = {
        "SM_MODEL_DIR": "/opt/ml/model",
        "SM_OUTPUT_DATA_DIR": "/opt/ml/output/data",
        "SM_OUTPUT_DIR": "/opt/ml/output",
        "SM_INPUT_DIR": "/opt/ml/input",
        "SM_INPUT_CONFIG_DIR": "/opt/ml/input/config",
        "SM_CHANNEL_TRAIN": "/opt/ml/input/data/train",
        "SM_CHANNEL_A-B": "/opt/ml/input/data/a-b",
        "SM_CHANNELS": '["a-b","train"]',
        "SM_HPS": '{"n-estimators":10,"name":"x"}',
        "SM_HP_N-ESTIMATORS": "10",
        "SM_HP_NAME": "x",
        "SM_HOSTS": '["algo-1"]',
        "SM_CURRENT_HOST": "algo-1",
        "SM_CURRENT_INSTANCE_TYPE": "ml.m5.large",
        "SM_CURRENT_INSTANCE_GROUP": "homogeneousCluster",
        "SM_NUM_GPUS": "0",
        "SM_NETWORK_INTERFACE_NAME": "eth0",
        "SM_MODULE_NAME": "train",
        "SM_MODULE_DIR": "s3://b/s.tar.gz",
        "SM_USER_ENTRY_POINT": "train.py",
        "SM_USER_ARGS": '["--n-estimators","10","--name","x"]',
        "SM_LOG_LEVEL": "20",
        "SM_FRAMEWORK_MODULE": "",
        "SM_FRAMEWORK_PARAMS": "{}",
        "SM_IS_HETERO": "false",
        "PYTHONPATH": "/opt/ml/code",
    }
    assert {name: variables[name] for name in expected} == expected
    assert int(variables["SM_NUM_CPUS"]) >= 1
    assert json.loads(variables["SM_RESOURCE_CONFIG"]) == RESOURCES
    assert json.loads(variables["SM_INPUT_DATA_CONFIG"]) == data
    training_env = json.loads(variables["SM_TRAINING_ENV"])
    assert training_env["job_name"] == "my-job"
    assert training_env["hyperparameters"] == {"n-estimators": 10, "name": "x"}
    assert training_env["channel_input_dirs"] == {name: f"/opt/ml/input/data/{name}" for name in data}
    assert training_env["is_master"] is True
    assert all(isinstance(value, str) for value in variables.values())


def test_the_program_may_stand_in_the_environment() -> None:
    made = ScriptMode.of(
        {}, {"SAGEMAKER_PROGRAM": "src/fit.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/input/data/code"}
    )
    assert made is not None
    assert made.argv() == ("python3", "src/fit.py")
    assert made.source == "/opt/ml/input/data/code"


def test_without_a_program_it_is_no_script_mode() -> None:
    assert ScriptMode.of({"max_depth": "3"}, {}) is None


def test_a_shell_program_is_quoted() -> None:
    made = script(sagemaker_program="run me.sh", a="x; rm -rf /")
    assert made.argv() == ("/bin/sh", "-c", "chmod 755 'run me.sh' && './run me.sh' -a 'x; rm -rf /'")
