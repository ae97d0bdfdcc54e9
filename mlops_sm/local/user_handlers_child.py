"""The process of a user's handler: calls the function and writes down what it returned. Imports nothing of ours."""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from pathlib import Path
from typing import Any


def main(answer: Path) -> None:
    """Read the request from standard input, call its function, write the answer.

    Args:
        answer: The file that takes it.
    """
    request = json.load(sys.stdin)
    # The project's folder in place of this program's.
    sys.path[0] = str(Path.cwd())
    answer.write_text(json.dumps(_answer(request)), encoding="utf-8")


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    module, _, name = request["target"].partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
        returned = function(request["arguments"])
        json.dumps(returned)
    except Exception as error:
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}
    if returned is not None and not isinstance(returned, dict):
        return {"error": f"it returned {type(returned).__name__}, not a dictionary of properties"}
    return {"properties": returned or {}}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
