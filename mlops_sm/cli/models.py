"""``mlops-sm models``: the registry, and the decisions about its versions."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import click

from mlops_sm.checks.approval import Verdict, judge
from mlops_sm.cli import options
from mlops_sm.cli.accounts import Account, open_account
from mlops_sm.cli.outside import Outside
from mlops_sm.cli.running import allow, reach_options
from mlops_sm.cli.ui import moment
from mlops_sm.errors import InputError, Problem
from mlops_sm.operations import approvals, comparison, models, promotions
from mlops_sm.operations.approvals import Decision
from mlops_sm.operations.comparison import Row
from mlops_sm.operations.models import Package

_SHOWN_METRICS = 4


@click.group("models")
def command() -> None:
    """List, compare, approve, reject and promote models."""


@command.command("list")
@click.argument("group", required=False)
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(min=1), help="At most so many.")
@options.environment
@options.state
@options.json
@click.pass_obj
def list_(outside: Outside, group: str | None, limit: int, environment: str, state: Path | None) -> int:
    """List model package versions, newest first.

    Example: mlops-sm models list --json
    """
    project = outside.project_or_standalone()
    with open_account(outside, project, project.environment(environment), state) as account:
        found = models.list_packages(account.clients, group=group, prefix=account.prefix, limit=limit)
    outside.ui.table(
        ["model", "approval", "status", "created", "metrics"],
        [[p.name, p.approval, p.status, moment(p.created), _short(p)] for p in found],
    )
    outside.ui.data([asdict(package) for package in found])
    return 0


@command.command("show")
@click.argument("model", default=models.LATEST)
@options.environment
@options.state
@options.json
@click.pass_obj
def show(outside: Outside, model: str, environment: str, state: Path | None) -> int:
    """Show one model package version, and what the project's policy says of it.

    MODEL is GROUP/VERSION, a group (its newest version), an ARN, or latest.

    Example: mlops-sm models show lending-approval/1
    """
    project = outside.project_or_standalone()
    with open_account(outside, project, project.environment(environment), state) as account:
        arn = models.find_package(account.clients, model, prefix=account.prefix)
        package = models.show_package(account.clients, arn)
        in_use = models.package_in_use(account.clients, package) if package.group else None
    verdict = judge(project.policy, models.evidence(package), None if in_use is None else models.evidence(in_use))
    facts = [
        ("model", package.name),
        ("arn", package.arn),
        ("approval", package.approval),
        ("status", package.status),
        ("created", moment(package.created)),
        ("description", package.description),
        ("decision", package.approval_description),
        ("stage", package.stage),
        *(("image", image) for image in package.images),
        *(("model data", uri) for uri in package.model_data),
        ("statistics", package.metrics_uri or ""),
    ]
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        if value:
            outside.ui.result(f"{name.ljust(width)}  {value}")
    measured = {**(package.metrics or {}), **(package.bias or {})}
    if measured:
        outside.ui.result("")
        outside.ui.table(["metric", "value"], [[name, f"{value:g}"] for name, value in measured.items()])
    if package.properties:
        outside.ui.result("")
        outside.ui.table(["property", "value"], [[name, value] for name, value in package.properties.items()])
    if verdict.reasons:
        outside.ui.result("")
        _show_verdict(outside, verdict)
    outside.ui.data({**asdict(package), "policy": _verdict_data(verdict)})
    return 0


@command.command("compare")
@click.argument("first")
@click.argument("second", default=models.LATEST)
@options.environment
@options.state
@options.json
@click.pass_obj
def compare(outside: Outside, first: str, second: str, environment: str, state: Path | None) -> int:
    """Compare two model package versions, and say what the policy says of SECOND while FIRST is in use.

    Exits with 1 when SECOND does not fulfil the policy.

    Example: mlops-sm models compare lending-approval/1 lending-approval/2
    """
    project = outside.project_or_standalone()
    with open_account(outside, project, project.environment(environment), state) as account:
        one, other = (
            models.show_package(account.clients, models.find_package(account.clients, each, prefix=account.prefix))
            for each in (first, second)
        )
        found = comparison.compare(account.clients, one, other, project.policy)
    ui = outside.ui
    for title, rows in (("metric", found.metrics), ("parameter", found.parameters), ("data", found.data)):
        if rows:
            ui.table(
                [title, one.name, other.name, "difference"],
                [[r.name, _value(r.first), _value(r.second), _difference(r)] for r in rows],
            )
            ui.result("")
    _show_verdict(outside, found.verdict)
    ui.data(
        {
            "first": asdict(one),
            "second": asdict(other),
            **{
                name: [{**asdict(row), "difference": row.difference} for row in rows]
                for name, rows in (
                    ("metrics", found.metrics),
                    ("parameters", found.parameters),
                    ("data", found.data),
                )
            },
            "policy": _verdict_data(found.verdict),
        }
    )
    return 0 if found.verdict.passed else 1


@command.command("approve")
@click.argument("model")
@click.option("--why", required=True, metavar="TEXT", help="What speaks for it; it is written into the version.")
@click.option("--override", metavar="TEXT", help="Why it is approved although it misses the policy.")
@options.environment
@options.state
@options.json
@click.pass_obj
def approve(
    outside: Outside, *, model: str, why: str, override: str | None, environment: str, state: Path | None
) -> int:
    """Approve a model package version that fulfils the project's policy.

    Who, when, why and on what evidence is written into the version. A version that misses the policy is refused with
    the reasons and exit code 1, unless --override says why it is approved all the same.

    Example: mlops-sm models approve lending-approval/2 --why "better on every segment"
    """
    project = outside.project_or_standalone()
    chosen = project.environment(environment)
    _check_text(why, "--why")
    if override is not None:
        _check_text(override, "--override")
    with open_account(outside, project, chosen, state) as account:
        decision = approvals.approve(
            account.clients,
            models.find_package(account.clients, model, prefix=account.prefix),
            environment=chosen,
            policy=project.policy,
            why=why,
            override=override or "",
            now=outside.now(),
        )
    _show_decision(outside, decision)
    if decision.refused:
        words = ["mlops-sm", "models", "approve", model, "--why", why, "--override"]
        all_the_same = f"{shlex.join(words)} TEXT{reach_options(environment, state)}"
        outside.ui.say(f"\nnothing was changed; approve it all the same: {all_the_same}")
    return 1 if decision.refused else 0


@command.command("reject")
@click.argument("model")
@click.option("--why", required=True, metavar="TEXT", help="What speaks against it; it is written into the version.")
@options.environment
@options.state
@options.json
@click.pass_obj
def reject(outside: Outside, model: str, why: str, environment: str, state: Path | None) -> int:
    """Reject a model package version, also one that was approved.

    Example: mlops-sm models reject lending-approval/2 --why "trained on the wrong month"
    """
    project = outside.project_or_standalone()
    chosen = project.environment(environment)
    _check_text(why, "--why")
    with open_account(outside, project, chosen, state) as account:
        decision = approvals.reject(
            account.clients,
            models.find_package(account.clients, model, prefix=account.prefix),
            environment=chosen,
            policy=project.policy,
            why=why,
            now=outside.now(),
        )
    _show_decision(outside, decision)
    return 0


@command.command("promote")
@click.argument("model")
@click.option("--to", "to", required=True, metavar="NAME", help="The environment it goes to.")
@click.option(
    "--by",
    "way",
    type=click.Choice(["copy", "reference"]),
    default="copy",
    show_default=True,
    help="Copy the artifacts, or let the other account use the original.",
)
@click.option("--why", required=True, metavar="TEXT", help="What it is promoted for.")
@click.option("--yes", is_flag=True, help="Promote to a protected environment.")
@options.environment
@options.state
@options.json
@click.pass_obj
def promote(
    outside: Outside, *, model: str, to: str, way: str, why: str, yes: bool, environment: str, state: Path | None
) -> int:
    """Promote an approved model package version to another environment.

    By copy, its archive and its reports are copied with verified SHA-256 into the environment's bucket, and a version
    is registered there that waits for its approval. By reference, the environment's account may use the original.

    Example: mlops-sm models promote lending-approval/2 --env dev --to prod --why "release 12"
    """
    project = outside.project_or_standalone()
    source, target = project.environment(environment), project.environment(to)
    _check_text(why, "--why")
    if source.name == target.name:
        fix = "Name the next one with --to, the one the version is in with --env."
        raise InputError(Problem("E149", f"--to {to}", "the version is in this environment already", fix))
    allow(target, yes=yes)
    with ExitStack() as accounts:
        origin = accounts.enter_context(open_account(outside, project, source, state))
        _check_reach(origin)
        account = accounts.enter_context(open_account(outside, project, target, state))
        _check_reach(account)
        arn = models.find_package(origin.clients, model, prefix=origin.prefix)
        if way == "copy":
            account.prepare()
            done = promotions.promote_by_copy(
                origin.clients,
                account.clients,
                arn,
                origin=source.name,
                environment=target,
                why=why,
                now=outside.now(),
            )
        else:
            done = promotions.promote_by_reference(origin.clients, account.clients, arn, environment=target)
    ui = outside.ui
    for each in done.copied:
        ui.say(f"copied {each.target} ({each.size:,} bytes, sha256 {each.sha256[:16]}...)")
    for image in done.images:
        what = f"image {image} is in another region than environment {to}"
        fix = "Put a copy where the environment can pull it from."
        ui.notes([Problem("W428", done.package.name, what, fix)])
    if way == "reference":
        what = f"account {target.account} may use the version; its artifacts stay in {source.name}'s buckets"
        ui.notes([Problem("W429", done.package.name, what, "Let that account read them, and decrypt them.")])
    ui.result(f"{done.package.name} in {to}: {'was there already' if done.existing else done.package.approval}")
    ui.result(f"arn  {done.package.arn}")
    ui.data({**asdict(done), "environment": to, "by": way})
    return 0


def _check_text(text: str, option: str) -> None:
    if not text.strip():
        raise InputError(Problem("E149", option, "it is empty", f'Say it in a sentence: {option} "...".'))


def _check_reach(account: Account) -> None:
    """Refuse the local account unless a server has it: opened here, it would answer in place of AWS, too."""
    if not account.lasting:
        what = "the local account is open in this command, so that no request of it could reach AWS"
        fix = "Start a server in another terminal, mlops-sm local up, and run this again."
        raise InputError(Problem("E149", f"environment {account.environment.name}", what, fix))


def _show_decision(outside: Outside, decision: Decision) -> None:
    package, ui = decision.package, outside.ui
    _show_verdict(outside, decision.verdict)
    if decision.status == approvals.PENDING:
        missing = decision.required - decision.approvals
        ui.result(f"{package.name}: {decision.approvals} of {decision.required} approvals; {missing} more needed")
    elif not decision.refused:
        ui.result(f"{package.name}: {decision.status} by {decision.by}")
    if decision.overridden:
        ui.result(f"policy overridden: {decision.overridden}")
    ui.data({**asdict(decision), "package": asdict(package), "verdict": _verdict_data(decision.verdict)})


def _show_verdict(outside: Outside, verdict: Verdict) -> None:
    if not verdict.reasons:
        outside.ui.say("the project has no policy for models: [tool.mlops_sm.policy]")
        return
    outside.ui.table(["policy", "demand"], [["met" if r.met else "MISSED", r.text] for r in verdict.reasons])


def _verdict_data(verdict: Verdict) -> dict[str, object]:
    return {"passed": verdict.passed, "reasons": [asdict(reason) for reason in verdict.reasons]}


def _value(value: float | str | None) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:.6g}"


def _difference(row: Row) -> str:
    if row.difference is not None:
        return f"{row.difference:+.6g}"
    return "" if row.first == row.second else "differs"


def _short(package: Package) -> str:
    """The first metrics, those without a path in front."""
    if package.metrics is None:
        return ""
    shown = [(name, value) for name, value in package.metrics.items() if "." not in name][:_SHOWN_METRICS]
    return " ".join(f"{name}={value:.4g}" for name, value in shown)
