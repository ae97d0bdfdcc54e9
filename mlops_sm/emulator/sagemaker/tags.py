"""AddTags, ListTags, DeleteTags, and the tags that Create requests carry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import invalid
from mlops_sm.emulator.pages import slice_page
from mlops_sm.emulator.service import Call, Operation

MAX_TAGS: Final = 50
"""Tags on one resource (SageMaker API reference, Tag)."""
_RESERVED: Final = "aws:"
_PAGE: Final = 50
"""The least that MaxResults of ListTags may be, and what it is when absent."""


def add_tags(call: Call) -> dict[str, Json]:
    """Add tags to a resource; the answer holds all it has then."""
    _check(call.request["Tags"])
    with call.store.transaction():
        arn = _resource(call)
        call.store.put_tags(arn, call.request["Tags"])
        tags = call.store.tags(arn)
        if len(tags) > MAX_TAGS:
            # Raised inside the transaction: nothing is added.
            raise invalid(f"The resource {arn} would have {len(tags)} tags; the limit is {MAX_TAGS}.")
    return {"Tags": tags}


def list_tags(call: Call) -> dict[str, Json]:
    """One page of a resource's tags."""
    tags = call.store.tags(_resource(call))
    page, more = slice_page(call, tags, size=call.request.get("MaxResults") or _PAGE)
    return {"Tags": page, **more}


def delete_tags(call: Call) -> dict[str, Json]:
    """Take tags from a resource; keys it does not have are no error."""
    _refuse_reserved(call.request["TagKeys"])
    with call.store.transaction():
        call.store.delete_tags(_resource(call), call.request["TagKeys"])
    return {}


def tag_new(call: Call, arn: str) -> None:
    """Keep the Tags of a Create request.

    Raises:
        AwsError: ValidationException, a key is reserved or given twice.
    """
    tags = call.request.get("Tags") or []
    _check(tags)
    call.store.put_tags(arn, tags)


def _check(tags: Sequence[Mapping[str, str]]) -> None:
    """Keys are case-sensitive and unique, and none starts with ``aws:`` (AWS General Reference, Tagging)."""
    keys = [tag["Key"] for tag in tags]
    if len(set(keys)) < len(keys):
        raise invalid("Duplicate tag keys found.")
    _refuse_reserved(keys)


def _refuse_reserved(keys: Iterable[str]) -> None:
    reserved = sorted(key for key in keys if key.lower().startswith(_RESERVED))
    if reserved:
        raise invalid(
            f"Tag keys with the prefix {_RESERVED} are reserved for AWS and cannot be used: {', '.join(reserved)}."
        )


def _resource(call: Call) -> str:
    arn: str = call.request["ResourceArn"]
    found = call.named(arn) or call.named(arn.lower())
    if found is None:
        raise invalid(f"Could not find the resource {arn}.")
    return found.arn


OPERATIONS: Final[Mapping[str, Operation]] = {
    "AddTags": add_tags,
    "ListTags": list_tags,
    "DeleteTags": delete_tags,
}
