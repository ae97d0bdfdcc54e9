"""The environment of a job: nothing of the caller's, what AWS's Python images set, and the request's own variables."""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mlops_sm import naming
from mlops_sm.local.isolation.layer import SCRATCH

_SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

_READ_AT_START: Final = (
    *("PYTHON", "PATH", "LANG", "LC_", "LD_", "MALLOC_"),
    *("OMP_", "OPENBLAS_", "MKL_", "BLIS_", "NUMEXPR_", "GOTO_", "KMP_"),
)
"""Prefixes of variables that are read when a process or a library starts, too early for a fork of a warm worker."""


def base_environment(*, interpreter: Path | None = None, parallel_jobs: int | None = None) -> dict[str, str]:
    """What every job has, and what worker processes are started with.

    Args:
        interpreter: The Python whose folder comes first on the PATH; this one by default.
        parallel_jobs: How many jobs share the machine's cores; as many as there are cores by default.
    """
    cores = os.cpu_count() or 1
    threads = max(1, cores // (parallel_jobs or cores))
    environment = {
        "PATH": f"{(interpreter or Path(sys.executable)).parent}:{_SYSTEM_PATH}",
        "LANG": "C.UTF-8",
        "HOME": SCRATCH,
        "TMPDIR": f"{SCRATCH}/tmp",  # noqa: S108 - the job's own folder
        # Containers run in UTC.
        "TZ": "UTC",
        # As in AWS's Python images: the log is complete and in order, and /opt/ml holds no bytecode.
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        # OpenBLAS, MKL and numexpr follow it too. A library that takes every core slows parallel jobs down.
        "OMP_NUM_THREADS": str(threads),
    }
    if interpreter is None and site.ENABLE_USER_SITE and site.getusersitepackages() in sys.path:
        # The caller's packages may be installed for the user only; HOME no longer leads there.
        environment["PYTHONUSERBASE"] = site.getuserbase()
    return environment


def local_credentials(account_id: str) -> dict[str, str]:
    """What code signs with when it calls one of the local account's accounts; it opens nothing anywhere else."""
    return {"AWS_ACCESS_KEY_ID": naming.local_access_key(account_id), "AWS_SECRET_ACCESS_KEY": "local"}


def job_environment(
    requested: Mapping[str, str],
    *,
    region: str,
    endpoint_url: str | None,
    account_id: str = naming.LOCAL_ACCOUNT_ID,
    parallel_jobs: int | None = None,
    interpreter: Path | None = None,
) -> dict[str, str]:
    """The whole environment of a job.

    Args:
        requested: The request's Environment; it wins over everything.
        region: AWS_REGION and AWS_DEFAULT_REGION.
        endpoint_url: Where the job's AWS calls go; None leaves it without endpoint and credentials.
        account_id: Whose job it is.
        parallel_jobs: How many jobs share the machine's cores.
        interpreter: Its Python; this one by default.
    """
    environment = base_environment(interpreter=interpreter, parallel_jobs=parallel_jobs)
    if any(name in requested for name in _THREAD_VARIABLES):
        del environment["OMP_NUM_THREADS"]
    environment |= {"AWS_REGION": region, "AWS_DEFAULT_REGION": region, "AWS_EC2_METADATA_DISABLED": "true"}
    if endpoint_url is not None:
        environment |= {"AWS_ENDPOINT_URL": endpoint_url, **local_credentials(account_id)}
    return environment | dict(requested)


def is_read_at_start(name: str) -> bool:
    """Whether a variable takes effect only when the process starts with it."""
    return name.startswith(_READ_AT_START)
