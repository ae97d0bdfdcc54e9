"""The lending life cycle, told stage by stage: what ``mlops-sm demo`` does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlops_sm.cli.accounts import Opening, open_account
from mlops_sm.cli.execution import Ran, explain_failure, run_to_end, steps_table
from mlops_sm.cli.failures import INTERRUPTED
from mlops_sm.cli.outside import Outside
from mlops_sm.cli.running import reach_options, refuse_unrunnable, warn
from mlops_sm.cli.target import find_target, load
from mlops_sm.cli.ui import seconds
from mlops_sm.definition import Definition, bind_parameters
from mlops_sm.errors import InputError, Problem
from mlops_sm.operations import models
from mlops_sm.project import LOCAL, Project

if TYPE_CHECKING:
    from mlops_sm.local.warm import WarmWorkers

PIPELINES: Final = ("lending.data", "lending.build")


@dataclass(slots=True)
class Story:
    """What the demo did so far.

    Attributes:
        outside: The world.
        reach: Options with which other commands reach the same account.
        stages: One entry per stage: what was compiled, then each step of its execution.
        package: The model package that was registered.
    """

    outside: Outside
    reach: str
    stages: list[dict[str, Any]] = field(default_factory=list)
    package: models.Package | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, Any]]:
        """A stage that is no step, timed; it fails if something is raised."""
        entry: dict[str, Any] = {"name": name, "status": "Failed", "seconds": None, "result": ""}
        self.stages.append(entry)
        self.outside.ui.say(name)
        started = self.outside.now()
        try:
            yield entry
            entry["status"] = "Succeeded"
        finally:
            entry["seconds"] = (self.outside.now() - started).total_seconds()

    def add_steps(self, ran: Ran, definition: Definition, reference: str) -> None:
        """Each step of an execution as a stage."""
        for step in steps_table(ran.execution, definition):
            self.stages.append(
                {
                    "name": f"{_short(reference)}: {step['name']}",
                    "status": step["status"],
                    "seconds": step["seconds"],
                    "result": step["result"],
                    "pipeline": reference,
                    "kind": step["kind"],
                }
            )

    def summary(self) -> dict[str, Any]:
        """The whole story as JSON."""
        return {
            "stages": self.stages,
            "model_package_arn": self.package.arn if self.package else None,
            "metrics": dict(self.package.metrics or {}) if self.package else {},
        }


def tell(outside: Outside, state: Path | None, warm: WarmWorkers | None) -> int:
    """Run the demo, write its summary and print it; the exit code."""
    project = _project(outside)
    story = Story(outside, reach_options(LOCAL, state))
    summary = outside.state_directory(project, state) / "demo" / "summary.json"
    code = 0
    try:
        with Opening(open_account(outside, project, project.environment(LOCAL), state, warm)) as opening:
            for reference in PIPELINES:
                code = code or _run(story, opening, reference)
    except BaseException:
        with suppress(OSError):  # what was raised first says more than a summary that cannot be written
            _write(summary, story)
        raise
    _write(summary, story)
    _tell(story)
    outside.ui.say(f"summary: {summary}")
    return code or int(story.package is None)


def _write(path: Path, story: Story) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(story.summary(), indent=2) + "\n", encoding="utf-8")


def _project(outside: Outside) -> Project:
    project = outside.project_or_standalone()
    if not all((project.root / "pipelines" / f"{p.replace('.', '/')}.py").is_file() for p in PIPELINES):
        raise InputError(
            Problem(
                "E126",
                str(outside.cwd),
                "the demo runs pipelines/lending, which is not in this folder's project",
                "Go to a clone of the mlops-sm repository and run it there.",
            )
        )
    return project


def _run(story: Story, opening: Opening, reference: str) -> int:
    """Compile and run one pipeline of the demo; its exit code."""
    outside = story.outside
    with story.stage(f"compile {_short(reference)}") as stage:
        loaded = load(outside, find_target(outside, reference, LOCAL))
        source = "from the cache" if loaded.compiled.from_cache else "by the SageMaker SDK"
        stage["result"] = f"{sum(1 for _ in loaded.definition.walk())} step(s), {source}"
    account = opening.account()
    parameters = bind_parameters(loaded.definition, {})
    warn(outside, loaded, refuse_unrunnable(account, loaded.definition, parameters))
    ran = run_to_end(outside, account, loaded.compiled, loaded.definition, {})
    story.add_steps(ran, loaded.definition, reference)
    if ran.interrupted:
        return INTERRUPTED
    if not ran.execution.succeeded:
        again = f"mlops-sm run {reference}{story.reach}"
        explain_failure(outside, account, ran.execution, again=again, options=story.reach)
        return 1
    for step in ran.execution.steps:
        if arn := step.metadata.get("RegisterModel", {}).get("Arn"):
            story.package = models.show_package(account.clients, arn)
    return 0


def _short(reference: str) -> str:
    return reference.partition(".")[2]


def _tell(story: Story) -> None:
    ui, package = story.outside.ui, story.package
    ui.table(
        ["stage", "seconds", "status", "result"],
        [[s["name"], seconds(s["seconds"]), s["status"], s["result"]] for s in story.stages],
    )
    if package is not None:
        shown = ", ".join(f"{k} {v:.4g}" for k, v in (package.metrics or {}).items() if "." not in k)
        ui.result(f"\nregistered {package.name} ({package.approval}): {shown}")
        ui.result("\nnext:")
        for line in (
            f"models show {package.name}",
            "executions show latest",
            "logs latest Tune",
            "run lending.build -p MinAuc=0.99",
        ):
            ui.result(f"  mlops-sm {line}{story.reach}")
    ui.data(story.summary())
