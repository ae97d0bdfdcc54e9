"""What differs between the bytes that two values name, in S3 and in assets that are not there yet."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.compile import Asset, AssetForm
from mlops_sm.operations import object_bytes
from mlops_sm.operations.cache_outlook import FileChange, Object
from mlops_sm.operations.clients import Clients
from mlops_sm.operations.object_bytes import Contents, uris_in
from mlops_sm.operations.refusals import translated

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Bucket:
    """Objects of one bucket; a body that is None cannot be read."""

    def __init__(self, objects: Mapping[str, bytes | int]) -> None:
        self.objects = objects
        self.reads: list[str] = []

    def list_objects_v2(self, **request: Any) -> Any:
        found = [
            {
                "Key": key,
                "Size": body if isinstance(body, int) else len(body),
                "ETag": f'"{body}"',
                "LastModified": NOON,
            }
            for key, body in sorted(self.objects.items())
            if key.startswith(request["Prefix"])
        ]
        return {"Contents": found} if found else {}

    def get_object(self, **request: Any) -> Any:
        self.reads.append(request["Key"])
        return {"Body": io.BytesIO(self.objects[request["Key"]])}  # type: ignore[arg-type] # only bytes are read


def contents(objects: Mapping[str, bytes | int], *assets: Asset) -> Contents:
    return Contents(translated(Bucket(objects), "s3"), {asset.uri: asset for asset in assets})


def bytes_of(body: bytes) -> Object:
    return Object(hashlib.sha256(body).hexdigest(), len(body))


def packed(**files: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return stream.getvalue()


def test_uris_are_found_within_other_text_too() -> None:
    assert list(uris_in({"a": ['"s3://b/x.tar.gz"', 3], "b": "cp s3://b/y s3://b/z"})) == [
        "s3://b/x.tar.gz",
        "s3://b/y",
        "s3://b/z",
    ]


def test_one_object_each_whatever_they_are_called() -> None:
    found = contents({"1/a.py": b"1", "2/b.py": b"22"}).changes("s3://b/1/a.py", "s3://b/2/b.py")
    assert found == (FileChange(name="b.py", before=bytes_of(b"1"), after=bytes_of(b"22")),)
    assert contents({"1/a": b"1", "2/a": b"1"}).changes("s3://b/1/a", "s3://b/2/a") == ()


@pytest.mark.parametrize(("before", "after"), [("x", "y"), (None, "s3://b/a"), ("s3://b/a", "s3://b/a s3://b/c")])
def test_values_that_do_not_name_objects_on_both_sides(before: Any, after: Any) -> None:
    assert contents({"a": b"1"}).changes(before, after) is None


def test_an_asset_that_is_not_published_yet(tmp_path: Path) -> None:
    script = tmp_path / "a.py"
    script.write_text("2")
    asset = Asset("s3://b/p/assets/2/a.py", script, AssetForm.FILE, "d")
    found = contents({"p/assets/1/a.py": b"1"}, asset).changes("s3://b/p/assets/1/a.py", asset.uri)
    assert found == (FileChange(name="a.py", before=bytes_of(b"1"), after=bytes_of(b"2")),)
    # Some steps name the folder.
    assert contents({"p/assets/1/a.py": b"1"}, asset).changes("s3://b/p/assets/1/", "s3://b/p/assets/2/") == found


def test_archives_are_compared_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("new")
    (tmp_path / "same.py").write_text("same")
    asset = Asset("s3://b/2/sourcedir.tar.gz", tmp_path, AssetForm.ARCHIVE, "d")
    old = packed(**{"a.py": "old", "same.py": "same", "gone.py": ""})
    found = contents({"1/sourcedir.tar.gz": old}, asset).changes("s3://b/1/sourcedir.tar.gz", asset.uri)
    assert found == (
        FileChange(name="sourcedir.tar.gz!a.py", before=bytes_of(b"old"), after=bytes_of(b"new")),
        FileChange(name="sourcedir.tar.gz!gone.py", before=bytes_of(b""), after=None),
    )


def test_an_archive_that_is_cut_off_is_compared_whole() -> None:
    whole = packed(**{"a.py": "x" * 2000})
    found = contents({"1/a.tar.gz": whole[:-20], "2/a.tar.gz": whole}).changes("s3://b/1/a.tar.gz", "s3://b/2/a.tar.gz")
    assert found == (FileChange(name="a.tar.gz", before=bytes_of(whole[:-20]), after=bytes_of(whole)),)


def test_large_objects_are_not_read() -> None:
    large = object_bytes.MAX_READ + 1
    store = contents({"1/a": large, "2/a": large, "3/a": large + 1})
    assert store.changes("s3://b/1/a", "s3://b/2/a") == ()
    (change,) = store.changes("s3://b/1/a", "s3://b/3/a") or ()
    assert (change.before, change.after) == (Object(None, large), Object(None, large + 1))


def test_what_cannot_be_read_says_nothing() -> None:
    from mlops_sm.testing.aws import FakeAws  # noqa: PLC0415 - the refusal of an account

    aws = FakeAws()
    aws.refuse("list_objects_v2", "AccessDenied")
    store = Contents(Clients(aws.client).s3, {})
    assert store.changes("s3://b/1", "s3://b/2") is None
    assert store.written_after("s3://b/1", NOON) == []


def test_what_was_written_after_a_moment() -> None:
    store = contents({"d/a": b"1", "d/b": b"1", "da": b"1"})
    assert store.written_after("s3://b/d", NOON.replace(hour=11)) == ["s3://b/d/a", "s3://b/d/b"]
    assert store.written_after("s3://b/d", NOON) == []
