"""JSON text to values and back, strictly: what Python's parser lets pass but no service could read is a problem."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.definition.wording import item, member, shown
from mlops_sm.errors import Problem

MAX_DEPTH: Final = 100
"""Levels of nesting a definition may have; ours, far above any pipeline's need, so that no reader runs out of stack."""

_MAX_INTEGER: Final = 2**63 - 1

# A node's path is only rendered when something is wrong with it: the link to its parent and the key there.
_Link = tuple["_Link", str | int] | None


def canonical_json(value: Json) -> str:
    """The one text of a JSON value: sorted keys, no spaces, no escapes beyond JSON's own.

    Raises:
        ValueError: The value holds NaN or an infinity.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(text: str) -> str:
    """The SHA-256 of a text's UTF-8 bytes, as 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def load_json(text: str | bytes) -> tuple[Json, list[Problem]]:
    """Read JSON text.

    Returns:
        The value (None when there is none) and every problem: text that is not UTF-8 or not JSON ends the reading;
        duplicate keys, numbers no service can hold and broken characters are all reported, with their paths.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as err:
            what = f"the definition is not UTF-8 text: byte {err.start} is 0x{err.object[err.start]:02x}"
            return None, [Problem("E200", "the definition", what, "Save the file as UTF-8.")]
    duplicates: dict[int, tuple[dict[str, Json], list[str]]] = {}

    def to_object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        made = dict(pairs)
        if len(made) != len(pairs):
            counts = Counter(key for key, _ in pairs)
            # The object is kept beside its keys, so that its id stays its own.
            duplicates[id(made)] = made, [key for key, count in counts.items() if count > 1]
        return made

    try:
        value = json.loads(text, object_pairs_hook=to_object, parse_int=_to_integer)
    except json.JSONDecodeError as err:
        where = f"line {err.lineno}, column {err.colno}"
        return None, [Problem("E201", where, f"the definition is not JSON: {err.msg}", _syntax_fix(text, err))]
    except RecursionError:
        return None, [too_deep("the definition")]
    return value, list(_inspect(value, {key: keys for key, (_, keys) in duplicates.items()}))


def _to_integer(digits: str) -> int | float:
    # Python refuses to convert thousands of digits; such a number is reported with its path like any other that is
    # too large, so it only has to become something that is.
    return int(digits) if len(digits) <= 20 else math.inf  # noqa: PLR2004 - a sign and the 19 digits of 2**63


def _syntax_fix(text: str, err: json.JSONDecodeError) -> str:
    if not text.strip():
        return "The file is empty: give a pipeline definition (Version, Steps)."
    lines = text.splitlines()
    line = lines[err.lineno - 1] if err.lineno <= len(lines) else ""
    near = line[max(0, err.colno - 31) : err.colno + 29].strip()
    return f"Correct the JSON near: {shown(near)}" if near else "Complete the JSON: it ends too early."


def too_deep(where: str) -> Problem:
    """The problem that a document is nested too deeply."""
    return Problem(
        "E207", where, f"the definition is nested deeper than {MAX_DEPTH} levels", "Flatten it: no pipeline needs that."
    )


def _inspect(root: Json, duplicates: dict[int, list[str]]) -> Iterator[Problem]:
    stack: list[tuple[Json, _Link, int]] = [(root, None, 1)]
    while stack:
        value, link, depth = stack.pop()
        match value:
            case dict() | list() if depth > MAX_DEPTH:
                yield too_deep(_where(link))
                return
            case dict():
                for key in duplicates.get(id(value), ()):
                    what = f'"{shown(key)}" is written twice in one object; only the last one would count'
                    yield Problem("E202", member(_path(link), key), what, "Keep one of them.")
                if any(not _is_text(key) for key in value):
                    yield _broken_text(_where(link))
                stack.extend((inner, (link, key), depth + 1) for key, inner in reversed(value.items()))
            case list():
                stack.extend((value[i], (link, i), depth + 1) for i in range(len(value) - 1, -1, -1))
            case float() if not math.isfinite(value):
                what = "this number is NaN, infinite or too large"
                yield Problem("E208", _where(link), what, "Write a finite 64-bit number.")
            case int() if abs(value) > _MAX_INTEGER:
                what = f"{value} does not fit into 64 bits"
                yield Problem("E208", _where(link), what, "Write a finite 64-bit number.")
            case str() if not _is_text(value):
                yield _broken_text(_where(link))
            case _:
                continue


def _is_text(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _broken_text(where: str) -> Problem:
    what = "the text holds half of a surrogate pair, which is no character"
    return Problem("E208", where, what, "Write the whole character, or its full pair of \\u escapes.")


def _where(link: _Link) -> str:
    return _path(link) or "the definition"


def _path(link: _Link) -> str:
    keys: list[str | int] = []
    while link is not None:
        link, key = link
        keys.append(key)
    path = ""
    for key in reversed(keys):
        path = item(path, key) if isinstance(key, int) else member(path, key)
    return path
