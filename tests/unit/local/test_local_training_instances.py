"""Training jobs of several instances.

Rules: developer guide, "How Amazon SageMaker Provides Training Information" (resourceconfig.json), "Configure a
training job with a heterogeneous cluster", "How Amazon SageMaker Processes Training Output" (one archive of all); API
reference, S3DataSource (S3DataDistributionType, InstanceGroupNames).
"""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

from mlops_sm.local.jobs import JobStatus, log_path, log_paths, run_training
from mlops_sm.local.jobs.layout import Layout

TWO = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}


def channel(name: str, uri: str, **source: Any) -> dict[str, Any]:
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3Uri": uri, "S3DataType": "S3Prefix", **source}}}


def model(store: Any, uri: str = "s3://bucket/models/job/output/model.tar.gz") -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(store.get(uri))) as tar:
        files = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
        assert len(files) == len([member for member in tar if member.isfile()]), "a name is there twice"
        return {name: file.read().decode() for name, file in files.items() if file is not None}


def logs(bench: Any) -> dict[str, str]:
    return {host: path.read_text() for host, path in log_paths(log_path(bench.site.jobs, "job")).items()}


TALK = """
import json, os, socket, sys, time
me, hosts = os.environ["SM_CURRENT_HOST"], json.loads(os.environ["SM_HOSTS"])
if me == os.environ["SM_MASTER_ADDR"]:
    with socket.create_server((me, 23456)) as server:
        connection, (address, _) = server.accept()
        with connection, connection.makefile("rw") as lines:
            print(me, "heard", lines.readline().strip(), "from", address == socket.gethostbyname(hosts[1]))
            print("hello", hosts[1], file=lines, flush=True)
else:
    while True:
        try:
            connection = socket.create_connection((os.environ["SM_MASTER_ADDR"], 23456), source_address=(me, 0))
            break
        except ConnectionRefusedError:
            time.sleep(0.01)
    with connection, connection.makefile("rw") as lines:
        print("hello", hosts[0], file=lines, flush=True)
        print(me, "heard", lines.readline().strip())
print("loss=%d" % len(me + "x" * (me == hosts[1])), flush=True)
os.makedirs("/opt/ml/model/shared", exist_ok=True)
open(f"/opt/ml/model/shared/{me}", "w").write(me)
open("/opt/ml/model/clash", "w").write(me)
"""


def test_two_instances_talk_by_name_and_leave_one_model(either_bench: Any, store: Any) -> None:
    heard: list[Any] = []
    definitions = [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]
    store.put("s3://bucket/code/train.py", TALK)
    request = {
        "AlgorithmSpecification": {"TrainingImage": "python:3.11", "MetricDefinitions": definitions},
        "HyperParameters": {
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": "/opt/ml/input/data/code",
        },
        "InputDataConfig": [channel("code", "s3://bucket/code/")],
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/models"},
        "ResourceConfig": TWO,
    }
    outcome = run_training(request, **either_bench._around("job"), on_metric=heard.append)
    assert outcome.status is JobStatus.COMPLETED, (outcome, logs(either_bench))
    said = logs(either_bench)
    assert said["algo-1"].splitlines()[0] == "algo-1 heard hello algo-1 from True"
    assert said["algo-2"].splitlines()[0] == "algo-2 heard hello algo-2"
    assert model(store) == {"shared/algo-1": "algo-1", "shared/algo-2": "algo-2", "clash": "algo-1"}
    assert sorted(metric.value for metric in outcome.metrics) == [6.0, 7.0]
    assert list(outcome.metrics) == heard
    assert [status for status, _ in either_bench.statuses] == [
        *("Starting", "Downloading", "Training", "Uploading", "Completed")
    ]


def test_uncompressed_models_are_merged_too(bench: Any, store: Any) -> None:
    script = """
import os
me = os.environ["SM_CURRENT_HOST"]
for name in (me, "clash"):
    open(f"/opt/ml/model/{name}", "w").write(me)
if me == "algo-2":
    open("/opt/ml/output/data/late", "w").write(me)
"""
    output = {"S3OutputPath": "s3://bucket/models", "CompressionType": "NONE"}
    outcome = bench.train({"train.py": script}, ResourceConfig=TWO, OutputDataConfig=output)
    assert outcome.model_artifacts == "s3://bucket/models/job/output/model/"
    found = {key: store.read("bucket", key).decode() for key in store.keys("bucket") if key.startswith("models")}
    assert found == {
        "models/job/output/data/late": "algo-2",
        "models/job/output/model/algo-1": "algo-1",
        "models/job/output/model/algo-2": "algo-2",
        "models/job/output/model/clash": "algo-1",
    }


