"""Lists of records: their filters, order and pages, read off the names of the request's members."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Final

from mlops_sm.checks.service import sagemaker_model
from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import invalid
from mlops_sm.emulator.pages import keyed_page
from mlops_sm.emulator.service import Call
from mlops_sm.emulator.store import Entity

PAGE: Final = 10
"""Summaries on a page when MaxResults is absent, as the API reference says where it says so."""

Row = tuple[Entity, Mapping[str, Json]]
"""A record and its members as its summary names them."""
Filter = Callable[[Mapping[str, Json], Json], bool]
"""Whether a record's members satisfy a filter's value."""

_TIME: Final = re.compile(r"(?P<what>Created|CreationTime|LastModifiedTime|ModifiedTime)(?P<side>After|Before)")
_PAGING: Final = frozenset({"NextToken", "MaxResults", "SortBy", "SortOrder"})
_CREATED: Final = frozenset({"creationtime", "createdate", "createdat"})


def list_records(
    call: Call,
    rows: Iterable[Row],
    filters: Mapping[str, Filter],
    *,
    sort: str = "CreationTime",
    descending: bool = False,
) -> dict[str, Json]:
    """One page of a List operation over records.

    Args:
        call: The request.
        rows: Every record it may show.
        filters: How members of the request filter that do not compare a member of that name.
        sort: The default of SortBy.
        descending: The default of SortOrder.

    Raises:
        AwsError: ValidationException, the NextToken is not of this request, or MaxResults is negative.
    """
    request = call.request
    key = _sort_key(request.get("SortBy") or sort)
    if "SortOrder" in request:
        descending = request["SortOrder"].lower() == "descending"
    size = request.get("MaxResults") or PAGE
    if size < 0:
        # The model of some families names no least.
        raise invalid("MaxResults must not be negative.")
    keyed = (([key(row), row[0].name], row[1]) for row in rows if _shown(request, row, filters))
    page, more = keyed_page(call, keyed, size=size, descending=descending)
    return {listed_member(call.operation): page, **more}


def every(_members: Mapping[str, Json], _value: Json) -> bool:
    """The filter of a member by which the caller has picked the records already."""
    return True


@cache
def listed_member(operation: str) -> str:
    """The member of a List answer that holds the list."""
    shape = sagemaker_model().operation_model(operation).output_shape
    return next(str(name) for name, member in shape.members.items() if member.type_name == "list")


def _shown(request: Mapping[str, Json], row: Row, filters: Mapping[str, Filter]) -> bool:
    return all(_satisfies(name, value, row, filters) for name, value in request.items() if name not in _PAGING)


def _satisfies(name: str, value: Json, row: Row, filters: Mapping[str, Filter]) -> bool:
    entity, members = row
    if name in filters:
        return filters[name](members, value)
    if name.endswith("NameContains"):
        return value in entity.name.rsplit("/", 1)[-1]
    time = _TIME.fullmatch(name)
    if time is not None:
        # As it is shown: to the millisecond.
        moment = round(entity.created if time["what"].startswith("Crea") else entity.modified, 3)
        return bool(moment > value if time["side"] == "After" else moment < value)
    return bool(members.get(name.removesuffix("Equals")) == value)


def _sort_key(by: str) -> Callable[[Row], str | float]:
    plain = by.replace("_", "").lower()
    if plain in _CREATED:
        return lambda row: row[0].created
    if plain == "lastmodifiedtime":
        return lambda row: row[0].modified
    if plain.endswith("name"):
        return lambda row: row[0].name
    if plain == "version":
        # Names of versions are padded, so that they sort as numbers do.
        return lambda row: row[0].name
    return lambda row: str(row[1].get(by, ""))
