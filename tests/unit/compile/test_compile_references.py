"""References: dotted names below pipelines/, and good answers to wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_sm.compile import find_module, known_references
from mlops_sm.errors import InputError

BUILD = "def pipeline(ctx):\n    return None\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in {
        "lending/build.py": BUILD,
        "lending/deploy.py": BUILD,
        "lending/data.py": "def validate(): ...\n",
        "lending/broken.py": "def pipeline(ctx:\n",
        "lending/jobs/train.py": "print(1)\n",
        "single.py": BUILD,
        "a/b/c.py": BUILD,
    }.items():
        file = tmp_path / "pipelines" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def fix_of(root: Path, reference: str) -> str:
    with pytest.raises(InputError) as wrong:
        find_module(root, reference)
    (problem,) = wrong.value.problems
    assert problem.code == "E301"
    return problem.fix


def test_modules_that_define_the_function_are_known(root: Path) -> None:
    assert known_references(root) == ("a.b.c", "lending.build", "lending.deploy", "single")


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("lending.build", "lending/build.py"),
        ("single", "single.py"),
        ("a.b.c", "a/b/c.py"),
        ("lending.data", "lending/data.py"),
    ],
)
def test_a_reference_is_a_path(root: Path, reference: str, path: str) -> None:
    assert find_module(root, reference) == root / "pipelines" / path


def test_a_near_miss_is_named(root: Path) -> None:
    assert 'Did you mean "lending.build"' in fix_of(root, "lending.bild")
    assert "pipelines/lending/bild.py" in fix_of(root, "lending.bild")


def test_a_path_instead_of_a_reference_is_understood(root: Path) -> None:
    assert 'Did you mean "lending.build"?' in fix_of(root, "pipelines/lending/build.py")


@pytest.mark.parametrize(
    "reference", ["", ".", "..", "../../etc/passwd", "lending..build", "lending.build.", "1.2", "/", "a b"]
)
def test_what_is_no_reference_never_leaves_the_folder(root: Path, reference: str) -> None:
    assert fix_of(root, reference)


def test_few_pipelines_are_all_listed(root: Path) -> None:
    assert "a.b.c, lending.build, lending.deploy, single" in fix_of(root, "zzzzzzzz")


def test_a_project_without_pipelines_says_what_one_is(tmp_path: Path) -> None:
    assert "pipeline(ctx)" in fix_of(tmp_path, "lending.build")
