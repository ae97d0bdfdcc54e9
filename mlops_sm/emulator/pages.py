"""Lists: filters, order and pages, the same for every family."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.service import Call
from mlops_sm.emulator.store import Condition, Entity, Kind

# Times are compared as they are shown, in milliseconds: what was created at a time was not created after it.
_CONDITIONS: Final[Mapping[str, str]] = {
    "CreatedAfter": "round(created, 3) > ?",
    "CreatedBefore": "round(created, 3) < ?",
    "CreationTimeAfter": "round(created, 3) > ?",
    "CreationTimeBefore": "round(created, 3) < ?",
    "LastModifiedTimeAfter": "round(modified, 3) > ?",
    "LastModifiedTimeBefore": "round(modified, 3) < ?",
    "NameContains": "instr(name, ?) > 0",
    "PipelineNamePrefix": "instr(name, ?) = 1",
    "StatusEquals": "status = ?",
    "ModelApprovalStatus": "status = ?",
}
_Row = TypeVar("_Row")
_PAGING: Final = frozenset({"NextToken", "MaxResults"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """How one List operation looks.

    Attributes:
        kind: What it lists.
        member: Member of the answer that holds the summaries.
        summary: One entity's summary.
        sort: Column by value of SortBy; the first is the default.
        descending: The default order. Where AWS documents none, newest first, as its consoles and SDK show.
        page: Summaries on a page when MaxResults is absent.
    """

    kind: Kind
    member: str
    summary: Callable[[Entity], dict[str, Json]]
    sort: Mapping[str, str] = field(default_factory=lambda: {"CreationTime": "created", "Name": "name"})
    descending: bool = False
    page: int = 10


def list_page(
    call: Call, listing: Listing, *, parent: str | None = None, conditions: Sequence[Condition] = ()
) -> dict[str, Json]:
    """One page of a List operation.

    Args:
        call: The request with its filters.
        listing: The operation.
        parent: Only entities of this parent.
        conditions: More conditions than the request's filters.

    Raises:
        AwsError: ValidationException, the NextToken is not of this request.
    """
    request = call.request
    column = listing.sort[request.get("SortBy") or next(iter(listing.sort))]
    descending = request["SortOrder"] == "Descending" if "SortOrder" in request else listing.descending
    size = request.get("MaxResults") or listing.page
    filters = [Condition(_CONDITIONS[name], request[name]) for name in request if name in _CONDITIONS]
    found = call.store.select(
        call.scope,
        listing.kind,
        parent=parent,
        conditions=[*filters, *conditions],
        sort=column,
        descending=descending,
        after=read_token(call),
        limit=size + 1,
    )
    page = found[:size]
    answer: dict[str, Json] = {listing.member: [listing.summary(entity) for entity in page]}
    if len(found) > size:
        answer["NextToken"] = make_token(call, [_value(page[-1], column), page[-1].name])
    return answer


def keyed_page(
    call: Call, keyed: Iterable[tuple[list[Json], _Row]], *, size: int, descending: bool = False
) -> tuple[list[_Row], dict[str, Json]]:
    """One page of rows that the store does not sort, and the member of the answer that says what follows it.

    Args:
        call: The request.
        keyed: Every row with what it is sorted by. Keys are compared, not counted: what is created between two pages
            moves nothing.
        size: Rows on a page.
        descending: The other way round.

    Raises:
        AwsError: ValidationException, the NextToken is not of this request.
    """
    ordered = sorted(keyed, key=lambda pair: pair[0], reverse=descending)
    position = read_token(call)
    if position is not None:
        try:
            ordered = [pair for pair in ordered if (pair[0] < position if descending else pair[0] > position)]
        except TypeError:
            raise _stale() from None
    page = ordered[:size]
    more: dict[str, Json] = {"NextToken": make_token(call, page[-1][0])} if len(ordered) > size else {}
    return [row for _, row in page], more


def slice_page(call: Call, rows: Sequence[_Row], *, size: int) -> tuple[list[_Row], dict[str, Json]]:
    """One page of rows whose order never changes; otherwise as `keyed_page`."""
    return keyed_page(call, (([index], row) for index, row in enumerate(rows)), size=size)


def _value(entity: Entity, column: str) -> str | float:
    match column:
        case "created":
            return entity.created
        case "status":
            return entity.status
        case "arn":
            return entity.arn
        case _:
            return entity.name


def make_token(call: Call, position: Sequence[Json]) -> str:
    """A NextToken for the place after which the next page starts; it holds only for the same request."""
    return base64.urlsafe_b64encode(json.dumps([_fingerprint(call), *position]).encode()).decode()


def read_token(call: Call) -> list[Json] | None:
    """The place in the request's NextToken, None on the first page.

    Raises:
        AwsError: ValidationException, the token was not made for this request.
    """
    token = call.request.get("NextToken")
    if token is None:
        return None
    try:
        read: list[Json] = json.loads(base64.urlsafe_b64decode(token.encode()))
        fingerprint, position = read[0], read[1:]
    except (ValueError, TypeError, LookupError, RecursionError):
        raise _stale() from None
    if fingerprint != _fingerprint(call):
        raise _stale()
    return position


def _stale() -> AwsError:
    return invalid("Invalid NextToken: it does not belong to this request.")


def _fingerprint(call: Call) -> str:
    asked = {name: value for name, value in call.request.items() if name not in _PAGING}
    text = json.dumps([*call.scope, call.operation, asked], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
