"""Transform jobs through the API: what they answer, what they store, how they fail."""

from __future__ import annotations

import gzip
import io
import json
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mlops_sm.emulator.faults import Fault
from mlops_sm.local.faults import FaultKind
from mlops_sm.local.warm import WarmWorkers

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"

# Doubles every number of a row; says what else it was told.
DOUBLE = """
import json, os

def model_fn(model_dir):
    return json.load(open(os.path.join(model_dir, "factor.json")))

def input_fn(body, content_type):
    print("payload", len(body.splitlines()), content_type)
    if content_type not in ("text/csv", "application/jsonlines"):
        raise ValueError("what is " + content_type)
    text = body if isinstance(body, str) else body.decode()
    if content_type == "text/csv":
        return [[float(cell) for cell in line.split(",")] for line in text.splitlines()]
    return [json.loads(line) for line in text.splitlines()]

def predict_fn(rows, factor):
    return [sum(row) * factor for row in rows]

def output_fn(sums, accept):
    return "".join(f"{value}\\n" for value in sums), accept
"""


def packed(files: dict[str, str | bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            body = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return stream.getvalue()


class Batch:
    """A model in the account, and transform jobs on it."""

    def __init__(self, account: Any) -> None:
        self.account = account
        self.model({"code/inference.py": DOUBLE, "factor.json": "2"})

    def model(self, files: dict[str, str | bytes] | bytes, name: str = "doubler", **container: Any) -> str:
        body = files if isinstance(files, bytes) else packed(files)
        url = self.account.put(f"models/{name}.tar.gz", body)
        self.account.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=self.account.role,
            PrimaryContainer={"Image": IMAGE, "ModelDataUrl": url, **container},
        )
        return name

    def request(self, name: str = "job", **members: Any) -> dict[str, Any]:
        source = members.pop("source", {})
        target = members.pop("target", {})
        return {
            "TransformJobName": name,
            "ModelName": "doubler",
            "TransformInput": {
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{self.account.bucket}/in/"}},
                "ContentType": "text/csv",
                "SplitType": "Line",
                **source,
            },
            "TransformOutput": {"S3OutputPath": f"s3://{self.account.bucket}/out", "Accept": "text/csv", **target},
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
            **members,
        }

    def start(self, name: str = "job", **members: Any) -> None:
        self.account.sagemaker.create_transform_job(**self.request(name, **members))

    def run(self, name: str = "job", **members: Any) -> dict[str, Any]:
        self.start(name, **members)
        return self.ended(name)

    def ended(self, name: str = "job") -> dict[str, Any]:
        waiter = self.account.sagemaker.get_waiter("transform_job_completed_or_stopped")
        waiter.config.delay, waiter.config.max_attempts = 0.02, 4000
        try:
            waiter.wait(TransformJobName=name)
        except Exception as error:  # a failed job is what many tests are about
            if "terminal failure" not in str(error):
                raise
        described: dict[str, Any] = self.account.sagemaker.describe_transform_job(TransformJobName=name)
        return described

    def out(self, key: str) -> str:
        return str(self.account.body(f"out/{key}").decode())

    def keys(self, prefix: str = "out") -> list[str]:
        listed = self.account.s3.list_objects_v2(Bucket=self.account.bucket, Prefix=prefix)
        return [each["Key"] for each in listed.get("Contents", [])]

    def log(self, name: str = "job") -> str:
        logs = self.account.client("logs")
        streams = logs.describe_log_streams(logGroupName="/aws/sagemaker/TransformJobs", logStreamNamePrefix=name)
        events = logs.get_log_events(
            logGroupName="/aws/sagemaker/TransformJobs",
            logStreamName=streams["logStreams"][0]["logStreamName"],
            startFromHead=True,
        )
        return "\n".join(event["message"] for event in events["events"])


@pytest.fixture
def account(open_account: Callable[..., Any]) -> Any:
    """An account whose jobs start cold: their scripts import nothing that a warm worker has."""
    return open_account(warm=WarmWorkers(enabled=False))


@pytest.fixture
def batch(account: Any) -> Batch:
    return Batch(account)


def test_every_object_of_a_prefix_has_an_output_beside_the_others(batch: Batch) -> None:
    batch.account.put("in/a.csv", "1,2\n3,4\n")
    batch.account.put("in/deep/b.csv", "5,6\n")
    described = batch.run()
    assert described["TransformJobStatus"] == "Completed", described
    assert batch.keys() == ["out/a.csv.out", "out/deep/b.csv.out"]
    assert batch.out("a.csv.out") == "6.0\n14.0\n"
    assert batch.out("deep/b.csv.out") == "22.0\n"
    assert described["CreationTime"] <= described["TransformStartTime"] <= described["TransformEndTime"]
    assert "MaxConcurrentTransforms=1, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD" in batch.log()


def test_one_record_at_a_time_or_as_many_as_fit(batch: Batch) -> None:
    batch.account.put("in/a.csv", "1\n2\n3\n")
    batch.run("single", BatchStrategy="SingleRecord", Environment={"COLOUR": "blue"})
    assert batch.log("single").count("payload 1 text/csv") == 3
    assert "BatchStrategy=SINGLE_RECORD" in batch.log("single")
    batch.run("multi", BatchStrategy="MultiRecord", target={"S3OutputPath": f"s3://{batch.account.bucket}/out/multi/"})
    assert batch.log("multi").count("payload 3 text/csv") == 1
    assert batch.out("a.csv.out") == batch.out("multi/a.csv.out") == "2.0\n4.0\n6.0\n"


def test_payloads_stay_in_order_when_several_are_under_way(batch: Batch) -> None:
    lines = [f"{number},{'0' * 700_000}\n" for number in range(12)]
    batch.account.put("in/a.csv", "".join(lines))
    batch.account.put("in/b.csv", "7\n")
    described = batch.run(MaxConcurrentTransforms=4, MaxPayloadInMB=1)
    assert described["TransformJobStatus"] == "Completed", described
    assert batch.out("a.csv.out") == "".join(f"{2.0 * number}\n" for number in range(12))
    assert batch.out("b.csv.out") == "14.0\n"
    assert batch.log().count("payload 1 ") == 13


def test_gzip_is_opened_and_the_key_keeps_its_name(batch: Batch) -> None:
    batch.account.s3.put_object(Bucket=batch.account.bucket, Key="in/a.csv.gz", Body=gzip.compress(b"1,1\n2,2\n"))
    described = batch.run(source={"CompressionType": "Gzip"})
    assert described["TransformJobStatus"] == "Completed", described
    assert batch.out("a.csv.gz.out") == "4.0\n8.0\n"


def test_what_is_not_gzip_fails_the_job(batch: Batch) -> None:
    batch.account.put("in/a.csv.gz", "1,1\n")
    described = batch.run(source={"CompressionType": "Gzip"})
    assert described["FailureReason"].startswith("ClientError: See job logs for more information")
    assert "Unable to decompress the object" in described["FailureReason"]


def test_a_manifest_names_the_objects(batch: Batch) -> None:
    batch.account.put("data/a.csv", "1\n")
    batch.account.put("data/b/c.csv", "2\n")
    batch.account.put("data/other.csv", "no number\n")
    uri = batch.account.put(
        "m.json", json.dumps([{"prefix": f"s3://{batch.account.bucket}/data/"}, "a.csv", "b/c.csv"])
    )
    source = {"DataSource": {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": uri}}}
    described = batch.run(source=source)
    assert described["TransformJobStatus"] == "Completed", described
    assert batch.keys() == ["out/a.csv.out", "out/b/c.csv.out"]


def test_assemble_with_line_ends_every_answer(batch: Batch) -> None:
    script = (
        "def model_fn(d): return 1\ndef transform_fn(model, body, content_type, accept): return body.strip(), accept\n"
    )
    batch.model({"code/inference.py": script}, name="strip")
    batch.account.put("in/a.csv", "1\n2\n")
    batch.run("plain", ModelName="strip", BatchStrategy="SingleRecord")
    assert batch.out("a.csv.out") == "12"
    batch.run("lines", ModelName="strip", BatchStrategy="SingleRecord", target={"AssembleWith": "Line"})
    assert batch.out("a.csv.out") == "1\n2\n"


@pytest.mark.parametrize(
    ("processing", "expected"),
    [
        ({"InputFilter": "$[1:]"}, "10.0\n"),
        ({"InputFilter": "$[1:]", "JoinSource": "Input"}, '"a, b",2,3,10.0\n'),
        ({"InputFilter": "$[-1]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"}, '"a, b",6.0\n'),
        ({"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,2:]"}, '"a, b",3,10.0\n'),
        ({"InputFilter": "$[1:]", "OutputFilter": "$[0]"}, "10.0\n"),
    ],
)
def test_records_of_csv_are_filtered_and_joined(batch: Batch, processing: dict[str, str], expected: str) -> None:
    batch.account.put("in/a.csv", '"a, b",2,3\n')
    described = batch.run(DataProcessing=processing, target={"AssembleWith": "Line"})
    assert described["TransformJobStatus"] == "Completed", described
    assert batch.out("a.csv.out") == expected


@pytest.mark.parametrize(
    ("processing", "expected"),
    [
        ({"InputFilter": "$.features"}, "6\n"),
        (
            {"InputFilter": "$.features", "JoinSource": "Input"},
            '{"id":"x","features":[1,2],"SageMakerOutput":6}\n',
        ),
        (
            {"InputFilter": "$.features", "JoinSource": "Input", "OutputFilter": "$['id','SageMakerOutput']"},
            '{"id":"x","SageMakerOutput":6}\n',
        ),
        ({"InputFilter": "$.features", "JoinSource": "Input", "OutputFilter": "$.features[0]"}, "1\n"),
    ],
)
def test_records_of_json_lines_are_filtered_and_joined(batch: Batch, processing: dict[str, str], expected: str) -> None:
    batch.account.put("in/a.jsonl", '{"id": "x", "features": [1, 2]}\n')
    described = batch.run(
        DataProcessing=processing,
        source={"ContentType": "application/jsonlines"},
        target={"AssembleWith": "Line", "Accept": "application/jsonlines"},
    )
    assert described["TransformJobStatus"] == "Completed", described
    assert batch.out("a.jsonl.out") == expected


def test_what_is_no_object_is_joined_under_names_of_the_service(batch: Batch) -> None:
    batch.account.put("in/a.jsonl", "[1, 2]\n")
    batch.run(
        DataProcessing={"JoinSource": "Input"},
        source={"ContentType": "application/jsonlines"},
        target={"Accept": "application/jsonlines"},
    )
    assert batch.out("a.jsonl.out") == '{"SageMakerInput":[1,2],"SageMakerOutput":6}\n'


def test_more_answers_than_records_cannot_be_joined(batch: Batch) -> None:
    script = "def model_fn(d): return 1\ndef transform_fn(m, body, content_type, accept): return body + body, accept\n"
    batch.model({"code/inference.py": script}, name="twice")
    batch.account.put("in/a.csv", "1\n")
    described = batch.run(ModelName="twice", DataProcessing={"JoinSource": "Input"})
    assert "Fail to join data: mismatched line count between the input and the output" in described["FailureReason"]
    assert batch.keys() == []


def test_an_index_outside_of_the_record_is_an_error(batch: Batch) -> None:
    batch.account.put("in/a.csv", "1,2\n")
    described = batch.run(DataProcessing={"OutputFilter": "$[4]", "JoinSource": "Input"})
    assert described["TransformJobStatus"] == "Failed"
    assert "index 4 is outside of 3 elements" in described["FailureReason"]


def test_captured_data_are_manifests_and_inferences_have_ids(batch: Batch) -> None:
    bucket = batch.account.bucket
    batch.account.put("in/a.csv", "1\n2\n")
    batch.run(DataCaptureConfig={"DestinationS3Uri": f"s3://{bucket}/capture", "GenerateInferenceId": True})
    rows = [line.split(",") for line in batch.out("a.csv.out").splitlines()]
    assert [row[0] for row in rows] == ["2.0", "4.0"]
    assert len({row[1] for row in rows}) == 2
    assert all(row[2].endswith("Z") for row in rows)
    captured = {key.split("/")[1]: json.loads(batch.account.body(key)) for key in batch.keys("capture/")}
    assert captured == {
        "input": [{"prefix": f"s3://{bucket}/in/"}, "a.csv"],
        "output": [{"prefix": f"s3://{bucket}/out/"}, "a.csv.out"],
    }


def test_an_empty_object_has_an_empty_output(batch: Batch) -> None:
    batch.account.put("in/a.csv", "")
    described = batch.run()
    assert described["TransformJobStatus"] == "Completed"
    assert batch.out("a.csv.out") == ""


def test_no_object_under_the_prefix_fails_the_job(batch: Batch) -> None:
    described = batch.run()
    assert described["TransformJobStatus"] == "Failed"
    assert "No S3 objects found under S3 URL" in described["FailureReason"]


def test_an_object_that_fails_leaves_the_others_alone(batch: Batch) -> None:
    batch.account.put("in/a.csv", "1\n")
    batch.account.put("in/b.csv", "one\n")
    batch.account.put("in/c.csv", "3\n")
    described = batch.run()
    assert described["TransformJobStatus"] == "Failed"
    assert described["FailureReason"] == (
        f"AlgorithmError: See job logs for more information ({batch.account.bucket}/in/b.csv: Bad HTTP status received "
        "from algorithm: 500: ValueError: could not convert string to float: 'one')"
    )
    assert batch.keys() == ["out/a.csv.out", "out/c.csv.out"]
    log = batch.log()
    assert f"{batch.account.bucket}/in/b.csv: Bad HTTP status received from algorithm: 500" in log
    assert "Traceback" in log


def test_a_content_type_that_the_default_handler_cannot_read_is_the_clients_fault(batch: Batch) -> None:
    script = "def model_fn(d): return 1\ndef predict_fn(data, model): return data\n"
    batch.model({"code/inference.py": script}, name="same")
    batch.account.put("in/a.xml", "<a/>")
    described = batch.run(ModelName="same", source={"ContentType": "text/xml", "SplitType": "None"})
    assert described["FailureReason"].startswith("ClientError: See job logs for more information")
    assert "ClientError: 415: Content type text/xml is not supported by this framework." in described["FailureReason"]


@pytest.mark.parametrize("split", ["Line", "None"])
def test_a_record_bigger_than_a_payload_fails(batch: Batch, split: str) -> None:
    batch.account.put("in/a.csv", "1," + "0" * (7 << 20) + "\n")
    described = batch.run(source={"SplitType": split})
    assert described["TransformJobStatus"] == "Failed"
    assert "in/a.csv: Too much data for max payload size" in described["FailureReason"]
    assert described["FailureReason"].startswith("ClientError: See job logs")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (b"this is no archive", "ClientError: Failed to extract model data archive"),
        ({"code/inference.py": "raise RuntimeError('no luck')"}, "failed to respond to ping; Please ensure /ping"),
        ({"code/inference.py": "def model_fn(d): raise OSError('torn')"}, "(OSError: torn)"),
        ({"code/inference.py": "x ="}, "SyntaxError: invalid syntax"),
        ({"other.txt": "1"}, "not exactly one file to load without it"),
        ({"code/inference.py": "", "code/requirements.txt": "no-such-package==9"}, "no-such-package==9"),
        (
            {"code/inference.py": "transform_fn = input_fn = model_fn = lambda *a: 1"},
            "an inference script has transform_fn or input_fn, not both",
        ),
    ],
)
def test_a_model_that_cannot_be_loaded_fails_the_job(batch: Batch, files: Any, reason: str) -> None:
    batch.model(files, name="broken")
    batch.account.put("in/a.csv", "1\n")
    described = batch.run(ModelName="broken")
    assert described["TransformJobStatus"] == "Failed"
    assert reason in described["FailureReason"]
    assert batch.keys() == []


def test_a_program_that_is_not_in_the_archive_is_named(batch: Batch) -> None:
    batch.model({"code/serve.py": DOUBLE}, name="other", Environment={"SAGEMAKER_PROGRAM": "inference.py"})
    batch.account.put("in/a.csv", "1\n")
    described = batch.run(ModelName="other")
    assert "/opt/ml/model/code/inference.py is not there" in described["FailureReason"]
    assert "the folder holds serve.py" in described["FailureReason"]


def test_a_process_that_dies_is_replaced_and_its_payload_tried_again(batch: Batch) -> None:
    script = """
import os
def model_fn(d): return 1
def transform_fn(model, body, content_type, accept):
    if not os.path.exists("/opt/mlops-sm/died"):
        open("/opt/mlops-sm/died", "w").close()
        os._exit(9)
    return body, accept
"""
    batch.model({"code/inference.py": script}, name="mortal")
    batch.account.put("in/a.csv", "1\n")
    described = batch.run(ModelName="mortal")
    assert described["TransformJobStatus"] == "Completed", described
    assert "another one takes its place" in batch.log()


def test_a_process_that_always_dies_gives_no_response(batch: Batch) -> None:
    script = "import os\ndef model_fn(d): return 1\ndef predict_fn(data, model): os._exit(9)\n"
    batch.model({"code/inference.py": script}, name="mortal")
    batch.account.put("in/a.csv", "1\n")
    described = batch.run(ModelName="mortal", ModelClientConfig={"InvocationsMaxRetries": 1})
    assert described["FailureReason"].startswith("AlgorithmError: See job logs for more information")
    assert "Unable to get response from algorithm" in described["FailureReason"]


def test_an_invocation_has_a_time_limit(batch: Batch) -> None:
    script = "import time\ndef model_fn(d): return 1\ndef predict_fn(data, model): time.sleep(600)\n"
    batch.model({"code/inference.py": script}, name="slow")
    batch.account.put("in/a.csv", "1\n")
    limits = {"InvocationsTimeoutInSeconds": 1, "InvocationsMaxRetries": 0}
    described = batch.run(ModelName="slow", ModelClientConfig=limits)
    assert "Unable to get response from algorithm: no answer within 1 seconds" in described["FailureReason"]


def test_the_model_is_read_only_and_the_container_knows_its_job(batch: Batch) -> None:
    script = """
import json, os
def model_fn(d):
    try:
        open(os.path.join(d, "new"), "w")
    except OSError as error:
        return error.errno
def transform_fn(model, body, content_type, accept):
    told = {k: v for k, v in os.environ.items() if k.startswith("SAGEMAKER_") or k in ("A", "B")}
    return json.dumps([model, told]), accept
"""
    batch.model({"code/inference.py": script}, name="curious", Environment={"A": "model", "B": "model"})
    batch.account.put("in/a.csv", "1\n")
    batch.run(
        ModelName="curious",
        Environment={"B": "job"},
        BatchStrategy="SingleRecord",
        MaxPayloadInMB=3,
        MaxConcurrentTransforms=2,
    )
    errno, told = json.loads(batch.out("a.csv.out"))
    assert errno == 30
    assert told == {
        "A": "model",
        "B": "job",
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "2",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "3",
    }


def test_a_job_can_be_stopped(batch: Batch) -> None:
    script = "import time\ndef model_fn(d): return 1\ndef predict_fn(data, model): time.sleep(600)\n"
    batch.model({"code/inference.py": script}, name="slow")
    batch.account.put("in/a.csv", "1\n")
    batch.start(ModelName="slow")
    batch.account.until(
        lambda: "TransformStartTime" in batch.account.sagemaker.describe_transform_job(TransformJobName="job"), "start"
    )
    batch.account.sagemaker.stop_transform_job(TransformJobName="job")
    described = batch.ended()
    assert described["TransformJobStatus"] == "Stopped"
    assert "FailureReason" not in described
    with pytest.raises(ClientError, match="The request was rejected because the transform job is in status Stopped"):
        batch.account.sagemaker.stop_transform_job(TransformJobName="job")


def test_containers_of_a_pipeline_answer_one_after_the_other(batch: Batch) -> None:
    script = (
        "def model_fn(d): return 1\ndef transform_fn(m, body, content_type, accept): return body + '0', 'text/csv'\n"
    )
    url = batch.account.put("models/zero.tar.gz", packed({"code/inference.py": script}))
    batch.account.sagemaker.create_model(
        ModelName="chain",
        ExecutionRoleArn=batch.account.role,
        Containers=[
            {"Image": IMAGE, "ModelDataUrl": url},
            {"Image": IMAGE, "ModelDataUrl": f"s3://{batch.account.bucket}/models/doubler.tar.gz"},
        ],
    )
    batch.account.put("in/a.csv", "1")
    described = batch.run(ModelName="chain")
    assert described["TransformJobStatus"] == "Completed", described
    assert batch.out("a.csv.out") == "20.0\n"


def test_what_is_not_allowed_is_refused(batch: Batch) -> None:
    def refused(**members: Any) -> tuple[str, str]:
        with pytest.raises(ClientError) as error:
            batch.start(**members)
        return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]

    arn = "arn:aws:sagemaker:us-east-1:123456789012:model/nobody"
    code, message = refused(ModelName="nobody")
    assert code == "ValidationException"
    assert message.startswith('Could not find model "') and message.endswith(arn.rsplit(":", 1)[1] + '".')
    assert "MaxPayloadInMB cannot be greater than 100 MB" in refused(MaxPayloadInMB=101)[1]
    assert "cannot exceed 100 MB" in refused(MaxPayloadInMB=10, MaxConcurrentTransforms=11)[1]
    assert 'JSONPath "$..a"' in refused(DataProcessing={"InputFilter": "$..a"})[1]
    assert (
        "ContentType is image/png"
        in refused(DataProcessing={"JoinSource": "Input"}, source={"ContentType": "image/png"})[1]
    )
    assert (
        "Accept is application/json"
        in refused(DataProcessing={"JoinSource": "Input"}, target={"Accept": "application/json"})[1]
    )
    assert "RecordIO" in refused(source={"SplitType": "RecordIO"})[1]
    batch.account.put("in/a.csv", "1\n")
    batch.run("twice", TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 2})
    assert refused(name="twice")[0] == "ResourceInUse"
    for operation in ("describe_transform_job", "stop_transform_job"):
        with pytest.raises(ClientError, match="Could not find requested job with name: nobody"):
            getattr(batch.account.sagemaker, operation)(TransformJobName="nobody")


