"""How messages name places and values of a definition, bounded and printable whatever a hostile document holds."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.errors import did_you_mean

_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_:\-]{0,99}")
_MAX_SHOWN: Final = 80
# Comparing words is slow: a document of a million characters must not buy minutes of it.
_MAX_COMPARED: Final = 500
_MAX_NEAR: Final = 30


def member(path: str, key: str) -> str:
    """The path of a member of an object: ``path.key``, or ``path['odd key']``."""
    if _PLAIN_KEY.fullmatch(key):
        return f"{path}.{key}" if path else key
    return f"{path}['{shown(key)}']"


def item(path: str, index: int) -> str:
    """The path of an element of a list: ``path[3]``."""
    return f"{path}[{index}]"


def step_place(name: str, path: str) -> str:
    """Where a step stands: ``step "Train", Steps[3]``."""
    return f'step "{shown(name)}", {path}'


def shown(value: Json) -> str:
    """A value as text for a message: printable, on one line, at most 80 characters."""
    match value:
        case str():
            text = value
        case None | bool():
            text = json.dumps(value)
        case _:
            text = repr(value)
    if len(text) > _MAX_SHOWN:
        text = text[: _MAX_SHOWN - 3] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def type_word(value: Json) -> str:
    """What a JSON value is, in JSON's words with an article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a number"
        case str():
            return "a string"
        case list() | tuple():
            return "a list"
        case dict():
            return "an object"
        case _:
            return f"a {type(value).__name__}"


def repeated(names: Iterable[str]) -> list[str]:
    """The names that are there more than once, sorted."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def suggestion(word: str, known: Collection[str]) -> str:
    """`did_you_mean` for words of unknown origin: cut, and silent when there are too many candidates to compare."""
    if len(known) > _MAX_COMPARED:
        return ""
    word = shown(word)
    candidates = [shown(k) for k in known]
    if len(candidates) > _MAX_NEAR:
        candidates.sort(key=lambda candidate: _shared_ends(word, candidate), reverse=True)
        candidates = candidates[:_MAX_NEAR]
    return did_you_mean(word, candidates)


def _shared_ends(word: str, other: str) -> int:
    """How many characters two words share at their beginnings and at their ends."""
    pairs = min(len(word), len(other))
    head = next((i for i in range(pairs) if word[i] != other[i]), pairs)
    tail = next((i for i in range(pairs) if word[-1 - i] != other[-1 - i]), pairs)
    return head + tail
