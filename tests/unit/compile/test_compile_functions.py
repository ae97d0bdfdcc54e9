"""``@step`` functions: the same bytes everywhere, complete in themselves, addressed by what they hold."""

from __future__ import annotations

import base64
import json
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mlops_sm import checks
from mlops_sm.compile import Compiled, Request, compile_pipeline
from mlops_sm.compile.structure import Structure
from mlops_sm.errors import InputError
from mlops_sm.project import load_project

pytestmark = pytest.mark.sdk

CompileProject = Callable[[str], Compiled]


@pytest.fixture
def write_project(tmp_path: Path) -> Callable[[str], Path]:
    def write(name: str) -> Path:
        root = tmp_path / name
        shutil.copytree(Path(__file__).parent / "functions", root / "pipelines" / "functions")
        (root / "pyproject.toml").write_text('[tool.mlops_sm]\nname = "demo"\n')
        (root / "pipelines/functions/data.csv").write_text("1\n")
        (root / "pipelines/functions/requirements.txt").write_text("pandas\n")
        return root

    return write


@pytest.fixture
def compile_it(sdk_spawn: Callable[[Request], Structure]) -> Callable[[Path], Compiled]:
    def compile_it(root: Path) -> Compiled:
        project = load_project(root)
        return compile_pipeline(
            project, project.environment("local"), "functions.build", cache_dir=root / "cache", spawn=sdk_spawn
        )

    return compile_it


def change(root: Path, before: str, after: str) -> None:
    path = root / "pipelines/functions/build.py"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def folder_of(compiled: Compiled, step: str) -> str:
    """What the step's container is told about where its function is."""
    (found,) = [s for s in json.loads(compiled.definition)["Steps"] if s["Name"] == step]
    arguments: list[str] = found["Arguments"]["AlgorithmSpecification"]["ContainerArguments"]
    base, folder = (arguments[arguments.index(name) + 1] for name in ("--s3_base_uri", "--func_step_s3_dir"))
    return f"{base}/{step}/{folder}"


def test_two_folders_compile_to_the_same_bytes_without_their_names(
    write_project: Callable[[str], Path], compile_it: Callable[[Path], Compiled]
) -> None:
    first, second = (compile_it(write_project(name)) for name in ("one", "another-of-them"))
    assert first.definition == second.definition
    assert [a.uri for a in first.assets] == [a.uri for a in second.assets]
    contents = [[a.path.read_bytes() for a in compiled.assets if a.path.is_file()] for compiled in (first, second)]
    assert contents[0] == contents[1]
    assert not any(b"one/pipelines" in content for content in contents[0])
    assert checks.check(first.definition.encode()) == []
    assert '"Description":"pipelines/functions/build.py"' in first.definition


def test_everything_a_container_looks_for_is_an_asset(
    write_project: Callable[[str], Path], compile_it: Callable[[Path], Compiled]
) -> None:
    compiled = compile_it(write_project("one"))
    uris = {a.uri for a in compiled.assets}
    for step in ("Split", "Fit", "Score"):
        for part in ("function", "arguments"):
            assert {f"{folder_of(compiled, step)}/{part}/{name}" for name in ("payload.pkl", "metadata.json")} <= uris
    for step in json.loads(compiled.definition)["Steps"]:
        for channel in step["Arguments"].get("InputDataConfig", []):
            prefix = channel["DataSource"]["S3DataSource"]["S3Uri"]
            assert any(uri.startswith(f"{prefix}/") for uri in uris), channel["ChannelName"]


def test_what_is_pickled_needs_no_project_and_is_signed(
    write_project: Callable[[str], Path], compile_it: Callable[[Path], Compiled]
) -> None:
    compiled = compile_it(write_project("one"))
    assets = {a.uri: a.path for a in compiled.assets}
    assert "pipelines.functions" not in sys.modules

    def content(step: str, part: str) -> bytes:
        folder = f"{folder_of(compiled, step)}/{part}"
        payload = assets[f"{folder}/payload.pkl"].read_bytes()
        (found,) = [s for s in json.loads(compiled.definition)["Steps"] if s["Name"] == step]
        public = serialization.load_pem_public_key(
            found["Arguments"]["Environment"]["REMOTE_FUNCTION_SECRET_KEY"].encode()
        )
        signature = json.loads(assets[f"{folder}/metadata.json"].read_bytes())["asymmetric_signature"]
        assert isinstance(public, ec.EllipticCurvePublicKey)
        public.verify(base64.b64decode(signature), payload, ec.ECDSA(hashes.SHA256()))
        return payload

    split, fit, score = (pickle.loads(content(step, "function")) for step in ("Split", "Fit", "Score"))  # noqa: S301 - just made
    assert score(fit(split(4, "uri")[0])) == {"error": 6.0}
    assert split(1, "uri")[1] == ["uri", "a", "b", "c"]
    assert "pipelines.functions" not in sys.modules
    (data,) = [uri for uri in assets if uri.endswith("/data.csv")]
    assert data.encode() in content("Split", "arguments")


def test_a_changed_function_changes_its_own_step_only(
    write_project: Callable[[str], Path], compile_it: Callable[[Path], Compiled]
) -> None:
    root = write_project("one")
    before = compile_it(root)
    change(root, '"error": model.predict()', '"error": model.predict() + 1')
    after = compile_it(root)
    steps = ("Split", "Fit", "Score")
    assert [s for s in steps if folder_of(before, s) != folder_of(after, s)] == ["Score"]


def test_a_changed_file_that_a_function_is_given_changes_its_step(
    write_project: Callable[[str], Path], compile_it: Callable[[Path], Compiled]
) -> None:
    root = write_project("one")
    before = compile_it(root)
    (root / "pipelines/functions/data.csv").write_text("2\n")
    after = compile_it(root)
    steps = ("Split", "Fit", "Score")
    assert [s for s in steps if folder_of(before, s) != folder_of(after, s)] == ["Split"]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("step(lost, **settings)()", "holds the path"),
        ("step(where, **settings)(str(HERE))", "holds a path of this machine"),
        ('step(opened, **settings)(open("/dev/null", "w"))', "cannot be pickled"),
        ("step(where, **settings)([count])", "cannot be pickled"),
    ],
)
def test_what_no_job_could_use_is_refused(
    given: str, why: str, write_project: Callable[[str], Path], compile_it: Callable[[Path], Compiled]
) -> None:
    root = write_project("one")
    change(root, "    evaluation = step", f"    {given}\n    evaluation = step")
    with pytest.raises(InputError) as raised:
        compile_it(root)
    (problem,) = raised.value.problems
    assert problem.code == "E429"
    assert why in problem.what
    line = (root / "pipelines/functions/build.py").read_text().splitlines().index(f"    {given}") + 1
    assert problem.where == f"pipelines/functions/build.py:{line}"
