"""IAM's requests that are answered here: policy simulation. AWS's managed policies appear when one is named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

from moto.core.parse import QueryParser
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy, IAMBackend, iam_backends

from mlops_sm import naming
from mlops_sm.checks.service import service_model
from mlops_sm.definition.document import Json
from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.iam.policy import Decision, Policy, Question, Verdict, decide, statements
from mlops_sm.emulator.iam.principals import principal
from mlops_sm.emulator.protocol import Answer
from mlops_sm.emulator.refusals import refusal
from mlops_sm.emulator.validation import read_request

SERVICE: Final = "iam"
_AWS_POLICY: Final = re.compile(r"arn:aws[a-z-]*:iam::aws:policy(/[\w+=,.@/-]+)")
_PAGE: Final = 100
"""Results when MaxItems is absent (API reference, SimulatePrincipalPolicy)."""


@dataclass(frozen=True, slots=True)
class IamRequests:
    """Answers the simulations.

    Attributes:
        region: Of requests that are not signed; decides the partition.
    """

    region: str

    def __call__(self, arrival: Arrival) -> Answer | None:
        """Answer a request, or leave it to moto."""
        backend = iam_backends[arrival.account][naming.partition(arrival.region or self.region)]
        body = arrival.read().decode("utf-8", "replace")
        if ":aws:policy" in unquote_plus(body):
            _add_named(backend, unquote_plus(body))
        performed = _OPERATIONS.get(arrival.operation)
        if performed is None:
            return None
        try:
            request = _parse(arrival.operation, body)
            return _render(arrival.operation, performed(backend, request))
        except AwsError as error:
            # The query protocol's word for it.
            code = "ValidationError" if error.code == "ValidationException" else error.code
            return refusal(arrival, AwsError(code, error.message, error.status))


def _add_named(backend: IAMBackend, text: str) -> None:
    """Give the account the policies of AWS that a request names; all 1,400 would be saved with every role."""
    missing = {arn for arn in (match[0] for match in _AWS_POLICY.finditer(text)) if arn not in backend.managed_policies}
    if not missing:
        return
    for name, data in json.loads(aws_managed_policies_data).items():
        policy = AWSManagedPolicy.from_data(name, backend.account_id, backend.region_name, data)
        if policy.arn in missing:
            backend.managed_policies[policy.arn] = policy
            backend.aws_managed_policies.append(policy)


# ---------------------------------------------------------------------- the operations


def _simulate_principal(backend: IAMBackend, request: Mapping[str, Json]) -> dict[str, Json]:
    found = principal(backend, request["PolicySourceArn"])
    more = _given(request, "PolicyInputList")
    boundary = _given(request, "PermissionsBoundaryPolicyInputList") or ([found.boundary] if found.boundary else [])
    excluded = set(request.get("PolicyExclusionList") or ())
    policies = [policy for policy in found.policies if policy.id not in excluded]
    return _simulate(request, (*policies, *more), boundary)


def _simulate_custom(_: IAMBackend, request: Mapping[str, Json]) -> dict[str, Json]:
    boundary = _given(request, "PermissionsBoundaryPolicyInputList")
    return _simulate(request, _given(request, "PolicyInputList"), boundary)


_OPERATIONS: Final[Mapping[str, Callable[[IAMBackend, Mapping[str, Json]], dict[str, Json]]]] = {
    "SimulatePrincipalPolicy": _simulate_principal,
    "SimulateCustomPolicy": _simulate_custom,
}


def _given(request: Mapping[str, Json], member: str) -> list[Policy]:
    return [
        Policy(f"{member}.{number}", "IAM Policy", text)
        for number, text in enumerate(request.get(member) or (), start=1)
    ]


def _simulate(request: Mapping[str, Json], policies: Sequence[Policy], boundary: Sequence[Policy]) -> dict[str, Json]:
    actions = request["ActionNames"]
    wrong = [action for action in actions if action != "*" and not re.fullmatch(r"[\w-]+:[\w*?]+", action)]
    if wrong:
        raise AwsError("InvalidInput", f"Invalid Action Names: {', '.join(wrong)}")
    resource_policy = [
        Policy("ResourcePolicy", "Resource Policy", text) for text in [request.get("ResourcePolicy")] if text
    ]
    context = {
        entry["ContextKeyName"].lower(): entry.get("ContextKeyValues") or []
        for entry in request.get("ContextEntries") or ()
    }
    questions = [
        Question(action, resource, context) for action in actions for resource in request.get("ResourceArns") or ("*",)
    ]
    try:
        for policy in (*policies, *boundary, *resource_policy):
            statements(policy.document)
        results = [_result(question, (*policies, *resource_policy), boundary) for question in questions]
    except ValueError as error:
        raise AwsError("InvalidInput", f"The policy could not be evaluated: {error}") from error
    return _page(results, request)


def _result(question: Question, policies: Sequence[Policy], boundary: Sequence[Policy]) -> dict[str, Json]:
    verdict = decide(policies, question)
    result: dict[str, Json] = {
        "EvalActionName": question.action,
        "EvalResourceName": question.resource,
        "MatchedStatements": [
            {"SourcePolicyId": policy.id, "SourcePolicyType": policy.source} for policy in verdict.matched
        ],
        "MissingContextValues": list(verdict.missing),
    }
    if boundary:
        limit = decide(boundary, question)
        result["PermissionsBoundaryDecisionDetail"] = {
            "AllowedByPermissionsBoundary": limit.decision is Decision.ALLOWED
        }
        verdict = _both(verdict, limit)
    return {**result, "EvalDecision": verdict.decision.value}


def _both(verdict: Verdict, limit: Verdict) -> Verdict:
    """What policies allow within a boundary: the stricter of the two."""
    order = (Decision.EXPLICIT_DENY, Decision.IMPLICIT_DENY, Decision.ALLOWED)
    return min(verdict, limit, key=lambda found: order.index(found.decision))


def _page(results: list[dict[str, Json]], request: Mapping[str, Json]) -> dict[str, Json]:
    marker = request.get("Marker") or "0"
    if not marker.isdigit():
        raise AwsError("InvalidInput", f"Invalid Marker: {marker}")
    start = int(marker)
    end = start + (request.get("MaxItems") or _PAGE)
    more = end < len(results)
    return {"EvaluationResults": results[start:end], "IsTruncated": more, "Marker": str(end) if more else None}


# ---------------------------------------------------------------------- the query protocol


def _parse(operation: str, body: str) -> dict[str, Json]:
    shapes = get_service_model(SERVICE).operation_model(operation)
    values: Any = dict(parse_qsl(body, keep_blank_values=True))
    try:
        parsed = QueryParser(shapes).parse({"values": values})  # type: ignore[typeddict-item] # all that it reads
    except ValueError as error:
        raise AwsError("MalformedInput", f"The request could not be read: {error}") from error
    return read_request(parsed, service_model(SERVICE).operation_model(operation).input_shape)


def _render(operation: str, result: dict[str, Json]) -> Answer:
    shapes = get_service_model(SERVICE).operation_model(operation)
    present = {name: value for name, value in result.items() if value is not None}
    rendered = get_serializer_class(SERVICE, "query")(shapes).serialize(present)
    body = rendered["body"]
    content = body.encode() if isinstance(body, str) else body
    return Answer(200, {"Content-Type": "text/xml"}, content)
