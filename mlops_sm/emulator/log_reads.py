"""CloudWatch Logs' requests on the log groups of jobs; every other request of that service is moto's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from mlops_sm.checks.service import service_model
from mlops_sm.definition.document import Json
from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.logs import Logs, group_of
from mlops_sm.emulator.protocol import Answer, answer
from mlops_sm.emulator.store import Scope

SERVICE: Final = "cloudwatch-logs"
"""Botocore's events call a service by its service id, not by its endpoint."""


@dataclass(frozen=True, slots=True)
class LogReads:
    """Answers the reads on the groups of jobs.

    Attributes:
        logs: The logs.
        region: Of requests that are not signed.
    """

    logs: Logs
    region: str

    def __call__(self, arrival: Arrival) -> Answer | None:
        """Answer a request, or leave it to moto."""
        reads: dict[str, Callable[[Scope, Mapping[str, Json]], dict[str, Json]]] = {
            "DescribeLogStreams": self.logs.describe_streams,
            "GetLogEvents": self.logs.get_events,
            "FilterLogEvents": self.logs.filter_events,
        }
        read = reads.get(arrival.operation)
        if read is None or not self.logs.has(_log_group(arrival.read())):
            return None
        scope = Scope(arrival.account, arrival.region or self.region)
        return answer(service_model("logs"), arrival.operation, arrival.read(), lambda request: read(scope, request))


def _log_group(body: bytes) -> str:
    try:
        request = json.loads(body)
    except ValueError:
        return ""
    return group_of(request) if isinstance(request, dict) else ""
