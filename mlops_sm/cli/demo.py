"""``mlops-sm demo``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from mlops_sm.cli import options
from mlops_sm.cli.outside import Outside


@click.command("demo")
@options.state
@options.json
@click.pass_obj
def command(outside: Outside, state: Path | None) -> int:
    """Run the lending life cycle on this machine.

    Real mortgage applications are validated, split and turned into features; a model is trained, evaluated, passes a
    gate and is registered. No AWS, no Docker. Leaves demo/summary.json in the state directory.

    Example: mlops-sm demo
    """
    with ExitStack() as closing:
        warm = outside.prewarm(state)
        if warm is not None:
            closing.callback(warm.close)
        from mlops_sm.cli.story import tell  # noqa: PLC0415 - boto3 imports while the warm worker imports pandas

        return tell(outside, state, warm)