def test_groups_have_their_own_types_hosts_and_data(bench: Any, store: Any) -> None:
    for name in "abc":
        store.put(f"s3://bucket/data/{name}", name)
    script = """
import json, os
from pathlib import Path
config = {name: json.loads(Path(f"/opt/ml/input/config/{name}.json").read_text())
          for name in ("resourceconfig", "inputdataconfig")}
config["files"] = {p.name: sorted(os.listdir(p)) for p in sorted(Path("/opt/ml/input/data").iterdir())}
wanted = "CURRENT_INSTANCE_GROUP", "CURRENT_INSTANCE_GROUP_HOSTS", "INSTANCE_GROUPS", "IS_HETERO", "CHANNELS"
config["environment"] = {f"SM_{name}": os.environ[f"SM_{name}"] for name in wanted}
print(json.dumps(config))
"""
    groups = [
        {"InstanceGroupName": "data", "InstanceType": "ml.c5.large", "InstanceCount": 1},
        {"InstanceGroupName": "train", "InstanceType": "ml.p3.2xlarge", "InstanceCount": 2},
    ]
    outcome = bench.train(
        {"train.py": script},
        ResourceConfig={"InstanceGroups": groups, "VolumeSizeInGB": 1},
        channels=[
            channel("all", "s3://bucket/data/"),
            channel(
                "shared",
                "s3://bucket/data/",
                S3DataDistributionType="ShardedByS3Key",
                InstanceGroupNames=["train"],
            ),
        ],
    )
    assert outcome.status is JobStatus.COMPLETED, outcome
    seen = {host: json.loads(text) for host, text in logs(bench).items()}
    assert seen["algo-1"]["resourceconfig"] == {
        "current_host": "algo-1",
        "current_instance_type": "ml.c5.large",
        "current_group_name": "data",
        "hosts": ["algo-1", "algo-2", "algo-3"],
        "instance_groups": [
            {"instance_group_name": "data", "instance_type": "ml.c5.large", "hosts": ["algo-1"]},
            {"instance_group_name": "train", "instance_type": "ml.p3.2xlarge", "hosts": ["algo-2", "algo-3"]},
        ],
        "network_interface_name": "eth0",
    }
    assert seen["algo-3"]["resourceconfig"]["current_group_name"] == "train"
    assert [seen[host]["files"] for host in sorted(seen)] == [
        {"all": ["a", "b", "c"]},
        {"all": ["a", "b", "c"], "shared": ["a", "c"]},
        {"all": ["a", "b", "c"], "shared": ["b"]},
    ]
    assert list(seen["algo-1"]["inputdataconfig"]) == ["all"]
    assert seen["algo-2"]["environment"] == {
        "SM_CURRENT_INSTANCE_GROUP": "train",
        "SM_CURRENT_INSTANCE_GROUP_HOSTS": '["algo-2","algo-3"]',
        "SM_INSTANCE_GROUPS": '["data","train"]',
        "SM_IS_HETERO": "true",
        "SM_CHANNELS": '["all","shared"]',
    }


def test_the_failure_of_one_instance_ends_all_with_its_reason(bench: Any) -> None:
    script = """
import os, time
if os.environ["SM_CURRENT_HOST"] == "algo-2":
    open("/opt/ml/output/failure", "w").write("two has had enough")
    raise SystemExit(3)
time.sleep(600)
"""
    outcome = bench.train({"train.py": script}, ResourceConfig=TWO)
    assert (outcome.status, outcome.failure_reason) == (
        JobStatus.FAILED,
        "AlgorithmError: two has had enough, exit code: 3",
    )


def test_all_instances_end_when_the_time_is_over(bench: Any) -> None:
    script = "import time\ntime.sleep(600)"
    outcome = bench.train({"train.py": script}, ResourceConfig=TWO, StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert (outcome.status, outcome.secondary_status) == (JobStatus.STOPPED, "MaxRuntimeExceeded")


def test_hosts_are_numbered_through_and_sorted_as_text() -> None:
    layout = Layout.of({"InstanceType": "ml.m5.large", "InstanceCount": 11})
    assert layout.hosts[:4] == ("algo-1", "algo-10", "algo-11", "algo-2")
    groups = [
        {"InstanceGroupName": name, "InstanceType": "t", "InstanceCount": count} for name, count in (("a", 9), ("b", 2))
    ]
    assert [group.hosts for group in Layout.of({"InstanceGroups": groups}).groups][1] == ("algo-10", "algo-11")
    preferred = Layout.of({"InstancePreferences": [{"InstanceType": "first", "InstanceCount": 2}]})
    assert [(group.instance_type, len(group.hosts)) for group in preferred.groups] == [("first", 2)]
