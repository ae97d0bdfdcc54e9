"""``mlops-sm local``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from mlops_sm.cli import options
from mlops_sm.cli.outside import Outside

DEFAULT_PORT: Final = 5225


@click.group("local")
def command() -> None:
    """Serve the local account to other programs."""


def _shaped(pattern: str, example: str) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    def check(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
        if value is not None and re.fullmatch(pattern, value, re.ASCII) is None:
            raise click.BadParameter(f'"{value}" is not like {example}.')
        return value

    return check


@command.command("up")
@click.option(
    "--port",
    default=DEFAULT_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Where to listen; 0 takes a free port.",
)
@options.state
@click.option(
    "--region",
    callback=_shaped(r"[a-z]{2}(-[a-z]+)+-\d{1,2}", "eu-central-1"),
    help="Of requests that name none.  [default: the project's, else us-east-1]",
)
@click.option(
    "--account",
    callback=_shaped(r"\d{12}", "123456789012"),
    metavar="ID",
    help="The account's 12 digits.  [default: the project's, else 123456789012]",
)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="The address to listen on.")
@click.option(
    "--expose",
    is_flag=True,
    help="Allow an address that other machines reach: whoever reaches it runs any code as you, without a password.",
)
@click.option("--empty", is_flag=True, help="Make no bucket and no role.")
@click.option("--end-with-stdin", is_flag=True, help="End when standard input is closed, as it is when a parent dies.")
@click.option("-v", "--verbose", is_flag=True, help="Say every request on standard error.")
@options.json
@click.pass_obj
def up(
    outside: Outside,
    *,
    port: int,
    state: Path | None,
    region: str | None,
    account: str | None,
    host: str,
    expose: bool,
    empty: bool,
    end_with_stdin: bool,
    verbose: bool,
) -> int:
    """Serve the local account until Ctrl-C.

    Prints "ready URL" once any AWS client that has AWS_ENDPOINT_URL=URL in its environment can use it. The buckets and
    the role of the project's local environment are there. Ends on Ctrl-C or SIGTERM: jobs that run are stopped; a
    second Ctrl-C kills them. Everything that was acknowledged is there when it is started again.

    Example: mlops-sm local up --port 0
    """
    from mlops_sm.cli.serving import Serving, serve  # noqa: PLC0415 - boto3 and moto are needed only here

    wanted = Serving(
        port=port,
        host=host,
        expose=expose,
        state=state,
        region=region,
        account=account,
        empty=empty,
        end_with_stdin=end_with_stdin,
        verbose=verbose,
    )
    return serve(outside, wanted)


@command.command("down")
@options.state
@options.json
@click.pass_obj
def down(outside: Outside, state: Path | None) -> int:
    """End the server of a state directory and wait until it has ended.

    Jobs that run are stopped. Exits with 0 also when no server runs.

    Example: mlops-sm local down
    """
    from mlops_sm.cli.attending import end  # noqa: PLC0415 - not for the help page

    return end(outside, outside.state_directory(outside.project_or_standalone(), state))


@command.command("status")
@options.state
@options.json
@click.pass_obj
def status(outside: Outside, state: Path | None) -> int:
    """Say where the server of a state directory is and what it does.

    Exits with 1 when none runs.

    Example: mlops-sm local status --json
    """
    from mlops_sm.cli.attending import tell  # noqa: PLC0415 - not for the help page

    return tell(outside, outside.state_directory(outside.project_or_standalone(), state))


@command.command("env")
@options.state
@options.json
@click.pass_obj
def env(outside: Outside, state: Path | None) -> int:
    """Print the variables that lead AWS clients to the running server.

    For a shell: eval "$(mlops-sm local env)". Exits with 1 when no server runs.

    Example: mlops-sm local env
    """
    from mlops_sm.cli.attending import tell_variables  # noqa: PLC0415 - not for the help page

    return tell_variables(outside, outside.state_directory(outside.project_or_standalone(), state))
