"""In the worker: load a pipeline module, call its function, take the SDK's definition."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import boto3
from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm import naming
from mlops_sm.builders.context import Context
from mlops_sm.builders.plan_session import Planned, PlanSession
from mlops_sm.compile.archive import is_gzip, repack
from mlops_sm.compile.explain import explaining
from mlops_sm.compile.functions import repeat_functions, without_paths
from mlops_sm.compile.link import texts
from mlops_sm.compile.references import FOLDER, FUNCTION
from mlops_sm.compile.structure import PlannedAsset, SourceForm, Structure
from mlops_sm.compile.watch import Watch
from mlops_sm.definition import Json
from mlops_sm.errors import InputError, Problem, did_you_mean
from mlops_sm.project import Environment, Policy

_SHOWN_CHARACTERS: Final = 600
_MIN_ROOT_PARTS: Final = 3
"""A root such as ``/app`` may well be a path in a container image too, so it proves nothing."""


def build_structure(request: Mapping[str, str], watch: Watch) -> Structure:
    """Compile one pipeline up to the digests of its assets.

    Args:
        request: As `compile.child` writes it.
        watch: Records what the module reads.

    Raises:
        InputError: Something about the module is wrong: all of E302 to E311.
    """
    root = Path(request["project_root"])
    module_path = Path(request["module"])
    environment = Environment.model_validate_json(request["environment"])
    session = PlanSession(
        boto_session=_default_session(),
        bucket=environment.artifact_bucket,
        pipeline_name=request["pipeline_name"],
        account=environment.account,
        role_arn=environment.role_arn,
        project_root=root,
    )
    context = Context(
        environment=environment,
        pipeline_name=request["pipeline_name"],
        project_name=request["project_name"],
        root=module_path.parent,
        session=session,
        role=environment.role_arn,
        policy=Policy.model_validate_json(request["policy"]),
    )
    sys.path.insert(0, str(root))
    repeat_functions(session)
    # a compile leaves no file in the project
    sys.dont_write_bytecode = True
    watch.start()
    with explaining("E302", module_path, root):
        function = _function(_load(module_path, root), module_path.relative_to(root))
    with explaining("E306", module_path, root):
        pipeline = _pipeline(function(context), function, module_path.relative_to(root))
        definition = _portable(session.where_planned(pipeline.definition()), root)
    watch.stop()
    _check_definition(definition, root)
    return Structure(
        pipeline_name=pipeline.name,
        definition=definition,
        planned=tuple(_planned(p, root) for p in session.planned),
        dependencies=watch.dependencies(),
        repeatable=not watch.programs,
        warnings=tuple(
            f'the pipeline module runs "{program}", whose output may change any time: nothing is taken from the cache'
            for program in dict.fromkeys(watch.programs)
        ),
    )


def _default_session() -> Any:  # noqa: ANN401 - boto3 has no types
    # the default session itself, so that code that makes its own clients is refused by name as well
    if boto3.DEFAULT_SESSION is None:
        boto3.setup_default_session()
    return boto3.DEFAULT_SESSION


def _load(path: Path, root: Path) -> object:
    folder = root / FOLDER
    if not (folder / "__init__.py").exists():
        # without this, an installed package of that name would come before the project's plain folder
        package = ModuleType(FOLDER)
        package.__path__ = [str(folder)]
        sys.modules[FOLDER] = package
    name = ".".join(path.relative_to(root).with_suffix("").parts)
    module = importlib.import_module(name)
    found = Path(str(module.__file__))
    if found != path:
        raise InputError(
            Problem(
                "E302", str(path.relative_to(root)), f"`import {name}` finds {found} instead", "rename one of the two"
            )
        )
    return module


def _function(module: object, shown: Path) -> Callable[..., object]:
    function = getattr(module, FUNCTION, None)
    if not callable(function):
        names = [n for n, v in vars(module).items() if inspect.isfunction(v) and not n.startswith("_")]
        what = f"it defines no function `{FUNCTION}`" if function is None else f"`{FUNCTION}` is not a function"
        hint = did_you_mean(FUNCTION, names)
        raise InputError(
            Problem("E303", str(shown), what, f"define `def {FUNCTION}(ctx):` that returns a Pipeline. {hint}".rstrip())
        )
    try:
        inspect.signature(function).bind(None)
    except TypeError as mismatch:
        raise InputError(
            Problem(
                "E304",
                f"{shown}:{_line(function)}",
                f"`{FUNCTION}` cannot be called with one argument, the context: {mismatch}",
                f"write `def {FUNCTION}(ctx):`; give further arguments defaults",
            )
        ) from mismatch
    checked: Callable[..., object] = function
    return checked


def _pipeline(returned: object, function: Callable[..., object], shown: Path) -> Pipeline:
    where = f"{shown}:{_line(function)}"
    if not isinstance(returned, Pipeline):
        hint = "add `return` in front of the Pipeline" if returned is None else "return the Pipeline itself"
        raise InputError(
            Problem(
                "E305",
                where,
                f"`{FUNCTION}` returned {_a(returned)}, not a sagemaker.mlops.workflow.pipeline.Pipeline",
                hint,
            )
        )
    if not isinstance(returned.name, str) or naming.PIPELINE_NAME.fullmatch(returned.name) is None:
        raise InputError(
            Problem(
                "E316",
                where,
                f"{returned.name!r} is no pipeline name: up to 256 letters, digits and hyphens",
                "write `Pipeline(name=ctx.pipeline_name, ...)`",
            )
        )
    return returned


def _a(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _line(function: Callable[..., object]) -> int:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code.co_firstlineno if code is not None else 1


def _portable(definition: str, root: Path) -> str:
    # the text as it is where nothing is to be changed: whatever else is wrong with it is told by what reads it
    return json.dumps(without_paths(json.loads(definition), root)) if f'"{root}/' in definition else definition


def _check_definition(text: str, root: Path) -> None:
    """Refuse what could not be the same on another machine, or not be JSON there."""

    def refuse(constant: str) -> Json:
        raise InputError(
            Problem("E318", "the definition", f"it holds the number {constant}, which JSON cannot", "leave it out")
        )

    document = json.loads(text, parse_constant=refuse)
    here = [p for p in (str(root), tempfile.gettempdir()) if len(Path(p).parts) >= _MIN_ROOT_PARTS]
    problems = [
        Problem(
            "E311",
            path,
            f'"{value[:_SHOWN_CHARACTERS]}" holds a path of this machine, so another machine gets another definition',
            "register the file with ctx.asset(...), or a folder with ctx.archive(...), and use what that returns",
        )
        for path, value in texts(document)
        if any(_holds_path(value, p) for p in here)
    ]
    if problems:
        raise InputError(*problems)


def _holds_path(text: str, path: str) -> bool:
    before, found, after = text.partition(path)
    return bool(found) and not before[-1:].isalnum() and not (after[:1].isalnum() or after[:1] in {"-", "_"})


def _planned(planned: Planned, root: Path) -> PlannedAsset:
    if isinstance(planned.source, bytes):
        stable = planned.source if planned.uri.endswith("/payload.pkl") else _stable(planned.source, root)
        return PlannedAsset(planned.uri, stable, SourceForm.FILE)
    return PlannedAsset(planned.uri, planned.source.relative_to(root).as_posix(), SourceForm(planned.form.value))


def _stable(content: bytes, root: Path) -> bytes:
    """What the SDK generated, without the times in its archives and paths of this machine, which no container has."""
    if is_gzip(content):
        return repack(content)
    scratch = re.escape(tempfile.gettempdir().encode()) + rb"(/tmp[^/\"'\s]+)?"
    return re.sub(scratch, b".", content.replace(str(root).encode(), b"."))
