"""``mlops-sm compile``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mlops_sm.cli import options
from mlops_sm.cli.outside import Outside, cache_directory
from mlops_sm.cli.target import find_target, is_file
from mlops_sm.cli.ui import table
from mlops_sm.errors import InputError, Problem


@click.command("compile")
@click.argument("pipeline")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the definition there.",
)
@options.environment
@options.json
@click.pass_obj
def command(outside: Outside, pipeline: str, output: Path | None, environment: str) -> int:
    """Compile a pipeline to its definition, offline.

    The definition is canonical JSON, byte for byte what a publish would send. The assets it refers to are listed on
    stderr.

    Example: mlops-sm compile lending.build -o build.json
    """
    if is_file(pipeline):
        fix = "Name a pipeline such as lending.build; mlops-sm check takes files."
        raise InputError(Problem("E123", pipeline, "a file is a definition already", fix))
    target = find_target(outside, pipeline, environment)
    compiled = outside.compile(target.project, target.environment, pipeline, cache_directory(target.project))
    for warning in compiled.warnings:
        outside.ui.say(f"warning: {warning}")
    rows = [[asset.path.name, asset.form, asset.digest[:16], asset.uri] for asset in compiled.assets]
    if rows:
        for line in table(["asset", "form", "digest", "uri"], rows):
            outside.ui.say(line)
    if output is not None:
        _write(outside.cwd / output, compiled.definition)
        outside.ui.say(f"{output}: {len(compiled.definition)} characters, sha256 {compiled.digest}")
    elif not outside.ui.json_wanted:
        outside.ui.exact(compiled.definition)
    outside.ui.data(
        {
            "pipeline_name": compiled.pipeline_name,
            "environment": target.environment.name,
            "digest": compiled.digest,
            "from_cache": compiled.from_cache,
            "warnings": list(compiled.warnings),
            "assets": [
                {"uri": asset.uri, "path": asset.path, "form": asset.form, "digest": asset.digest}
                for asset in compiled.assets
            ],
            "definition": json.loads(compiled.definition),
        }
    )
    return 0


def _write(path: Path, definition: str) -> None:
    try:
        path.write_text(definition, encoding="utf-8")
    except OSError as err:
        what = f"it cannot be written: {err.strerror}"
        raise InputError(
            Problem("E127", f"-o {path}", what, "Name a file in a folder that can be written to.")
        ) from err
