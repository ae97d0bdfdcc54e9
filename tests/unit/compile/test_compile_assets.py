"""Assets: digests that depend on content only, and objects that are the same bytes everywhere."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import socket
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_sm.compile import Asset, AssetForm, materialize
from mlops_sm.compile.archive import is_gzip, repack
from mlops_sm.compile.assets import file_digest, folder_digest, folder_members
from mlops_sm.errors import InputError

# lower case only: macOS' file system would merge names that differ in case
NAMES = st.text("abcxyz-_ é.", min_size=1, max_size=8).filter(
    lambda n: n.strip(".") and not n.endswith(("~", ".swp", ".swo", ".pyc", ".pyo")) and not n.startswith(".#")
)
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map(tuple), st.binary(max_size=40), min_size=1, max_size=6
).filter(lambda tree: not any(p != q and q[: len(p)] == p for p in tree for q in tree))

TRICKLE = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def plant(root: Path, tree: Mapping[tuple[str, ...], bytes], *, mtime: int = 0, mode: int = 0o644) -> Path:
    for parts, content in tree.items():
        path = root.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        os.utime(path, (mtime, mtime))
    return root


def archive_of(folder: Path) -> Asset:
    return Asset("s3://b/p/assets/0/sourcedir.tar.gz", folder, AssetForm.ARCHIVE, folder_digest(folder))


def packed(folder: Path, target: Path) -> bytes:
    materialize(archive_of(folder), target)
    return target.read_bytes()


@TRICKLE
@given(tree=TREES)
def test_the_same_content_has_one_digest_and_one_archive_wherever_and_whenever_it_was_written(
    tree: dict[tuple[str, ...], bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("assets")
    one = plant(base / "one", tree, mtime=1, mode=0o600)
    other = plant(base / "elsewhere" / "other", dict(reversed(tree.items())), mtime=2_000_000_000, mode=0o755)
    assert folder_digest(one) == folder_digest(other)
    assert packed(one, base / "1.tar.gz") == packed(other, base / "2.tar.gz")


@TRICKLE
@given(tree=TREES)
def test_an_archive_unpacks_to_the_folder(
    tree: dict[tuple[str, ...], bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("assets")
    content = packed(plant(base / "one", tree), base / "1.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        tar.extractall(base / "out", filter="data")
    assert folder_digest(base / "out") == folder_digest(base / "one")
    assert {"/".join(parts): body for parts, body in tree.items()} == {
        name: path.read_bytes() for name, path in folder_members(base / "out")
    }


@TRICKLE
@given(tree=TREES, data=st.data())
def test_every_change_of_a_name_or_a_byte_changes_the_digest(
    tree: dict[tuple[str, ...], bytes], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = plant(tmp_path_factory.mktemp("assets") / "one", tree)
    before = folder_digest(folder)
    parts = data.draw(st.sampled_from(sorted(tree)))
    changed = folder.joinpath(*parts)
    if data.draw(st.booleans()):
        changed.write_bytes(tree[parts] + b"!")
    else:
        changed.rename(changed.with_name(changed.name + "0"))
    assert folder_digest(folder) != before


def test_a_file_and_its_digest_survive_the_copy(tmp_path: Path) -> None:
    source = tmp_path / "train.py"
    source.write_bytes(os.urandom(3_000_001))
    digest = file_digest(source)
    assert digest == hashlib.sha256(source.read_bytes()).hexdigest()
    materialize(Asset("s3://b/k", source, AssetForm.FILE, digest), tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()


def test_caches_backups_and_version_control_are_not_content(tmp_path: Path) -> None:
    folder = plant(tmp_path / "jobs", {("train.py",): b"x"})
    before = folder_digest(folder)
    plant(
        folder,
        {
            ("__pycache__", "train.cpython-311.pyc"): b"1",
            ("old.pyc",): b"2",
            (".DS_Store",): b"3",
            ("train.py~",): b"4",
            (".train.py.swp",): b"5",
            ("#train.py#",): b"6",
            (".git", "HEAD"): b"7",
            ("nested", ".ipynb_checkpoints", "a.ipynb"): b"8",
        },
    )
    (folder / "empty").mkdir()
    assert folder_digest(folder) == before
    assert [name for name, _ in folder_members(folder)] == ["train.py"]


def test_links_inside_the_folder_are_followed(tmp_path: Path) -> None:
    linked = plant(tmp_path / "linked", {("real", "a.py"): b"x"})
    (linked / "b.py").symlink_to("real/a.py")
    (linked / "again").symlink_to("real", target_is_directory=True)
    plain = plant(tmp_path / "plain", {("real", "a.py"): b"x", ("b.py",): b"x", ("again", "a.py"): b"x"})
    assert folder_digest(linked) == folder_digest(plain)


def test_what_cannot_be_an_asset_is_refused_all_at_once(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    folder = plant(tmp_path / "jobs", {("train.py",): b"x"})
    (folder / "leaves").symlink_to("../secret")
    (folder / "broken").symlink_to("nowhere")
    (folder / "circle").symlink_to(".", target_is_directory=True)
    os.mkfifo(folder / "pipe")
    (folder / "absolute").symlink_to("/etc", target_is_directory=True)
    with pytest.raises(InputError) as refused:
        folder_digest(folder)
    assert {(p.code, p.where) for p in refused.value.problems} == {
        ("E308", f"jobs/{name}") for name in ("leaves", "broken", "circle", "pipe", "absolute")
    }
    assert all(p.fix for p in refused.value.problems)


def test_a_socket_is_refused_without_being_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = plant(tmp_path / "jobs", {("train.py",): b"x"})
    monkeypatch.chdir(folder)  # the path of a socket has at most about 100 characters
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
        with pytest.raises(InputError, match="neither a file nor a folder"):
            folder_digest(folder)


@pytest.mark.parametrize("form", AssetForm)
def test_an_asset_changed_after_compile_is_not_uploaded(form: AssetForm, tmp_path: Path) -> None:
    folder = plant(tmp_path / "jobs", {("train.py",): b"x"})
    path = folder if form is AssetForm.ARCHIVE else folder / "train.py"
    digest = folder_digest(path) if form is AssetForm.ARCHIVE else file_digest(path)
    (folder / "train.py").write_bytes(b"y")
    with pytest.raises(InputError) as refused:
        materialize(Asset("s3://b/k", path, form, digest), tmp_path / "out")
    assert refused.value.problems[0].code == "E315"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["jobs"]


@pytest.mark.parametrize("form", AssetForm)
def test_an_asset_removed_after_compile_is_a_problem_with_its_name(form: AssetForm, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        materialize(Asset("s3://b/k", tmp_path / "gone", form, "0" * 64), tmp_path / "out")
    assert refused.value.problems[0].code == "E315"
    assert "gone" in refused.value.problems[0].where
    assert list(tmp_path.iterdir()) == []


@TRICKLE
@given(tree=TREES)
def test_repacking_forgets_everything_but_names_and_contents(tree: dict[tuple[str, ...], bytes]) -> None:
    def carelessly(mtime: int, order: int) -> bytes:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz") as tar:
            for parts, content in list(tree.items())[::order]:
                member = tarfile.TarInfo("/".join(parts))
                member.size, member.mtime, member.uid, member.uname = len(content), mtime, mtime, str(mtime)
                tar.addfile(member, io.BytesIO(content))
        return stream.getvalue()

    stable = repack(carelessly(1, 1))
    assert stable == repack(carelessly(999, -1)) == repack(stable)
    with tarfile.open(fileobj=io.BytesIO(stable)) as tar:
        assert tar.getnames() == sorted("/".join(parts) for parts in tree)


def test_a_gzip_that_is_no_tar_stays_as_it_is(tmp_path: Path) -> None:
    content = gzip.compress(b"not a tar", mtime=5)
    assert is_gzip(content)
    assert repack(content) == content
    assert repack(content[:12]) == content[:12]
