"""Which container image stands for local Python."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlops_sm.errors import InputError, Problem, did_you_mean

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


@dataclass(frozen=True, slots=True)
class Image:
    """What an image stands for.

    Attributes:
        programs: The folder of its programs; None when it stands for Python.
    """

    programs: Path | None = None

    @property
    def warm(self) -> bool:
        """Whether its jobs may fork from a warm worker."""
        return self.programs is None

    def program(self, name: str) -> Path | None:
        """One of its programs, None when it has none of that name."""
        path = self.programs / name if self.programs is not None else None
        return path if path is not None and _is_executable(path) else None


def repository(image_uri: str) -> str:
    """The repository name of an image URI, without registry, namespace, tag and digest."""
    name = image_uri.split("@", 1)[0].rsplit("/", 1)[-1]
    return name.split(":", 1)[0]


@dataclass(frozen=True, slots=True)
class ImageTable:
    """The user's lines first, then the built-in ones.

    Attributes:
        user: Pattern -> what it stands for. A pattern is compared with the whole URI, with the URI without tag or
            digest, and with the repository name; ``*`` and ``?`` are wildcards.
    """

    user: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, user_table: Mapping[str, str]) -> ImageTable:
        """A table with the lines of ``[tool.mlops_sm.local.images]``.

        Raises:
            InputError: E410 for every line that maps to something unknown.
        """
        problems = [
            Problem(
                "E410",
                f'pyproject.toml -> [tool.mlops_sm.local.images] -> "{pattern}"',
                f'an image cannot stand for "{target}"',
                f'Write "{PYTHON}", or the path of a folder that holds executable programs {" or ".join(_PROGRAMS)}. '
                f"{did_you_mean(target, [PYTHON])}".strip(),
            )
            for pattern, target in user_table.items()
            if target != PYTHON and not any(_is_executable(Path(target, name)) for name in _PROGRAMS)
        ]
        if problems:
            raise InputError(*problems)
        return cls(tuple(user_table.items()))

    def find(self, image_uri: str) -> Image | None:
        """What an image stands for, None when it stands for nothing here."""
        name = repository(image_uri)
        forms = (image_uri, _without_tag(image_uri), name)
        for pattern, target in self.user:
            if any(fnmatch.fnmatchcase(form, pattern) for form in forms):
                return Image() if target == PYTHON else Image(Path(target).absolute())
        return Image() if any(fnmatch.fnmatchcase(name, pattern) for pattern in _PYTHON_REPOSITORIES) else None

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


def _is_executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _without_tag(image_uri: str) -> str:
    return re.sub(r"(@[^/]*|:[^/:@]+)$", "", image_uri)
