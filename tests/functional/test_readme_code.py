"""The pipeline that the README shows compiles as it stands, and its definition is clean."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_sm.checks import check
from mlops_sm.compile import Request, compile_pipeline
from mlops_sm.compile.structure import Structure
from mlops_sm.project import load_project

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.sdk
def test_the_pipeline_of_the_readme_compiles(tmp_path: Path, sdk_spawn: Callable[[Request], Structure]) -> None:
    text = README.read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (settings,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    files = {
        "pyproject.toml": settings,
        "pipelines/lending/build.py": code,
        "pipelines/lending/data/raw.csv": "a,b\n1,2\n",
        "pipelines/lending/jobs/prepare.py": "print('prepared')\n",
        "pipelines/lending/jobs/training/train.py": "print('trained')\n",
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    project = load_project(tmp_path)
    compiled = compile_pipeline(
        project, project.environment("dev"), "lending.build", cache_dir=tmp_path / "cache", spawn=sdk_spawn
    )
    assert check(compiled.definition) == []
    assert {asset.path.name for asset in compiled.assets} == {"raw.csv", "prepare.py", "training"}
