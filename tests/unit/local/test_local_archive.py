"""Archives are packed without surprises and unpacked without trust."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_sm.local.jobs import archive
from mlops_sm.local.jobs.folder import JobFailureError

Member = tuple[str, str, str | int]
"""Kind, name, and the content, the link's target or the claimed size."""


def tar(path: Path, *members: Member) -> Path:
    with tarfile.open(path, "w:gz") as made:
        for kind, name, what in members:
            member = tarfile.TarInfo(name)
            content = b""
            match kind:
                case "file":
                    content = str(what).encode()
                    member.size = len(content)
                case "link":
                    member.type, member.linkname = tarfile.SYMTYPE, str(what)
                case "hard":
                    member.type, member.linkname = tarfile.LNKTYPE, str(what)
                case "folder":
                    member.type = tarfile.DIRTYPE
                case _:
                    member.type = getattr(tarfile, kind)
            made.addfile(member, io.BytesIO(content))
    return path


def test_what_is_packed_is_unpacked(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "a/b").mkdir(parents=True)
    (source / "empty").mkdir()
    (source / "a/b/file").write_text("content")
    (source / "run.sh").write_text("run")
    (source / "run.sh").chmod(0o755)
    (source / "link").symlink_to("a/b/file")
    os.mkfifo(source / "pipe")
    archive.pack([source], tmp_path / "x.tar.gz")
    archive.unpack(tmp_path / "x.tar.gz", tmp_path / "target")
    target = tmp_path / "target"
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*")) == [
        *("a", "a/b", "a/b/file", "empty", "link", "run.sh")
    ]
    assert (target / "link").read_text() == "content"
    assert os.access(target / "run.sh", os.X_OK)
    with tarfile.open(tmp_path / "x.tar.gz") as packed:
        assert {(member.uid, member.uname) for member in packed} == {(0, "")}


@pytest.mark.parametrize(
    "members",
    [
        [("file", "../escaped", "x")],
        [("file", "/escaped", "x")],
        [("file", "a/../../escaped", "x")],
        [("folder", "../escaped", "")],
        [("link", "out", ".."), ("file", "out/escaped", "x")],
        [("link", "out", "/"), ("file", "out/escaped", "x")],
        [("link", "a/out", "../.."), ("file", "a/out/escaped", "x")],
        [("link", "out", "/etc/passwd")],
        [("hard", "out", "../outside")],
        [("hard", "out", "/etc/passwd")],
        [("link", "one", "two"), ("link", "two", ".."), ("file", "one/escaped", "x")],
        [("link", "a", "b"), ("link", "b", "a"), ("file", "a/escaped", "x")],
        [("CHRTYPE", "null", "")],
        [("BLKTYPE", "disk", "")],
        [("FIFOTYPE", "pipe", "")],
    ],
    ids=lambda members: " ".join(f"{kind}:{name}->{what}" for kind, name, what in members),
)
def test_archives_that_reach_out_are_refused(tmp_path: Path, members: list[Member]) -> None:
    (tmp_path / "outside").write_text("outside")
    target = tmp_path / "inner/target"
    with pytest.raises(JobFailureError, match="the source archive is refused"):
        archive.unpack(tar(tmp_path / "x.tar.gz", *members), target)
    assert not list(tmp_path.rglob("escaped"))
    assert not Path("/escaped").exists()


def test_links_within_the_folder_are_kept(tmp_path: Path) -> None:
    members: list[Member] = [("file", "a/one", "1"), ("link", "a/two", "one"), ("hard", "b/three", "a/one")]
    archive.unpack(tar(tmp_path / "x.tar.gz", *members), tmp_path / "t")
    assert {(tmp_path / "t" / name).read_text() for name in ("a/one", "a/two", "b/three")} == {"1"}


def test_a_later_member_replaces_an_earlier_one(tmp_path: Path) -> None:
    archive.unpack(tar(tmp_path / "x", ("file", "a", "old"), ("link", "b", "a"), ("file", "b", "new")), tmp_path / "t")
    assert ((tmp_path / "t/a").read_text(), (tmp_path / "t/b").read_text()) == ("old", "new")


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b broken"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(JobFailureError, match="cannot be unpacked"):
        archive.unpack(tmp_path / "x", tmp_path / "t")


def test_a_truncated_archive_is_refused(tmp_path: Path, make_archive: Callable[[dict[str, str]], bytes]) -> None:
    content = make_archive({f"file-{number}": str(number) * 1000 for number in range(50)})
    (tmp_path / "x").write_bytes(content[: len(content) // 2])
    with pytest.raises(JobFailureError, match="cannot be unpacked"):
        archive.unpack(tmp_path / "x", tmp_path / "t")


def test_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tar(tmp_path / "x", *[("file", str(number), "12345") for number in range(10)])
    monkeypatch.setattr(archive, "MAX_SOURCE_BYTES", 49)
    with pytest.raises(JobFailureError, match="unpacks to more than"):
        archive.unpack(path, tmp_path / "t")
    monkeypatch.setattr(archive, "MAX_SOURCE_BYTES", 50)
    monkeypatch.setattr(archive, "MAX_SOURCE_MEMBERS", 9)
    with pytest.raises(JobFailureError, match="more than 9 members"):
        archive.unpack(path, tmp_path / "t")
    monkeypatch.setattr(archive, "MAX_SOURCE_MEMBERS", 10)
    archive.unpack(path, tmp_path / "t")


names = st.lists(st.sampled_from(["a", "b", "..", ".", "c"]), min_size=1, max_size=4).map("/".join)
links = st.tuples(st.sampled_from(["file", "link", "hard", "folder"]), names, names | st.just("/"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(links, max_size=6))
def test_nothing_is_ever_written_outside(tmp_path: Path, members: list[Member]) -> None:
    work = Path(tempfile.mkdtemp(dir=tmp_path))
    target = work / "x/y/target"
    with suppress(JobFailureError):
        archive.unpack(tar(tmp_path / "x.tar.gz", *members), target)
    outside = [path for path in work.rglob("*") if not path.is_relative_to(target) and not target.is_relative_to(path)]
    assert outside == []
    for path in target.rglob("*"):
        assert Path(os.path.realpath(path)).is_relative_to(target.resolve())
