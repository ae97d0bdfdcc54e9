"""A training job under the container contract."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.local.images import ImageTable
from mlops_sm.local.jobs import JobStatus, Metric

NAMES = "import pandas, os, sys\n"


def channel(name: str, uri: str, **members: Any) -> dict[str, Any]:
    source = {"S3Uri": uri, "S3DataType": members.pop("data_type", "S3Prefix")}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **members}


def unpacked(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        found = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
        return {name: file.read() for name, file in found.items() if file is not None}


def test_script_mode_from_data_to_model(either_bench: Any, store: Any) -> None:
    store.put("s3://bucket/data/train/a.csv", "1\n2\n")
    script = (
        NAMES
        + """
import json, helper
print(json.dumps([sys.argv, os.getcwd(), sys.path[0], helper.WHAT]))
rows = len(pandas.read_csv(os.environ["SM_CHANNEL_TRAIN"] + "/a.csv", header=None))
print(f"rows={rows}; loss=0.5", flush=True)
print("loss=0.25", file=sys.stderr)
os.makedirs("/opt/ml/model/sub")
open("/opt/ml/model/sub/model.bin", "w").write("weights")
open(os.environ["SM_OUTPUT_DATA_DIR"] + "/report.txt", "w").write("report")
open("/opt/ml/output/failure", "w").write("not read after success")
"""
    )
    outcome = either_bench.train(
        {"train.py": script, "helper.py": "WHAT = 'helper'\n"},
        hyperparameters={
            "n-estimators": "10",
            "lr": "0.5",
            "name": '"quoted"',
            "f": "true",
            "_tuning_objective_metric": "x",
        },
        channels=[channel("train", "s3://bucket/data/train", ContentType="text/csv")],
        algorithm={
            "MetricDefinitions": [
                {"Name": "loss", "Regex": "loss=([0-9.]+)"},
                {"Name": "rows", "Regex": "rows=([0-9]+)"},
                {"Name": "never", "Regex": "never=([0-9]+)"},
            ]
        },
    )
    assert (outcome.status, outcome.failure_reason, outcome.exit_code) == (JobStatus.COMPLETED, None, 0)
    assert json.loads(either_bench.log().splitlines()[0]) == [
        ["train.py", "-f", "True", "--lr", "0.5", "--n-estimators", "10", "--name", "quoted"],
        "/opt/ml/code",
        "/opt/ml/code",
        "helper",
    ]
    assert [(metric.name, metric.value) for metric in outcome.metrics] == [("loss", 0.5), ("rows", 2), ("loss", 0.25)]
    assert {metric.name: metric.value for metric in outcome.final_metrics} == {"loss": 0.25, "rows": 2}
    assert all(outcome.started <= metric.timestamp <= outcome.ended for metric in outcome.metrics)
    assert outcome.model_artifacts == "s3://bucket/models/job/output/model.tar.gz"
    assert unpacked(store.get(outcome.model_artifacts)) == {"sub/model.bin": b"weights"}
    assert unpacked(store.get("s3://bucket/models/job/output/output.tar.gz")) == {"report.txt": b"report"}
    assert [status for status, _ in either_bench.statuses] == [
        *("Starting", "Downloading", "Training", "Uploading", "Completed")
    ]


def test_a_job_finds_its_configuration(bench: Any, store: Any) -> None:
    store.put("s3://bucket/d/x", "")
    script = """
import json
from pathlib import Path
folder = Path("/opt/ml/input/config")
names = "hyperparameters", "inputdataconfig", "resourceconfig"
print(json.dumps([json.loads((folder / f"{name}.json").read_text()) for name in names]))
"""
    bench.train(
        {"train.py": script},
        channels=[
            channel("a", "s3://bucket/d", ContentType="text/csv"),
            channel("b", "s3://bucket/d", InputMode="File"),
        ],
        hyperparameters={"depth": "3"},
    )
    hyperparameters, data, resources = json.loads(bench.log())
    assert hyperparameters["depth"] == "3"
    assert hyperparameters["sagemaker_program"] == "train.py"
    common = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    assert data == {"a": {**common, "ContentType": "text/csv"}, "b": common}
    assert resources == {
        "current_host": "algo-1",
        "current_instance_type": "ml.m5.large",
        "current_group_name": "homogeneousCluster",
        "hosts": ["algo-1"],
        "instance_groups": [
            {"instance_group_name": "homogeneousCluster", "instance_type": "ml.m5.large", "hosts": ["algo-1"]}
        ],
        "network_interface_name": "eth0",
    }


def test_a_container_entrypoint_runs_as_it_is(either_bench: Any, store: Any) -> None:
    store.put(
        "s3://bucket/code/main.py", NAMES + "print(sys.argv, sorted(k for k in os.environ if k[:3] in ('SM_', 'TRA')))"
    )
    outcome = either_bench.train(
        {},
        algorithm={
            "ContainerEntrypoint": ["python3", "/opt/ml/input/data/code/main.py"],
            "ContainerArguments": ["--epochs", "3"],
        },
        channels=[channel("code", "s3://bucket/code/")],
    )
    assert outcome.status is JobStatus.COMPLETED
    assert either_bench.log() == (
        "['/opt/ml/input/data/code/main.py', '--epochs', '3'] ['TRAINING_JOB_ARN', 'TRAINING_JOB_NAME']\n"
    )


def test_prefixes_are_prefixes_of_keys(bench: Any, store: Any) -> None:
    for key in ("data/train.csv", "data/train-old/b.csv", "data/trash", "other"):
        store.put(f"s3://bucket/{key}", "")
    store.put("s3://bucket/data/", "")
    script = """
