"""``[tool.mlops_sm.local.handlers]``: checked when the settings are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_sm.errors import InputError
from mlops_sm.project import load_project


def write(folder: Path, *lines: str) -> Path:
    text = ["[tool.mlops_sm]", 'name = "churn"', "[tool.mlops_sm.local]", *lines]
    (folder / "pyproject.toml").write_text("\n".join(text))
    return folder


def test_a_function_by_the_kind_it_stands_in_for(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, 'handlers = {EMR = "pipelines.stand_ins:run_emr"}'), variables={})
    assert project.local.handlers == {"EMR": "pipelines.stand_ins:run_emr"}


@pytest.mark.parametrize("target", ['"run_emr"', '"a.b:c d"', '""', "3", '"a:b:c"'])
def test_what_names_no_function_is_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(InputError) as refused:
        load_project(write(tmp_path, f"handlers = {{EMR = {target}}}"), variables={})
    [problem] = refused.value.problems
    assert (problem.code, problem.fix) == (
        "E105",
        'Write EMR = "module:function" for the function that stands in for such steps.',
    )


def test_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be a table"):
        load_project(write(tmp_path, "handlers = 3"), variables={})
