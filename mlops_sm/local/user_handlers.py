"""Handlers of the user for steps that cannot run on this machine: a function of the project, in a process of its own.

``[tool.mlops_sm.local.handlers]`` names them: ``EMR = "pipelines.stand_ins:run_emr"``. The function gets the step's
arguments without expressions and returns the step's properties; when it raises, the step fails.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from mlops_sm.definition.document import Json
from mlops_sm.definition.kinds import StepKind
from mlops_sm.engine.status import Failed, Outcome, Stopped, Succeeded
from mlops_sm.errors import InputError, Problem, did_you_mean
from mlops_sm.local.handlers import HANDLERS, UNSUPPORTED, StepResult, StepRun
from mlops_sm.local.handlers.recall import PROPERTIES
from mlops_sm.local.user_handlers_source import function_problems

_REPLACEABLE: Final = frozenset({*UNSUPPORTED, StepKind.QUALITY_CHECK, StepKind.CLARIFY_CHECK})
"""Kinds that do not run here, and those that run with an analyzer of the user's own only."""
_PROGRAM: Final = Path(__file__).with_name("user_handlers_child.py")
_GRACE_SECONDS: Final = 10.0
_MAX_OUTPUT: Final = 600


@dataclass(frozen=True, slots=True)
class UserHandlers:
    """The user's functions by the kind of step they stand in for.

    Attributes:
        table: Kind -> ``module:function``, as `load_project` has checked it.
        folder: Where their modules are found and where they run: the project's folder.
    """

    table: Mapping[StepKind, str] = field(default_factory=dict)
    folder: Path = Path()

    @classmethod
    def of(cls, table: Mapping[str, str], folder: Path) -> Self:
        """The handlers of ``[tool.mlops_sm.local.handlers]``.

        Raises:
            InputError: E415 for every line whose kind is unknown or runs here already.
        """
        problems = [problem for kind in table for problem in _problems(kind)]
        if problems:
            raise InputError(*problems)
        return cls({StepKind(kind): target for kind, target in table.items()}, folder)

    def __contains__(self, kind: object) -> bool:
        return kind in self.table

    def problems(self, kinds: Iterable[StepKind]) -> Iterator[Problem]:
        """What keeps the functions for these kinds of steps from being called (E147)."""
        for kind in dict.fromkeys(kinds):
            if kind in self.table:
                yield from function_problems(kind, self.table[kind], self.folder)

    def run(self, run: StepRun) -> StepResult:
        """Call the function for a step and wait for its end; a step that is asked to stop ends it."""
        target = self.table[run.step.kind]
        request = {"target": target, "arguments": run.arguments}
        with tempfile.TemporaryDirectory(prefix="handler-") as scratch:
            answer = Path(scratch) / "answer.json"
            with (Path(scratch) / "output").open("w+b") as output:
                process = subprocess.Popen(  # noqa: S603 - the user's own function, named in the project's settings
                    [sys.executable, str(_PROGRAM), str(answer)],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self.folder,
                    start_new_session=True,
                )
                end_watch = run.stop.watch(lambda: _end(process))
                process.communicate(json.dumps(request).encode())
                end_watch()
                # What it started may still be there.
                _signal(process, signal.SIGKILL)
                output.seek(0)
                printed = output.read().decode(errors="replace").strip()
            outcome = _outcome(run, target, answer, printed)
        metadata = {PROPERTIES: dict(outcome.properties)} if isinstance(outcome, Succeeded) else {}
        return StepResult(outcome=outcome, metadata=metadata)


def _outcome(run: StepRun, target: str, answer: Path, printed: str) -> Outcome:
    if run.stop.is_set():
        return Stopped()
    told: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8")) if answer.exists() else {}
    if "properties" in told:
        properties: dict[str, Json] = told["properties"]
        return Succeeded(properties)
    reason = told.get("error", "its process ended before the function did")
    tail = f" It printed: {printed[-_MAX_OUTPUT:]}" if printed else ""
    return Failed(f"ClientError: handler {target}: {reason}.{tail}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end; it dies when it does not."""
    _signal(process, signal.SIGTERM)

    def insist() -> None:
        if process.poll() is None:
            _signal(process, signal.SIGKILL)

    kill = threading.Timer(_GRACE_SECONDS, insist)
    kill.daemon = True
    kill.start()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """Signal the process, unless it has ended, and what it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _problems(kind: str) -> list[Problem]:
    where = f'pyproject.toml -> [tool.mlops_sm.local.handlers] -> "{kind}"'
    if kind not in set(StepKind):
        fix = did_you_mean(kind, [each.value for each in _REPLACEABLE]) or "Write the step's Type, e.g. EMR."
        return [Problem("E415", where, f"{kind} is no kind of step", fix)]
    if StepKind(kind) not in _REPLACEABLE:
        what = f"{kind} steps run here already" if StepKind(kind) in HANDLERS else f"{kind} steps start nothing"
        return [Problem("E415", where, what, "Remove the line.")]
    return []