from pathlib import Path
root = Path("/opt/ml/input/data/train")
print(sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()))
"""
    bench.train({"train.py": script}, channels=[channel("train", "s3://bucket/data/tra")])
    assert bench.log() == "['train-old/b.csv', 'train.csv', 'trash']\n"


def test_a_manifest_names_its_objects(bench: Any, store: Any) -> None:
    store.put("s3://bucket/lists/m.json", json.dumps([{"prefix": "s3://bucket/data/"}, "a.csv", "deep/b.csv"]))
    for key in ("data/a.csv", "data/deep/b.csv", "data/unlisted.csv"):
        store.put(f"s3://bucket/{key}", key)
    script = "import glob; print(sorted(glob.glob('/opt/ml/input/data/train/**/*.csv', recursive=True)))"
    bench.train({"train.py": script}, channels=[channel("train", "s3://bucket/lists/m.json", data_type="ManifestFile")])
    assert bench.log() == "['/opt/ml/input/data/train/a.csv', '/opt/ml/input/data/train/deep/b.csv']\n"


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ("nonsense", "is not JSON"),
        ('["a"]', 'must be a list that starts with {"prefix"'),
        ('[{"prefix": "s3://bucket/"}, "missing"]', "NoSuchKey"),
        ('[{"prefix": "s3://bucket/"}, "../out"]', "NoSuchKey"),
        ('[{"prefix": "https://x"}, "a"]', "not an S3 URI"),
        ('[{"prefix": "s3://bucket/"}]', "No S3 objects found"),
    ],
)
def test_a_bad_manifest_fails_the_job(bench: Any, store: Any, manifest: str, words: str) -> None:
    store.put("s3://bucket/m", manifest)
    if "../out" in manifest:
        store.put("s3://bucket/../out", "")
        words = "leads out of the input's folder"
    outcome = bench.train({"train.py": ""}, channels=[channel("train", "s3://bucket/m", data_type="ManifestFile")])
    assert outcome.status is JobStatus.FAILED
    assert outcome.failure_reason.startswith("ClientError: Data download failed: ")
    assert words in outcome.failure_reason


def test_an_augmented_manifest_is_refused(bench: Any, store: Any) -> None:
    outcome = bench.train(
        {"train.py": ""}, channels=[channel("train", "s3://bucket/m", data_type="AugmentedManifestFile")]
    )
    assert "only be used if the Channel's input mode is Pipe" in outcome.failure_reason


def test_a_failure_file_is_the_reason(either_bench: Any, store: Any) -> None:
    script = NAMES + "open('/opt/ml/output/failure', 'w').write('the data is bad ' + 'x' * 2000)\nsys.exit(3)"
    outcome = either_bench.train({"train.py": script})
    assert (outcome.status, outcome.exit_code, outcome.model_artifacts) == (JobStatus.FAILED, 3, None)
    assert outcome.failure_reason.startswith("AlgorithmError: the data is bad xxx")
    assert outcome.failure_reason.endswith("xxx, exit code: 3")
    assert len(outcome.failure_reason) == 1024
    assert not [key for key in store.keys("bucket") if key.startswith("models/")]


def test_without_a_failure_file_the_toolkits_words_are_the_reason(either_bench: Any) -> None:
    outcome = either_bench.train({"train.py": NAMES + "raise ValueError('no rows')"}, hyperparameters={"depth": "3"})
    assert outcome.failure_reason == (
        'AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "ValueError: no rows"\n'
        'Command "python3 train.py --depth 3", exit code: 1'
    )


def test_an_entrypoint_that_fails_has_no_words(bench: Any) -> None:
    outcome = bench.train({}, algorithm={"ContainerEntrypoint": ["/bin/sh", "-c", "exit 9"]})
    assert outcome.failure_reason == "AlgorithmError: , exit code: 9"


def test_a_failure_file_that_is_a_link_is_not_followed(bench: Any) -> None:
    script = "ln -s /etc/passwd /opt/ml/output/failure; exit 1"
    outcome = bench.train({}, algorithm={"ContainerEntrypoint": ["/bin/sh", "-c", script]})
    assert outcome.failure_reason == "AlgorithmError: , exit code: 1"


def test_an_uncompressed_model_is_uploaded_file_by_file(bench: Any, store: Any) -> None:
    outcome = bench.train(
        {"train.py": "open('/opt/ml/model/a', 'w').write('a')\nopen('/opt/ml/output/data/b', 'w').write('b')"},
        OutputDataConfig={"S3OutputPath": "s3://bucket/models/", "CompressionType": "NONE"},
    )
    assert outcome.model_artifacts == "s3://bucket/models/job/output/model/"
    assert store.get("s3://bucket/models/job/output/model/a") == b"a"
    assert store.get("s3://bucket/models/job/output/data/b") == b"b"


def test_checkpoints_come_and_go(bench: Any, store: Any) -> None:
    store.put("s3://bucket/checkpoints/1.ckpt", "one")
    store.put("s3://bucket/checkpoints-of-others/x", "")
    script = """
