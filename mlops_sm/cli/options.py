"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

LOCAL: Final = "local"
"""`project.LOCAL`, for modules that must not import pydantic."""

environment = click.option(
    "--env", "environment", default=LOCAL, show_default=True, metavar="NAME", help="The environment."
)
state = click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where the local account keeps its state.  [default: $MLOPS_SM_STATE, else .mlops_sm]",
)
# `main` looks for the word itself, so that a command line that cannot be parsed is answered in JSON as well
json = click.option("--json", is_flag=True, expose_value=False, help="Print the result as JSON.")
