"""In the worker: ``@step`` functions of the SDK, written so that the same code is the same bytes on every machine.

The SDK pickles such a function with cloudpickle, signs it with a key it has just drawn, and puts it below a folder that
is named by the clock. Three things are different here:

* the folder is named by its content, one for each step, so that a changed function changes its own step only;
* what a project's modules hold is pickled itself. By default it would be named, to be imported in the job, where the
  project is not (the SDK can send the working folder along, but only if a configuration file of the user says so);
* key and signature follow from what is signed. They tell a job that the pickle is the one the definition was compiled
  with; like every other asset it is not safe from whoever may write into the bucket and knows how this is done.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import io
import json
import logging
import pickle
import re
import sys
import types
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any, Final

import cloudpickle
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from mlops_sm.builders.plan_session import PlanSession, is_project_file, line_in_project
from mlops_sm.compile.link import PLACEHOLDER, link
from mlops_sm.compile.structure import PlannedAsset, SourceForm, Structure
from mlops_sm.definition import Json
from mlops_sm.errors import InputError, Problem

_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the curve P-256: private keys are below it (FIPS 186-5)."""
_UNNAMED: Final = frozenset({"__builtins__", "__file__", "__path__", "__cached__", "__loader__", "__spec__"})
"""What a module knows of where it was loaded from."""


def repeat_functions(session: PlanSession) -> None:
    """From now on, ``@step`` functions of this process compile to the same bytes everywhere.

    Args:
        session: Whose uploads they become.
    """
    serialization: Any = importlib.import_module("sagemaker.core.remote_function.core.serialization")
    compiler: Any = importlib.import_module("sagemaker.mlops.workflow._steps_compiler")
    # it has a handler of its own, which tells of every upload that is none
    logging.getLogger("sagemaker.remote_function").setLevel(logging.WARNING)
    serialization.CloudpickleSerializer.serialize = staticmethod(_Serializer(session, serialization.dispatch_table))
    serialization._sign_payload = _sign
    compiler.ec = _OneKey()
    entered = compiler.step_compilation_context_manager

    def enter(**context: Any) -> Any:  # noqa: ANN401 - the SDK has no types
        return entered(**context | {"pipeline_build_time": session.folder_for(context["step_name"])})

    compiler.step_compilation_context_manager = enter


def without_paths(definition: Json, root: Path) -> Json:
    """The definition with descriptions that are the project's files relative: the SDK describes a function so."""
    match definition:
        case {"Description": str(path)} if path.startswith(f"{root}/") and is_project_file(Path(path), root):
            relative = Path(path).relative_to(root).as_posix()
            return without_paths({**definition, "Description": relative}, root)
        case dict():
            return {key: without_paths(value, root) for key, value in definition.items()}
        case list():
            return [without_paths(value, root) for value in definition]
        case _:
            return definition


class _OneKey:
    """The module ``ec`` of cryptography, whose new keys are all the same."""

    def __getattr__(self, name: str) -> object:
        return getattr(ec, name)

    def generate_private_key(self, curve: ec.EllipticCurve) -> ec.EllipticCurvePrivateKey:
        secret = int.from_bytes(hashlib.sha256(b"mlops-sm @step").digest(), "big") % (_ORDER - 1) + 1
        return ec.derive_private_key(secret, curve)


