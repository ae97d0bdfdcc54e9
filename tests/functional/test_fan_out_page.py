"""The pipelines of docs/fan-out.md compile as they stand, and the settings of docs/registry.md are settings."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_sm.checks import check
from mlops_sm.compile import Request, compile_pipeline
from mlops_sm.compile.structure import Structure
from mlops_sm.project import load_project

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


@pytest.mark.sdk
def test_the_pipelines_compile_and_are_clean(tmp_path: Path, sdk_spawn: Callable[[Request], Structure]) -> None:
    scores, segments, split = blocks("fan-out.md", "python")
    files = {
        "pyproject.toml": '[tool.mlops_sm]\nname = "shop"\n',
        "pipelines/shop/scores.py": scores,
        "pipelines/shop/segments.py": segments,
        "pipelines/shop/jobs/split.py": split,
        **{f"pipelines/shop/jobs/{name}.py": "" for name in ("score", "report", "evaluate", "collect")},
        "pipelines/shop/jobs/training/train.py": "",
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    project = load_project(tmp_path)
    for reference in ("shop.scores", "shop.segments"):
        compiled = compile_pipeline(
            project, project.environment("local"), reference, cache_dir=tmp_path / "cache", spawn=sdk_spawn
        )
        assert check(compiled.definition) == []


def test_the_policy_of_the_page_is_a_policy(tmp_path: Path) -> None:
    (settings,) = blocks("registry.md", "toml")
    (tmp_path / "pyproject.toml").write_text(f'[tool.mlops_sm]\nname = "shop"\n{settings}')
    project = load_project(tmp_path)
    assert set(project.policy.metrics) == {"auc", "log_loss", "accuracy"}
    assert project.environment("prod").four_eyes
