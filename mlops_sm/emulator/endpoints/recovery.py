"""Endpoints that were being changed when their owner ended: as they are without it."""

from __future__ import annotations

from typing import Final

from mlops_sm.emulator.endpoints.hosting import CREATING, DELETING, FAILED, IN_PROGRESS, IN_SERVICE
from mlops_sm.emulator.store import Kind, Store

_REASON: Final = "InternalServerError: the process that owned the local account ended before this {what} did."


def close_abandoned(store: Store, now: float) -> None:
    """End what nobody goes on with: what was being created has failed, an update is taken back, a deletion is done.

    Args:
        store: The account's, of which the caller is the only owner.
        now: Epoch seconds.
    """
    for kind in (Kind.ENDPOINT, Kind.INFERENCE_COMPONENT):
        for entity in store.in_status(kind, IN_PROGRESS):
            if entity.status == DELETING:
                store.delete(entity)
                continue
            created = entity.status == CREATING
            reason = _REASON.format(what="deployment" if created else "update")
            members = {"FailureReason": reason, "Pending": None, "PendingDeploymentSummary": None}
            store.save(entity.with_body(members, modified=now, status=FAILED if created else IN_SERVICE))