def _sign(content: bytes, key: ec.EllipticCurvePrivateKey) -> str:
    # RFC 6979: without it every signature of the same bytes is another one
    signature = key.sign(content, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    return base64.b64encode(signature).decode()


class _Serializer:
    """In place of the SDK's: what it is given as a pickle that holds nothing of this machine."""

    def __init__(self, session: PlanSession, refusals: dict[type, Callable[..., Any]]) -> None:
        self._session = session
        self._refusals = refusals

    def __call__(self, value: object) -> bytes:
        root = self._session.project_root
        stream = io.BytesIO()
        pickler = _Pickler(stream, root)
        # as the SDK does it: pipeline variables inside of something are refused by its own table
        table: Any = pickle.Pickler.dispatch_table
        table.__set__(pickler, table.__get__(pickler).new_child(self._refusals))
        try:
            pickler.dump(value)
        except InputError:
            raise
        except Exception as failed:
            raise InputError(
                _problem(
                    root,
                    f"the function, or what it is given or uses, cannot be pickled: {failed}",
                    "give it values instead of open files, locks, clients and pipeline variables inside of something",
                )
            ) from failed
        return self._final(stream.getvalue())

    def _final(self, content: bytes) -> bytes:
        """Assets by the URIs they are going to have: a signed text cannot be changed later."""
        session, root = self._session, self._session.project_root
        found = {match.decode() for match in re.findall(PLACEHOLDER.pattern.encode(), content)}
        for planned in session.planned:
            placeholder = PLACEHOLDER.search(planned.uri)
            if placeholder is None or placeholder[0] not in found or not isinstance(planned.source, Path):
                continue
            asset = PlannedAsset(
                planned.uri, planned.source.relative_to(root).as_posix(), SourceForm(planned.form.value)
            )
            linked = link(
                Structure("", json.dumps(placeholder[0]), (asset,), ()), project_root=root, keep=lambda _: Path()
            )
            # as long as what it replaces: the lengths that a pickle is full of stay true
            content = content.replace(placeholder[0].encode(), json.loads(linked.definition).encode())
        if str(root).encode() in content:
            raise InputError(
                _problem(
                    root,
                    "the function, or what it is given or uses, holds a path of this machine, which no job has",
                    "give it the S3 URI that ctx.asset(...) returns, and read that in the function",
                )
            )
        return content


class _Pickler(cloudpickle.CloudPickler):  # type: ignore[misc] # cloudpickle has no types
    """Pickles the project's own functions, classes and modules as they are, without their places."""

    def __init__(self, stream: io.BytesIO, root: Path) -> None:
        super().__init__(stream)
        self._root = root

    def reducer_override(self, value: Any) -> Any:  # noqa: ANN401 - pickles anything
        match value:
            case types.ModuleType() if self._is_ours(value):
                state = {name: member for name, member in vars(value).items() if name not in _UNNAMED}
                return cloudpickle.cloudpickle.dynamic_subimport, (value.__name__, state)
            case types.CodeType() if is_project_file(Path(value.co_filename), self._root):
                return cloudpickle.cloudpickle._code_reduce(
                    value.replace(co_filename=self._relative(value.co_filename))
                )
            case PurePath() if is_project_file(Path(value), self._root) or Path(value) == self._root:
                raise InputError(
                    _problem(
                        self._root,
                        f'the function, or what it is given or uses, holds the path "{value}", which no job has',
                        "give it the S3 URI that ctx.asset(...) returns, and read that in the function",
                    )
                )
            case types.FunctionType() | type():
                return self._by_value(value)
            case _:
                return super().reducer_override(value)

    def _by_value(self, value: Any) -> Any:  # noqa: ANN401 - as above
        module = sys.modules.get(getattr(value, "__module__", None) or "")
        if module is not None and self._is_ours(module):
            cloudpickle.register_pickle_by_value(module)
        reduced = super().reducer_override(value)
        if isinstance(value, types.FunctionType) and isinstance(reduced, tuple):
            for part in reduced[1]:
                if isinstance(part, dict) and self._is_ours_file(part.get("__file__")):
                    part["__file__"] = self._relative(part["__file__"])
                    part.pop("__path__", None)
        return reduced

    def _is_ours(self, module: types.ModuleType) -> bool:
        return self._is_ours_file(getattr(module, "__file__", None))

    def _is_ours_file(self, file: object) -> bool:
        return isinstance(file, str) and is_project_file(Path(file), self._root)

    def _relative(self, file: str) -> str:
        return Path(file).relative_to(self._root).as_posix()


def _problem(root: Path, what: str, fix: str) -> Problem:
    return Problem("E429", line_in_project(root) or "@step", what, fix)
