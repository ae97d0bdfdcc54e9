"""The compile cache: every hit is right, every damage is a miss."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from mlops_sm.compile.cache import CompileCache
from mlops_sm.compile.dependencies import record, unchanged
from mlops_sm.compile.structure import Dependency, Structure
from mlops_sm.errors import RefusedError

KEY, OTHER_KEY = "a" * 64, "b" * 64


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "build.py").write_text("one")
    return folder


def structure(root: Path, text: str = "{}", *more: Dependency) -> Structure:
    return Structure("demo", text, (), (record("project", root, root / "build.py"), *more))


def test_what_was_stored_is_found_by_its_key_only(root: Path, tmp_path: Path) -> None:
    cache = CompileCache(tmp_path / "cache")
    assert cache.find(KEY, root) is None
    stored = cache.store(KEY, structure(root))
    found = cache.find(KEY, root)
    assert found is not None
    assert (found.folder, found.structure) == (stored.folder, structure(root))
    assert cache.find(OTHER_KEY, root) is None


def test_a_changed_a_missing_and_a_replaced_dependency_are_misses(root: Path, tmp_path: Path) -> None:
    cache = CompileCache(tmp_path / "cache")
    cache.store(KEY, structure(root))
    build = root / "build.py"
    build.write_text("two")
    assert cache.find(KEY, root) is None
    build.unlink()
    assert cache.find(KEY, root) is None
    build.mkdir()
    assert cache.find(KEY, root) is None
    build.rmdir()
    build.write_text("one")
    assert cache.find(KEY, root) is not None


def test_a_file_that_was_looked_for_in_vain_is_a_dependency(root: Path, tmp_path: Path) -> None:
    cache = CompileCache(tmp_path / "cache")
    cache.store(KEY, structure(root, "{}", record("project", root, root / "overrides.json")))
    assert cache.find(KEY, root) is not None
    (root / "overrides.json").write_text("{}")
    assert cache.find(KEY, root) is None


def test_a_listed_folder_is_its_names_and_not_its_contents(root: Path) -> None:
    (root / "jobs").mkdir()
    (root / "jobs/a.py").write_text("1")
    listing = record("project", root, root / "jobs", listing=True)
    (root / "jobs/a.py").write_text("2")
    (root / "jobs/__pycache__").mkdir()
    assert unchanged([listing], root)
    (root / "jobs/b.py").write_text("1")
    assert not unchanged([listing], root)


@pytest.mark.parametrize("cut", [0, 1, 50, -1])
def test_a_truncated_entry_is_a_miss_and_is_replaced(cut: int, root: Path, tmp_path: Path) -> None:
    cache = CompileCache(tmp_path / "cache")
    file = cache.store(KEY, structure(root)).folder / "structure.json"
    file.write_bytes(file.read_bytes()[:cut])
    assert cache.find(KEY, root) is None
    cache.store(KEY, structure(root))
    assert cache.find(KEY, root) is not None


def test_an_entry_that_was_edited_is_a_miss(root: Path, tmp_path: Path) -> None:
    cache = CompileCache(tmp_path / "cache")
    file = cache.store(KEY, structure(root)).folder / "structure.json"
    file.write_text(file.read_text().replace('"demo"', '"evil"'))
    assert cache.find(KEY, root) is None


def test_binary_rubbish_and_a_missing_file_are_misses(root: Path, tmp_path: Path) -> None:
    cache = CompileCache(tmp_path / "cache")
    file = cache.store(KEY, structure(root)).folder / "structure.json"
    file.write_bytes(b"\xff\x00\xfe")
    assert cache.find(KEY, root) is None
    file.unlink()
    assert cache.find(KEY, root) is None


def test_the_least_recently_used_entries_go(root: Path, tmp_path: Path) -> None:
    cache = CompileCache(tmp_path / "cache", max_entries=3)
    entries = [cache.store(str(n) * 64, structure(root, str(n))) for n in range(3)]
    for age, entry in enumerate(reversed(entries)):
        os.utime(entry.folder, (1_000_000 - age, 1_000_000 - age))
    assert cache.find(str(0) * 64, root) is not None  # used: now the newest
    cache.store(str(9) * 64, structure(root, "9"))
    kept = {n for n in (0, 1, 2, 9) if cache.find(str(n) * 64, root)}
    assert kept == {0, 2, 9}


def test_content_is_kept_by_digest_and_repaired(root: Path, tmp_path: Path) -> None:
    entry = CompileCache(tmp_path / "cache").store(KEY, structure(root))
    path = entry.keep(b"text")
    assert path.read_bytes() == b"text"
    assert entry.keep(b"text") == path != entry.keep(b"other")
    path.write_bytes(b"te")
    assert entry.keep(b"text").read_bytes() == b"text"


def test_many_writers_of_one_entry_leave_one_whole_entry(root: Path, tmp_path: Path) -> None:
    cache = CompileCache(tmp_path / "cache")
    together = threading.Barrier(8)

    def write() -> None:
        together.wait()
        cache.store(KEY, structure(root)).keep(b"text")

    writers = [threading.Thread(target=write) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert cache.find(KEY, root) is not None
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_refused_with_its_folder(root: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the way")
    with pytest.raises(RefusedError) as refused:
        CompileCache(tmp_path / "cache").store(KEY, structure(root))
    assert refused.value.problems[0].code == "E317"
    assert refused.value.problems[0].where == str(tmp_path / "cache")
