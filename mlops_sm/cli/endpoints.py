"""``mlops-sm endpoints``: model versions behind endpoints."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click

from mlops_sm.cli import options
from mlops_sm.cli.accounts import Account, open_account
from mlops_sm.cli.outside import Outside
from mlops_sm.cli.running import allow, reach_options
from mlops_sm.cli.ui import moment
from mlops_sm.errors import InputError, Problem, RefusedError
from mlops_sm.operations import deploying, endpoints, invoking
from mlops_sm.operations.deploying import Deployment, Rollout, Wish
from mlops_sm.operations.endpoint_metrics import Series, measured
from mlops_sm.operations.endpoints import Endpoint, Seen

_STDIN: Final = "-"
_POINTS: Final = 180
"""Periods of a plot, at most."""
_yes = click.option("--yes", is_flag=True, help="Change a protected environment.")


@click.group("endpoints")
def command() -> None:
    """Deploy models behind endpoints, call them, take them back."""


@command.command("deploy")
@click.argument("model")
@click.option("--name", metavar="NAME", help="The endpoint.  [default: the model's group]")
@click.option("--instances", type=click.IntRange(min=1), help="How many instances.  [default: 1]")
@click.option("--instance-type", metavar="TYPE", help="Their type.  [default: ml.m5.large]")
@click.option("--serverless", metavar="MB:CONCURRENCY", help="No instances: memory, and requests at once.")
@click.option("--all-at-once", is_flag=True, help="Move all traffic at once; the default.")
@click.option(
    "--canary", metavar="PERCENT", type=click.IntRange(1, 50), help="Move so much of the traffic first, then the rest."
)
@click.option("--linear", metavar="PERCENT", type=click.IntRange(10, 50), help="Move so much of the traffic each time.")
@click.option(
    "--wait",
    metavar="SECONDS",
    type=click.IntRange(0, 3600),
    help="How long to watch the alarms after each step.  [default: 0]",
)
@click.option("--alarm", "alarms", metavar="NAME", multiple=True, help="A CloudWatch alarm that takes everything back.")
@click.option("--capture", metavar="PERCENT", type=click.IntRange(0, 100), help="Capture so many of the requests.")
@_yes
@options.environment
@options.state
@options.json
@click.pass_obj
def deploy(
    outside: Outside,
    *,
    model: str,
    name: str | None,
    instances: int | None,
    instance_type: str | None,
    serverless: str | None,
    all_at_once: bool,
    canary: int | None,
    linear: int | None,
    wait: int | None,
    alarms: tuple[str, ...],
    capture: int | None,
    yes: bool,
    environment: str,
    state: Path | None,
) -> int:
    """Deploy an approved model version behind an endpoint.

    MODEL is a group or GROUP@latest-approved (its newest approved version), GROUP@VERSION, GROUP/VERSION or an ARN.
    Makes the model, the endpoint configuration and the endpoint, or updates the endpoint of that name, and waits until
    it serves. What is there already is used, so the same command again changes nothing. Exits with 1 when the service
    gives up or takes the update back.

    Example: mlops-sm endpoints deploy lending-approval --canary 10 --wait 60 --alarm lending-5xx
    """
    project = outside.project_or_standalone()
    chosen = project.environment(environment)
    rollout = _rollout(all_at_once=all_at_once, canary=canary, linear=linear, wait=wait, alarms=alarms)
    memory = _serverless(serverless, instances=instances, instance_type=instance_type, capture=capture)
    allow(chosen, yes=yes)
    with open_account(outside, project, chosen, state) as account:
        package = deploying.find_version(account.clients, model, prefix=account.prefix)
        wish = Wish(
            endpoint=name or package.group or package.name.rpartition("/")[2],
            package=package,
            instance_type=instance_type or deploying.INSTANCE_TYPE,
            instances=instances or 1,
            serverless=memory,
            capture_percentage=capture or None,
            rollout=rollout,
        )
        account.prepare()
        outside.ui.say(f"{package.name} ({package.approval}) to endpoint {wish.endpoint}")
        done = deploying.deploy(
            account.clients, chosen, wish, pace=account.pace, sleep=outside.sleep, told=_teller(outside)
        )
    _show_deployment(outside, done, reach_options(environment, state))
    return 0 if done.succeeded else 1


@command.command("list")
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(min=1), help="At most so many.")
@options.environment
@options.state
@options.json
@click.pass_obj
def list_(outside: Outside, limit: int, environment: str, state: Path | None) -> int:
    """List endpoints, newest first.

    Example: mlops-sm endpoints list --env dev
    """
    project = outside.project_or_standalone()
    with open_account(outside, project, project.environment(environment), state) as account:
        found = endpoints.list_endpoints(account.clients, prefix=account.prefix, limit=limit)
    outside.ui.table(
        ["endpoint", "status", "model", "configuration", "changed"],
        [[e.name, e.status, e.versions, e.config, moment(e.modified)] for e in found],
    )
    outside.ui.data([_data(endpoint) for endpoint in found])
    return 0


@command.command("show")
@click.argument("name")
@click.option("--hours", default=1.0, show_default=True, type=click.FloatRange(min=0.1, max=360), help="Of metrics.")
@click.option(
    "--html", "file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with plots."
)
@options.environment
@options.state
@options.json
@click.pass_obj
def show(outside: Outside, *, name: str, hours: float, file: Path | None, environment: str, state: Path | None) -> int:
    """Show an endpoint: what serves, what goes on with it, and what was measured of its requests.

    With --html also as one file for a browser, with plots of its traffic and its latency.

    Example: mlops-sm endpoints show lending-approval --html lending.html
    """
    project = outside.project_or_standalone()
    with open_account(outside, project, project.environment(environment), state) as account:
        found = endpoints.show_endpoint(account.clients, name)
        end = outside.now() + timedelta(minutes=1)
        start = end - timedelta(hours=hours)
        series = _measured(account, found, start, end)
    _show_endpoint(outside, found)
    if series:
        outside.ui.result(f"\nlast {hours:g} h:")
        _show_series(outside, series)
    if file is not None:
        from mlops_sm.cli.endpoint_page import page  # noqa: PLC0415 - most commands write no page

        text = page(found, series, environment=environment, start=start, end=end, now=outside.now())
        (outside.cwd / file).write_text(text, encoding="utf-8")
        outside.ui.say(f"page: {outside.cwd / file}")
    outside.ui.data({**_data(found), "metrics": [_series_data(each) for each in series]})
    return 0


@command.command("invoke")
@click.argument("name")
@click.argument("words", metavar="[FILE|-|KEY=VALUE...]", nargs=-1)
@click.option("--content-type", metavar="TYPE", help="Of what is sent.  [default: as the file's name or content says]")
@click.option("--accept", metavar="TYPE", help="Of the answer.  [default: the model's choice]")
@click.option("--variant", metavar="NAME", help="The variant that is to answer.  [default: one by weight]")
@click.option("--raw", is_flag=True, help="Print the answer as it came.")
@options.environment
@options.state
@options.json
@click.pass_obj
def invoke(
    outside: Outside,
    *,
    name: str,
    words: tuple[str, ...],
    content_type: str | None,
    accept: str | None,
    variant: str | None,
    raw: bool,
    environment: str,
    state: Path | None,
) -> int:
    """Call an endpoint, and print its answer as a table.

    Sends a file, standard input (-), or one row of KEY=VALUE: as {"instances": [{...}]}, or with --content-type
    text/csv as a line below its header. Exits with 1 when the model fails.

    Example: mlops-sm endpoints invoke lending-approval loanamt=120 hrat=31 --accept application/json
    """
    project = outside.project_or_standalone()
    chosen = project.environment(environment)
    payload = _payload(outside, words, content_type)
    with open_account(outside, project, chosen, state) as account:
        endpoints.show_endpoint(account.clients, name)
        started = outside.now()
        answer = invoking.invoke(account.clients, name, payload, accept=accept, variant=variant)
        took = (outside.now() - started).total_seconds()
    found = {"endpoint": name, "variant": answer.variant, "content_type": answer.content_type, "seconds": took}
    if answer.error:
        outside.ui.say(f"the model has failed: {answer.error}")
        outside.ui.say(f"its log: CloudWatch Logs, group /aws/sagemaker/Endpoints/{name}")
        outside.ui.data({**found, "answer": None, "error": answer.error})
        return 1
    data = answer.data()
    if raw and not outside.ui.json_wanted:
        outside.ui.exact(_text(answer))
    elif (table := invoking.rows_of(data)) is not None:
        outside.ui.table(*table)
    else:
        outside.ui.result(answer.text or f"{len(answer.body):,} bytes of {answer.content_type}")
    outside.ui.say(f"{answer.variant} answered in {took * 1000:.1f} ms")
    outside.ui.data({**found, "answer": data, "error": None})
    return 0


@command.command("rollback")
@click.argument("name")
@_yes
@options.environment
@options.state
@options.json
@click.pass_obj
def rollback(outside: Outside, *, name: str, yes: bool, environment: str, state: Path | None) -> int:
    """Take an endpoint back to the configuration it had before.

    All traffic moves at once when the old version serves again; no request fails meanwhile. Another rollback goes one
    deployment further back.

    Example: mlops-sm endpoints rollback lending-approval
    """
    project = outside.project_or_standalone()
    chosen = project.environment(environment)
    allow(chosen, yes=yes)
    with open_account(outside, project, chosen, state) as account:
        before = endpoints.show_endpoint(account.clients, name)
        after = endpoints.roll_back(
            account.clients, name, pace=account.pace, sleep=outside.sleep, told=_teller(outside)
        )
    back = after.status == endpoints.IN_SERVICE and after.config == before.previous_config
    if back:
        outside.ui.result(f"{name}: rolled back from {before.versions} to {after.versions}")
    else:
        reason = after.failure_reason or f"it is {after.status}"
        outside.ui.result(f"{name}: not rolled back, it serves {after.versions}: {reason}")
    for variant in after.variants:
        if variant.approval and variant.approval != "Approved":
            outside.ui.say(f"note: {variant.version} is {variant.approval} by now")
    outside.ui.data({"rolled_back": back, "from": before.config, "endpoint": _data(after)})
    return 0 if back else 1


@command.command("delete")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Delete without a question.")
@options.environment
@options.state
@options.json
@click.pass_obj
def delete(outside: Outside, *, name: str, yes: bool, environment: str, state: Path | None) -> int:
    """Delete an endpoint, with the configurations and models that were made for it.

    Asks unless --yes is given. The versions in the registry stay.

    Example: mlops-sm endpoints delete lending-approval --yes
    """
    project = outside.project_or_standalone()
    chosen = project.environment(environment)
    allow(chosen, yes=yes)
    if not yes:
        if not sys.stdin.isatty():
            what = "nobody is there to be asked"
            raise InputError(Problem("E154", name, what, f"Add --yes: mlops-sm endpoints delete {name} --yes"))
        click.confirm(f"Delete endpoint {name} in {environment}, its configurations and models?", abort=True, err=True)
    with open_account(outside, project, chosen, state) as account:
        removed = endpoints.delete(account.clients, name, pace=account.pace, sleep=outside.sleep, told=_teller(outside))
    gone = [f"endpoint {name}"] if removed.endpoint else []
    gone += [f"endpoint configuration {each}" for each in removed.configs]
    gone += [f"model {each}" for each in removed.models]
    for each in gone:
        outside.ui.result(f"deleted {each}")
    outside.ui.data(asdict(removed))
    return 0


def _rollout(
    *, all_at_once: bool, canary: int | None, linear: int | None, wait: int | None, alarms: tuple[str, ...]
) -> Rollout:
    ways = [
        option
        for option, given in (("--all-at-once", all_at_once), ("--canary", canary), ("--linear", linear))
        if given
    ]
    if len(ways) > 1:
        what = f"{' and '.join(ways)} say different things about the traffic"
        raise InputError(Problem("E154", ways[1], what, "Give one of them."))
    kind = "CANARY" if canary else "LINEAR" if linear else "ALL_AT_ONCE"
    return Rollout(kind=kind, percent=canary or linear or 0, wait_seconds=wait or 0, alarms=alarms)


def _serverless(
    given: str | None, *, instances: int | None, instance_type: str | None, capture: int | None
) -> tuple[int, int] | None:
    if given is None:
        return None
    memory, _, concurrency = given.partition(":")
    where = f"--serverless {given}"
    if not (memory.isdecimal() and concurrency.isdecimal()):
        raise InputError(Problem("E154", where, "it is not MB:CONCURRENCY", "For example --serverless 2048:5."))
    sizes = range(1024, 6145, 1024)
    if int(memory) not in sizes or not 1 <= int(concurrency) <= 200:  # noqa: PLR2004 - ServerlessMaxConcurrency
        fix = f"Memory is one of {', '.join(map(str, sizes))}, and concurrency 1 to 200."
        raise InputError(Problem("E154", where, "AWS has no such serverless endpoint", fix))
    other = "--instances" if instances else "--instance-type" if instance_type else "--capture" if capture else None
    if other is not None:
        what = f"a serverless endpoint has no {'instances' if other != '--capture' else 'captured data'}"
        raise InputError(Problem("E154", f"{other} with --serverless", what, f"Leave {other} or --serverless out."))
    return int(memory), int(concurrency)


def _payload(outside: Outside, words: tuple[str, ...], content_type: str | None) -> invoking.Payload:
    first = words[0] if words else _STDIN
    if len(words) <= 1 and first == _STDIN:
        return invoking.body_payload(sys.stdin.buffer.read(), "", content_type)
    if len(words) == 1 and (outside.cwd / first).is_file():
        return invoking.body_payload((outside.cwd / first).read_bytes(), first, content_type)
    return invoking.pairs_payload(words, content_type)


def _text(answer: invoking.Answer) -> str:
    if answer.text is None:
        what = f"{len(answer.body):,} bytes of {answer.content_type} are no text"
        raise RefusedError(Problem("E156", "--raw", what, "Ask for a text: --accept application/json."))
    return answer.text


def _teller(outside: Outside) -> Callable[[Seen], None]:
    return lambda seen: outside.ui.say(f"  {seen.status}{f', {seen.stage}' if seen.stage else ''}")


def _show_deployment(outside: Outside, done: Deployment, reach: str) -> None:
    ui, endpoint = outside.ui, done.endpoint
    for each in done.made:
        ui.say(f"made {each}")
    if done.succeeded:
        ui.result(f"{endpoint.name}: {done.action}, {done.package.name} serves ({endpoint.config})")
        ui.say(f"call it: mlops-sm endpoints invoke {endpoint.name} FILE{reach}")
    else:
        ui.result(f"{endpoint.name}: {done.action}, {done.package.name} does not serve: {done.failure_reason}")
        ui.say(f"its log: CloudWatch Logs, group /aws/sagemaker/Endpoints/{endpoint.name}")
        if done.action is deploying.Action.ROLLED_BACK:
            ui.say(f"{endpoint.versions} serves as before")
    ui.data(
        {
            "action": done.action.value,
            "failure_reason": done.failure_reason,
            "package": {"name": done.package.name, "arn": done.package.arn, "approval": done.package.approval},
            "made": list(done.made),
            "endpoint": _data(endpoint),
        }
    )


def _show_endpoint(outside: Outside, endpoint: Endpoint) -> None:
    capture = endpoint.capture
    facts = [
        ("endpoint", endpoint.name),
        ("status", endpoint.status),
        ("arn", endpoint.arn),
        ("configuration", endpoint.config),
        ("before", endpoint.previous_config),
        ("deploying", " ".join(each for each in (endpoint.pending_config, endpoint.stage) if each)),
        ("reason", endpoint.failure_reason),
        ("capture", "" if capture is None else f"{capture[0]}% to {capture[1]}"),
        ("created", moment(endpoint.created)),
        ("changed", moment(endpoint.modified)),
    ]
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        if value:
            outside.ui.result(f"{name.ljust(width)}  {value}")
    outside.ui.result("")
    outside.ui.table(
        ["variant", "model", "approval", "weight", "runs on"],
        [[v.name, v.version or v.model, v.approval, f"{v.weight:g}", v.size] for v in endpoint.variants],
    )


def _measured(account: Account, endpoint: Endpoint, start: datetime, end: datetime) -> list[Series]:
    minutes = max(1, round((end - start).total_seconds() / 60 / _POINTS))
    return [
        measured(account.clients, endpoint.name, each.name, start=start, end=end, period_seconds=60 * minutes)
        for each in endpoint.variants
    ]


def _show_series(outside: Outside, series: list[Series]) -> None:
    def latency(each: Series, name: str) -> str:
        value = each.last(name)
        return "" if value is None else f"{value:.2f} ms"

    outside.ui.table(
        ["variant", "requests", "4xx", "5xx", "p50", "p99", "overhead"],
        [
            [
                each.variant,
                *(f"{each.total(name):.0f}" for name in ("invocations", "errors_4xx", "errors_5xx")),
                *(latency(each, name) for name in ("latency_p50", "latency_p99", "overhead_p50")),
            ]
            for each in series
        ],
    )


def _data(endpoint: Endpoint) -> dict[str, Any]:
    return asdict(endpoint)


def _series_data(series: Series) -> dict[str, Any]:
    return {
        "variant": series.variant,
        "period_seconds": series.period_seconds,
        **{
            name: [{"time": at.isoformat(), "value": value} for at, value in sorted(values.items())]
            for name, values in series.values.items()
        },
    }
