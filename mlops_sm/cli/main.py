"""The entry point: finds the command, passes it the world outside, and turns what is raised into an exit code.

No command is imported to show the help page, so the table of commands is written here; a test compares it with the
commands themselves.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Final

import click

from mlops_sm import __version__

if TYPE_CHECKING:
    from mlops_sm.cli.outside import Outside

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "doctor": ("doctor", "Say what works on this machine, and what to do about the rest."),
    "compile": ("compile", "Compile a pipeline to its definition, offline."),
    "check": ("check", "Find everything that is wrong with a pipeline."),
    "run": ("run", "Run a pipeline, here or in an AWS account."),
    "executions": ("executions", "List, show, stop and retry executions."),
    "logs": ("logs", "Show the log of a step's job."),
    "models": ("models", "List, compare, approve, reject and promote models."),
    "endpoints": ("endpoints", "Deploy models behind endpoints, call them, take them back."),
    "local": ("local", "Serve the local account to other programs."),
    "demo": ("demo", "Run the lending life cycle on this machine."),
}
"""Each command's module in this package and its line on the help page."""


class Commands(click.Group):
    """Imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of a pipeline's life."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"mlops_sm.cli.{COMMANDS[cmd_name][0]}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name for one that does not exist."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from mlops_sm.errors import did_you_mean  # noqa: PLC0415 - difflib is not needed for the help page

            raise click.UsageError(f'No such command "{args[0]}". {did_you_mean(args[0], COMMANDS)}'.rstrip(), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="PIPELINE is lending.build for pipelines/lending/build.py. Exit codes: 0 done, 1 it ran and the answer "
    "is no, 2 the input is wrong, 3 the environment or AWS refused, 70 a bug.",
)
@click.version_option(__version__, prog_name="mlops-sm", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """SageMaker pipelines that run on your machine, and the same pipelines in your AWS accounts."""
    call = ctx.find_object(_Call)
    assert call is not None  # noqa: S101 - `main` always passes one
    ctx.obj = call.outside()
    from mlops_sm.cli.signals import on_end  # noqa: PLC0415 - a millisecond that a help page does not need

    ctx.with_resource(on_end(_interrupt))


class _Call:
    """One command line and the world it is run in, which is made when a command needs it: a help page does not."""

    def __init__(self, words: list[str], outside: Outside | None) -> None:
        self.words = words
        self._outside = outside

    def outside(self) -> Outside:
        if self._outside is None:
            from mlops_sm.cli.outside import real_outside  # noqa: PLC0415 - see above

            self._outside = real_outside()
        self._outside.ui.json_wanted = "--json" in self.words
        return self._outside


def main(arguments: Sequence[str] | None = None, outside: Outside | None = None) -> int:
    """Run one command line and return its exit code.

    Args:
        arguments: The words after ``mlops-sm``; those of this process unless given.
        outside: The world as the command sees it; the real one unless given.
    """
    call = _Call(sys.argv[1:] if arguments is None else list(arguments), outside)
    try:
        code = cli.main(args=call.words, prog_name="mlops-sm", standalone_mode=False, obj=call)
    except BaseException as err:  # noqa: BLE001, RUF100 - the boundary: whatever it is becomes a message and an exit code
        from mlops_sm.cli.failures import report  # noqa: PLC0415 - most commands do not fail

        return report(err, call.outside())
    return code if isinstance(code, int) else 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """End a command as Ctrl-C does, so that its jobs end with it."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
