"""Approving and rejecting model versions: who, when, why and on what evidence, written into the package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from mlops_sm.checks.approval import Verdict, judge
from mlops_sm.errors import Problem, RefusedError
from mlops_sm.operations.clients import Clients, Response
from mlops_sm.operations.models import Package, evidence, package_in_use, read_package, show_package
from mlops_sm.operations.refusals import AwsError
from mlops_sm.project import Environment, Policy

APPROVED: Final = "Approved"
REJECTED: Final = "Rejected"
PENDING: Final = "PendingManualApproval"
AUTHOR: Final = "author"
"""The property in which a version's author can be written down where the service does not tell."""
PROMOTED_AUTHOR: Final = "promoted.author."
"""How the properties begin in which a copy names the authors of what it was made of."""
EXECUTION: Final = "pipeline_execution_arn"
"""The property in which `builders.register_model` writes down the execution."""
_PREFIX: Final = "approval."
_STARTED: Final = "started by "
_SERVICE: Final = re.compile(r"arn:[^:]+:sts::\d+:assumed-role/[^/]+/SageMaker")
"""Pipelines calling in the name of their role."""
_BY: Final = re.compile(r"approval\.(\d+)\.by")
# botocore's model: ApprovalDescription, CustomerMetadataMap, CustomerMetadataValue.
_MAX_DESCRIPTION: Final = 1024
MAX_PROPERTIES: Final = 50
_MAX_VALUE: Final = 256
_NOT_IN_VALUES: Final = re.compile(r"[^\w\s.:/=+\-@]")
_MAX_METRICS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What came of an approval or a rejection.

    Attributes:
        package: The version as it is now.
        status: What was decided: ``Approved``, ``Rejected``, ``PendingManualApproval`` when more must approve, or empty
            when the policy is not fulfilled and nothing was written.
        by: Who decided: an ARN.
        verdict: What the policy says.
        compared_with: The version in use, which it was compared with.
        overridden: Why the policy did not count; empty when it did.
        approvals: How many have approved.
        required: How many must.
    """

    package: Package
    status: str
    by: str
    verdict: Verdict
    compared_with: str | None
    overridden: str
    approvals: int
    required: int

    @property
    def refused(self) -> bool:
        """Whether the policy is not fulfilled, so that nothing was written."""
        return not self.status


def approve(
    clients: Clients,
    arn: str,
    *,
    environment: Environment,
    policy: Policy,
    why: str,
    override: str,
    now: datetime,
) -> Decision:
    """Approve a version that fulfils the policy, or that somebody takes the responsibility for.

    Args:
        clients: The account.
        arn: The version.
        environment: Says whether its author may approve it.
        policy: The demands.
        why: What the approver says.
        override: Why it is approved although it does not fulfil the policy; empty does not approve such a version.
        now: The time.

    Raises:
        RefusedError: It is approved already (E148), or this person may not approve it (E149).
    """
    described = clients.sagemaker.describe_model_package(ModelPackageName=arn)
    package = read_package(clients, described)
    if package.approval == APPROVED:
        raise RefusedError(
            Problem(
                "E148", package.name, "it is approved already", f"mlops-sm models show {package.name} says by whom."
            )
        )
    by = clients.sts.get_caller_identity()["Arn"]
    approvers = [] if package.approval == REJECTED else approvers_of(package)
    _check_person(clients, package, described, by, environment)
    in_use = package_in_use(clients, package)
    verdict = judge(policy, evidence(package), None if in_use is None else evidence(in_use))
    common: dict[str, Any] = {
        "by": by,
        "verdict": verdict,
        "compared_with": None if in_use is None else in_use.name,
        "required": policy.required_approvals,
    }
    if not verdict.passed and not override:
        return Decision(package=package, status="", overridden="", approvals=len(approvers), **common)
    overridden = "" if verdict.passed else override
    count = len(approvers) + 1
    status = APPROVED if count >= policy.required_approvals else package.approval
    if status == REJECTED:
        status = PENDING
    properties = {
        f"approval.{count}.by": by,
        f"approval.{count}.at": moment(now),
        f"approval.{count}.why": why,
        **_evidence(package, policy, verdict, common["compared_with"], overridden),
    }
    said = "approved" if status == APPROVED else f"approval {count} of {policy.required_approvals}"
    text = f"{said} by {by} at {moment(now)}: {why}. {_policy_text(verdict, overridden)}"
    request = _request(package, environment.name, status, text)
    _write(clients, package, request, properties, keep=bool(approvers))
    decided = show_package(clients, arn)
    return Decision(package=decided, status=status, overridden=overridden, approvals=count, **common)


def reject(
    clients: Clients, arn: str, *, environment: Environment, policy: Policy, why: str, now: datetime
) -> Decision:
    """Reject a version; its approvals are void.

    Args:
        clients: The account.
        arn: The version.
        environment: The environment it is rejected in.
        policy: What its metrics are held against, for the record.
        why: What who rejects it says.
        now: The time.

    Raises:
        RefusedError: It is rejected already (E148).
    """
    package = show_package(clients, arn)
    if package.approval == REJECTED:
        raise RefusedError(
            Problem(
                "E148", package.name, "it is rejected already", f"mlops-sm models show {package.name} says by whom."
            )
        )
    by = clients.sts.get_caller_identity()["Arn"]
    in_use = package_in_use(clients, package)
    verdict = judge(policy, evidence(package), None if in_use is None else evidence(in_use))
    compared = None if in_use is None else in_use.name
    properties = {
        "approval.rejected.by": by,
        "approval.rejected.at": moment(now),
        "approval.rejected.why": why,
        **_evidence(package, policy, verdict, compared, ""),
    }
    text = f"rejected by {by} at {moment(now)}: {why}. {_policy_text(verdict, '')}"
    _write(clients, package, _request(package, environment.name, REJECTED, text), properties, keep=False)
    return Decision(
        package=show_package(clients, arn),
        status=REJECTED,
        by=by,
        verdict=verdict,
        compared_with=compared,
        overridden="",
        approvals=0,
        required=policy.required_approvals,
    )


def approvers_of(package: Package) -> list[str]:
    """Who has approved a version so far, in order."""
    return [value for key, value in sorted(package.properties.items()) if _BY.fullmatch(key)]


def started_by(clients: Clients) -> str:
    """The description of an execution that says who started it, which `authors_of` reads."""
    return f"{_STARTED}{clients.sts.get_caller_identity()['Arn']}"


def authors_of(clients: Clients, package: Package, described: Response) -> set[str]:
    """Who made a version: who called the service, who started the execution it comes from, and whom it names.

    Who made what a copy was made of has made the copy as well.

    A pipeline registers in the name of its role, which is nobody: what counts is who started it. The service tells so
    only of executions that Studio started (API reference, IamIdentity), so that our commands write it down.
    """
    found = {str(package.properties.get(AUTHOR, "")), _identity(described.get("CreatedBy"))}
    found |= {value for name, value in package.properties.items() if name.startswith(PROMOTED_AUTHOR)}
    execution = package.properties.get(EXECUTION, "")
    # That of a copy may be another account's or region's, which cannot be asked.
    if execution.split(":")[:5] == package.arn.split(":")[:5]:
        try:
            started = clients.sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution)
        except AwsError as error:
            if not error.is_not_found:
                raise
        else:
            found.add(_identity(started.get("CreatedBy")))
            description = started.get("PipelineExecutionDescription", "")
            found.add(description.removeprefix(_STARTED) if description.startswith(_STARTED) else "")
    return {each for each in found if each and _SERVICE.fullmatch(each) is None}


def _check_person(clients: Clients, package: Package, described: Response, by: str, environment: Environment) -> None:
    problems = []
    if package.approval != REJECTED and plain(by) in approvers_of(package):
        what = f"{by} has approved it already, and it takes the approval of several people"
        problems.append(Problem("E149", package.name, what, "Ask somebody else to approve it too."))
    if environment.four_eyes:
        authors = authors_of(clients, package, described)
        where = f"{package.name} in environment {environment.name} (four_eyes)"
        if not authors:
            what = "nobody knows who made it, so nobody can be somebody else"
            fix = f'Register it with the property "{AUTHOR}": customer_metadata_properties={{"{AUTHOR}": ...}}.'
            problems.append(Problem("E149", where, what, fix))
        elif by in authors or plain(by) in authors:
            what = f"{by} made it and cannot approve it"
            problems.append(Problem("E149", where, what, "Ask somebody else to approve it."))
    if problems:
        raise RefusedError(*problems)


def _identity(context: Mapping[str, Any] | None) -> str:
    """The ARN of who did something, the user's profile in Studio where there is no other."""
    context = context or {}
    return str(context.get("IamIdentity", {}).get("Arn") or context.get("UserProfileArn") or "")


