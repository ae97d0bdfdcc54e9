"""Runs the abalone pipeline, and jobs without one, with the plain SDK against a local account of this process."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from mlops_sm.testing import local_account


def main(root: Path) -> int:
    with local_account() as account, tempfile.TemporaryDirectory() as scratch:
        where = (account.role_arn, account.bucket)
        for command in (
            (sys.executable, "-m", "pipelines.abalone.build", "--role", where[0], "--bucket", where[1]),
            (sys.executable, str(root / "tests" / "clients" / "sdk_v3_jobs.py"), *where, scratch),
        ):
            done = subprocess.run(command, cwd=root, check=False)
            if done.returncode:
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
