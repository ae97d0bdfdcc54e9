"""Which image stands for local Python."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from mlops_sm.errors import InputError
from mlops_sm.local.images import BUILT_IN_ALGORITHMS, Image, ImageTable, repository

AWS = "683313688378.dkr.ecr.us-east-1.amazonaws.com/"
CHINA = "450853457545.dkr.ecr.cn-north-1.amazonaws.com.cn/"


@pytest.mark.parametrize(
    "uri",
    [
        AWS + "sagemaker-scikit-learn:1.2-1-cpu-py3",
        CHINA + "sagemaker-scikit-learn:0.23-1-cpu-py3",
        AWS + "sagemaker-scikit-learn@sha256:" + "0" * 64,
        AWS + "sagemaker-xgboost:1.7-1",
        "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3-cpu-py311",
        AWS + "pytorch-inference:2.3",
        AWS + "sagemaker-base-python-310:1.0",
        "python:3.12-slim",
        "docker.io/library/python:3.11",
        "localhost:5000/python:3.11",
        "python",
    ],
)
def test_images_of_python(uri: str) -> None:
    image = ImageTable().find(uri)
    assert image is not None
    assert (image.programs, image.warm) == (None, True)


@pytest.mark.parametrize(
    "uri",
    [
        AWS + "xgboost:1",
        AWS + "linear-learner:1",
        AWS + "mine:1",
        AWS + "sagemaker-model-monitor-analyzer",
        "my-python:3",
        "python-image/other",
        "",
    ],
)
def test_images_that_stand_for_nothing(uri: str) -> None:
    table = ImageTable()
    assert table.find(uri) is None
    problem = table.refusal(uri, "here")
    assert (problem.code, problem.where) == ("E402", "here")
    assert uri in problem.what
    assert ("built-in algorithm" in problem.what) is (repository(uri) in BUILT_IN_ALGORITHMS)


@pytest.mark.parametrize("uri", [AWS + "mine:1.0", "mine", AWS + "mine@sha256:" + "a" * 64, "host:5000/a/mine:x"])
def test_the_lines_of_a_refusal_map_the_image(uri: str) -> None:
    fix = ImageTable().refusal(uri, "here").fix
    table = tomllib.loads(fix[fix.index("[tool.") :])["tool"]["mlops_sm"]["local"]["images"]
    assert ImageTable.of(table).find(uri) is not None


@pytest.mark.parametrize("pattern", ["mine", "*mine*", "111.dkr.ecr.us-east-1.amazonaws.com/mine", "111*/mine:1"])
def test_a_users_pattern_matches_uri_and_repository(pattern: str) -> None:
    table = ImageTable.of({pattern: "python"})
    assert table.find("111.dkr.ecr.us-east-1.amazonaws.com/mine:1") == Image()
    assert table.find("111.dkr.ecr.us-east-1.amazonaws.com/other:1") is None


def test_every_bad_line_is_named() -> None:
    with pytest.raises(InputError) as refused:
        ImageTable.of({"a": "pyton", "b": "python", "c": "docker"})
    assert [problem.code for problem in refused.value.problems] == ["E410", "E410"]
    assert 'Did you mean "python"?' in refused.value.problems[0].fix


def test_an_image_may_stand_for_a_folder_of_programs(tmp_path: Path) -> None:
    serve = tmp_path / "serve"
    serve.write_text("#!/bin/sh\n")
    with pytest.raises(InputError):
        ImageTable.of({"mine": str(tmp_path)})
    serve.chmod(0o755)
    image = ImageTable.of({"mine": str(tmp_path)}).find("1.dkr.ecr.us-east-1.amazonaws.com/mine:1")
    assert image is not None
    assert (image.programs, image.warm, image.program("serve"), image.program("train")) == (
        tmp_path,
        False,
        (str(serve),),
        None,
    )


def executable(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_one_program_is_told_what_to_be(tmp_path: Path) -> None:
    program = executable(tmp_path / "entry")
    image = ImageTable.of({"mine": {"program": program}}).find("mine:1")
    assert image == Image(programs=tmp_path / "entry")
    assert (image.program("train"), image.program("serve")) == ((program, "train"), (program, "serve"))
    assert image.entry_point == (program,)


def test_an_image_may_have_its_own_python_and_packages(tmp_path: Path) -> None:
    python = executable(tmp_path / "venv/bin/python")
    (tmp_path / "needs.txt").touch()
    lines = {"a": {"interpreter": str(tmp_path / "venv")}, "b": {"interpreter": python}, "c": {"interpreter": "sh"}}
    table = ImageTable.of({**lines, "d": {"requirements": str(tmp_path / "needs.txt")}})
    for name in ("a", "b"):
        image = table.find(name)
        assert image == Image(interpreter=Path(python))
        assert (image.warm, image.program("train"), image.entry_point) == (False, None, None)
    found = table.find("c")
    assert found is not None
    assert found.interpreter is not None
    assert found.interpreter.name == "sh"
    with_packages = table.find("d")
    assert with_packages == Image(requirements=tmp_path / "needs.txt")
    assert with_packages.warm


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ({"program": "/nowhere"}, "E423"),
        ({"program": "/etc"}, "E423"),
        ({"interpreter": "/nowhere/python"}, "E424"),
        ({"interpreter": "no-such-python-on-the-path"}, "E424"),
        ({"interpreter": __file__}, "E424"),
        ({"requirements": "/nowhere.txt"}, "E425"),
        ({"programme": "/nowhere"}, "E410"),
        ({}, "E410"),
    ],
)
def test_a_table_that_names_what_is_not_there(target: dict[str, str], code: str) -> None:
    with pytest.raises(InputError) as refused:
        ImageTable.of({"mine": target})
    (problem,) = refused.value.problems
    assert problem.code == code
    assert problem.where == 'pyproject.toml -> [tool.mlops_sm.local.images] -> "mine"'
    assert problem.fix


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        (["*", "mine", "mi*"], "mine"),
        (["mine", "1.dkr.ecr.us-east-1.amazonaws.com/mine"], "1.dkr.ecr.us-east-1.amazonaws.com/mine"),
        (["*/mine", "*/mine:1"], "*/mine:1"),
        (["*/mine:1", "*/mine"], "*/mine:1"),
        (["m*", "*e"], "m*"),
        (["*e", "m*"], "*e"),
    ],
)
def test_the_most_specific_line_counts_and_the_first_of_equals(
    tmp_path: Path, patterns: list[str], chosen: str
) -> None:
    folders = {pattern: tmp_path / str(number) for number, pattern in enumerate(patterns)}
    for folder in folders.values():
        executable(folder / "train")
    table = ImageTable.of({pattern: str(folder) for pattern, folder in folders.items()})
    image = table.find("1.dkr.ecr.us-east-1.amazonaws.com/mine:1")
    assert image is not None
    assert image.programs == folders[chosen]


def test_a_program_that_is_wanted_and_lacking_is_named(tmp_path: Path) -> None:
    executable(tmp_path / "serve")
    problem = ImageTable.of({"mine": str(tmp_path)}).lacking("mine:1", "train", "here")
    assert (problem.code, problem.where) == ("E423", "here")
    assert str(tmp_path) in problem.what
    assert '"train"' in problem.what
