"""The SDK's container drivers, as ModelTrainer sends them, run unchanged. Only their files are used, not the SDK."""

from __future__ import annotations

import json
import re
import runpy
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.local.jobs import JobStatus, log_path, log_paths

TRAIN = Path(sysconfig.get_path("purelib"), "sagemaker/train")
TRAINER = {
    "ContainerEntrypoint": ["/bin/bash"],
    "ContainerArguments": [
        "-c",
        "chmod +x /opt/ml/input/data/sm_drivers/sm_train.sh && /opt/ml/input/data/sm_drivers/sm_train.sh",
    ],
}


def channel(name: str, uri: str) -> dict[str, Any]:
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3Uri": uri, "S3DataType": "S3Prefix"}}}


@pytest.fixture
def drivers(store: Any) -> list[dict[str, Any]]:
    """The channels of a ModelTrainer with a source folder."""
    if not TRAIN.is_dir():
        pytest.skip("THE SDK IS NOT INSTALLED: its container drivers are not tested here")
    for path in (TRAIN / "container_drivers").rglob("*.py"):
        key = path.relative_to(TRAIN / "container_drivers").as_posix()
        store.put(f"s3://bucket/job/input/sm_drivers/{key}", path.read_bytes())
    templates = runpy.run_path(str(TRAIN / "templates.py"))
    script = templates["TRAIN_SCRIPT_TEMPLATE"].format(
        working_dir="cd /opt/ml/input/data/code",
        install_requirements="",
        execute_driver=templates["EXECUTE_BASIC_SCRIPT_DRIVER"],
    )
    store.put("s3://bucket/job/input/sm_drivers/sm_train.sh", script)
    source = {"source_dir": "src", "entry_script": "train.py"}
    store.put("s3://bucket/job/input/sm_drivers/sourcecode.json", json.dumps(source))
    store.put("s3://bucket/job/input/sm_drivers/distributed.json", "{}")
    return [channel(name, f"s3://bucket/job/input/{name}") for name in ("code", "sm_drivers")]


def test_a_model_trainers_job_trains(bench: Any, store: Any, drivers: list[dict[str, Any]]) -> None:
    store.put(
        "s3://bucket/job/input/code/train.py",
        """
import os, sys
print(sys.argv[1:], os.environ["SM_HP_LEARNING_RATE"], os.environ["SM_SOURCE_DIR"], os.getcwd())
open(os.environ["SM_MODEL_DIR"] + "/model", "w").write("model")
""",
    )
    outcome = bench.train({}, algorithm=TRAINER, channels=drivers, HyperParameters={"learning-rate": "0.1"})
    assert outcome.status is JobStatus.COMPLETED, bench.log()
    assert "['--learning-rate', '0.1'] 0.1 /opt/ml/input/data/code /opt/ml/input/data/code" in bench.log()
    assert outcome.model_artifacts is not None


def test_a_model_trainers_failure_is_its_drivers_words(bench: Any, store: Any, drivers: list[dict[str, Any]]) -> None:
    store.put("s3://bucket/job/input/code/train.py", "raise SystemExit(3)")
    outcome = bench.train({}, algorithm=TRAINER, channels=drivers, HyperParameters={})
    assert outcome.status is JobStatus.FAILED
    assert outcome.exit_code not in {0, None}
    assert outcome.failure_reason.startswith("AlgorithmError: ")
    assert outcome.failure_reason != f"AlgorithmError: , exit code: {outcome.exit_code}"


def test_a_model_trainers_instances_know_each_other(bench: Any, store: Any, drivers: list[dict[str, Any]]) -> None:
    store.put(
        "s3://bucket/job/input/code/train.py",
        """
import os, socket
names = "SM_CURRENT_HOST", "SM_HOSTS", "SM_HOST_COUNT", "SM_MASTER_ADDR", "SM_CURRENT_INSTANCE_TYPE"
print("seen", *(os.environ[name] for name in names), socket.gethostbyname(os.environ["SM_CURRENT_HOST"]))
""",
    )
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}
    outcome = bench.train({}, algorithm=TRAINER, channels=drivers, HyperParameters={}, ResourceConfig=resources)
    assert outcome.status is JobStatus.COMPLETED, bench.log()
    for host, log in log_paths(log_path(bench.site.jobs, "job")).items():
        (seen,) = [line for line in log.read_text().splitlines() if line.startswith("seen")]
        assert re.fullmatch(
            rf'seen{host}\["algo-1","algo-2"\]2algo-1ml.m5.large127\.\d+\.\d+\.{host[-1]}', seen.replace(" ", "")
        )


@pytest.mark.parametrize(
    ("driver", "why"),
    [
        ("torchrun_driver.py", "started by torchrun (distributed=Torchrun), and torch is not installed"),
        ("mpi_driver.py", "started by mpirun (distributed=MPI), which is not on this machine"),
    ],
)
def test_a_distribution_that_is_not_here_is_named(
    driver: str, why: str, bench: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setenv("PATH", "/nowhere")
    store.put("s3://bucket/job/input/sm_drivers/sm_train.sh", f"python3 {driver}\n")
    outcome = bench.train({}, algorithm=TRAINER, channels=[channel("sm_drivers", "s3://bucket/job/input/sm_drivers")])
    assert outcome.status is JobStatus.FAILED
    assert why in outcome.failure_reason
