"""Shows an execution while it goes on: a table that is redrawn on a terminal, one line per change elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, assert_never

from mlops_sm.cli.kinds import StepKinds
from mlops_sm.cli.ui import Ui, seconds
from mlops_sm.definition import Definition
from mlops_sm.operations.runs import Event, ExecutionChanged, StepChanged, StepState

if TYPE_CHECKING:
    from rich.table import Table

_STYLES = {"Executing": "cyan", "Succeeded": "green", "Failed": "bold red", "Stopped": "yellow", "Stopping": "yellow"}
_REDRAWS_PER_SECOND = 4


class Progress(Protocol):
    """Takes the events of one execution."""

    def show(self, event: Event) -> None:
        """Show one event; the same event twice changes nothing."""

    def drawing(self) -> AbstractContextManager[object]:
        """While this is open, progress is drawn."""


def progress_for(ui: Ui, definition: Definition, now: Callable[[], datetime]) -> Progress:
    """The progress that suits the terminal."""
    return LiveProgress(ui, definition, now) if ui.live else PlainProgress(ui)


class PlainProgress:
    """One line per change."""

    def __init__(self, ui: Ui) -> None:
        self._ui = ui
        self._told: set[str] = set()

    def drawing(self) -> AbstractContextManager[object]:
        """Nothing is drawn over."""
        return nullcontext()

    def show(self, event: Event) -> None:
        """Print the change."""
        match event:
            case StepChanged(step):
                line = f"{step.name}: {_status(step)}"
            case ExecutionChanged(status, reason):
                line = f"execution: {status}" + (f": {reason}" if reason else "")
            case _:
                assert_never(event)
        if line not in self._told:
            self._told.add(line)
            self._ui.say(line)


def _status(step: StepState) -> str:
    text = step.status
    if step.attempts > 1:
        text += f", attempt {step.attempts}"
    if step.seconds is not None:
        text += f" in {step.seconds:.1f} s"
    return f"{text}: {step.result}" if step.result else text


class LiveProgress:
    """A table of all steps, redrawn in place and gone at the end; of iterations those that have not succeeded."""

    def __init__(self, ui: Ui, definition: Definition, now: Callable[[], datetime]) -> None:
        self._ui = ui
        self._now = now
        self._kinds = StepKinds.of(definition)
        self._steps: dict[str, StepState] = {}
        self._status = "Executing"

    def drawing(self) -> AbstractContextManager[object]:
        """Draw the table until this is closed."""
        from rich.console import Console  # noqa: PLC0415 - nothing else needs rich
        from rich.live import Live  # noqa: PLC0415 - as above

        console = Console(file=self._ui.err, no_color=not self._ui.colour, force_terminal=True)
        return Live(
            get_renderable=self.table,
            console=console,
            refresh_per_second=_REDRAWS_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def show(self, event: Event) -> None:
        """Take the change into the table."""
        match event:
            case StepChanged(step):
                self._steps[step.name] = step
            case ExecutionChanged(status, _):
                self._status = status
            case _:
                assert_never(event)

    def table(self) -> Table:
        """What is drawn now."""
        from rich import box  # noqa: PLC0415 - as above
        from rich.table import Table  # noqa: PLC0415 - as above
        from rich.text import Text  # noqa: PLC0415 - as above

        drawn = Table("step", "kind", "status", "seconds", "result", box=box.SIMPLE, title=self._status)
        steps = dict(self._steps)
        iterations: dict[str | None, list[StepState]] = {}
        for step in steps.values():
            if step.status != "Succeeded":
                iterations.setdefault(self._kinds.loop(step.name), []).append(step)
        for name, kind in self._kinds.own.items():
            if name in steps:
                self._row(drawn, steps[name], kind)
            else:
                drawn.add_row(Text(name, "dim"), Text(kind, "dim"), Text("Waiting", "dim"), "", "")
            for step in iterations.get(name, ()):
                self._row(drawn, step, self._kinds.kind(step.name), indent="  ")
        return drawn

    def _row(self, drawn: Table, step: StepState, kind: str, indent: str = "") -> None:
        from rich.text import Text  # noqa: PLC0415 - as above

        drawn.add_row(
            Text(indent + step.name),
            Text(kind),
            Text(step.status, _STYLES.get(step.status, "")),
            self._seconds(step),
            Text(step.result),
        )

    def _seconds(self, step: StepState) -> str:
        if step.ended is None and step.started is not None:
            return seconds((self._now() - step.started).total_seconds())
        return seconds(step.seconds)
