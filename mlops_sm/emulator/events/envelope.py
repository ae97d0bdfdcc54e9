"""What every event has around its detail."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from mlops_sm.definition.document import Json
from mlops_sm.emulator.events.times import iso
from mlops_sm.emulator.store import Scope


def envelope(
    scope: Scope,
    source: str,
    detail_type: str,
    *,
    resources: Sequence[str],
    detail: Json,
    seconds: float,
) -> dict[str, Json]:
    """A whole event, with an id of its own.

    Args:
        scope: Where it happened.
        source: E.g. ``aws.sagemaker``.
        detail_type: What happened.
        resources: ARNs of what it happened to.
        detail: What is to say about it.
        seconds: When, in epoch seconds.
    """
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": source,
        "account": scope.account,
        "time": iso(seconds),
        "region": scope.region,
        "resources": list(resources),
        "detail": detail,
    }