def _request(package: Package, stage: str, status: str, text: str) -> dict[str, Any]:
    said = re.sub(r"\s+", " ", text)[:_MAX_DESCRIPTION]
    return {
        "ModelPackageArn": package.arn,
        "ModelApprovalStatus": status,
        "ApprovalDescription": said,
        "ModelLifeCycle": {"Stage": stage, "StageStatus": status, "StageDescription": said},
    }


def _write(
    clients: Clients, package: Package, request: Mapping[str, Any], properties: Mapping[str, str], *, keep: bool
) -> None:
    """Write down a decision; what an earlier one left is removed, but for the approvals that go on counting."""
    written = {key: plain(value) for key, value in properties.items() if plain(value)}
    old = [key for key in package.properties if key.startswith(_PREFIX) and key not in written]
    dropped = [key for key in old if not (keep and key.split(".")[1].isdecimal())]
    room = MAX_PROPERTIES - len(set(package.properties) - set(dropped) - set(written))
    # What does not fit is measured values, which the reports hold as well.
    for key in sorted((k for k in written if k.startswith("approval.evidence.")), reverse=True):
        if len(written) > room:
            del written[key]
    more = {"CustomerMetadataPropertiesToRemove": dropped} if dropped else {}
    clients.sagemaker.update_model_package(**request, CustomerMetadataProperties=written, **more)


