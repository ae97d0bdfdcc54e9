"""``mlops-sm check``."""

from __future__ import annotations

import click

from mlops_sm.checks import check
from mlops_sm.cli import options
from mlops_sm.cli.outside import Outside, cache_directory
from mlops_sm.cli.target import find_target, read_definition
from mlops_sm.definition import parse


@click.command("check")
@click.argument("pipeline", metavar="PIPELINE|FILE.json")
@options.environment
@options.json
@click.pass_obj
def command(outside: Outside, pipeline: str, environment: str) -> int:
    """Find everything that is wrong with a pipeline.

    Works on a pipeline of the project and on any definition in a file, whoever wrote it. Exits with 2 if there are
    errors; warnings stop nothing.

    Example: mlops-sm check definition.json
    """
    target = find_target(outside, pipeline, environment)
    text: str | bytes
    if target.file is None:
        text = outside.compile(target.project, target.environment, pipeline, cache_directory(target.project)).definition
    else:
        text = read_definition(target.file)
    problems = check(text)
    errors = sum(problem.is_error for problem in problems)
    outside.ui.report(problems, as_result=True)
    if errors:
        outside.ui.result(f"\n{pipeline}: {errors} error(s), {len(problems) - errors} warning(s)")
    else:
        steps = sum(1 for _ in parse(text).walk())
        found = f"{len(problems)} warning(s), nothing" if problems else "nothing"
        outside.ui.result(f"{pipeline}: {found} wrong in {steps} step(s)")
    outside.ui.data({"ok": not errors, "problems": [problem._asdict() for problem in problems]})
    return 2 if errors else 0
