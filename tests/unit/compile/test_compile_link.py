"""Link: placeholders and the SDK's own keys become content-addressed URIs, and nothing else changes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_sm.compile.assets import AssetForm, file_digest, folder_digest
from mlops_sm.compile.link import AssetGoneError, Linked, link
from mlops_sm.compile.structure import PlannedAsset, SourceForm, Structure
from mlops_sm.errors import InputError

BASE = "s3://bucket/demo/assets"


class Store:
    """Keeps content as files named by digest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, content: bytes) -> Path:
        path = self.folder / hashlib.sha256(content).hexdigest()
        path.write_bytes(content)
        return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "jobs/more").mkdir(parents=True)
    (tmp_path / "jobs/a.py").write_text("a")
    (tmp_path / "jobs/more/b.py").write_text("b")
    (tmp_path / "kept").mkdir()
    return tmp_path


def run(root: Path, document: object, *planned: PlannedAsset) -> Linked:
    structure = Structure("demo", json.dumps(document), planned, ())
    return link(structure, project_root=root, keep=Store(root / "kept"))


def test_a_file_and_an_archive(root: Path) -> None:
    linked = run(
        root,
        {"z": f"{BASE}/unlinked00000000/a.py", "a": [f"{BASE}/unlinked00000001/sourcedir.tar.gz", 1, None, True]},
        PlannedAsset(f"{BASE}/unlinked00000000/a.py", "jobs/a.py", SourceForm.FILE),
        PlannedAsset(f"{BASE}/unlinked00000001/sourcedir.tar.gz", "jobs", SourceForm.ARCHIVE),
    )
    file, folder = file_digest(root / "jobs/a.py"), folder_digest(root / "jobs")
    assert linked.definition == (
        f'{{"a":["{BASE}/{folder[:16]}/sourcedir.tar.gz",1,null,true],"z":"{BASE}/{file[:16]}/a.py"}}'
    )
    assert {(a.uri, a.path, a.form, a.digest) for a in linked.assets} == {
        (f"{BASE}/{file[:16]}/a.py", root / "jobs/a.py", AssetForm.FILE, file),
        (f"{BASE}/{folder[:16]}/sourcedir.tar.gz", root / "jobs", AssetForm.ARCHIVE, folder),
    }


def test_the_same_content_registered_twice_is_one_asset(root: Path) -> None:
    (root / "jobs/copy").mkdir()
    (root / "jobs/copy/a.py").write_text("a")
    linked = run(
        root,
        [f"{BASE}/unlinked00000000/a.py", f"{BASE}/unlinked00000001/a.py"],
        PlannedAsset(f"{BASE}/unlinked00000000/a.py", "jobs/a.py", SourceForm.FILE),
        PlannedAsset(f"{BASE}/unlinked00000001/a.py", "jobs/copy/a.py", SourceForm.FILE),
    )
    assert len(linked.assets) == 1
    assert len(set(json.loads(linked.definition))) == 1


def test_a_placeholder_is_replaced_wherever_it_stands(root: Path) -> None:
    uri = f"{BASE}/unlinked00000000/a.py"
    linked = run(
        root,
        {
            "folder": uri.rpartition("/")[0],
            "key": uri.removeprefix("s3://bucket/"),
            uri: "as a key",
            "text": f"x {uri}, y",
        },
        PlannedAsset(uri, "jobs/a.py", SourceForm.FILE),
    )
    assert "unlinked" not in linked.definition
    assert linked.definition.count(file_digest(root / "jobs/a.py")[:16]) == 4


def test_a_tree_is_one_object_a_file_and_takes_new_files_in(root: Path) -> None:
    planned = PlannedAsset(f"{BASE}/unlinked00000000/jobs", "jobs", SourceForm.TREE)
    before = run(root, [planned.uri], planned)
    prefix = json.loads(before.definition)[0]
    assert [a.uri for a in before.assets] == [f"{prefix}/a.py", f"{prefix}/more/b.py"]
    (root / "jobs/c.py").write_text("c")
    after = run(root, [planned.uri], planned)
    assert json.loads(after.definition)[0] != prefix
    assert sorted(a.path.name for a in after.assets) == ["a.py", "b.py", "c.py"]


