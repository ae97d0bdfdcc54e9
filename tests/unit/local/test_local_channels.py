"""What flows through a job's pipes, and in which order."""

from __future__ import annotations

import gzip
import json
import os
import struct
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.local.jobs.channels import Channel, Inputs, Mode
from mlops_sm.local.jobs.channels.records import record
from mlops_sm.local.jobs.folder import JobFailureError, JobFolder
from mlops_sm.local.site import Site
from mlops_sm.testing.stores import FolderStore, MemoryStore

Read = Callable[..., list[bytes]]


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    return JobFolder.create(tmp_path / "jobs", "pipes")


@pytest.fixture
def read(site: Site, folder: JobFolder) -> Read:
    """Reads so many epochs of a channel to their end, as a job does."""

    def run(channel: Channel, epochs: int = 1) -> list[bytes]:
        inputs = Inputs(folder, site, "arn:aws:iam::123456789012:role/job")
        inputs.add(channel)
        with inputs:
            found = [folder.inside(f"{channel.place}_{epoch}").read_bytes() for epoch in range(epochs)]
        inputs.check()
        return found

    return run


def piped(uri: str = "s3://bucket/data/", **members: Any) -> Channel:
    return Channel(name="train", place="/opt/ml/input/data/train", uri=uri, mode=Mode.PIPE, **members)


def split(stream: bytes) -> list[bytes]:
    """The records of a RecordIO stream, read as the format's definition says."""
    found = []
    while stream:
        magic, length = struct.unpack_from("<II", stream)
        assert magic == 0xCED7230A
        found.append(stream[8 : 8 + length])
        stream = stream[8 + length + -length % 4 :]
    return found


def test_every_epoch_is_all_objects_one_after_the_other(store: MemoryStore, read: Read) -> None:
    for key, content in {"data/b": "2\n", "data/a": "1\n", "data/c/d": "3\n", "other": "no"}.items():
        store.put(f"s3://bucket/{key}", content)
    assert read(piped(), epochs=3) == [b"1\n2\n3\n"] * 3


def test_a_prefix_is_one_of_keys(store: MemoryStore, read: Read) -> None:
    store.put("s3://bucket/data/train-1", "1")
    store.put("s3://bucket/data/test-1", "2")
    assert read(piped("s3://bucket/data/tr")) == [b"1"]


def test_a_manifest_lists_the_objects_in_its_order(store: MemoryStore, read: Read) -> None:
    store.put("s3://bucket/data/a", "1")
    store.put("s3://bucket/data/b", "2")
    store.put("s3://bucket/list", json.dumps([{"prefix": "s3://bucket/data/"}, "b", "a", "b"]))
    assert read(piped("s3://bucket/list", data_type="ManifestFile")) == [b"212"]


def test_a_large_object_flows_unchanged(store: MemoryStore, read: Read) -> None:
    content = os.urandom(5_000_001)
    store.put("s3://bucket/data/a", content)
    assert read(piped(), epochs=2) == [content, content]


def test_gzip_is_unpacked_on_the_way(store: MemoryStore, read: Read) -> None:
    store.put("s3://bucket/data/a.gz", gzip.compress(b"1\n"))
    store.put("s3://bucket/data/b.gz", gzip.compress(b"2\n") + gzip.compress(b"3\n"))
    assert read(piped(compressed=True)) == [b"1\n2\n3\n"]


def test_what_is_not_gzip_fails_the_job(store: MemoryStore, read: Read) -> None:
    store.put("s3://bucket/data/a.gz", "plain")
    with pytest.raises(JobFailureError, match=r"ClientError: Data download failed: s3://bucket/data/a\.gz is not gzip"):
        read(piped(compressed=True), epochs=2)


def test_each_object_is_wrapped_into_a_record(store: MemoryStore, read: Read) -> None:
    contents = [b"", b"1", b"four", b"12345"]
    for number, content in enumerate(contents):
        store.put(f"s3://bucket/data/{number}", content)
    (stream,) = read(piped(wrapped=True))
    assert split(stream) == contents
    assert len(stream) % 4 == 0


