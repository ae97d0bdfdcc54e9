"""The items, as text that holds a JSON list."""

import json
from typing import Any


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    return {
        "items": json.dumps([{"name": name, "size": len(name)} for name in event["names"]]),
        "count": len(event["names"]),
    }
