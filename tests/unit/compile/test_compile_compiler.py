"""compile_pipeline: when the structure stage runs, and what a change changes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mlops_sm.compile import Compiled, Request, Spawn, compile_pipeline
from mlops_sm.compile.dependencies import record
from mlops_sm.compile.structure import PlannedAsset, SourceForm, Structure
from mlops_sm.errors import InputError
from mlops_sm.project import Project, load_project

BUILD = "pipelines/demo/build.py"
SCRIPT = "pipelines/demo/jobs/prepare.py"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with one pipeline `demo.build` and one job script."""
    root = tmp_path / "project"
    (root / "pipelines/demo/jobs").mkdir(parents=True)
    (root / "pyproject.toml").write_text('[tool.mlops_sm]\nname = "demo"\n')
    (root / BUILD).write_text("def pipeline(ctx):\n    return 1\n")
    (root / SCRIPT).write_text("print(1)\n")
    return load_project(root)


@dataclass
class FakeSpawn:
    """Counts its calls; the definition names the script, the archive of its folder and the module's text."""

    requests: list[Request] = field(default_factory=list)
    repeatable: bool = True

    def __call__(self, request: Request) -> Structure:
        self.requests.append(request)
        bucket = json.loads(request.environment)["artifact_bucket"]
        prefix = f"s3://{bucket}/{request.pipeline_name}/assets"
        definition = {
            "Version": "2020-12-01",
            "Text": request.module.read_text(),
            "Script": f"{prefix}/unlinked00000000/prepare.py",
            "Archive": f"{prefix}/unlinked00000001/sourcedir.tar.gz",
        }
        return Structure(
            pipeline_name=request.pipeline_name,
            definition=json.dumps(definition),
            planned=(
                PlannedAsset(definition["Script"], SCRIPT, SourceForm.FILE),
                PlannedAsset(definition["Archive"], "pipelines/demo/jobs", SourceForm.ARCHIVE),
            ),
            dependencies=(record("project", request.project_root, request.module),),
            repeatable=self.repeatable,
        )


@pytest.fixture
def spawn() -> FakeSpawn:
    """A structure stage without a process."""
    return FakeSpawn()


class Bench:
    """Compiles one pipeline of one project again and again."""

    def __init__(self, project: Project, spawn: Spawn, cache_dir: Path) -> None:
        self.project, self.spawn, self.cache_dir = project, spawn, cache_dir

    def compile(self, environment: str = "local") -> Compiled:
        return compile_pipeline(
            self.project,
            self.project.environment(environment),
            "demo.build",
            cache_dir=self.cache_dir,
            spawn=self.spawn,
        )


@pytest.fixture
def bench(project: Project, spawn: Spawn, tmp_path: Path) -> Bench:
    return Bench(project, spawn, tmp_path / "cache")


def test_an_unchanged_pipeline_starts_no_process(bench: Bench, spawn: FakeSpawn) -> None:
    first, second = bench.compile(), bench.compile()
    assert (first.from_cache, second.from_cache) == (False, True)
    assert (first.definition, first.assets) == (second.definition, second.assets)
    assert len(spawn.requests) == 1


def test_asset_uris_are_their_content(bench: Bench) -> None:
    compiled = bench.compile()
    uris = {a.path.name: a.uri for a in compiled.assets}
    document = json.loads(compiled.definition)
    assert document["Script"] == uris["prepare.py"]
    assert document["Archive"] == uris["jobs"]
    for asset in compiled.assets:
        assert asset.uri.split("/")[-2] == asset.digest[:16]
    assert uris["prepare.py"].startswith("s3://demo-local-artifacts-123456789012-us-east-1/demo-build/assets/")


def test_a_changed_script_changes_the_definition_without_a_process(bench: Bench, spawn: FakeSpawn) -> None:
    before = bench.compile()
    (bench.project.root / "pipelines/demo/jobs/prepare.py").write_text("print(2)\n")
    after = bench.compile()
    assert after.from_cache
    assert len(spawn.requests) == 1
    assert after.digest != before.digest
    assert not {a.uri for a in before.assets} & {a.uri for a in after.assets}


def test_a_changed_module_runs_again_and_going_back_does_not(bench: Bench, spawn: FakeSpawn) -> None:
    module = bench.project.root / "pipelines/demo/build.py"
    original = module.read_text()
    before = bench.compile()
    module.write_text(original + "# more\n")
    changed = bench.compile()
    assert changed.digest != before.digest
    assert len(spawn.requests) == 2
    module.write_text(original)
    assert bench.compile().digest == before.digest
    assert len(spawn.requests) == 2


def test_another_environment_is_another_structure(project: Project, spawn: FakeSpawn, tmp_path: Path) -> None:
    (project.root / "pyproject.toml").write_text(
        '[tool.mlops_sm]\nname = "demo"\n[tool.mlops_sm.environments.dev]\n'
        'account = "111111111111"\nregion = "eu-central-1"\n'
    )
    bench = Bench(load_project(project.root), spawn, tmp_path / "cache")
    local, dev = bench.compile("local"), bench.compile("dev")
    assert local.digest != dev.digest
    assert len(spawn.requests) == 2
    assert bench.compile("dev").from_cache


def test_two_folders_give_the_same_bytes(project: Project, spawn: Spawn, tmp_path: Path) -> None:
    shutil.copytree(project.root, tmp_path / "deep" / "copy")
    here = Bench(project, spawn, tmp_path / "a").compile()
    there = Bench(load_project(tmp_path / "deep" / "copy"), spawn, tmp_path / "b").compile()
    assert here.definition == there.definition
    assert [a.uri for a in here.assets] == [a.uri for a in there.assets]


def test_a_structure_that_ran_a_program_is_never_taken_from_the_cache(bench: Bench, spawn: FakeSpawn) -> None:
    spawn.repeatable = False
    assert [bench.compile().from_cache for _ in range(3)] == [False] * 3


def test_an_asset_that_disappeared_asks_the_module_again(bench: Bench, spawn: FakeSpawn) -> None:
    bench.compile()
    shutil.rmtree(bench.project.root / "pipelines/demo/jobs")
    with pytest.raises(InputError) as wrong:
        bench.compile()
    assert len(spawn.requests) == 2  # the real module would have named the line
    assert wrong.value.problems[0].code == "E315"


def test_an_unknown_pipeline_starts_nothing(project: Project, spawn: FakeSpawn, tmp_path: Path) -> None:
    with pytest.raises(InputError) as wrong:
        compile_pipeline(project, project.environment("local"), "demo.bild", cache_dir=tmp_path / "c", spawn=spawn)
    assert wrong.value.problems[0].code == "E301"
    assert 'Did you mean "demo.build"?' in wrong.value.problems[0].fix
    assert spawn.requests == []
    assert not (tmp_path / "c").exists()


def test_importing_compile_imports_neither_the_sdk_nor_boto3_nor_what_a_miss_needs() -> None:
    program = "import sys, mlops_sm.compile; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
    ).stdout.split()
    assert not {"boto3", "botocore", "sagemaker", "moto", "subprocess", "tarfile", "mlops_sm.builders"} & set(loaded)
