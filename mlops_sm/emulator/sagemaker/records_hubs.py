"""Private hubs and what is imported into them; AWS's public hub and references to it exist only on AWS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.sagemaker.records import (
    NOT_FOUND,
    Family,
    describe_record,
    members_given,
    named_record,
    new_record,
    records_below,
)
from mlops_sm.emulator.sagemaker.records_lists import Filter, Row, every, list_records
from mlops_sm.emulator.service import Call, Operation, modelled
from mlops_sm.emulator.store import Entity

_CONTENTS: Final = "HubContent"
_FIRST: Final = "1.0.0"
_EDITED: Final = (
    "HubContentDisplayName",
    "HubContentDescription",
    "HubContentMarkdown",
    "HubContentSearchKeywords",
    "SupportStatus",
)

HUBS: Final = Family(
    name="Hub",
    resource="hub",
    what="Kept with imported contents; AWS's public hub and references to it exist only on AWS",
    children=(_CONTENTS,),
    members={"HubStatus": "InService", "CreatedBy": {}, "LastModifiedBy": {}},
    descending=True,
)
_CONTENT: Final = Family(
    name=_CONTENTS,
    resource="hub-content",
    what="",
    duplicate=("ResourceInUse", "{arn} already exists."),
)


def import_hub_content(call: Call) -> dict[str, Json]:
    """Keep a version of a content; without one the first, or the one after the latest."""
    with call.store.transaction():
        hub = _hub(call)
        before = _versions(call, hub)
        version = call.request.get("HubContentVersion") or (_after(before[-1]) if before else _FIRST)
        body = {
            "SupportStatus": "Supported",
            **call.members("HubName"),
            "HubName": hub.body["HubName"],
            "HubArn": hub.arn,
            "HubContentVersion": version,
            "HubContentStatus": "Available",
            "CreatedBy": {},
            "LastModifiedBy": {},
            "OriginalCreationTime": before[0].created if before else call.now(),
        }
        content = new_record(call, _CONTENT, f"{_prefix(call, hub)}/{version}", body)
    return {"HubArn": hub.arn, "HubContentArn": content.arn}


def describe_hub_content(call: Call) -> dict[str, Json]:
    """A version of a content, the latest when none is named."""
    return describe_record(_CONTENT, _content(call))


def update_hub_content(call: Call) -> dict[str, Json]:
    """Change what a version of a content says of itself."""
    with call.store.transaction():
        content = _content(call)
        changes = dict(members_given(call, *_EDITED))
        call.store.save(content.with_body(changes, modified=call.now()))
    return {"HubArn": content.body["HubArn"], "HubContentArn": content.arn}


def delete_hub_content(call: Call) -> dict[str, Json]:
    """Forget a version of a content."""
    call.store.delete(_content(call))
    return {}


def list_hub_contents(call: Call) -> dict[str, Json]:
    """One page of a hub's contents of one type, each with its latest version."""
    hub = _hub(call)
    latest: dict[str, Entity] = {}
    for content in sorted(records_below(call, _CONTENTS, hub.body["HubName"]), key=_number):
        if content.body["HubContentType"] == call.request["HubContentType"]:
            latest[content.body["HubContentName"]] = content
    return _page(call, list(latest.values()))


def list_hub_content_versions(call: Call) -> dict[str, Json]:
    """One page of the versions of one content."""
    versions = _versions(call, _hub(call))
    if not versions:
        raise _missing(call)
    return _page(call, versions)


def _page(call: Call, contents: list[Entity]) -> dict[str, Json]:
    rows: list[Row] = [(content, describe_record(_CONTENT, content)) for content in contents]
    return list_records(call, rows, _FILTERS, descending=True)


def _hub(call: Call) -> Entity:
    return named_record(call, HUBS, call.request["HubName"])


def _prefix(call: Call, hub: Entity) -> str:
    return f"{hub.body['HubName']}/{call.request['HubContentType']}/{call.request['HubContentName']}"


def _versions(call: Call, hub: Entity) -> list[Entity]:
    return sorted(records_below(call, _CONTENTS, _prefix(call, hub)), key=_number)


def _content(call: Call) -> Entity:
    versions = _versions(call, _hub(call))
    wanted = call.request.get("HubContentVersion")
    for content in reversed(versions):
        if wanted in {None, content.body["HubContentVersion"]}:
            return content
    raise _missing(call)


def _missing(call: Call) -> AwsError:
    version = call.request.get("HubContentVersion")
    which = f", version {version}," if version else ""
    return modelled(
        call, NOT_FOUND, f"{call.request['HubContentName']}{which} does not exist in hub {call.request['HubName']}."
    )


def _number(content: Entity) -> tuple[int, ...]:
    return _parts(content.body["HubContentVersion"])


def _parts(version: str) -> tuple[int, ...]:
    # The pattern of a version lets any character stand between its three numbers.
    return tuple(int(part) for part in "".join(c if c.isdigit() else " " for c in version).split())


def _after(content: Entity) -> str:
    major, minor, patch = (*_number(content), 0, 0)[:3]
    return f"{major}.{minor}.{patch + 1}"


_FILTERS: Final[Mapping[str, Filter]] = {
    "HubName": every,
    "HubContentName": every,
    "NameContains": lambda members, value: value in members["HubContentName"],
    "MinVersion": lambda members, value: _parts(members["HubContentVersion"]) >= _parts(value),
    "MaxSchemaVersion": lambda members, value: _parts(members["DocumentSchemaVersion"]) <= _parts(value),
}

OPERATIONS: Final[Mapping[str, Operation]] = {
    "ImportHubContent": import_hub_content,
    "DescribeHubContent": describe_hub_content,
    "UpdateHubContent": update_hub_content,
    "DeleteHubContent": delete_hub_content,
    "ListHubContents": list_hub_contents,
    "ListHubContentVersions": list_hub_content_versions,
}
