"""Search and GetSearchSuggestions over everything the account holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mlops_sm.checks.service import Shape, sagemaker_model
from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import invalid
from mlops_sm.emulator.pages import keyed_page, read_token
from mlops_sm.emulator.sagemaker.search_expression import Test, compile_expression
from mlops_sm.emulator.sagemaker.search_properties import property_of, sort_key
from mlops_sm.emulator.sagemaker.search_resources import RESOURCES, Found, Resource
from mlops_sm.emulator.service import Call, Operation

_PAGE: Final = 100
"""Results on a page when MaxResults is absent: the most there can be, as no default is documented."""
_DEFAULT_SORT: Final = "LastModifiedTime"
_SUGGESTED: Final[Mapping[str, str]] = {
    "HyperParameters": "HyperParameters",
    "Parameters": "Parameters",
    "Tags": "Tags",
    "Metrics": "Metrics",
    "FinalMetricDataList": "Metrics",
}
"""Members whose entries have names of their own, and how those names start."""


def search(call: Call) -> dict[str, Json]:
    """One page of the resources that satisfy an expression."""
    request = call.request
    resource = RESOURCES[request["Resource"]]
    if resource is None or request.get("CrossAccountFilterOption") == "CrossAccount":
        # No other account has made anything discoverable to this one.
        read_token(call)
        return {"Results": [], "TotalHits": {"Value": 0, "Relation": "EqualTo"}}
    shape = _shape(resource)
    tests: list[Test] = [_visible(condition) for condition in request.get("VisibilityConditions") or []]
    if "SearchExpression" in request:
        tests.append(compile_expression(request["SearchExpression"], shape, resource.within))
    descending = request.get("SortOrder", "Descending") == "Descending"
    keyed = _keyed(call, resource, shape, tests, descending=descending)
    page, more = keyed_page(call, keyed, size=request.get("MaxResults") or _PAGE, descending=descending)
    return {
        "Results": [{resource.member: found.members()} for found in page],
        "TotalHits": {"Value": len(keyed), "Relation": "EqualTo"},
        **more,
    }


def get_search_suggestions(call: Call) -> dict[str, Json]:
    """Names of properties that start with a hint: the resource's own and those of what the account holds."""
    request = call.request
    resource = RESOURCES[request["Resource"]]
    if resource is None:
        return {"PropertyNameSuggestions": []}
    query = (request.get("SuggestionQuery") or {}).get("PropertyNameQuery") or {}
    hint = query.get("PropertyNameHint", "").lower()
    names = dict.fromkeys(_shape(resource).members)
    for found in resource.all(call.store, call.scope):
        names |= dict.fromkeys(_names_in(found))
    suggested = sorted(name for name in names if name.lower().startswith(hint))
    return {"PropertyNameSuggestions": [{"PropertyName": name} for name in suggested]}


def _keyed(
    call: Call, resource: Resource, shape: Shape, tests: list[Test], *, descending: bool
) -> list[tuple[list[Any], Found]]:
    """What satisfies every test, with what it is sorted by; the ARN decides between equals."""
    name = call.request.get("SortBy", _DEFAULT_SORT)
    by = None if name == _DEFAULT_SORT else property_of(shape, name, resource.within)
    pairs: list[tuple[list[Any], Found]] = []
    for found in resource.all(call.store, call.scope):
        if all(test(found) for test in tests):
            key = [found.modified] if by is None else sort_key(by.of(found), by.type, descending=descending)
            pairs.append(([*key, found.arn], found))
    return pairs


def _visible(condition: Mapping[str, str]) -> Test:
    """A resource is shown when it lacks the tag or has this value of it (API reference, VisibilityConditions)."""
    prefix, _, key = condition.get("Key", "").partition(".")
    if prefix != "Tags" or not key:
        raise invalid("The Key of a visibility condition must have the form Tags.<key>.")

    def test(found: Found) -> bool:
        tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags") or []}
        return key not in tags or tags[key] == condition.get("Value")

    return test


def _shape(resource: Resource) -> Shape:
    record = sagemaker_model().shape_for("SearchRecord")
    return record.members[resource.member]


def _names_in(found: Found) -> Iterator[str]:
    for member, prefix in _SUGGESTED.items():
        match found.get(member):
            case dict() as entries:
                yield from (f"{prefix}.{name}" for name in entries)
            case list() as items:
                yield from (f"{prefix}.{item.get('Key') or item.get('MetricName')}" for item in items)
            case _:
                continue


OPERATIONS: Final[Mapping[str, Operation]] = {
    "Search": search,
    "GetSearchSuggestions": get_search_suggestions,
}
