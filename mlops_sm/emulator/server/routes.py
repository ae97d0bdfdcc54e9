"""The operation that a request of a REST protocol names: its method and path against botocore's service model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import parse_qsl

from mlops_sm.checks.service import ServiceModel, service_model

_LABEL: Final = re.compile(r"\{([^}]+)\}")
_UNDECIDING: Final = frozenset({"x-id"})
"""Queries of a model that some clients send and others leave out."""


@dataclass(frozen=True, slots=True)
class Route:
    """What marks an operation's requests.

    Attributes:
        operation: Its name.
        method: HTTP method.
        path: Pattern of the path.
        query: Parameters that must be there, with their value; an empty value only has to be there.
        headers: Headers that must be there, in lower case.
        weight: The more a route asks for, the better it fits.
    """

    operation: str
    method: str
    path: re.Pattern[str]
    query: Mapping[str, str]
    headers: frozenset[str]
    weight: tuple[int, int]

    def fits(self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> bool:
        """Whether a request is one for the operation."""
        return (
            method == self.method
            and self.path.fullmatch(path) is not None
            and all(name in query and value in {"", query[name]} for name, value in self.query.items())
            and all(name in headers for name in self.headers)
        )


def rest_operation(folder: str, method: str, path: str, query: str, headers: Mapping[str, str]) -> str:
    """The operation's name; empty when the service has none like that.

    Args:
        folder: botocore's folder of the service, which speaks REST.
        method: HTTP method.
        path: The path without the query; of S3 with the bucket in front.
        query: The query.
        headers: The headers by lower-case name.
    """
    given = dict(parse_qsl(query, keep_blank_values=True))
    return next(
        (route.operation for route in _routes(folder) if route.fits(method, path, given, headers)),
        "",
    )


@cache
def _routes(folder: str) -> tuple[Route, ...]:
    """The routes of a service, those that ask for most first."""
    model = service_model(folder)
    found = [_route(model, name) for name in model.operation_names]
    return tuple(sorted(found, key=lambda route: route.weight, reverse=True))


def _route(model: ServiceModel, name: str) -> Route:
    operation = model.operation_model(name)
    # A client of S3 in this process takes the bucket out of the model that it shares with us.
    bucket = "/{Bucket}" if "authPath" in operation.http else ""
    path, _, literal = (bucket + operation.http["requestUri"]).partition("?")
    query = {k: v for k, v in parse_qsl(literal, keep_blank_values=True) if k not in _UNDECIDING}
    headers = set()
    shape = operation.input_shape
    for member in shape.required_members if shape is not None else ():
        place = shape.members[member].serialization
        if place.get("location") == "querystring":
            query.setdefault(place["name"], "")
        elif place.get("location") == "header":
            headers.add(place["name"].lower())
    # Of two paths that both fit, the one with more letters of its own is meant.
    letters = len(_LABEL.sub("", path))
    weight = (letters, len(query) + len(headers))
    return Route(name, operation.http["method"], _pattern(path), query, frozenset(headers), weight)


def _pattern(path: str) -> re.Pattern[str]:
    parts, end = [], 0
    for label in _LABEL.finditer(path):
        parts.append(re.escape(path[end : label.start()]))
        parts.append(".+" if label[1].endswith("+") else "[^/]+")
        end = label.end()
    parts.append(re.escape(path[end:]))
    return re.compile("".join(parts).rstrip("/") + "/?")
