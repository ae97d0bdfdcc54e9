"""Checkpoints of training jobs, and what happens to a job when its instances are lost.

Rules: developer guide, "Checkpoints in Amazon SageMaker AI" (copied before the start, synchronised while it trains,
deleted where they are deleted) and "Managed Spot Training Lifecycle".
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import Any

from mlops_sm.local.faults import FaultKind, JobFault
from mlops_sm.local.jobs import JobStatus

KEPT = {"CheckpointConfig": {"S3Uri": "s3://bucket/kept"}}
SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 300, "MaxWaitTimeInSeconds": 600},
    **KEPT,
}


class Planned:
    """Faults in the order in which they are to happen."""

    def __init__(self, *faults: JobFault) -> None:
        self.faults = list(faults)

    def next(self, able: Container[FaultKind]) -> JobFault | None:
        return self.faults.pop(0) if self.faults and self.faults[0].kind in able else None


def interruption(**members: Any) -> JobFault:
    return JobFault(kind=FaultKind.SPOT_INTERRUPTION, seconds=0.0, **members)


def kept(store: Any) -> dict[str, str]:
    return {
        key.removeprefix("kept/"): store.read("bucket", key).decode()
        for key in store.keys("bucket")
        if key.startswith("kept/")
    }


def test_what_is_deleted_at_the_job_is_deleted_in_s3(bench: Any, store: Any) -> None:
    for name in ("old", "stays", "changes"):
        store.put(f"s3://bucket/kept/{name}", name)
    store.put("s3://bucket/kept-not/mine", "mine")
    script = """
from pathlib import Path
folder = Path("/opt/ml/checkpoints")
print(sorted(path.name for path in folder.iterdir()))
(folder / "old").unlink()
(folder / "changes").write_text("changed")
(folder / "sub").mkdir()
(folder / "sub/new").write_text("new")
"""
    outcome = bench.train({"train.py": script}, **KEPT)
    assert outcome.status is JobStatus.COMPLETED
    assert bench.log() == "['changes', 'old', 'stays']\n"
    assert kept(store) == {"stays": "stays", "changes": "changed", "sub/new": "new"}
    assert store.get("s3://bucket/kept-not/mine") == b"mine"


def test_a_deletion_is_in_s3_while_the_job_trains(watching: Any) -> None:
    bench, store = watching("kept/second", "checkpoints/seen")
    script = """
import time
from pathlib import Path
folder = Path("/opt/ml/checkpoints")
(folder / "first").unlink()
(folder / "second").write_text("2")
while not (folder / "seen").exists():
    time.sleep(0.01)
"""
    store.put("s3://bucket/kept/first", "1")
    outcome = bench.train({"train.py": script}, **KEPT)
    assert outcome.status is JobStatus.COMPLETED
    assert set(kept(store)) == {"second", "seen"}


def test_another_local_path(bench: Any, store: Any) -> None:
    store.put("s3://bucket/kept/a", "a")
    script = "import os\nprint(os.listdir('/opt/ml/mine'))"
    config = {"S3Uri": "s3://bucket/kept", "LocalPath": "/opt/ml/mine"}
    bench.train({"train.py": script}, CheckpointConfig=config)
    assert bench.log() == "['a']\n"


EPOCHS = """
import json, os, signal, sys, time
from pathlib import Path
folder = Path("/opt/ml/checkpoints")
before = sorted(path.name for path in folder.iterdir())
def saved(*_):
    (folder / "last").write_text("words")
    sys.exit(0)
signal.signal(signal.SIGTERM, saved)
Path("/opt/ml/model/new").write_text(str(len(before)))
print(before, os.path.exists("/tmp/left"), flush=True)
if not before:
    (folder / "early").write_text("1")
    print("ready", flush=True)
    time.sleep(600)
"""


def test_an_interrupted_job_may_save_and_comes_back(site: Any, store: Any, make_bench: Any) -> None:
    """It gets SIGTERM; that it then ends well does not make it complete."""
    bench = make_bench(replace(site, faults=Planned(interruption(after_lines=2))), store)
    outcome = bench.train({"train.py": EPOCHS}, **SPOT)
    assert outcome.status is JobStatus.COMPLETED, outcome
    assert bench.log().splitlines() == ["[] False", "ready", "['early', 'last'] False"]
    assert [status for status, _ in bench.statuses] == [
        *("Starting", "Downloading", "Training", "Interrupted"),
        *("Starting", "Downloading", "Training", "Uploading", "Completed"),
    ]
    assert kept(store) == {"early": "1", "last": "words"}


def test_a_line_that_was_cut_off_stays_a_line(site: Any, store: Any, make_bench: Any) -> None:
    script = """
