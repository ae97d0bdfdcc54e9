"""The Resource Groups Tagging API about SageMaker's resources; what it says of other services' is moto's.

Source: Resource Groups Tagging API reference, GetResources, TagResources, UntagResources.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from mlops_sm import naming
from mlops_sm.checks.service import service_model
from mlops_sm.definition.document import Json
from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.protocol import Answer, answer
from mlops_sm.emulator.store import Scope, Store

SERVICE: Final = "resource-groups-tagging-api"
_MODEL: Final = "resourcegroupstaggingapi"
_OURS: Final = "sagemaker"
_INVALID: Final = "InvalidParameterException"
_OK: Final = 200
_OURS_FROM: Final = "sagemaker."
"""How a PaginationToken starts after which SageMaker's resources follow."""
_MAX_PAGE: Final = 100
_ALONE: Final = ("TagFilters", "ResourceTypeFilters", "ResourcesPerPage", "TagsPerPage", "PaginationToken")
"""Members that exclude ResourceARNList."""


Perform = Callable[[Scope, str, dict[str, Json]], Mapping[str, Json]]
"""Performs an operation of SageMaker; raises AwsError."""


class TaggedResources:
    """Answers requests about SageMaker's resources, and adds them to answers about everybody's.

    Args:
        store: Where the tags are.
        perform: SageMaker's own operations on tags.
        region: Of requests that are not signed.
    """

    def __init__(self, store: Store, perform: Perform, region: str) -> None:
        self._store = store
        self._perform = perform
        self._region = region

    def __call__(self, arrival: Arrival) -> Answer | None:
        """Answer a request, or leave it to moto."""
        answers = {
            "GetResources": self._get_resources,
            "TagResources": self._tag_resources,
            "UntagResources": self._untag_resources,
        }
        perform = answers.get(arrival.operation)
        request = _read(arrival)
        ours, others = _services(request)
        is_next_page = str(request.get("PaginationToken", "")).startswith(_OURS_FROM)
        if perform is None or not (ours or is_next_page) or (others and perform == self._get_resources):
            return None
        scope = self._scope(arrival)

        def performed(asked: dict[str, Json]) -> dict[str, Json]:
            if others:
                raise _invalid("In the local account resources of SageMaker and of others are tagged one by one.")
            return perform(scope, asked)

        return answer(service_model(_MODEL), arrival.operation, arrival.read(), performed)

    def amend(self, arrival: Arrival, given: Answer) -> Answer:
        """Moto's answer with SageMaker's resources after its own, on its last page and the pages that follow."""
        request = _read(arrival)
        ours, others = _services(request)
        if arrival.operation != "GetResources" or given.status != _OK or (others and not ours):
            return given
        told = json.loads(given.body)
        if told.get("PaginationToken"):
            return given
        shown = told.get("ResourceTagMappingList") or []
        page, token = self._page(self._scope(arrival), request, "", _size(request) - len(shown))
        told |= {"ResourceTagMappingList": [*shown, *page], "PaginationToken": token}
        body = json.dumps(told).encode()
        headers = {name: value for name, value in given.headers.items() if name.lower() != "content-length"}
        return Answer(given.status, headers, body)

    def _scope(self, arrival: Arrival) -> Scope:
        return Scope(arrival.account, arrival.region or self._region)

    def _tag_resources(self, scope: Scope, request: Mapping[str, Any]) -> dict[str, Json]:
        tags = [{"Key": key, "Value": value} for key, value in request["Tags"].items()]
        return self._each(scope, request, "AddTags", {"Tags": tags})

    def _untag_resources(self, scope: Scope, request: Mapping[str, Any]) -> dict[str, Json]:
        return self._each(scope, request, "DeleteTags", {"TagKeys": request["TagKeys"]})

    def _each(
        self, scope: Scope, request: Mapping[str, Any], operation: str, members: Mapping[str, Json]
    ) -> dict[str, Json]:
        """Perform an operation on every resource of the request; what fails does so alone."""
        failed: dict[str, Json] = {}
        for arn in request["ResourceARNList"]:
            try:
                self._perform(scope, operation, {"ResourceArn": arn, **members})
            except AwsError as error:
                failed[arn] = {"StatusCode": error.status, "ErrorCode": _INVALID, "ErrorMessage": error.message}
        return {"FailedResourcesMap": failed}

    def _get_resources(self, scope: Scope, request: Mapping[str, Any]) -> dict[str, Json]:
        together = [name for name in _ALONE if name in request]
        if "ResourceARNList" in request and together:
            raise _invalid(f"ResourceARNList cannot be specified together with {', '.join(together)}.")
        size = _size(request)
        if not 1 <= size <= _MAX_PAGE:
            raise _invalid(f"ResourcesPerPage must be from 1 to {_MAX_PAGE}.")
        page, token = self._page(scope, request, _position(request.get("PaginationToken", "")), size)
        return {"ResourceTagMappingList": page, "PaginationToken": token}

    def _page(
        self, scope: Scope, request: Mapping[str, Any], after: str, size: int
    ) -> tuple[list[dict[str, Json]], str]:
        """So many resources after an ARN, and the token of what follows them."""
        found = [(arn, tags) for arn, tags in self._tagged(scope) if arn > after and _is_wanted(arn, tags, request)]
        shown = found[: max(size, 0)]
        page: list[dict[str, Json]] = [
            {"ResourceARN": arn, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
            for arn, tags in shown
        ]
        if len(found) == len(shown):
            return page, ""
        return page, _OURS_FROM + base64.urlsafe_b64encode((shown[-1][0] if shown else after).encode()).decode()

    def _tagged(self, scope: Scope) -> Iterator[tuple[str, dict[str, str]]]:
        """Every tagged resource of a scope with its tags, in the order of the ARNs."""
        start = naming.arn(_OURS, scope.region, scope.account, "")
        by_arn: dict[str, dict[str, str]] = {}
        for arn, key, value in self._store.database.query(
            "SELECT arn, key, value FROM tags WHERE instr(arn, ?) = 1 ORDER BY arn, rowid", (start,)
        ):
            by_arn.setdefault(arn, {})[key] = value
        return iter(by_arn.items())


def _read(arrival: Arrival) -> dict[str, Any]:
    """The request's members; none of one that is not an object."""
    try:
        request = json.loads(arrival.read())
    except (ValueError, RecursionError):
        return {}
    return request if isinstance(request, dict) else {}


def _size(request: Mapping[str, Any]) -> int:
    size = request.get("ResourcesPerPage")
    return size if isinstance(size, int) else _MAX_PAGE


def _services(request: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether a request names SageMaker's resources, and whether it names others."""
    types, arns = request.get("ResourceTypeFilters") or [], request.get("ResourceARNList") or []
    named = [str(each).partition(":")[0] for each in types] + [str(each).split(":", 3)[2:3] for each in arns]
    ours = [each in (_OURS, [_OURS]) for each in named]
    return any(ours), not all(ours)


def _is_wanted(arn: str, tags: Mapping[str, str], request: Mapping[str, Any]) -> bool:
    """All filters hold; of a filter's values one does, and without values the key is enough."""
    kind = arn.split(":", 5)[-1].partition("/")[0]
    types, arns = request.get("ResourceTypeFilters"), request.get("ResourceARNList")
    return (
        (not types or bool({_OURS, f"{_OURS}:{kind}"} & set(types)))
        and (not arns or arn in arns)
        and all(
            told.get("Key") in tags and (not told.get("Values") or tags[told["Key"]] in told["Values"])
            for told in request.get("TagFilters") or []
        )
    )


def _position(token: str) -> str:
    try:
        return base64.b64decode(token.removeprefix(_OURS_FROM).encode(), altchars=b"-_", validate=True).decode()
    except ValueError:
        raise AwsError("PaginationTokenExpiredException", "The PaginationToken is not one of this account.") from None


def _invalid(message: str) -> AwsError:
    return AwsError(_INVALID, message)
