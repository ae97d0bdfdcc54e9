"""AddTags, ListTags, DeleteTags, and the tags that Create requests carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import invalid
from mlops_sm.emulator.pages import make_token, read_token
from mlops_sm.emulator.service import Call, Operation

MAX_TAGS: Final = 50
"""Tags on one resource (SageMaker API reference, Tag)."""
_PAGE: Final = 50
"""The least that MaxResults of ListTags may be, and what it is when absent."""


def add_tags(call: Call) -> dict[str, Json]:
    """Add tags to a resource; the answer holds all it has then."""
    arn = _resource(call)
    with call.store.transaction():
        call.store.put_tags(arn, call.request["Tags"])
        tags = call.store.tags(arn)
        if len(tags) > MAX_TAGS:
            # Raised inside the transaction: nothing is added.
            raise invalid(f"The resource {arn} would have {len(tags)} tags; the limit is {MAX_TAGS}.")
    return {"Tags": tags}


def list_tags(call: Call) -> dict[str, Json]:
    """One page of a resource's tags."""
    tags = call.store.tags(_resource(call))
    position = read_token(call)
    start = position[0] if position else 0
    end = start + (call.request.get("MaxResults") or _PAGE)
    answer: dict[str, Json] = {"Tags": tags[start:end]}
    if end < len(tags):
        answer["NextToken"] = make_token(call, [end])
    return answer


def delete_tags(call: Call) -> dict[str, Json]:
    """Take tags from a resource; keys it does not have are no error."""
    call.store.delete_tags(_resource(call), call.request["TagKeys"])
    return {}


def tag_new(call: Call, arn: str) -> None:
    """Keep the Tags of a Create request."""
    tags = call.request.get("Tags") or []
    keys = [tag["Key"] for tag in tags]
    if len(set(keys)) < len(keys):
        raise invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    call.store.put_tags(arn, tags)


def _resource(call: Call) -> str:
    arn: str = call.request["ResourceArn"]
    if call.store.by_arn(arn) is None:
        raise invalid(f"Could not find the resource {arn}.")
    return arn


OPERATIONS: Final[Mapping[str, Operation]] = {
    "AddTags": add_tags,
    "ListTags": list_tags,
    "DeleteTags": delete_tags,
}
