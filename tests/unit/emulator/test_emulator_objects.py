"""S3 as jobs use it: the same objects that boto3 sees, without memory and HTTP in between."""

from __future__ import annotations

import hashlib
import os
import resource
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.emulator.contents import copy_file
from mlops_sm.emulator.objects import LocalObjects
from mlops_sm.emulator.store import Scope
from mlops_sm.local.site import ObjectInfo, StoreError

MB = 1 << 20
HERE = Scope("123456789012", "us-east-1")


@pytest.fixture
def objects(account: Any) -> LocalObjects:
    found: LocalObjects = account.local._storage.objects(HERE)
    return found


def test_what_a_job_stores_is_an_object_and_the_other_way_round(
    account: Any, objects: LocalObjects, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"from a job")
    objects.store(source, account.bucket, "out/a")
    assert account.body("out/a") == b"from a job"
    found = account.s3.head_object(Bucket=account.bucket, Key="out/a")
    assert (found["ContentLength"], found["ETag"]) == (10, f'"{hashlib.md5(b"from a job").hexdigest()}"')  # noqa: S324
    account.put("in/b", "from a client")
    objects.fetch(account.bucket, "in/b", target)
    assert target.read_bytes() == b"from a client"
    assert objects.read(account.bucket, "in/b") == b"from a client"


def test_a_stored_object_is_as_durable_and_versioned(open_account: Any, tmp_path: Path) -> None:
    account = open_account()
    source = tmp_path / "source"
    for word in ("one", "two"):
        source.write_text(word)
        account.local._storage.objects(HERE).store(source, account.bucket, "k")
    source.write_text("changed after it was stored")
    account = open_account()
    versions = account.s3.list_object_versions(Bucket=account.bucket)["Versions"]
    bodies = [
        account.s3.get_object(Bucket=account.bucket, Key="k", VersionId=version["VersionId"])["Body"].read()
        for version in versions
    ]
    assert bodies == [b"two", b"one"]


def test_a_fetched_file_is_a_copy(account: Any, objects: LocalObjects, tmp_path: Path) -> None:
    account.put("k", "original")
    target = tmp_path / "target"
    objects.fetch(account.bucket, "k", target)
    target.write_text("a job may change its inputs")
    assert account.body("k") == b"original"


def test_a_lent_file_is_the_objects_own_and_outlives_it(account: Any, objects: LocalObjects, tmp_path: Path) -> None:
    account.put("in/b", "content")
    lent = tmp_path / "lent"
    objects.lend(account.bucket, "in/b", lent)
    assert lent.stat().st_nlink == 2
    account.put("in/b", "other")
    account.s3.delete_object(Bucket=account.bucket, Key="in/b")
    assert lent.read_text() == "content"
    with pytest.raises(StoreError, match="NoSuchKey"):
        objects.lend(account.bucket, "in/b", tmp_path / "none")


def test_a_file_that_cannot_be_lent_is_copied(account: Any, objects: LocalObjects) -> None:
    account.put("in/b", "content")
    elsewhere = Path("/dev/shm")  # noqa: S108 - another file system
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == objects._key(account.bucket, "in/b").path.stat().st_dev:
        pytest.skip("NO SECOND FILE SYSTEM HERE")
    lent = elsewhere / f"mlops-sm-{os.getpid()}"
    try:
        objects.lend(account.bucket, "in/b", lent)
        assert (lent.read_text(), lent.stat().st_nlink) == ("content", 1)
    finally:
        lent.unlink(missing_ok=True)


def test_keys_are_listed_by_prefix_in_order(account: Any, objects: LocalObjects) -> None:
    for key in ("b/2", "a", "b/10", "c"):
        account.put(key, "x" * len(key))
    account.s3.delete_object(Bucket=account.bucket, Key="c")
    assert objects.list(account.bucket, "b/") == [ObjectInfo("b/10", 4), ObjectInfo("b/2", 3)]
    assert [info.key for info in objects.list(account.bucket, "")] == ["a", "b/10", "b/2"]
    assert objects.list(account.bucket, "nothing") == []


def test_what_is_missing_has_s3s_code(account: Any, objects: LocalObjects, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.touch()
    for call in (
        lambda: objects.list("nobody", ""),
        lambda: objects.fetch("nobody", "k", tmp_path / "t"),
        lambda: objects.store(source, "nobody", "k"),
        lambda: objects.read("nobody", "k"),
    ):
        with pytest.raises(StoreError) as refused:
            call()
        assert refused.value.code == "NoSuchBucket"
    account.put("deleted", "x")
    account.s3.delete_object(Bucket=account.bucket, Key="deleted")
    for key in ("nothing", "deleted"):
        for call in (
            lambda key=key: objects.fetch(account.bucket, key, tmp_path / "t"),
            lambda key=key: objects.read(account.bucket, key),
        ):
            with pytest.raises(StoreError) as refused:
                call()
            assert refused.value.code == "NoSuchKey"


def test_a_source_that_is_not_there_leaves_nothing(account: Any, objects: LocalObjects, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        objects.store(tmp_path / "nothing", account.bucket, "k")
    assert objects.list(account.bucket, "") == []
    assert [path for path in (account.local.state / "objects").glob("*/*") if path.is_file()] == []


def test_a_large_object_does_not_pass_through_memory(account: Any, objects: LocalObjects, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(MB) * 64)
    objects.list(account.bucket, "")
    tracemalloc.start()
    objects.store(source, account.bucket, "big")
    objects.fetch(account.bucket, "big", target)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * MB
    assert target.stat().st_size == 64 * MB


def test_a_full_disk_is_an_error_of_the_store(account: Any, objects: LocalObjects, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3 * MB)
    account.put("k", "before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MB, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            objects.store(source, account.bucket, "k")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert account.body("k") == b"before"


@pytest.mark.parametrize("size", [0, 1, 3 * MB + 1])
def test_a_copy_is_equal(tmp_path: Path, size: int) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(size))
    target.write_bytes(b"something longer that was there before")
    copy_file(source, target)
    assert target.read_bytes() == source.read_bytes()
