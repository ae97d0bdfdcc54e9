"""Jobs that run a function of the SageMaker SDK (``@step``, ``@remote``): what its bootstrap needs of this machine.

The request names a shell script, which the SDK has put into a channel. It prepares the environment, fetches the pickled
function from S3 and calls it, with the SDK that is installed where the job runs.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.errors import Problem

_DRIVER: Final = "/sagemaker_remote_function_bootstrap/job_driver.sh"
_VERSION: Final = "--client_sagemaker_pysdk_version"
_INVOKER: Final = Path("core", "remote_function", "invoke_function.py")
"""In version 3 of the SDK. Version 2 has a job install the SDK, as a line of its requirements.txt."""


def environment(algorithm: Mapping[str, Json]) -> dict[str, str]:
    """What such a job has in its environment beside what every job has; nothing for other jobs.

    The bootstrap calls ``sudo chmod`` when it is not root's. In a container on AWS it is root's; here whoever runs it
    owns what it would change. It has pip look for newer versions (``pip install -U``) of what is there: without a
    network there is little to wait for.
    """
    return {"LOGNAME": "root", "PIP_RETRIES": "1"} if _is_function(algorithm) else {}


def refusal(algorithm: Mapping[str, Json], where: str) -> Problem | None:
    """Why such a job cannot run with the Python of this process, None when it can and for other jobs."""
    if not _is_function(algorithm) or not _version(algorithm).startswith("3.") or _is_installed():
        return None
    return Problem(
        "E430",
        where,
        "the job runs a function of the SageMaker SDK, which is not installed for the Python that runs jobs here",
        "Install it: python -m pip install 'mlops-sm-kit[sdk]'",
    )


def _is_function(algorithm: Mapping[str, Json]) -> bool:
    entrypoint = algorithm.get("ContainerEntrypoint") or [""]
    return str(entrypoint[-1]).endswith(_DRIVER)


def _version(algorithm: Mapping[str, Json]) -> str:
    arguments = algorithm.get("ContainerArguments") or []
    return str(arguments[arguments.index(_VERSION) + 1]) if _VERSION in arguments[:-1] else ""


def _is_installed() -> bool:
    # found without importing it, which takes seconds
    found = importlib.util.find_spec("sagemaker")
    places = (found.submodule_search_locations or []) if found is not None else []
    return any(Path(place, _INVOKER).is_file() for place in places)
