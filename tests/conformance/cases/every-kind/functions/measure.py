"""The square of an item's size."""

from typing import Any


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    return {"score": event["size"] ** 2, "name": event["name"]}
