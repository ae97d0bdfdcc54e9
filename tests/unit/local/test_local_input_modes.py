"""How a job finds its data: copied, lent, or in pipes."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.local.jobs import JobStatus
from mlops_sm.testing.stores import FolderStore, MemoryStore

READ_TWICE = """
import pathlib, os, json
for epoch in range(2):
    with open(f"/opt/ml/input/data/train_{epoch}", "rb") as pipe:
        print(epoch, pipe.read())
print("train_2" in os.listdir("/opt/ml/input/data"), os.path.exists("/opt/ml/input/data/train"))
print(os.environ["SM_CHANNEL_TRAIN"], json.load(open("/opt/ml/input/config/inputdataconfig.json")))
"""


def channel(name: str = "train", *, uri: str = "s3://bucket/data/", data_type: str = "S3Prefix", **more: Any) -> Any:
    attributes = more.pop("attributes", None)
    source = {"S3Uri": uri, "S3DataType": data_type, **({"AttributeNames": attributes} if attributes else {})}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **more}


def test_a_training_job_reads_its_pipes_epoch_after_epoch(either_bench: Any, store: MemoryStore) -> None:
    store.put("s3://bucket/data/a", "1,")
    store.put("s3://bucket/data/b", "2,")
    script = "import numpy\n" + READ_TWICE
    outcome = either_bench.train({"train.py": script}, channels=[channel()], algorithm={"TrainingInputMode": "Pipe"})
    assert outcome.status is JobStatus.COMPLETED, either_bench.log()
    config = {"TrainingInputMode": "Pipe", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    assert either_bench.log().splitlines() == [
        "0 b'1,2,'",
        "1 b'1,2,'",
        "True False",
        f"/opt/ml/input/data/train {{'train': {config}}}",
    ]


def test_a_channel_overrides_the_mode_of_the_job(bench: Any, store: MemoryStore) -> None:
    store.put("s3://bucket/data/a", "1")
    script = 'import os; print(sorted(os.listdir("/opt/ml/input/data")), open("/opt/ml/input/data/piped_0").read())'
    channels = [channel("filed"), channel("fast", InputMode="FastFile"), channel("piped", InputMode="Pipe")]
    outcome = bench.train({"train.py": script}, channels=channels)
    assert outcome.status is JobStatus.COMPLETED, bench.log()
    assert bench.log() == "['fast', 'filed', 'piped_0', 'piped_1'] 1\n"


def test_a_job_that_reads_no_pipe_ends(bench: Any, store: MemoryStore) -> None:
    store.put("s3://bucket/data/a", "1")
    outcome = bench.train({"train.py": ""}, channels=[channel(InputMode="Pipe")])
    assert outcome.status is JobStatus.COMPLETED


def test_a_job_that_is_stopped_while_it_waits_for_data_ends(bench: Any, store: MemoryStore) -> None:
    store.put("s3://bucket/data/a", "1" * 1_000_000)
    bench.site = replace(bench.site, grace_seconds=0.1)
    # The pipe of the third epoch never comes while that of the first is not read to its end.
    script = 'first = open("/opt/ml/input/data/train_0"); open("/opt/ml/input/data/train_1")'
    outcome = bench.train(
        {"train.py": script}, channels=[channel(InputMode="Pipe")], StoppingCondition={"MaxRuntimeInSeconds": 1}
    )
    assert outcome.status is JobStatus.STOPPED


def test_data_that_breaks_off_fails_the_job(bench: Any, store: MemoryStore) -> None:
    store.put("s3://bucket/data/a", gzip.compress(b"1" * 1000)[:-8])
    outcome = bench.train(
        {"train.py": 'print(len(open("/opt/ml/input/data/train_0").read()))'},
        channels=[channel(InputMode="Pipe", CompressionType="Gzip")],
    )
    assert outcome.status is JobStatus.FAILED
    assert outcome.failure_reason.startswith("ClientError: Data download failed: s3://bucket/data/a is not gzip")


def test_a_job_reads_an_augmented_manifest(bench: Any, store: MemoryStore) -> None:
    store.put("s3://bucket/one", "ONE")
    store.put("s3://bucket/lines", json.dumps({"source-ref": "s3://bucket/one", "label": 3}))
    augmented = channel(
        uri="s3://bucket/lines", data_type="AugmentedManifestFile", attributes=["source-ref", "label"], InputMode="Pipe"
    )
    outcome = bench.train({"train.py": 'print(open("/opt/ml/input/data/train_0").read())'}, channels=[augmented])
    assert outcome.status is JobStatus.COMPLETED, bench.log()
    assert bench.log() == "ONE3\n"


TOUCH = """
import errno, pathlib
folder = pathlib.Path("/opt/ml/input/data/train")
print((folder / "a/b.csv").read_text())
for change in (lambda: (folder / "a/b.csv").write_text("no"), lambda: (folder / "new").touch(),
               lambda: (folder / "a/b.csv").unlink(), lambda: (folder / "a/b.csv").chmod(0o777)):
    try:
        change()
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


@pytest.mark.parametrize("store_kind", ["memory", "folder"])
def test_fast_files_cannot_be_changed(bench: Any, store: MemoryStore, tmp_path: Path, store_kind: str) -> None:
    bench.site.jobs.mkdir(parents=True)
    store.put("s3://bucket/data/a/b.csv", "content")
    if store_kind == "folder":
        lending = FolderStore(tmp_path / "store")
        lending.make_bucket("bucket")
        (tmp_path / "content").write_text("content")
        lending.store(tmp_path / "content", "bucket", "data/a/b.csv")
        bench.site = replace(bench.site, store=_Both(store, lending))
    outcome = bench.train({"train.py": TOUCH}, channels=[channel(InputMode="FastFile")])
    assert outcome.status is JobStatus.COMPLETED, bench.log()
    assert bench.log().split() == ["content", "EROFS", "EROFS", "EROFS", "EROFS"]
    if store_kind == "folder":
        assert lending.read("bucket", "data/a/b.csv") == b"content"


class _Both(MemoryStore):
    """Source code in memory; data in a folder whose files are lent."""

    def __init__(self, memory: MemoryStore, lending: FolderStore) -> None:
        super().__init__()
        self._memory, self._lending = memory, lending
        self.fetch, self.store, self.read = memory.fetch, memory.store, memory.read  # type: ignore[method-assign] # as it
        self.lend, self.list = lending.lend, lending.list  # type: ignore[method-assign] # as it


def test_processing_reads_a_pipe_beside_its_local_path(bench: Any, store: MemoryStore) -> None:
    store.put("s3://bucket/data/a.gz", gzip.compress(b"1\n"))
    store.put("s3://bucket/data/b.gz", gzip.compress(b"2\n"))
    piped = {
        "InputName": "data",
        "S3Input": {
            "S3Uri": "s3://bucket/data/",
            "LocalPath": "/opt/ml/processing/input/data/",
            "S3DataType": "S3Prefix",
            "S3InputMode": "Pipe",
            "S3CompressionType": "Gzip",
        },
    }
    outcome = bench.process('print(open("/opt/ml/processing/input/data_0").read().split())', inputs=[piped])
    assert outcome.status is JobStatus.COMPLETED, bench.log()
    assert bench.log() == "['1', '2']\n"