def test_a_record_is_what_readers_of_recordio_expect() -> None:
    assert record(b"abc") == b"\x0a\x23\xd7\xce\x03\x00\x00\x00abc\x00"


@pytest.mark.parametrize("data_type", ["S3Prefix", "ManifestFile", "AugmentedManifestFile"])
def test_a_seed_shuffles_every_epoch_anew_and_alike(store: MemoryStore, read: Read, data_type: str) -> None:
    names = [f"{number:02}" for number in range(20)]
    for name in names:
        store.put(f"s3://bucket/data/{name}", f"{name} ")
    attributes: tuple[str, ...] = ()
    uri = "s3://bucket/data/"
    if data_type == "ManifestFile":
        uri = "s3://bucket/list"
        store.put(uri, json.dumps([{"prefix": "s3://bucket/data/"}, *names]))
    elif data_type == "AugmentedManifestFile":
        uri, attributes = "s3://bucket/lines", ("word",)
        store.put(uri, "\n".join(json.dumps({"word": f"{name} "}) for name in names))
    channel = piped(uri, data_type=data_type, attributes=attributes, seed=7)
    first, second = (epoch.split() for epoch in read(channel, epochs=2))
    assert sorted(first) == sorted(second) == [name.encode() for name in names]
    assert first != second
    assert first != sorted(first)
    assert [epoch.split() for epoch in read(channel, epochs=2)] == [first, second]


def test_instances_share_what_was_shuffled(store: MemoryStore, read: Read) -> None:
    for number in range(10):
        store.put(f"s3://bucket/data/{number}", f"{number} ")
    of_both = [[epoch.split() for epoch in read(piped(seed=1, share=(index, 2)), epochs=4)] for index in range(2)]
    for one, other in zip(*of_both, strict=True):
        assert sorted(one + other) == [str(number).encode() for number in range(10)]
    assert len({frozenset(epoch) for epoch in of_both[0]}) > 1, "what an instance gets changes from epoch to epoch"


AUGMENTED = """{"image-ref": "s3://bucket/images/1", "label": 1, "note": "first", "boxes": [{"top": 0}]}

{"image-ref": "s3://bucket/images/2", "label": 0, "note": "second", "boxes": []}
"""


def test_attributes_flow_in_their_order_as_records(store: MemoryStore, read: Read) -> None:
    """The example of "Augmented Manifest File Format for Pipe Mode Training"."""
    store.put("s3://bucket/images/1", "IMAGE1")
    store.put("s3://bucket/images/2", "IMAGE2")
    store.put("s3://bucket/lines", AUGMENTED)
    wanted = {"data_type": "AugmentedManifestFile", "attributes": ("image-ref", "label", "note", "boxes")}
    (stream,) = read(piped("s3://bucket/lines", wrapped=True, **wanted))
    assert split(stream) == [b"IMAGE1", b"1", b"first", b'[{"top": 0}]', b"IMAGE2", b"0", b"second", b"[]"]
    (plain,) = read(piped("s3://bucket/lines", data_type="AugmentedManifestFile", attributes=("label", "image-ref")))
    assert plain == b"1IMAGE10IMAGE2"


@pytest.mark.parametrize(
    ("content", "attributes", "why"),
    [
        ('{"a": 1}\n{"b": 1}', ("a",), "line 2 has no attribute a"),
        ("[1]", ("a",), "line 1 is not a JSON object"),
        ("{", ("a",), "line 1 is not JSON"),
        ("\n", ("a",), "has no lines"),
        ('{"a": 1}', (), "needs AttributeNames"),
        (None, ("a",), "NoSuchKey"),
        ("\xff".encode("latin1"), ("a",), "not JSON|decode"),
    ],
)
def test_an_augmented_manifest_that_is_none(
    store: MemoryStore, read: Read, content: str | bytes | None, attributes: tuple[str, ...], why: str
) -> None:
    if content is not None:
        store.put("s3://bucket/lines", content)
    with pytest.raises(JobFailureError, match=why) as failure:
        read(piped("s3://bucket/lines", data_type="AugmentedManifestFile", attributes=attributes))
    assert failure.value.reason.startswith("ClientError: Data download failed: ")


