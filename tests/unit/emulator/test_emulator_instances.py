"""Processing jobs of several instances: their names, their shares of the input, their outputs, and how they end.

Rules: developer guide, "Build your own processing container" (resourceconfig.json); API reference, ProcessingS3Input
(S3DataDistributionType).
"""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

SCRIPT = """
import json, os, socket
config = json.load(open("/opt/ml/config/resourceconfig.json"))
host = config["current_host"]
config["files"] = sorted(os.listdir("/opt/ml/processing/data"))
config["addresses"] = [socket.gethostbyname(name) for name in config["hosts"]]
json.dump(config, open(f"/opt/ml/processing/out/{host}.json", "w"))
print("hello from", host)
"""


def several(request: dict[str, Any], distribution: str = "ShardedByS3Key") -> dict[str, Any]:
    request["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = 2
    source = {
        "S3Uri": "s3://emulator-tests/data/",
        "LocalPath": "/opt/ml/processing/data",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
        "S3DataDistributionType": distribution,
    }
    request["ProcessingInputs"].append({"InputName": "data", "S3Input": source})
    return request


def test_every_instance_has_its_name_its_share_and_its_output(account: Any) -> None:
    for name in "abc":
        account.put(f"data/{name}", name)
    account.sagemaker.create_processing_job(**several(account.processing_request("two", SCRIPT)))
    ended = account.processing_end("two")
    assert ended["ProcessingJobStatus"] == "Completed", ended
    seen = {host: json.loads(account.body(f"two/out/{host}.json")) for host in ("algo-1", "algo-2")}
    for host, config in seen.items():
        assert config["current_host"] == host
        assert config["hosts"] == ["algo-1", "algo-2"]
        addresses = [ipaddress.ip_address(address) for address in config["addresses"]]
        assert all(address.is_loopback for address in addresses)
        assert int(addresses[1]) == int(addresses[0]) + 1
    assert [seen[host]["files"] for host in sorted(seen)] == [["a", "c"], ["b"]]


def test_what_is_replicated_is_whole_on_every_instance(account: Any) -> None:
    account.put("data/a", "a")
    request = several(account.processing_request("whole", SCRIPT), "FullyReplicated")
    account.sagemaker.create_processing_job(**request)
    assert account.processing_end("whole")["ProcessingJobStatus"] == "Completed"
    assert json.loads(account.body("whole/out/algo-2.json"))["files"] == ["a"]


def test_the_failure_of_one_ends_all(account: Any) -> None:
    account.put("data/a", "a")
    script = """
import json, time
if json.load(open("/opt/ml/config/resourceconfig.json"))["current_host"] == "algo-2":
    open("/opt/ml/output/message", "w").write("two has had enough")
    raise SystemExit(3)
time.sleep(600)
"""
    account.sagemaker.create_processing_job(**several(account.processing_request("bad", script), "FullyReplicated"))
    ended = account.processing_end("bad")
    assert ended["ProcessingJobStatus"] == "Failed"
    assert ended["FailureReason"] == "AlgorithmError: two has had enough, exit code: 3"


def test_without_network_they_cannot_meet(account: Any) -> None:
    account.put("data/a", "a")
    request = several(account.processing_request("alone", SCRIPT))
    request["NetworkConfig"] = {"EnableNetworkIsolation": True}
    with pytest.raises(ClientError, match=r"cannot reach each other .*E418"):
        account.sagemaker.create_processing_job(**request)


def test_every_instance_has_a_log_of_its_own(account: Any) -> None:
    account.put("data/a", "a")
    account.sagemaker.create_processing_job(**several(account.processing_request("two", SCRIPT), "FullyReplicated"))
    account.processing_end("two")
    logs, group = account.client("logs"), "/aws/sagemaker/ProcessingJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="two/")["logStreams"]
    names = [stream["logStreamName"] for stream in streams]
    assert [name.rpartition("-")[0] for name in names] == ["two/algo-1", "two/algo-2"]
    assert [
        [event["message"] for event in logs.get_log_events(logGroupName=group, logStreamName=name)["events"]]
        for name in names
    ] == [["hello from algo-1"], ["hello from algo-2"]]
    found = logs.filter_log_events(logGroupName=group, logStreamNamePrefix="two/", filterPattern="hello")["events"]
    assert [event["logStreamName"] for event in found] == names
    assert len({event["eventId"] for event in found}) == 2
