"""What of one account another one may use: versions of model package groups, by the group's resource policy.

Source: developer guide, "Deploy a model version from a different account", and API reference,
PutModelPackageGroupPolicy.
"""

from __future__ import annotations

import json
from typing import Any

from mlops_sm.emulator.store import Entity, Kind, Scope, Store

POLICY = "ResourcePolicy"
"""Member of a group's body: its policy."""


def is_shared(store: Store, entity: Entity, scope: Scope, operation: str) -> bool:
    """Whether the policy of a group lets another account perform an operation on the group or one of its versions."""
    group: Entity | None = None
    if entity.kind is Kind.MODEL_PACKAGE_GROUP:
        group = entity
    elif entity.kind is Kind.MODEL_PACKAGE and entity.parent:
        group = store.get(entity.scope, Kind.MODEL_PACKAGE_GROUP, entity.parent)
    if group is None or POLICY not in group.body or entity.scope.region != scope.region:
        return False
    from mlops_sm.emulator.iam.policy import Decision, Policy, Question, decide, statements, texts  # noqa: PLC0415 - only for other accounts

    meant = [
        each
        for each in statements(group.body[POLICY])
        if any(text in {"*", scope.account} or f"::{scope.account}:" in text for text in texts(_principals(each)))
    ]
    policy = Policy(group.arn, "Resource Policy", json.dumps({"Statement": meant}))
    # Actions on the versions of a group name the versions, though the request names the group.
    resources = {entity.arn, group.scope.arn(Kind.MODEL_PACKAGE, f"{group.name}/1")}
    questions = [Question(f"sagemaker:{operation}", resource) for resource in resources]
    return any(decide([policy], question).decision is Decision.ALLOWED for question in questions)


def _principals(statement: dict[str, Any]) -> Any:  # noqa: ANN401 - text or a list of texts
    principals = statement.get("Principal")
    return principals.get("AWS", []) if isinstance(principals, dict) else principals
