"""AWS's XGBoost image without a script, on this machine: which requests mean it, and what their jobs are given."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.errors import Problem
from mlops_sm.local.images import repository
from mlops_sm.local.isolation.layer import SCRATCH
from mlops_sm.local.xgboost_image import hyperparameters, metrics

PACKAGE: Final = "xgboost"
_REPOSITORY: Final = "sagemaker-xgboost"
_IMAGE: Final = "xgboost_image"
_VERSION: Final = re.compile(r"(\d+)\.(\d+)")
_NEWEST: Final = "3.0"
_FOLDER: Final = f"{SCRATCH}/{_IMAGE}"
_LAUNCHER: Final = """\
import sys

import numpy  # a job that imports it may fork from a worker that has

from xgboost_image.training import main

sys.exit(main(*sys.argv[1:]))
"""
_ENCODERS: Final = ("csv_to_dmatrix", "decode", "libsvm_to_dmatrix", "recordio_protobuf_to_dmatrix")
"""What inference scripts import from the image (developer guide, "Use XGBoost as a Framework")."""
_GPU: Final = re.compile(r"ml\.(p|g)\d")


def is_xgboost(image_uri: Json) -> bool:
    """Whether an image is AWS's XGBoost."""
    return isinstance(image_uri, str) and repository(image_uri) == _REPOSITORY


def is_available() -> bool:
    """Whether XGBoost is installed (the extra ``[xgboost]``)."""
    return importlib.util.find_spec(PACKAGE) is not None


def refusal(where: str) -> Problem:
    """That the algorithm cannot run because XGBoost is not installed."""
    return Problem(
        "E426",
        where,
        "AWS's XGBoost image trains without a script here by the package xgboost, which is not installed",
        "Install the extra [xgboost]: pip install 'mlops-sm-kit[xgboost]'.",
    )


def has_script(members: Mapping[str, Json]) -> bool:
    """Whether a training job has a program of its own, so that the image's is not asked for.

    Args:
        members: Of a CreateTrainingJob request, or of the definition of a tuning job.
    """
    given = members.get("HyperParameters") or members.get("StaticHyperParameters") or {}
    return bool(
        (members.get("AlgorithmSpecification") or {}).get("ContainerEntrypoint")
        or "sagemaker_program" in given
        or "SAGEMAKER_PROGRAM" in (members.get("Environment") or {})
    )


def is_algorithm(members: Mapping[str, Json]) -> bool:
    """Whether a training job, or the definition of a tuning job, asks for the image's own program."""
    return is_xgboost((members.get("AlgorithmSpecification") or {}).get("TrainingImage")) and not has_script(members)


def version_of(image_uri: str) -> str:
    """The version of XGBoost in an image, by its tag."""
    match = _VERSION.match(image_uri.rpartition(":")[2])
    return _NEWEST if match is None else f"{match[1]}.{match[2]}"


def metric_definitions(given: Mapping[str, str]) -> list[dict[str, str]]:
    """What the service adds to every training job of the image.

    Args:
        given: The job's hyperparameters.
    """
    evaluated = [name.strip() for name in given.get("eval_metric", "").split(",")]
    return metrics.definitions(metrics.wanted(given.get("_tuning_objective_metric"), evaluated))


def problem_of_objective(metric: str, image_uri: str, *, maximize: bool) -> str | None:
    """What is wrong with the objective of a tuning job of the image, in the service's words; None when nothing is."""
    if metric not in metrics.NAMES:
        return (
            f"The objective metric for the hyperparameter tuning job, [{metric}], isn't valid for the [{image_uri}] "
            f"algorithm. Choose a valid objective metric from [{', '.join(metrics.NAMES)}]."
        )
    if (metric.partition(":")[2] in metrics.MAXIMIZED) is not maximize:
        kind = "Maximize" if maximize else "Minimize"
        return (
            f"The objective metric type, [{kind}], that you specified for objective metric, [{metric}], isn't valid "
            f"for the [{image_uri}] algorithm. Choose a valid objective metric type."
        )
    return None


def problem_of_ranges(names: Iterable[str], image_uri: str) -> str | None:
    """What is wrong with what a tuning job of the image searches, in the service's words; None when nothing is.

    Source: aws/sagemaker-xgboost-container #113.
    """
    untunable = sorted(set(names) - set(hyperparameters.TUNABLE))
    if not untunable:
        return None
    return (
        "The hyperparameter tuning job you requested has the following untunable hyperparameters: "
        f"[{', '.join(untunable)}]. For the algorithm, {image_uri}, you can tune only "
        f"[{', '.join(hyperparameters.TUNABLE)}]. Delete untunable hyperparameters."
    )


def problems_of(given: Mapping[str, Json], open_names: Iterable[str] = ()) -> list[str]:
    """What the image will refuse of hyperparameters, in its words.

    Args:
        given: Names and values; one that is no text is not known yet.
        open_names: Hyperparameters that a tuning job searches.
    """
    known = {name: value for name, value in given.items() if isinstance(value, str)}
    not_yet = frozenset({*open_names, *(name for name in given if name not in known)})
    return hyperparameters.validate(known, open_names=not_yet)[1]


def has_gpu(instance_type: Json) -> bool:
    """Whether an instance type is one with GPUs."""
    return isinstance(instance_type, str) and _GPU.match(instance_type) is not None


def copy_training_program(scratch: Path) -> None:
    """Put the image's training program into a job's scratch folder."""
    _copy(scratch)
    (scratch / _IMAGE / "train.py").write_text(_LAUNCHER, encoding="utf-8")


def training_command(image_uri: str, job: Path) -> tuple[str, ...]:
    """The command of that program.

    Args:
        image_uri: The image.
        job: The job's folder, which no other job on the machine has.
    """
    meeting = hashlib.sha256(str(job.absolute()).encode()).hexdigest()
    return ("python3", f"{_FOLDER}/train.py", version_of(image_uri), meeting)


def serving_program(scratch: Path, image_uri: str, code: str, program: str) -> str:
    """Put what the image serves with into a job's scratch folder; the path of the script that defines it.

    Args:
        scratch: The job's.
        image_uri: The image.
        code: The folder of the model's own inference script, as the server sees it.
        program: The file of that script; empty when there is none.
    """
    _copy(scratch)
    major, _, minor = version_of(image_uri).partition(".")
    defines = f"framework import handlers\n\nglobals().update(handlers({code!r}, {program!r}))"
    if not program:
        defines = f"inference import handlers\n\nglobals().update(handlers(({major}, {minor})))"
    text = f"import sys\n\nsys.path.append({_FOLDER!r})\n\nfrom {_IMAGE}.{defines}\n"
    (scratch / _IMAGE / "inference.py").write_text(text, encoding="utf-8")
    encoders = scratch / _IMAGE / "sagemaker_xgboost_container"
    encoders.mkdir()
    (encoders / "__init__.py").touch()
    (encoders / "encoder.py").write_text(f"from {_IMAGE}.encoder import {', '.join(_ENCODERS)}\n", encoding="utf-8")
    return f"{_FOLDER}/inference.py"


def _copy(scratch: Path) -> None:
    source, target = Path(__file__).parent / _IMAGE, scratch / _IMAGE / _IMAGE
    target.mkdir(parents=True)
    for module in source.glob("*.py"):
        shutil.copyfile(module, target / module.name)
