"""What a target gets of an event: Input, InputPath, InputTransformer, and parameters with a JSON path.

Source: "Amazon EventBridge input transformation" and "Custom target parameters" of the EventBridge user guide.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.events.delivery import UndeliveredError

MISSING: Final = object()
"""What a path leads to that leads nowhere."""

_STEP: Final = re.compile(r"\.([^.\[\]*]+)|\['([^']*)'\]|\[\"([^\"]*)\"\]|\[(\d+)\]|\[(\*)\]|\.(\*)")
_PLACEHOLDER: Final = re.compile(r"<([A-Za-z0-9_.\-]+)>")


def look_up(path: str, value: Json) -> Json | object:
    """What a JSON path (``$.detail.name``, ``$.list[0]``, ``$.list[*]``) leads to, or `MISSING`."""
    if not path.startswith("$"):
        return MISSING
    position = 1
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            return MISSING
        position = step.end()
        if step[5] or step[6]:
            items = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
            found = [look_up("$" + path[position:], item) for item in items]
            return [item for item in found if item is not MISSING] or MISSING
        if step[4] is not None:
            if not isinstance(value, list) or int(step[4]) >= len(value):
                return MISSING
            value = value[int(step[4])]
        else:
            name = next(name for name in (step[1], step[2], step[3]) if name is not None)
            if not isinstance(value, Mapping) or name not in value:
                return MISSING
            value = value[name]
    return value


def payload(target: Mapping[str, Json], event: Mapping[str, Json], *, rule: str, ingested: str) -> str:
    """What a target gets of an event, as text.

    Args:
        target: As PutTargets took it.
        event: The event.
        rule: The rule's ARN.
        ingested: When the event came, as text.

    Raises:
        UndeliveredError: Its InputPath leads nowhere.
    """
    if target.get("Input") is not None:
        return str(target["Input"])
    if target.get("InputPath") is not None:
        found = look_up(target["InputPath"], event)
        if found is MISSING:
            raise UndeliveredError("INVALID_JSON", f"{target['InputPath']} leads to nothing in the event.")
        return _dumped(found)
    transformer = target.get("InputTransformer")
    if transformer is None:
        return _dumped(event)
    values: dict[str, Json | object] = {
        name: look_up(path, event) for name, path in (transformer.get("InputPathsMap") or {}).items()
    }
    values |= {
        "aws.events.rule-arn": rule,
        "aws.events.rule-name": rule.rsplit("/", 1)[-1],
        "aws.events.event.ingestion-time": ingested,
        "aws.events.event": {name: value for name, value in event.items() if name != "detail"},
        "aws.events.event.json": event,
    }
    return _filled(transformer["InputTemplate"], values)


def _filled(template: str, values: Mapping[str, Json | object]) -> str:
    """A template with its placeholders replaced.

    In a JSON template a text is quoted unless its placeholder already stands between quotes; there, whatever it stands
    for is part of that text.
    """
    is_json = template.lstrip()[:1] in {"{", "[", '"'}

    def value_at(match: re.Match[str]) -> str:
        if match[1] not in values:
            return match[0]
        value = values[match[1]]
        if value is MISSING:
            value = ""
        text = value if isinstance(value, str) else _dumped(value)
        if not is_json:
            return text
        return json.dumps(text, ensure_ascii=False)[1:-1] if _in_quotes(template, match.start()) else _dumped(value)

    bare = template.strip()
    if _PLACEHOLDER.fullmatch(bare):
        is_json = True
    return _PLACEHOLDER.sub(value_at, template)


def _in_quotes(template: str, position: int) -> bool:
    inside = escaped = False
    for character in template[:position]:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = inside
        elif character == '"':
            inside = not inside
    return inside


def parameters(given: list[dict[str, str]], event: Mapping[str, Json] | None) -> list[dict[str, str]]:
    """The parameters of a pipeline target; a value that is a JSON path is what the event has there.

    Raises:
        UndeliveredError: A path leads nowhere.
    """
    return [{"Name": item["Name"], "Value": _parameter(item["Value"], event)} for item in given]


def _parameter(value: str, event: Mapping[str, Json] | None) -> str:
    if event is None or not value.startswith("$."):
        return value
    found = look_up(value, event)
    if found is MISSING:
        raise UndeliveredError("INVALID_PARAMETER", f"{value} leads to nothing in the event.")
    return found if isinstance(found, str) else _dumped(found)


def _dumped(value: Json | object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
