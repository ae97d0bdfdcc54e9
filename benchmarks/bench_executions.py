"""Executions of one account: how soon a step runs, many at once, long lists."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, ratio_row, run, watch_peak
from mlops_sm.emulator import LocalAccount
from mlops_sm.emulator.database import FILE_NAME, Database
from mlops_sm.emulator.store import Entity, Kind, Scope, Store

COMMAND = Path(sys.executable).with_name("mlops-sm")
BUCKET = "benchmark"
ROLE = "arn:aws:iam::123456789012:role/benchmark"
SCOPE = Scope("123456789012", "us-east-1")
AT_ONCE = 50
STAMP = "import sys, time\nopen(sys.argv[1], 'w').write(str(time.monotonic()))\n"
MANY = """
import json, sys
from pathlib import Path
from time import sleep
from mlops_sm.emulator import LocalAccount

with LocalAccount.open(Path(sys.argv[1])) as account:
    sagemaker = account.client("sagemaker")
    # Everything is to run, not to be taken over from the execution before.
    definition = json.loads(sagemaker.describe_pipeline(PipelineName=sys.argv[2])["PipelineDefinition"])
    for step in definition["Steps"]:
        step.pop("CacheConfig", None)
    sagemaker.update_pipeline(PipelineName=sys.argv[2], PipelineDefinition=json.dumps(definition))
    started = [
        sagemaker.start_pipeline_execution(PipelineName=sys.argv[2])["PipelineExecutionArn"]
        for _ in range(int(sys.argv[3]))
    ]
    describe = sagemaker.describe_pipeline_execution
    ends = {}
    while len(ends) < len(started):
        sleep(0.2)
        for arn in started:
            status = describe(PipelineExecutionArn=arn)["PipelineExecutionStatus"] if arn not in ends else "Executing"
            if status not in {"Executing", "Stopping"}:
                ends[arn] = status
    registered, metrics = set(), set()
    for arn in started:
        steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"]
        metadata = {step["StepName"]: step.get("Metadata", {}) for step in steps}
        registered.add(metadata.get("Register", {}).get("RegisterModel", {}).get("Arn"))
        tuning_job = metadata["Tune"]["TuningJob"]["Arn"].rsplit("/", 1)[1]
        tuned = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=tuning_job)
        job = tuned["BestTrainingJob"]["TrainingJobName"]
        described = sagemaker.describe_training_job(TrainingJobName=job)
        metrics.add(json.dumps([[m["MetricName"], m["Value"]] for m in described["FinalMetricDataList"]]))
    found = {"ends": sorted(set(ends.values())), "registered": len(registered - {None}), "metrics": len(metrics)}
    print(json.dumps(found))
"""


def definition(code: str, mark: Path) -> str:
    """One step that writes down when it began."""
    arguments = {
        "AppSpecification": {
            "ImageUri": "python:3.11",
            "ContainerEntrypoint": ["python3", f"/opt/ml/processing/input/code/{code.rsplit('/', 1)[1]}"],
            "ContainerArguments": [str(mark)],
        },
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}
        },
        "ProcessingInputs": [
            {
                "InputName": "code",
                "S3Input": {
                    "S3Uri": code,
                    "LocalPath": "/opt/ml/processing/input/code",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
        ],
        "RoleArn": ROLE,
    }
    step = {"Name": "Mark", "Type": "Processing", "Arguments": arguments}
    return json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": [step]})


def start_row(folder: Path) -> Row:
    """From the call of StartPipelineExecution to the first instruction of its first step's script."""
    mark, script = folder / "mark", folder / "mark.py"
    script.write_text(STAMP)
    with LocalAccount.open(folder / "state") as account:
        account.ensure_bucket(BUCKET)
        account.client("s3").upload_file(str(script), BUCKET, "code/mark.py")
        sagemaker = account.client("sagemaker")
        body = definition(f"s3://{BUCKET}/code/mark.py", mark)
        sagemaker.create_pipeline(PipelineName="mark", PipelineDefinition=body, RoleArn=ROLE)

        def step() -> float:
            began = time.monotonic()
            arn = sagemaker.start_pipeline_execution(PipelineName="mark")["PipelineExecutionArn"]
            status = "Executing"
            while status == "Executing":
                time.sleep(0.02)
                status = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"]
            if status != "Succeeded":
                raise RuntimeError(f"{arn} ended as {status}")
            return float(mark.read_text()) - began

        def bare() -> float:
            began = time.monotonic()
            subprocess.run([sys.executable, str(script), str(mark)], check=True)
            return float(mark.read_text()) - began

        return ratio_row("StartPipelineExecution to the step's script / bare process", step, bare, bound=3.0, pairs=15)