def test_jobs_are_listed_and_described(batch: Batch, operations: Any) -> None:
    batch.account.put("in/a.csv", "1\n")
    batch.run("one")
    batch.run("two", ModelName=batch.model({"code/inference.py": "x ="}, name="broken"))
    listed = operations("ListTransformJobs", SortBy="Name", SortOrder="Ascending")["TransformJobSummaries"]
    assert [(job["TransformJobName"], job["TransformJobStatus"]) for job in listed] == [
        ("one", "Completed"),
        ("two", "Failed"),
    ]
    assert "SyntaxError" in listed[1]["FailureReason"]
    assert [
        j["TransformJobName"] for j in operations("ListTransformJobs", StatusEquals="Failed")["TransformJobSummaries"]
    ]
    newest, oldest = operations("ListTransformJobs")["TransformJobSummaries"]
    assert (newest["TransformJobName"], oldest["TransformJobName"]) == ("two", "one")
    page = operations("ListTransformJobs", MaxResults=1)
    following = operations("ListTransformJobs", MaxResults=1, NextToken=page["NextToken"])
    assert [each["TransformJobName"] for each in following["TransformJobSummaries"]] == ["one"]
    described = operations("DescribeTransformJob", TransformJobName="one")
    assert described["DataProcessing"] == {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"}
    assert described["TransformInput"]["CompressionType"] == "None"
    assert described["TransformOutput"]["AssembleWith"] == "None"
    assert described["TransformJobArn"].endswith(":transform-job/one")


def test_a_model_of_a_package_is_used(batch: Batch) -> None:
    sagemaker = batch.account.sagemaker
    package = sagemaker.create_model_package(
        ModelPackageName="plain",
        InferenceSpecification={
            "Containers": [{"Image": IMAGE, "ModelDataUrl": f"s3://{batch.account.bucket}/models/doubler.tar.gz"}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
            "SupportedTransformInstanceTypes": ["ml.m5.large"],
            "SupportedRealtimeInferenceInstanceTypes": ["ml.m5.large"],
        },
    )["ModelPackageArn"]
    container = {"ModelPackageName": package}
    sagemaker.create_model(ModelName="packaged", ExecutionRoleArn=batch.account.role, PrimaryContainer=container)
    batch.account.put("in/a.csv", "4\n")
    described = batch.run(ModelName="packaged")
    assert described["TransformJobStatus"] == "Completed", described
    assert batch.out("a.csv.out") == "8.0\n"


def test_a_job_is_announced_and_has_its_lineage(batch: Batch, operations: Any) -> None:
    events, sqs = batch.account.client("events"), batch.account.client("sqs")
    queue = sqs.create_queue(QueueName="heard")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["aws.sagemaker"], "detail-type": ["SageMaker Transform Job State Change"]}
    events.put_rule(Name="jobs", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="jobs", Targets=[{"Id": "1", "Arn": arn}])
    batch.account.put("in/a.csv", "1\n")
    described = batch.run(Tags=[{"Key": "team", "Value": "credit"}])
    heard: list[dict[str, Any]] = []

    def look() -> bool:
        for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            heard.append(json.loads(message["Body"])["detail"])
        return any(detail["TransformJobStatus"] == "Completed" for detail in heard)

    batch.account.until(look, "the event")
    assert {detail["TransformJobName"] for detail in heard} == {"job"}
    component = operations("DescribeTrialComponent", TrialComponentName="job-aws-transform-job")
    assert component["Source"]["SourceType"] == "SageMakerTransformJob"
    assert component["Status"]["PrimaryStatus"] == "Completed"
    assert component["InputArtifacts"]["SageMaker.TransformInput"]["Value"] == f"s3://{batch.account.bucket}/in/"
    tags = batch.account.sagemaker.list_tags(ResourceArn=described["TransformJobArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "credit"}]


def test_a_step_runs_its_job_and_later_steps_use_its_members(batch: Batch, make: Any) -> None:
    batch.account.put("in/a.csv", "1\n")
    arguments = batch.request()
    del arguments["TransformJobName"]
    joined = {"Std:Join": {"On": "", "Values": [{"Get": "Parameters.Payload"}]}}
    arguments |= {"MaxPayloadInMB": {"Get": "Parameters.Payload"}, "Environment": {"N": joined}}
    score = {"Name": "Score", "Type": "Transform", "Arguments": arguments}
    where = {"Get": "Steps.Score.TransformOutput.S3OutputPath"}
    stop = {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": where}, "DependsOn": ["Score"]}
    parameters = [{"Name": "Payload", "Type": "Integer", "DefaultValue": 2}]
    batch.account.create_pipeline("p", score, stop, parameters=parameters)
    arn = batch.account.sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    batch.account.execution_end(arn)
    steps = batch.account.steps(arn)
    assert steps["Stop"]["FailureReason"] == f"s3://{batch.account.bucket}/out"
    job = steps["Score"]["Metadata"]["TransformJob"]["Arn"]
    assert f":transform-job/pipelines-{arn.rsplit('/', 1)[1]}-Score-" in job
    described = batch.account.sagemaker.describe_transform_job(TransformJobName=job.rsplit("/", 1)[1])
    assert (described["MaxPayloadInMB"], described["Environment"]) == (2, {"N": "2"})


def test_a_model_in_isolation_reaches_nothing(batch: Batch) -> None:
    script = """
import os, socket
def model_fn(d): return 1
def transform_fn(model, body, content_type, accept):
    try:
        socket.create_connection(("127.0.0.1", int(body)), timeout=5)
    except OSError as error:
        return f"{type(error).__name__} {os.environ.get('AWS_ENDPOINT_URL')}", accept
"""
    url = batch.account.put("models/lonely.tar.gz", packed({"code/inference.py": script}))
    batch.account.sagemaker.create_model(
        ModelName="lonely",
        ExecutionRoleArn=batch.account.role,
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": url},
        EnableNetworkIsolation=True,
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        batch.account.put("in/a.csv", str(listener.getsockname()[1]))
        described = batch.run(ModelName="lonely")
    assert described["TransformJobStatus"] == "Completed", described
    assert batch.out("a.csv.out") == "ConnectionRefusedError None"


def test_experiments_know_the_job(batch: Batch, operations: Any) -> None:
    operations("CreateExperiment", ExperimentName="e")
    operations("CreateTrial", ExperimentName="e", TrialName="t")
    batch.account.put("in/a.csv", "1\n")
    batch.run(ExperimentConfig={"ExperimentName": "e", "TrialName": "t", "TrialComponentDisplayName": "scores"})
    (component,) = operations("ListTrialComponents", TrialName="t")["TrialComponentSummaries"]
    assert component["DisplayName"] == "scores"
    assert component["TrialComponentName"] == "job-aws-transform-job"


PROGRAM = """#!/usr/bin/env python3
import http.server, json

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        wanted = {"MaxConcurrentTransforms": 3, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 2}
        self.answer(json.dumps(wanted).encode() if self.path == "/execution-parameters" else b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(open("/opt/ml/model/prefix.txt", "rb").read() + body)

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        print("asked for", arguments[1])

http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""


def test_a_program_of_the_images_own_serves_and_says_what_it_wants(
    open_account: Callable[..., Any], tmp_path: Path
) -> None:
    program = tmp_path / "serve"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    batch = Batch(open_account(warm=WarmWorkers(enabled=False), images={"scorer": str(tmp_path)}))
    batch.model({"prefix.txt": "> "}, name="own", Image="1.dkr.ecr.us-east-1.amazonaws.com/scorer:1")
    batch.account.put("in/a.csv", "1\n2\n3\n")
    described = batch.run(ModelName="own")
    assert described["TransformJobStatus"] == "Completed", described
    assert batch.out("a.csv.out") == "> 1\n> 2\n> 3\n"
    assert "MaxConcurrentTransforms=3, MaxPayloadInMB=2, BatchStrategy=SINGLE_RECORD" in batch.log()
    batch.run("asked", ModelName="own", BatchStrategy="MultiRecord", MaxPayloadInMB=1)
    assert batch.out("a.csv.out") == "> 1\n2\n3\n"
    assert "MaxConcurrentTransforms=3, MaxPayloadInMB=1, BatchStrategy=MULTI_RECORD" in batch.log("asked")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(FaultKind.CAPACITY, "CapacityError: "), (FaultKind.INTERNAL_ERROR, "InternalServerError: We encountered an")],
)
def test_instances_that_are_not_there_fail_the_job(batch: Batch, kind: FaultKind, reason: str) -> None:
    batch.account.put("in/a.csv", "1,2\n")
    batch.account.local.faults.plant(Fault(kind=kind, name="job"))
    described = batch.run()
    assert described["TransformJobStatus"] == "Failed"
    assert described["FailureReason"].startswith(reason)
    assert batch.keys() == []