import os
print(os.listdir("/opt/ml/checkpoints"))
open("/opt/ml/checkpoints/2.ckpt", "w").write("two")
raise SystemExit(1)
"""
    outcome = bench.train({"train.py": script}, CheckpointConfig={"S3Uri": "s3://bucket/checkpoints"})
    assert outcome.status is JobStatus.FAILED
    assert bench.log() == "['1.ckpt']\n"
    assert store.get("s3://bucket/checkpoints/2.ckpt") == b"two"


def test_checkpoints_are_in_s3_while_the_job_trains(watching: Any) -> None:
    bench, store = watching("checkpoints/1.ckpt", "checkpoints/sign")
    script = """
import os, time
open("/opt/ml/checkpoints/1.ckpt", "w").write("one")
give_up = time.monotonic() + 60
while not os.path.exists("/opt/ml/checkpoints/sign") and time.monotonic() < give_up:
    time.sleep(0.05)
print(os.path.exists("/opt/ml/checkpoints/sign"))
"""
    outcome = bench.train({"train.py": script}, CheckpointConfig={"S3Uri": "s3://bucket/checkpoints"})
    assert outcome.status is JobStatus.COMPLETED
    assert bench.log() == "True\n", "the job saw its checkpoint in S3"
    assert store.get("s3://bucket/checkpoints/1.ckpt") == b"one"


def test_checkpoints_may_start_from_nothing_in_a_folder_of_their_own(bench: Any, store: Any) -> None:
    config = {"S3Uri": "s3://bucket/new", "LocalPath": "/opt/ml/state"}
    outcome = bench.train({"train.py": "open('/opt/ml/state/a', 'w')"}, CheckpointConfig=config)
    assert outcome.status is JobStatus.COMPLETED
    assert "new/a" in store.keys("bucket")


def test_the_runtime_limit_keeps_what_the_job_saves_in_its_grace_time(bench: Any, store: Any) -> None:
    script = """
import signal, sys
def save(*_):
    open("/opt/ml/model/partial", "w").write("partial")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
while True:
    signal.pause()