def test_keys_the_sdk_chose_are_renamed_together(root: Path) -> None:
    job = "s3://bucket/job-2000-01-01/source"
    planned = (
        PlannedAsset(f"{job}/sourcedir.tar.gz", b"tar", SourceForm.FILE),
        PlannedAsset(f"{job}/runproc.sh", b"sh", SourceForm.FILE),
        PlannedAsset(f"{job}/nested/deep.txt", b"deep", SourceForm.FILE),
    )
    linked = run(
        root,
        [f"{job}/", f"{job}/runproc.sh", f"{job}/runproc.sh2", job, f"{job}/results/x", "s3://bucket/job-2000-01-01"],
        *planned,
    )
    folder, script, *untouched = json.loads(linked.definition)
    assert script == f"{folder}runproc.sh"
    assert folder.startswith("s3://bucket/demo/assets/")
    # what was not uploaded is somebody's data, and keeps its name
    assert untouched == [f"{job}/runproc.sh2", job, f"{job}/results/x", "s3://bucket/job-2000-01-01"]
    assert sorted(a.uri for a in linked.assets) == [
        f"{folder}nested/deep.txt",
        f"{folder}runproc.sh",
        f"{folder}sourcedir.tar.gz",
    ]
    assert {a.path.read_bytes() for a in linked.assets} == {b"tar", b"sh", b"deep"}


def test_the_sdks_key_does_not_matter_and_its_content_does(root: Path) -> None:
    def compiled(key: str, content: bytes) -> str:
        return run(root, [key], PlannedAsset(key, content, SourceForm.FILE)).definition

    assert compiled("s3://bucket/monday/x.json", b"1") == compiled("s3://bucket/tuesday/x.json", b"1")
    assert compiled("s3://bucket/monday/x.json", b"1") != compiled("s3://bucket/monday/x.json", b"2")


def test_an_object_at_the_top_of_a_bucket(root: Path) -> None:
    linked = run(root, ["s3://bucket/x.json", "s3://bucket"], PlannedAsset("s3://bucket/x.json", b"1", SourceForm.FILE))
    uri, bucket = json.loads(linked.definition)
    assert uri == linked.assets[0].uri
    assert uri.startswith("s3://bucket/demo/assets/")
    assert bucket == "s3://bucket"


def test_a_text_that_names_an_asset_is_linked_too(root: Path) -> None:
    script = PlannedAsset(f"{BASE}/unlinked00000007/a.py", "jobs/a.py", SourceForm.FILE)
    text = PlannedAsset("s3://bucket/conf/config.json", f'{{"code": "{script.uri}"}}'.encode(), SourceForm.FILE)
    linked = run(root, [text.uri], text, script)
    by_name = {a.uri.rpartition("/")[2]: a for a in linked.assets}
    content = json.loads(by_name["config.json"].path.read_bytes())
    assert content == {"code": by_name["a.py"].uri}
    (root / "jobs/a.py").write_text("changed")
    assert run(root, [text.uri], text, script).definition != linked.definition


def test_a_uri_that_was_cut_is_refused_with_its_place(root: Path) -> None:
    uri = f"{BASE}/unlinked00000000/a.py"
    with pytest.raises(InputError) as refused:
        run(
            root,
            {"Steps": [{"Name": uri[:36]}, {"unlinked99999999": 1}]},
            PlannedAsset(uri, "jobs/a.py", SourceForm.FILE),
        )
    assert [(p.code, p.where) for p in refused.value.problems] == [
        ("E313", "$.Steps[0].Name"),
        ("E313", "$.Steps[1].unlinked99999999"),
    ]


@pytest.mark.parametrize("form", SourceForm)
def test_a_missing_source_makes_the_structure_out_of_date(form: SourceForm, root: Path) -> None:
    with pytest.raises(AssetGoneError):
        run(root, [], PlannedAsset(f"{BASE}/unlinked00000000/x", "jobs/gone", form))


def test_a_file_that_became_a_folder_makes_the_structure_out_of_date(root: Path) -> None:
    with pytest.raises(AssetGoneError):
        run(root, [], PlannedAsset(f"{BASE}/unlinked00000000/x", "jobs", SourceForm.FILE))
    with pytest.raises(AssetGoneError):
        run(root, [], PlannedAsset(f"{BASE}/unlinked00000000/x", "jobs/a.py", SourceForm.ARCHIVE))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=15,
)


@settings(max_examples=60, deadline=None)
@given(document=JSON)
def test_what_names_no_asset_stays_what_it_is(document: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.getbasetemp()
    linked = link(Structure("demo", json.dumps(document), (), ()), project_root=root, keep=Store(root))
    assert json.loads(linked.definition) == document
