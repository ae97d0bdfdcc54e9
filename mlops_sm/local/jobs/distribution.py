"""Distributed training as the SDK's ModelTrainer starts it: what its drivers need of this machine.

The drivers are in a channel of the job. Without what they start they end in the middle of their preparations, and their
own failure reason says only that there is a log.
"""

from __future__ import annotations

import importlib.util
import shutil
from typing import Final

from mlops_sm.local.jobs.folder import JobFailureError, JobFolder

_SCRIPT: Final = "input/data/sm_drivers/sm_train.sh"
_INSTALLS: Final = "install_requirements.py"


def require(folder: JobFolder) -> None:
    """Refuse a job whose drivers start what is not there.

    Raises:
        JobFailureError: PyTorch or an MPI is missing.
    """
    script = folder.ml / _SCRIPT
    text = script.read_text(encoding="utf-8", errors="replace") if script.is_file() else ""
    # a job that installs packages of its own may install it
    if "torchrun_driver.py" in text and _INSTALLS not in text and importlib.util.find_spec("torch") is None:
        raise JobFailureError(
            "ClientError: the script is started by torchrun (distributed=Torchrun), and torch is not installed for the "
            "Python that runs jobs here. Install it, name it in the source's requirements, or leave `distributed` out."
        )
    if "mpi_driver.py" in text and shutil.which("mpirun") is None:
        raise JobFailureError(
            "ClientError: the script is started by mpirun (distributed=MPI), which is not on this machine. Install an "
            "MPI, or leave `distributed` out."
        )
