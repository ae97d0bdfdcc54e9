"""The child process of the structure stage: the SDK, one pipeline module, and nothing of the world outside.

Reads the request from stdin, writes the answer to the file the request names. Started by `compile.child`, which also
sets the environment this relies on.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from mlops_sm.compile.structure import dump
from mlops_sm.compile.watch import Watch
from mlops_sm.errors import InputError, MlopsSmError, RefusedError

_INTERRUPTED = 130


def main() -> int:
    """Answer the request on stdin."""
    # whatever prints, prints to stderr: also a C library, also the interpreter's last words
    os.dup2(2, 1)
    try:
        answer(json.load(sys.stdin))
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def answer(request: Mapping[str, str]) -> None:
    """Build the structure a request asks for, and write it, or the problems, to the file the request names."""
    watch = Watch(Path(request["project_root"]))
    result = Path(request["result"])
    partial = result.with_suffix(".partial")
    partial.write_text(json.dumps(_answer(request, watch)), encoding="utf-8")
    partial.replace(result)


def _answer(request: Mapping[str, str], watch: Watch) -> dict[str, object]:
    from mlops_sm.compile.sdk import prepare_sdk  # noqa: PLC0415 - the network must be refused before the SDK is imported

    try:
        prepare_sdk()
        from mlops_sm.compile.build import build_structure  # noqa: PLC0415 - imports the SDK, once it is prepared

        return {"structure": dump(build_structure(request, watch))}
    except (InputError, RefusedError) as wrong:
        return _problems(wrong)


def _problems(wrong: MlopsSmError) -> dict[str, object]:
    return {"problems": [list(p) for p in wrong.problems], "refused": isinstance(wrong, RefusedError)}


if __name__ == "__main__":
    # straight out: the SDK's threads have nothing to finish, and no exit handler of a pipeline module may hang
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