def test_an_object_that_is_referred_to_and_missing_fails_the_job(store: MemoryStore, read: Read) -> None:
    store.put("s3://bucket/lines", '{"image-ref": "s3://bucket/none"}')
    with pytest.raises(JobFailureError, match="ClientError: Data download failed: NoSuchKey"):
        read(piped("s3://bucket/lines", data_type="AugmentedManifestFile", attributes=("image-ref",)), epochs=2)


def test_a_prefix_without_objects_fails_before_the_job_starts(store: MemoryStore, read: Read) -> None:
    assert store.keys("bucket") == []
    with pytest.raises(JobFailureError, match='No S3 objects found under S3 URL "s3://bucket/data/"'):
        read(piped())


def test_who_reads_only_the_beginning_gets_the_next_epoch(store: MemoryStore, site: Site, folder: JobFolder) -> None:
    store.put("s3://bucket/data/a", b"0123456789" * 1_000_000)
    inputs = Inputs(folder, site, "role")
    inputs.add(piped())
    with inputs:
        for epoch in range(3):
            with folder.inside(f"/opt/ml/input/data/train_{epoch}").open("rb", buffering=0) as pipe:
                assert pipe.read(10) == b"0123456789"
                assert folder.inside(f"/opt/ml/input/data/train_{epoch + 1}").exists()
    inputs.check()


def test_pipes_that_nobody_reads_end(store: MemoryStore, site: Site, folder: JobFolder) -> None:
    store.put("s3://bucket/data/a", "1")
    before = threading.active_count()
    inputs = Inputs(folder, site, "role")
    inputs.add(piped())
    with inputs:
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    inputs.check()


def test_fast_files_are_the_objects_themselves(tmp_path: Path, site: Site, folder: JobFolder) -> None:
    store = FolderStore(tmp_path / "store")
    store.make_bucket("bucket")
    source = tmp_path / "source"
    source.write_text("content")
    store.store(source, "bucket", "data/a/b.csv")
    inputs = Inputs(folder, replace(site, store=store), "role")
    inputs.add(Channel(name="c", place="/opt/ml/input/data/c", uri="s3://bucket/data", mode=Mode.FAST_FILE))
    assert inputs.read_only == ("/opt/ml/input/data/c",)
    found = folder.inside("/opt/ml/input/data/c/a/b.csv")
    assert found.samefile(tmp_path / "store/bucket/data/a/b.csv")


CHANNEL = {
    "ChannelName": "train",
    "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/data/"}},
}


def test_a_channel_has_its_own_mode_or_that_of_the_job() -> None:
    assert Channel.of_training(CHANNEL, "Pipe").mode is Mode.PIPE
    assert Channel.of_training({**CHANNEL, "InputMode": "FastFile"}, "Pipe").mode is Mode.FAST_FILE
    more = {"CompressionType": "Gzip", "RecordWrapperType": "RecordIO", "ShuffleConfig": {"Seed": 0}}
    found = Channel.of_training({**CHANNEL, **more}, "Pipe", (1, 3))
    assert (found.compressed, found.wrapped, found.seed, found.share) == (True, True, 0, (1, 3))


@pytest.mark.parametrize("mode", ["File", "FastFile"])
def test_an_augmented_manifest_needs_a_pipe(mode: str) -> None:
    source = {"S3DataType": "AugmentedManifestFile", "S3Uri": "s3://bucket/lines", "AttributeNames": ["a"]}
    with pytest.raises(JobFailureError, match="only be used if the Channel's input mode is Pipe"):
        Channel.of_training({"ChannelName": "train", "DataSource": {"S3DataSource": source}}, mode)
