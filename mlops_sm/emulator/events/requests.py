"""Requests of EventBridge and SNS that moto would answer otherwise: PutEvents, and subscriptions of HTTP endpoints."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qs

from mlops_sm.checks.service import service_model
from mlops_sm.definition.document import Json
from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.events import patterns
from mlops_sm.emulator.events.envelope import envelope
from mlops_sm.emulator.events.letters import BusEvent, Letter
from mlops_sm.emulator.events.posts import leads_here
from mlops_sm.emulator.protocol import Answer, answer, read_json, refuse
from mlops_sm.emulator.refusals import refusal
from mlops_sm.emulator.store import Scope

_MAX_ENTRIES_BYTES: Final = 1 << 20
_REQUIRED: Final = ("id", "account", "source", "time", "region", "resources", "detail-type")


class EventRequests:
    """Answers PutEvents and TestEventPattern, and checks patterns; every other request of EventBridge is moto's.

    Args:
        send: Takes the events.
        now: Epoch seconds.
        region: Of requests that are not signed.
    """

    def __init__(self, send: Callable[[Sequence[Letter]], None], now: Callable[[], float], region: str) -> None:
        self._send = send
        self._now = now
        self._region = region

    def __call__(self, arrival: Arrival) -> Answer | None:
        """Answer a request, or leave it to moto."""
        match arrival.operation:
            case "PutEvents":
                scope = Scope(arrival.account, arrival.region or self._region)
                return _answered(arrival, lambda request: self._put_events(scope, request))
            case "TestEventPattern":
                return _answered(arrival, _test_event_pattern)
            case "PutRule" | "CreateArchive" | "UpdateArchive":
                return _check_pattern(arrival)
            case _:
                return None

    def _put_events(self, scope: Scope, request: Mapping[str, Json]) -> dict[str, Json]:
        """PutEvents: each entry is taken or refused by itself.

        Source: API reference of PutEvents and PutEventsResultEntry; sizes as in "Calculating PutEvents event entry
        size" of the EventBridge user guide.
        """
        if "EndpointId" in request:
            raise invalid("EndpointId: global endpoints are not available in the local account.")
        entries: list[dict[str, Json]] = request["Entries"]
        if sum(_size(entry) for entry in entries) > _MAX_ENTRIES_BYTES:
            raise invalid("Total size of the entries in the request is over the limit.")
        letters: list[Letter] = []
        results: list[dict[str, Json]] = []
        for entry in entries:
            refused = _refused(entry)
            if refused is not None:
                results.append({"ErrorCode": refused[0], "ErrorMessage": refused[1]})
                continue
            letter = self._letter(scope, entry)
            letters.append(letter)
            results.append({"EventId": letter.event["id"]})
        self._send(letters)
        return {"FailedEntryCount": sum("ErrorCode" in result for result in results), "Entries": results}

    def _letter(self, scope: Scope, entry: Mapping[str, Json]) -> BusEvent:
        event = envelope(
            scope,
            entry["Source"],
            entry["DetailType"],
            resources=entry.get("Resources") or [],
            detail=json.loads(entry["Detail"]),
            seconds=entry["Time"] if "Time" in entry else self._now(),
        )
        bus: str = entry.get("EventBusName") or "default"
        if not bus.startswith("arn:"):
            return BusEvent(scope=scope, event=event, bus=bus)
        # A bus of another account takes the event as it is: with the sender's account and region.
        return BusEvent(scope=Scope.of(bus), event=event, bus=bus.partition(":event-bus/")[2])


def _answered(arrival: Arrival, perform: Callable[[dict[str, Json]], Json]) -> Answer:
    return answer(service_model("events"), arrival.operation, arrival.read(), perform)


def _test_event_pattern(request: Mapping[str, Json]) -> dict[str, Json]:
    """TestEventPattern; the fields that an event must have are those that its API reference lists."""
    try:
        event = json.loads(request["Event"])
    except (ValueError, RecursionError) as error:
        raise invalid("Parameter Event is not valid. Reason: it is not JSON.") from error
    absent = [name for name in _REQUIRED if not isinstance(event, dict) or name not in event]
    if absent:
        raise invalid(f"Parameter Event is not valid. Reason: {', '.join(absent)} must be present.")
    return {"Result": patterns.matches(patterns.parse(request["EventPattern"]), event)}


def _check_pattern(arrival: Arrival) -> Answer | None:
    try:
        request = read_json(arrival.read())
        if isinstance(request, dict) and isinstance(request.get("EventPattern"), str):
            patterns.parse(request["EventPattern"])
    except AwsError as error:
        return refuse(error)
    return None


def _refused(entry: Mapping[str, Json]) -> tuple[str, str] | None:
    for member in ("Source", "DetailType", "Detail"):
        if not entry.get(member):
            return "InvalidArgument", f"Parameter {member} is not valid. Reason: {member} is a required argument."
    if entry["Source"].startswith("aws."):
        return "NotAuthorizedForSourceException", "Not authorized for the source."
    try:
        detail = json.loads(entry["Detail"])
    except (ValueError, RecursionError):
        return "MalformedDetail", "Detail is malformed."
    return None if isinstance(detail, dict) else ("MalformedDetail", "Detail is malformed.")


def _size(entry: Mapping[str, Json]) -> int:
    texts = [entry.get("Source"), entry.get("DetailType"), entry.get("Detail"), *(entry.get("Resources") or [])]
    return sum(len(text.encode()) for text in texts if text) + (14 if "Time" in entry else 0)


def check_subscription(arrival: Arrival) -> Answer | None:
    """Refuse a subscription of an HTTP endpoint that is not on this machine: nothing leaves it."""
    if arrival.operation != "Subscribe":
        return None
    form = {name: values[-1] for name, values in parse_qs(arrival.read().decode(errors="replace")).items()}
    if form.get("Protocol") not in {"http", "https"} or leads_here(form.get("Endpoint", "")):
        return None
    message = (
        f"Invalid parameter: Endpoint Reason: {form.get('Endpoint', '')} is not on this machine, and the local account "
        "sends nothing anywhere else."
    )
    return refusal(arrival, AwsError("InvalidParameter", message))
