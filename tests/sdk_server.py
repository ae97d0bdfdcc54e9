"""Answers compile requests from a process that has the SDK imported: a fork for each, in place of two seconds for each.

One line on stdin is one request, as `mlops_sm.compile.child` writes it; a line on stdout says that it was answered.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    from mlops_sm.compile import worker  # noqa: PLC0415 - stdout is kept first: the worker redirects it
    from mlops_sm.compile.sdk import prepare_sdk  # noqa: PLC0415 - as above

    prepare_sdk()
    importlib.import_module("mlops_sm.compile.build")

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.chdir(json.loads(line)["project_root"])
                sys.stdin = io.StringIO(line)
                code = worker.main()
            finally:
                sys.stderr.flush()
                os._exit(code)
        os.waitpid(child, 0)
        answers.write("answered\n")
        answers.flush()


if __name__ == "__main__":
    main()