def list_row(folder: Path) -> Row:
    """ListPipelineExecutions of a pipeline with 10,000 executions and of one with 100."""
    state = folder / "long"
    state.mkdir()
    with LocalAccount.open(state) as account:
        sagemaker = account.client("sagemaker")
        body = definition("s3://b/code/a.py", folder)
        for name in ("short", "long"):
            sagemaker.create_pipeline(PipelineName=name, PipelineDefinition=body, RoleArn=ROLE)
    database = Database(state / FILE_NAME)
    store = Store(database)
    with store.transaction():
        for name, count in (("short", 100), ("long", 10_000)):
            for number in range(count):
                store.add(_execution(name, number))
    database.close()
    with LocalAccount.open(state) as account:
        sagemaker = account.client("sagemaker")

        def listed(name: str) -> float:
            began = time.perf_counter()
            for _ in range(5):
                answer: dict[str, Any] = sagemaker.list_pipeline_executions(PipelineName=name)
                if len(answer["PipelineExecutionSummaries"]) != 100:
                    raise RuntimeError(f"{name}: {len(answer['PipelineExecutionSummaries'])} executions on a page")
            return time.perf_counter() - began

        return ratio_row(
            "ListPipelineExecutions over 10,000 / over 100",
            lambda: listed("long"),
            lambda: listed("short"),
            bound=3.0,
            pairs=15,
        )


def many_rows(folder: Path) -> list[Row]:
    """The lending build started so many times at once: the ends, the results, the memory of the owning process."""
    state = folder / "many"
    run([COMMAND, "run", "lending.build", "--state", state])
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", MANY, str(state), "lending-build", str(AT_ONCE)], stdout=subprocess.PIPE, text=True
    )
    peak = watch_peak(process, every=0.2)
    wall = time.perf_counter() - began
    out = process.stdout.read() if process.stdout else ""
    if process.returncode != 0:
        raise RuntimeError(f"the account that runs {AT_ONCE} executions exited with {process.returncode}")
    ended = json.loads(out)
    right = ended == {"ends": ["Succeeded"], "registered": AT_ONCE, "metrics": 1}
    return [
        Row(
            f"{AT_ONCE} executions of lending.build at once",
            f"{', '.join(ended['ends'])} in {wall:.0f} s",
            f"all Succeeded, {AT_ONCE} versions, equal metrics",
            right,
        ),
        Row("peak memory of the process that runs them", f"{peak:.0f} MB", "< 600 MB", peak < 600),
    ]


def rows() -> list[Row]:
    """All comparisons of executions."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        return [start_row(folder), list_row(folder), *many_rows(folder)]


def _execution(pipeline: str, number: int) -> Entity:
    identifier = f"{number:012d}"
    return Entity(
        scope=SCOPE,
        kind=Kind.EXECUTION,
        name=f"{pipeline[0]}{identifier[1:]}",
        arn=f"{SCOPE.arn(Kind.PIPELINE, pipeline)}/execution/{identifier}",
        created=1_700_000_000.0 + number,
        modified=1_700_000_100.0 + number,
        parent=pipeline,
        status="Succeeded",
        body={
            "PipelineExecutionDisplayName": f"execution-{number}",
            "PipelineVersionId": 1,
            "PipelineParameters": [],
        },
    )
