"""Script mode: what AWS's framework images do with ``sagemaker_program`` and ``sagemaker_submit_directory``.

Arguments and SM_* variables are those of the sagemaker-training toolkit 5.1 (``environment.py``, ``mapping.py``).
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.local.isolation.layer import ML
from mlops_sm.local.jobs import archive
from mlops_sm.local.jobs.folder import HOST, JobFailureError, JobFolder
from mlops_sm.local.jobs.transfer import fetch_object
from mlops_sm.local.site import ObjectStore

CODE: Final = f"{ML}/code"
_PREFIX: Final = "sagemaker_"
_PLATFORM_PARAMETERS: Final = frozenset({"default_user_module_name", "_tuning_objective_metric"})
"""Hyperparameters of the platform that lack its prefix; neither they nor prefixed ones become arguments."""
_NAMED_PARAMETERS: Final = frozenset(
    {
        "sagemaker_program",
        "sagemaker_submit_directory",
        "sagemaker_enable_cloudwatch_metrics",
        "sagemaker_region",
        "sagemaker_container_log_level",
        "sagemaker_job_name",
        "sagemaker_s3_output",
    }
)
"""The other platform parameters are handed on as SM_FRAMEWORK_PARAMS."""
_INFO: Final = 20
_MASTER_PORT: Final = 7777


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptMode:
    """A training script and what it is given.

    Attributes:
        program: The script, relative to the source folder.
        source: Where the source is: an S3 URI, or a path of the job; None when the image would hold it.
        hyperparameters: The user's own, decoded.
        platform: The platform's, decoded.
    """

    program: str
    source: str | None
    hyperparameters: Mapping[str, Json]
    platform: Mapping[str, Json]

    @classmethod
    def of(cls, hyperparameters: Mapping[str, str], environment: Mapping[str, str]) -> ScriptMode | None:
        """What a request asks for, None when it names no program."""
        decoded = {key: decode(value) for key, value in hyperparameters.items()}
        platform = {k: v for k, v in decoded.items() if k.startswith(_PREFIX) or k in _PLATFORM_PARAMETERS}
        program = environment.get("SAGEMAKER_PROGRAM") or platform.get("sagemaker_program")
        source = platform.get("sagemaker_submit_directory") or environment.get("SAGEMAKER_SUBMIT_DIRECTORY")
        if not program:
            return None
        return cls(
            program=str(program),
            source=None if source is None else str(source),
            hyperparameters={k: v for k, v in decoded.items() if k not in platform},
            platform=platform,
        )

    def stage(self, folder: JobFolder, store: ObjectStore) -> None:
        """Put the source at /opt/ml/code.

        Raises:
            JobFailureError: It is not there, not a safe archive, or would be installed as a package.
        """
        code = folder.ml / "code"
        code.mkdir(exist_ok=True)
        if self.source is not None and self.source != CODE:
            _stage(self.source, code, folder, store)
        if (code / "setup.py").is_file():
            raise JobFailureError(
                "ClientError: the source holds a setup.py, so AWS's image would install it as a package, which is not "
                "done on this machine. Remove setup.py to run the program as a script."
            )

    def argv(self) -> tuple[str, ...]:
        """The command, run in /opt/ml/code."""
        arguments = to_arguments(self.hyperparameters)
        if self.program.endswith(".py"):
            return ("python3", self.program, *arguments)
        command = shlex.join([f"./{self.program}", *arguments])
        return ("/bin/sh", "-c", f"chmod 755 {shlex.quote(self.program)} && {command}")

    def failure(self, code: int, last_line: str) -> str:
        """What the toolkit writes to /opt/ml/output/failure when the script fails."""
        command = " ".join(self.argv())
        return f'ExecuteUserScriptError:\nExitCode {code}\nErrorMessage "{last_line}"\nCommand "{command}"'

    def environment(self, job_name: str, input_data_config: Json, resource_config: Json) -> dict[str, str]:
        """The SM_* variables and PYTHONPATH."""
        channels = {name: f"{ML}/input/data/{name}" for name in input_data_config}
        group = resource_config["current_group_name"]
        by_name = {entry["instance_group_name"]: entry for entry in resource_config["instance_groups"]}
        shared: dict[str, Json] = {
            "current_host": resource_config["current_host"],
            "current_instance_group": group,
            "current_instance_group_hosts": by_name[group]["hosts"],
            "current_instance_type": resource_config["current_instance_type"],
            "distribution_instance_groups": [],
            "framework_module": None,
            "hosts": resource_config["hosts"],
            "input_config_dir": f"{ML}/input/config",
            "input_data_config": input_data_config,
            "input_dir": f"{ML}/input",
            "instance_groups": list(by_name),
            "instance_groups_dict": by_name,
            "is_hetero": len(by_name) > 1,
            "log_level": self.platform.get("sagemaker_container_log_level", _INFO),
            "model_dir": f"{ML}/model",
            "module_dir": self.source or CODE,
            "module_name": self.program.removesuffix(".py"),
            "network_interface_name": resource_config["network_interface_name"],
            "num_cpus": os.cpu_count() or 1,
            "num_gpus": 0,
            "output_data_dir": f"{ML}/output/data",
            "output_dir": f"{ML}/output",
            "output_intermediate_dir": f"{ML}/output/intermediate",
            "resource_config": resource_config,
            "user_entry_point": self.program,
        }
        framework = {k: v for k, v in self.platform.items() if k not in _NAMED_PARAMETERS | _PLATFORM_PARAMETERS}
        training_env = shared | {
            "additional_framework_parameters": framework,
            "channel_input_dirs": channels,
            "distribution_hosts": [],
            "hyperparameters": self.hyperparameters,
            "is_master": resource_config["current_host"] == HOST,
            "is_modelparallel_enabled": None,
            "job_name": job_name,
            "master_hostname": HOST,
        }
        variables = shared | {
            "channels": sorted(channels),
            # What version 3 of the SDK calls them (its train/container_drivers/scripts/environment.py).
            "master_addr": HOST,
            "master_port": _MASTER_PORT,
            "framework_params": framework,
            "hps": self.hyperparameters,
            "training_env": training_env,
            "user_args": to_arguments(self.hyperparameters),
        }
        variables |= {f"channel_{name}": path for name, path in channels.items()}
        variables |= {f"hp_{name}": value for name, value in self.hyperparameters.items()}
        return {f"SM_{name.upper()}": _as_variable(value) for name, value in variables.items()} | {"PYTHONPATH": CODE}


def decode(value: str) -> Json:
    """A hyperparameter as the toolkit reads it: JSON where it is JSON (SDK v2 quotes values), else the text itself."""
    try:
        return json.loads(value)
    except ValueError:
        return value


def to_arguments(hyperparameters: Mapping[str, Json]) -> list[str]:
    """``--name value`` in the order of the names, ``-n value`` for one-letter names."""
    arguments = []
    for name in sorted(hyperparameters):
        arguments.append(f"--{name}" if len(name) > 1 else f"-{name}")
        arguments.append(_as_argument(hyperparameters[name]))
    return arguments


def _as_argument(value: Json) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return ",".join(f"{key}={item}" for key, item in sorted(value.items()))
    return str(value)


def _as_variable(value: Json) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def fetch_source(uri: str, code: Path, folder: JobFolder, store: ObjectStore) -> None:
    """Unpack an archive of source code out of S3.

    Raises:
        JobFailureError: It is not there, or not a safe archive.
    """
    fetched = folder.scratch / "source"
    fetch_object(store, uri, fetched)
    archive.unpack(fetched, code)
    fetched.unlink()


def _stage(source: str, code: Path, folder: JobFolder, store: ObjectStore) -> None:
    if source.startswith("s3://"):
        fetch_source(source, code, folder, store)
        return
    path = folder.inside(source)
    if path.is_dir():
        shutil.copytree(path, code, dirs_exist_ok=True, symlinks=True)
    elif path.is_file():
        archive.unpack(path, code)
    else:
        raise JobFailureError(f"ClientError: sagemaker_submit_directory {source} is not there")
