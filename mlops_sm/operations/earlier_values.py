"""What a step was given that cannot be read again: the description of its job still has it.

A file may have been written anew since, and the job that a value came from may be gone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from mlops_sm.definition.document import Json
from mlops_sm.engine.cache import CacheKey
from mlops_sm.engine.unknown import Unknown


def as_it_was(now: CacheKey | None, unread: CacheKey, described: Mapping[str, Json]) -> CacheKey:
    """The key that a step had, with an `Unknown` wherever that cannot be told.

    Args:
        now: The key by what the files hold now; None when one of them is gone.
        unread: The key with an `Unknown` wherever a file was read, or something is used that is gone.
        described: The job, which has those values as text.
    """
    return {
        name: _as_it_was((now or unread).get(name), value, _member(described, name)) for name, value in unread.items()
    }


def _as_it_was(now: Json, unread: Json, described: Json) -> Json:
    match unread:
        case Unknown():
            return now if described is None else _typed_as(now, described)
        case Mapping():
            return {
                name: _as_it_was(_member(now, name), value, _member(described, name)) for name, value in unread.items()
            }
        case list():
            given = described if isinstance(described, list) and len(described) == len(unread) else [None] * len(unread)
            return [_as_it_was(*each) for each in zip(now, unread, given, strict=True)]
        case _:
            return unread


def _typed_as(now: Json, described: Json) -> Json:
    """A described value in the type that it has in the file today: the job had its text."""
    if isinstance(now, str) or not isinstance(described, str):
        return described
    try:
        return json.loads(described)
    except ValueError:
        return described


def _member(value: Json, path: str) -> Json:
    for name in (path,) if isinstance(value, Mapping) and path in value else path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