"""
    outcome = bench.train({"train.py": script}, StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert (outcome.status, outcome.secondary_status) == (JobStatus.STOPPED, "MaxRuntimeExceeded")
    assert unpacked(store.get(outcome.model_artifacts)) == {"partial": b"partial"}
    assert [status for status, _ in bench.statuses][-3:] == ["Stopping", "Uploading", "MaxRuntimeExceeded"]


def test_metrics_are_found_while_the_job_runs(bench: Any) -> None:
    class Clock:
        """Stops the job when the first metric asks for the time."""

        def __init__(self, inner: Any) -> None:
            self.inner, self.calls = inner, 0

        def __call__(self) -> Any:
            self.calls += 1
            if self.calls == 3:  # the first two are the request's and the process's start
                bench.stop.set()
            return self.inner()

    bench.site = replace(bench.site, clock=Clock(bench.site.clock))
    outcome = bench.train(
        {"train.py": "import signal\nprint('loss=1', flush=True)\nsignal.pause()"},
        algorithm={"MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}]},
    )
    assert outcome.status is JobStatus.STOPPED
    assert [(metric.name, metric.value) for metric in outcome.metrics] == [("loss", 1.0)]
    assert isinstance(outcome.metrics[0], Metric)


def test_a_metric_whose_expression_is_invalid_fails_the_job(bench: Any) -> None:
    outcome = bench.train({"train.py": ""}, algorithm={"MetricDefinitions": [{"Name": "m", "Regex": "("}]})
    assert outcome.failure_reason.startswith("ClientError: MetricDefinitions: the regex of m is invalid")


def test_a_source_that_would_be_installed_as_a_package_is_refused(bench: Any) -> None:
    outcome = bench.train({"train.py": "", "setup.py": ""})
    assert outcome.status is JobStatus.FAILED
    assert "setup.py" in outcome.failure_reason
    assert bench.log() == ""


def test_satisfied_requirements_are_no_obstacle(bench: Any) -> None:
    outcome = bench.train({"train.py": "", "requirements.txt": "# ours\nnumpy>=1.20\npandas\n"})
    assert outcome.status is JobStatus.COMPLETED


def test_a_program_may_be_a_shell_script(bench: Any) -> None:
    outcome = bench.train(
        {"run.sh": '#!/bin/sh\necho "$@" in $(pwd)\n'}, hyperparameters={"sagemaker_program": "run.sh", "a b": "c d"}
    )
    assert outcome.status is JobStatus.COMPLETED
    assert bench.log() == "--a b c d in /opt/ml/code\n"


def test_source_may_be_a_folder_of_the_job(bench: Any, store: Any) -> None:
    store.put("s3://bucket/source-folder/train.py", "print('from a channel')")
    outcome = bench.train(
        {},
        hyperparameters={"sagemaker_submit_directory": "/opt/ml/input/data/source"},
        channels=[channel("source", "s3://bucket/source-folder")],
    )
    assert (outcome.status, bench.log()) == (JobStatus.COMPLETED, "from a channel\n")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("s3://bucket/none.tar.gz", "NoSuchKey"),
        ("/etc", "must be a folder in /opt/ml/"),
        ("/opt/ml/input/data/none", "is not there"),
        ("s3://bucket/code.txt", "the source archive is refused"),
    ],
)
def test_source_that_is_not_there_fails_the_job(bench: Any, store: Any, source: str, words: str) -> None:
    store.put("s3://bucket/code.txt", "text")
    outcome = bench.train({}, hyperparameters={"sagemaker_submit_directory": source})
    assert outcome.status is JobStatus.FAILED
    assert words in outcome.failure_reason


def test_a_missing_program_is_what_python_says(bench: Any) -> None:
    outcome = bench.train({"other.py": ""})
    assert outcome.exit_code == 2
    assert "can't open file '/opt/ml/code/train.py'" in outcome.failure_reason


@pytest.mark.parametrize(
    ("algorithm", "words"),
    [
        ({"TrainingImage": "x/linear-learner:1"}, "built-in algorithm"),
        ({"TrainingImage": "x/mine:1"}, "stands for nothing"),
        ({"TrainingImage": None, "AlgorithmName": "a"}, "no TrainingImage"),
    ],
)
def test_images_that_stand_for_nothing_fail_the_job(bench: Any, algorithm: dict[str, Any], words: str) -> None:
    outcome = bench.train({"train.py": ""}, algorithm=algorithm)
    assert outcome.status is JobStatus.FAILED
    assert words in outcome.failure_reason


def test_a_training_without_script_or_entrypoint_fails(bench: Any) -> None:
    outcome = bench.train({}, HyperParameters={"max_depth": "3"})
    assert "neither ContainerEntrypoint nor the hyperparameter sagemaker_program" in outcome.failure_reason


def test_a_stop_while_training_keeps_the_model(bench: Any, store: Any) -> None:
    started = threading.Event()
    bench.statuses = Recorder(started)
    script = "import signal\nopen('/opt/ml/model/a', 'w').write('a')\nsignal.pause()"
    done: dict[str, Any] = {}
    thread = threading.Thread(target=lambda: done.update(outcome=bench.train({"train.py": script})))
    thread.start()
    assert started.wait(60)
    bench.stop.set()
    thread.join(60)
    assert done["outcome"].status is JobStatus.STOPPED
    assert done["outcome"].model_artifacts == "s3://bucket/models/job/output/model.tar.gz"


class Recorder(list[tuple[str, str]]):
    """Statuses; says when training starts."""

    def __init__(self, started: threading.Event) -> None:
        super().__init__()
        self._started = started

    def append(self, item: tuple[str, str]) -> None:
        super().append(item)
        if item[0] == "Training":
            self._started.set()


def test_the_images_own_program_trains(site: Any, store: Any, make_bench: Any, tmp_path: Path) -> None:
    program = tmp_path / "train"
    program.write_text(
        '#!/bin/sh\ncp /opt/ml/input/config/hyperparameters.json "/opt/ml/model/own.json"\necho loss=1.5\n'
    )
    program.chmod(0o755)
    bench = make_bench(replace(site, images=ImageTable.of({"mine": str(tmp_path)})), store)
    outcome = bench.train({"train.py": "raise SystemExit(3)"}, algorithm={"TrainingImage": "1.dkr.x/mine:1"})
    assert outcome.status == "Completed", outcome.failure_reason
    assert bench.log() == "loss=1.5\n"