import os, sys, time
from pathlib import Path
kept = Path("/opt/ml/checkpoints/kept")
if kept.exists():
    print("again")
else:
    kept.write_text("kept")
    os.write(1, b"one\\ntwo")
    time.sleep(600)
"""
    bench = make_bench(replace(site, faults=Planned(interruption(after_lines=1))), store)
    assert bench.train({"train.py": script}, **SPOT).status is JobStatus.COMPLETED
    assert bench.log() == "one\ntwo\nagain\n"


def test_a_job_that_does_not_listen_is_killed(site: Any, store: Any, make_bench: Any) -> None:
    script = """
import signal, time
from pathlib import Path
signal.signal(signal.SIGTERM, signal.SIG_IGN)
again = Path("/opt/ml/checkpoints/a").exists()
Path("/opt/ml/checkpoints/a").write_text("a")
print(again, flush=True)
time.sleep(0 if again else 600)
"""
    bench = make_bench(replace(site, grace_seconds=0.2, faults=Planned(interruption(after_lines=1))), store)
    outcome = bench.train({"train.py": script}, **SPOT)
    assert outcome.status is JobStatus.COMPLETED
    assert bench.log() == "False\nTrue\n"


def test_all_instances_are_interrupted_together(site: Any, store: Any, make_bench: Any) -> None:
    script = """
import os, time
from pathlib import Path
me = os.environ["SM_CURRENT_HOST"]
mine = Path("/opt/ml/checkpoints", me)
before = sorted(path.name for path in mine.parent.iterdir())
print(before, flush=True)
if not before:
    mine.write_text(me)
    print("ready", flush=True)
    time.sleep(600)
"""
    bench = make_bench(replace(site, faults=Planned(interruption(after_lines=2, host="algo-2"))), store)
    outcome = bench.train(
        {"train.py": script},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1},
        **SPOT,
    )
    assert outcome.status is JobStatus.COMPLETED, outcome
    # The first one may have been too slow to write anything.
    assert "algo-2" in kept(store)
    assert bench.log().endswith("'algo-2']\n")


def test_the_runtime_of_all_attempts_counts(site: Any, store: Any, make_bench: Any) -> None:
    """MaxRuntimeInSeconds is "the maximum time for all of the attempts in total" (API reference, StoppingCondition)."""
    script = "import time\nprint('up', flush=True)\ntime.sleep(600)"
    bench = make_bench(replace(site, faults=Planned(*(interruption(after_lines=1) for _ in range(2)))), store)
    members = {**SPOT, "StoppingCondition": {"MaxRuntimeInSeconds": 2, "MaxWaitTimeInSeconds": 2}}
    outcome = bench.train({"train.py": script}, **members)
    assert (outcome.status, outcome.secondary_status) == (JobStatus.STOPPED, "MaxRuntimeExceeded")
    assert [status for status, _ in bench.statuses].count("Interrupted") == 2


def test_a_job_that_is_lost_for_good_leaves_its_metrics(site: Any, store: Any, make_bench: Any) -> None:
    bench = make_bench(replace(site, faults=Planned(JobFault(kind=FaultKind.INTERNAL_ERROR, after_lines=1))), store)
    definitions = [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]
    script = "import time\nprint('loss=2', flush=True)\ntime.sleep(600)"
    outcome = bench.train({"train.py": script}, algorithm={"MetricDefinitions": definitions})
    assert outcome.failure_reason == "InternalServerError: We encountered an internal error. Please try again."
    assert [metric.value for metric in outcome.metrics] == [2.0]


def test_an_instance_that_fails_because_another_was_taken_away_does_not_decide(
    site: Any, store: Any, make_bench: Any
) -> None:
    """The first one ends at once when the second is gone, which itself takes its time to save."""
    script = """
import os, signal, socket, sys, time
from pathlib import Path
me, leader = os.environ["SM_CURRENT_HOST"], os.environ["SM_MASTER_ADDR"]
kept = Path("/opt/ml/checkpoints/kept")
if kept.exists():
    sys.exit(0)
if me == leader:
    with socket.create_server((leader, 7777)) as server:
        connection, _ = server.accept()
        connection.recv(1)
        sys.exit(9)
while True:
    try:
        connection = socket.create_connection((leader, 7777))
        break
    except ConnectionRefusedError:
        time.sleep(0.01)
def save(*_):
    connection.close()
    kept.write_text("kept")
    time.sleep(0.2)
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("connected", flush=True)
time.sleep(600)
"""
    bench = make_bench(replace(site, faults=Planned(interruption(after_lines=1, host="algo-2"))), store)
    outcome = bench.train(
        {"train.py": script},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1},
        **SPOT,
    )
    assert outcome.status is JobStatus.COMPLETED, outcome
