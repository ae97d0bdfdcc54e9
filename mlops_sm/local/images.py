"""Which container image stands for local Python."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlops_sm.errors import InputError, Problem, did_you_mean
from mlops_sm.local.isolation.containers import ENGINES
from mlops_sm.local.isolation.layer import Container

PYTHON: Final = "python"
"""What an image stands for: the interpreter this package runs in."""
_PROGRAMS: Final = ("train", "serve")
"""What is in the folder that an image stands for otherwise (AWS's contract of containers)."""

_PYTHON_REPOSITORIES: Final = (
    "sagemaker-scikit-learn",
    "sagemaker-sklearn*",
    "sklearn-processing*",
    "sagemaker-xgboost",
    "pytorch-training",
    "pytorch-inference",
    "sagemaker-base-python*",
    "base-python*",
    "python",
)
"""Repositories whose images are a Python with libraries, whatever registry account, region or tag they come from.

Source: the image configurations of the SageMaker SDK 3.27.
"""

BUILT_IN_ALGORITHMS: Final = frozenset(
    {
        "blazingtext",
        "factorization-machines",
        "forecasting-deepar",
        "image-classification",
        "ipinsights",
        "kmeans",
        "knn",
        "lda",
        "linear-learner",
        "ntm",
        "object-detection",
        "object2vec",
        "pca",
        "randomcutforest",
        "semantic-segmentation",
        "seq2seq",
        "xgboost",
    }
)
"""Repositories of AWS's built-in algorithms: programs, not a Python to run scripts with."""


ANALYZERS: Final = frozenset({"sagemaker-model-monitor-analyzer", "sagemaker-clarify-processing"})
"""Repositories of the images that QualityCheck and ClarifyCheck steps run."""


ImageTarget = str | Mapping[str, str]
"""What a line of the table says: ``python``, a folder of programs, or a table of `_KEYS`."""

_KEYS: Final = ("program", "interpreter", "requirements", "engine")


@dataclass(frozen=True, slots=True)
class Image:
    """What an image stands for.

    Attributes:
        programs: The folder of its programs, or the one program that is told by its argument which of them it is to be,
            as a container's entry point is; None when it stands for Python.
        interpreter: Its Python; None for the one this package runs in.
        requirements: The requirements.txt of its packages; None when its Python has all of them.
        engine: What runs the image as it is, ``docker`` or ``podman``; None when it only stands for something else.
    """

    programs: Path | None = None
    interpreter: Path | None = None
    requirements: Path | None = None
    engine: str | None = None

    @property
    def stands_for_python(self) -> bool:
        """Whether its jobs are scripts that a Python on this machine runs."""
        return self.programs is None and self.engine is None

    @property
    def warm(self) -> bool:
        """Whether its jobs may fork from a warm worker."""
        return self.stands_for_python and self.interpreter is None

    def container(self, image_uri: str, *, replaces_entry_point: bool) -> Container | None:
        """The image as it is, with a command in place of its entry point or as its arguments; None without engine."""
        if self.engine is None:
            return None
        return Container(engine=self.engine, image=image_uri, replaces_entry_point=replaces_entry_point)

    def program(self, name: str) -> tuple[str, ...] | None:
        """The command of one of its programs, None when it has none of that name."""
        if self.engine is not None:
            return (name,)
        if self.programs is None:
            return None
        if _is_executable(self.programs):
            return (str(self.programs), name)
        path = self.programs / name
        return (str(path),) if _is_executable(path) else None

    @property
    def entry_point(self) -> tuple[str, ...] | None:
        """What runs when a request names no command; None when it has no one program."""
        return (str(self.programs),) if self.programs is not None and _is_executable(self.programs) else None


def repository(image_uri: str) -> str:
    """The repository name of an image URI, without registry, namespace, tag and digest."""
    name = image_uri.split("@", 1)[0].rsplit("/", 1)[-1]
    return name.split(":", 1)[0]


@dataclass(frozen=True, slots=True)
class ImageTable:
    """The user's lines first, then the built-in ones.

    Attributes:
        user: Pattern -> what it stands for. A pattern is compared with the whole URI, with the URI without tag or
            digest, and with the repository name; ``*`` and ``?`` are wildcards. Of several that fit, the most specific
            one counts: the one with the most characters that are no wildcards.
    """

    user: tuple[tuple[str, Image], ...] = ()

    @classmethod
    def of(cls, user_table: Mapping[str, ImageTarget]) -> ImageTable:
        """A table with the lines of ``[tool.mlops_sm.local.images]``.

        Raises:
            InputError: E410 for every line that maps to something unknown, E423 for one whose program, E424 whose
                interpreter and E425 whose requirements are not there.
        """
        lines, problems = [], list[Problem]()
        for pattern, target in user_table.items():
            where = f'pyproject.toml -> [tool.mlops_sm.local.images] -> "{pattern}"'
            found = _of_table(target, where) if isinstance(target, Mapping) else _of_text(target, where)
            if isinstance(found, Image):
                lines.append((pattern, found))
            else:
                problems += found
        if problems:
            raise InputError(*problems)
        return cls(tuple(lines))

    def find(self, image_uri: str) -> Image | None:
        """What an image stands for, None when it stands for nothing here."""
        name = repository(image_uri)
        forms = (image_uri, _without_tag(image_uri), name)
        fitting = [line for line in self.user if any(fnmatch.fnmatchcase(form, line[0]) for form in forms)]
        if fitting:
            # The first of equals.
            return max(fitting, key=lambda line: _specificity(line[0]))[1]
        return Image() if any(fnmatch.fnmatchcase(name, pattern) for pattern in _PYTHON_REPOSITORIES) else None

    def lacking(self, image_uri: str, program: str, where: str) -> Problem:
        """That the folder an image stands for does not hold the program that is wanted of it."""
        image = self.find(image_uri)
        folder = image.programs if image is not None else None
        return Problem(
            "E423",
            where,
            f'image "{image_uri}" stands for {folder}, which holds no executable "{program}"',
            f"Put an executable program {program} into {folder}, as the image has one on its path.",
        )

    def refusal(self, image_uri: str, where: str) -> Problem:
        """Why an image cannot run here and the exact lines that map it."""
        mapping = f'[tool.mlops_sm.local.images]\n         "{_without_tag(image_uri)}" = "{PYTHON}"'
        name = repository(image_uri)
        if name in ANALYZERS:
            what = f'image "{image_uri}" is AWS\'s analyzer, whose program is not on this machine yet'
            fix = (
                "Run this step with --env on an AWS account, or let an analyzer of your own write the same files: name "
                "it in ContainerEntrypoint and add to pyproject.toml:"
                f"\n         {mapping}"
            )
        elif name in BUILT_IN_ALGORITHMS:
            what = f'image "{image_uri}" is AWS\'s built-in algorithm "{name}", whose program exists only on AWS'
            fix = (
                "Run this step with --env on an AWS account, or train with a script of your own in AWS's scikit-learn "
                "or XGBoost image. If the image is yours and runs Python scripts, add to pyproject.toml:"
                f"\n         {mapping}"
            )
        else:
            what = f'image "{image_uri}" stands for nothing on this machine'
            fix = (
                'If it has programs of its own, give the folder that holds train or serve instead of "python". If its '
                "jobs run with this project's Python and its packages, add to pyproject.toml:"
                f"\n         {mapping}"
            )
        return Problem("E402", where, what, fix)


def _of_text(target: str, where: str) -> Image | list[Problem]:
    if target == PYTHON:
        return Image()
    if _has_programs(Path(target)):
        return Image(programs=Path(target).absolute())
    return [
        Problem(
            "E410",
            where,
            f'an image cannot stand for "{target}"',
            f'Write "{PYTHON}", or the path of a folder that holds executable programs {" or ".join(_PROGRAMS)}. '
            f"{did_you_mean(target, [PYTHON])}".strip(),
        )
    ]


def _of_table(target: Mapping[str, str], where: str) -> Image | list[Problem]:
    problems = [
        Problem(
            "E410",
            where,
            f'"{key}" says nothing about an image',
            f"Known are {', '.join(_KEYS)}. {did_you_mean(key, list(_KEYS))}".strip(),
        )
        for key in target
        if key not in _KEYS
    ]
    if not target:
        problems.append(Problem("E410", where, "the table is empty", f"Name at least one of {', '.join(_KEYS)}."))
    program, interpreter, requirements, engine = (target.get(key) for key in _KEYS)
    if engine is not None and (engine not in ENGINES or len(target) > 1):
        what = f'"{engine}" is to run the image as it is' + (
            ", and it stands for something else" if len(target) > 1 else ""
        )
        fix = f"Write engine = {' or '.join(map(repr, ENGINES))}, and nothing else."
        problems.append(Problem("E410", where, what, fix))
    if program is not None and not _has_programs(Path(program)):
        problems.append(
            Problem(
                "E423",
                where,
                f'there is no program at "{program}"',
                f"Name a folder that holds executable programs {' or '.join(_PROGRAMS)}, or one executable file, which "
                "is called with that word as its argument.",
            )
        )
    python = None if interpreter is None else _find_python(interpreter)
    if interpreter is not None and python is None:
        problems.append(
            Problem(
                "E424",
                where,
                f'there is no Python at "{interpreter}"',
                "Name an interpreter, or the folder of a virtual environment.",
            )
        )
    if requirements is not None and not Path(requirements).is_file():
        problems.append(Problem("E425", where, f'there is no file "{requirements}"', "Name a requirements.txt."))
    if problems:
        return problems
    return Image(
        programs=None if program is None else Path(program).absolute(),
        interpreter=python,
        requirements=None if requirements is None else Path(requirements).absolute(),
        engine=engine,
    )


def _find_python(interpreter: str) -> Path | None:
    """An executable, the one of a virtual environment, or one on the PATH; links are kept, they tell environments."""
    path = Path(interpreter)
    if (path / "bin" / "python").is_file():
        path = path / "bin" / "python"
    elif "/" not in interpreter and (found := shutil.which(interpreter)) is not None:
        path = Path(found)
    return path.absolute() if _is_executable(path) else None


def _has_programs(path: Path) -> bool:
    return _is_executable(path) or any(_is_executable(path / name) for name in _PROGRAMS)


def _specificity(pattern: str) -> int:
    return len(re.sub(r"\[[^]]+\]|[*?]", "", pattern))


def _is_executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _without_tag(image_uri: str) -> str:
    return re.sub(r"(@[^/]*|:[^/:@]+)$", "", image_uri)