def _evidence(
    package: Package, policy: Policy, verdict: Verdict, compared: str | None, overridden: str
) -> dict[str, str]:
    names = [n for n in policy.metrics if n in (package.metrics or {})] or [
        n for n in package.metrics or {} if "." not in n
    ]
    measured = {f"approval.evidence.{n}": f"{(package.metrics or {})[n]:.6g}" for n in names[:_MAX_METRICS]}
    biased = {f"approval.evidence.bias {n}": f"{v:.6g}" for n, v in list((package.bias or {}).items())[:_MAX_METRICS]}
    if not verdict.reasons:
        said = "no policy"
    elif verdict.passed:
        said = "passed"
    else:
        said = "overridden" if overridden else "missed"
    return {
        "approval.policy": said,
        "approval.override": overridden,
        "approval.compared_with": compared or "",
        "approval.report": package.metrics_uri or "",
        **{plain(key, limit=128): value for key, value in {**measured, **biased}.items()},
    }


def _policy_text(verdict: Verdict, overridden: str) -> str:
    if not verdict.reasons:
        return "There is no policy."
    told = "; ".join(f"{reason.text}{'' if reason.met else ' (missed)'}" for reason in verdict.reasons)
    if overridden:
        return f"Policy overridden: {overridden}. {told}."
    return f"Policy {'passed' if verdict.passed else 'missed'}: {told}."


def plain(text: str, limit: int = _MAX_VALUE) -> str:
    """What the service takes of a text as a property's value: letters, digits, spaces and _ . : / = + - @."""
    return re.sub(r"\s+", " ", _NOT_IN_VALUES.sub(" ", text)).strip()[:limit]


def moment(now: datetime) -> str:
    """A time as it is written down."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
