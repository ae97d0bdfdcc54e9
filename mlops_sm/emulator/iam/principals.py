"""What hangs on a user, group or role of moto's IAM: its policies and its permissions boundary."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from moto.iam.models import IAMBackend, ManagedPolicy

from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.iam.policy import Policy

_SOURCE: Final = "IAM Policy"
"""SourcePolicyType as the simulator shows it."""


_KINDS: Final = frozenset({"role", "user", "group"})


class Principal(NamedTuple):
    """Who asks.

    Attributes:
        policies: Inline and attached ones, a user's groups' included.
        boundary: The permissions boundary, None without one.
    """

    policies: tuple[Policy, ...]
    boundary: Policy | None


def principal(backend: IAMBackend, arn: str) -> Principal:
    """The user, group or role of an ARN.

    Raises:
        AwsError: NoSuchEntity, there is none; InvalidInput, the ARN is not one of these.
    """
    kind, _, path = arn.split(":", 5)[-1].partition("/")
    name = path.rpartition("/")[2]
    if kind not in _KINDS:
        raise AwsError("InvalidInput", f"Invalid Entity Arn: {arn} does not clearly define entity type and name.")
    if kind == "user" and name in backend.users:
        groups = backend.get_groups_for_user(name)
        inherited = [policy for group in groups for policy in _policies("group", group)]
        return Principal((*_policies("user", backend.users[name]), *inherited), None)
    if kind == "group" and name in backend.groups:
        return Principal(tuple(_policies("group", backend.groups[name])), None)
    for role in backend.roles.values() if kind == "role" else ():
        if role.name == name:
            return Principal(tuple(_policies("role", role)), _boundary(backend, role.permissions_boundary_arn))
    raise AwsError("NoSuchEntity", f"The {kind} with name {name} cannot be found.", 404)


def _policies(kind: str, owner: Any) -> list[Policy]:  # noqa: ANN401 - moto's User, Group or Role
    inline = [
        Policy(f"{kind}_{owner.name}_{name}", _SOURCE, document if isinstance(document, str) else json.dumps(document))
        for name, document in owner.policies.items()
    ]
    return inline + [_managed(policy) for policy in owner.managed_policies.values()]


def _managed(policy: ManagedPolicy) -> Policy:
    document = next(version.document for version in policy.versions if version.is_default)
    return Policy(policy.name, _SOURCE, document)


def _boundary(backend: IAMBackend, arn: str | None) -> Policy | None:
    if not arn:
        return None
    policy = backend.managed_policies.get(arn)
    if policy is None:
        # A boundary that is gone allows nothing.
        return Policy(arn, _SOURCE, json.dumps({"Version": "2012-10-17", "Statement": []}))
    return _managed(policy)
