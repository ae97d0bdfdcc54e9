"""In the worker: the SDK imported, without its telemetry, its log lines and its random names."""

from __future__ import annotations

import importlib
import logging
import os
import random
import sys
import time
import uuid
import warnings
from datetime import UTC, datetime
from time import struct_time
from typing import Any, Final

from mlops_sm.errors import Problem, RefusedError

_MOMENT: Final = datetime(2000, 1, 1, microsecond=1000, tzinfo=UTC)
"""What the SDK takes for now when it names things; it looks for decimals in the number's text, so there are some."""


def prepare_sdk() -> None:
    """Import the SDK and make it quiet, silent and repeatable.

    Raises:
        RefusedError: It is not installed, or too old to import (E312).
    """
    # before the SDK is imported: it configures the root logger at INFO unless that has a handler
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    handler.addFilter(_is_users_concern)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    drawn = _repeat_identifiers()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("sagemaker.mlops.workflow.pipeline")
            telemetry: Any = importlib.import_module("sagemaker.core.telemetry.telemetry_logging")
            boto3: Any = importlib.import_module("boto3")
    except ImportError as missing:
        raise RefusedError(
            Problem(
                "E312",
                sys.executable,
                f"the SageMaker SDK cannot be imported: {missing}",
                "install it beside mlops-sm: pip install 'mlops-sm-kit[sdk]'",
            )
        ) from missing
    # it announces on every call that a pipeline session starts no job, and much else that is not the user's concern
    warnings.filterwarnings("ignore", module=r"(sagemaker|pydantic|botocore|boto3)\b")
    # looked up as a global of its module on every call; there is no environment variable for it
    telemetry._send_telemetry_request = lambda *_, **__: None
    # pipeline modules and SDK code without a session use this one, whose region is set and whose calls are refused
    boto3.setup_default_session(region_name=os.environ["AWS_DEFAULT_REGION"])
    # what a module names with the SDK's name_from_base, it names the same every time
    names: Any = importlib.import_module("sagemaker.core.common_utils")
    names.time = _StoppedTime()
    # what importing drew may differ between machines, what follows does not
    drawn.seed(0)
    random.seed(0)


def _is_users_concern(record: logging.LogRecord) -> bool:
    """The SDK warns of every job name it leaves out of a step; what its users log passes."""
    return record.levelno >= logging.ERROR or record.name.partition(".")[0] not in {"sagemaker", "botocore", "boto3"}


def _repeat_identifiers() -> random.Random:
    """Draw uuid4 and uuid1 from a generator that can be reset; before the SDK imports them by name."""
    drawn = random.Random(0)  # noqa: S311 - repeatable on purpose
    uuid.uuid4 = lambda: uuid.UUID(int=drawn.getrandbits(128), version=4)
    uuid.uuid1 = lambda *_, **__: uuid.UUID(int=drawn.getrandbits(128), version=1)
    return drawn


class _StoppedTime:
    """The module `time` at one moment."""

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)

    def time(self) -> float:
        return _MOMENT.timestamp()

    def strftime(self, form: str, moment: struct_time | None = None) -> str:
        return time.strftime(form, _MOMENT.timetuple() if moment is None else moment)
