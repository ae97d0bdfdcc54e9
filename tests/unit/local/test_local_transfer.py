"""Objects land where the service puts them, and nowhere else."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.local.jobs.folder import JobFailureError
from mlops_sm.local.jobs.transfer import download, relative_name, upload
from mlops_sm.testing.stores import FolderStore, MemoryStore


@pytest.mark.parametrize(
    ("key", "prefix", "name"),
    [
        ("data/train/a.csv", "data/train", "a.csv"),
        ("data/train/a.csv", "data/train/", "a.csv"),
        ("data/train/deep/a.csv", "data/train", "deep/a.csv"),
        ("data/train.csv", "data/train.csv", "train.csv"),
        ("data/train.csv", "data/tr", "train.csv"),
        ("data/train/a.csv", "data/tr", "train/a.csv"),
        ("train.csv", "tr", "train.csv"),
        ("a.csv", "", "a.csv"),
        ("data//a.csv", "data", "a.csv"),
    ],
)
def test_names_below_a_prefix(key: str, prefix: str, name: str) -> None:
    assert relative_name(key, prefix) == name


parts = st.lists(st.text("ab.", min_size=1, max_size=2).filter(lambda part: part.strip(".")), min_size=1, max_size=3)


@given(st.sets(parts.map("/".join), min_size=1, max_size=5))
def test_a_folder_comes_back_as_it_was_uploaded(keys: set[str]) -> None:
    if any(other.startswith(key + "/") for key in keys for other in keys):
        return  # no file system holds a file and a folder of one name
    store = MemoryStore("bucket")
    for key in keys:
        store.put(f"s3://bucket/from/{key}", key)
    with tempfile.TemporaryDirectory() as folder:
        get(store, "s3://bucket/from", Path(folder))
        assert upload(store, Path(folder), "s3://bucket/to/") == len(keys)
    assert {key.removeprefix("to/") for key in store.keys("bucket") if key.startswith("to/")} == keys
    assert all(store.get(f"s3://bucket/to/{key}") == key.encode() for key in keys)


def get(store: Any, uri: str, target: Path, data_type: str = "S3Prefix") -> None:
    download(store, uri, target, data_type=data_type, region="eu-west-1", role="role")


@pytest.mark.parametrize("key", ["../out", "a/../../out", "..", "a\0b"])
def test_keys_that_lead_out_are_refused(tmp_path: Path, key: str) -> None:
    store = MemoryStore("bucket")
    store.put(f"s3://bucket/in/{key}", "x")
    with pytest.raises(JobFailureError, match="leads out of the input's folder"):
        get(store, "s3://bucket/in/", tmp_path / "deep/target")
    assert not (tmp_path / "out").exists()


def test_a_key_that_is_also_a_folder_is_said_to_be_one(tmp_path: Path) -> None:
    store = MemoryStore("bucket")
    store.put("s3://bucket/in/a", "x")
    store.put("s3://bucket/in/a/b", "x")
    with pytest.raises(JobFailureError, match="a file and a folder at once"):
        get(store, "s3://bucket/in", tmp_path)


@pytest.mark.parametrize("uri", ["https://bucket/x", "bucket/x", "s3://"])
def test_other_uris_are_refused(tmp_path: Path, uri: str) -> None:
    with pytest.raises(JobFailureError, match="not an S3 URI"):
        get(MemoryStore("bucket"), uri, tmp_path)


def test_upload_takes_regular_files_only(tmp_path: Path) -> None:
    store = MemoryStore("bucket")
    (tmp_path / "out/real").mkdir(parents=True)
    (tmp_path / "out/real/file").write_text("x")
    (tmp_path / "outside").write_text("secret")
    (tmp_path / "out/link").symlink_to(tmp_path / "outside")
    (tmp_path / "out/folder").symlink_to(tmp_path / "out/real")
    assert upload(store, tmp_path / "out", "s3://bucket") == 1
    assert store.keys("bucket") == ["real/file"]


def test_uploading_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    assert upload(MemoryStore("bucket"), tmp_path / "none", "s3://bucket/x") == 0


@pytest.fixture(params=["memory", "folder"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    store = MemoryStore() if request.param == "memory" else FolderStore(tmp_path / "store")
    store.make_bucket("bucket")
    return store


def test_fakes_keep_the_stores_contract(any_store: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    for key in ("b/2", "a", "b/10"):
        any_store.store(tmp_path / "file", "bucket", key)
    assert [(found.key, found.size) for found in any_store.list("bucket", "")] == [("a", 7), ("b/10", 7), ("b/2", 7)]
    assert [found.key for found in any_store.list("bucket", "b/1")] == ["b/10"]
    any_store.fetch("bucket", "a", tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == any_store.read("bucket", "a") == b"content"
    for call in (
        lambda: any_store.list("none", ""),
        lambda: any_store.read("none", "a"),
        lambda: any_store.store(tmp_path / "file", "none", "a"),
    ):
        with pytest.raises(Exception, match="NoSuchBucket"):
            call()
    with pytest.raises(Exception, match="NoSuchKey"):
        any_store.fetch("bucket", "missing", tmp_path / "x")
