"""Which requests to moto can have changed something, and which of those wait inside for somebody else."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from mlops_sm.emulator.arrival import Arrival


class Effect(Enum):
    """What a request may do to moto's state."""

    NONE = "none"
    CHANGES = "changes"
    WAITS = "waits"
    """It may change something, and it may wait for another request to be answered first."""


READING_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_READING_VERB: Final = re.compile(
    "(?:BatchDescribe|BatchGet|Check|Count|Describe|Estimate|Filter|Get|Head|List|Lookup|Preview|Query|Scan|Search"
    "|Simulate|Test|Validate)(?![a-z])"
)
_READING: Final = {
    # They use a key and leave it as it was; moto counts nothing.
    "kms": re.compile("(?:Decrypt|DeriveSharedSecret|Encrypt|Generate|ReEncrypt|Sign|Verify)"),
}
_CHANGING: Final = frozenset({"sts"})
"""Services whose every operation counts as a change: STS hands out keys with operations that begin with Get."""
_WAITING: Final = frozenset(
    {
        ("lambda", "Invoke"),
        ("lambda", "InvokeAsync"),
        ("lambda", "InvokeWithResponseStream"),
        ("sfn", "StartExecution"),
        ("sfn", "StartSyncExecution"),
        ("sqs", "ReceiveMessage"),
    }
)
_WAITING_SERVICES: Final = frozenset({"cloudformation"})
"""A stack may have resources that a function makes."""


def effect(arrival: Arrival) -> Effect:
    """What a request may do to moto's state; whatever is not known to read counts as a change."""
    service, operation = arrival.service, arrival.operation
    if service not in _CHANGING and _reads(arrival):
        return Effect.NONE
    if (service, operation) in _WAITING or service in _WAITING_SERVICES:
        return Effect.WAITS
    return Effect.CHANGES


def _reads(arrival: Arrival) -> bool:
    if not arrival.operation:
        return arrival.method in READING_METHODS
    own = _READING.get(arrival.service)
    return bool(_READING_VERB.match(arrival.operation) or (own and own.match(arrival.operation)))
