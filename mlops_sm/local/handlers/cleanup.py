"""Cleanup steps: what earlier steps left in S3 is deleted.

Source: SDK 3.27, mlops/workflow/cleanup_step.py; API reference, CleanupStepMetadata. That a step fails when something
could not be deleted is ours; the rest is deleted all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.engine.status import Failed, Succeeded
from mlops_sm.local.handlers.step import ServiceError, StepResult, StepRun

_MAX_MESSAGE: Final = 2048


class _ClientError(Exception):
    """A source that cannot be cleaned; the text says why."""


def run_cleanup(run: StepRun) -> StepResult:
    """Delete what the sources name, each source by itself."""
    cleaned: list[str] = []
    skipped: list[str] = []
    failed: list[dict[str, Json]] = []
    for source in run.arguments["Resources"]["S3"]:
        name = source["StepName"]
        left = run.upstream.get(name)
        try:
            folders = _outputs(left) if left else []
            uris = source.get("S3Uris")
            if not left or not folders or (uris is None and "TrainingJobName" not in left):
                skipped.append(name)
                continue
            _check(left, folders, uris or [])
            for uri in folders if uris is None else uris:
                run.control.delete_objects(uri, folder=uris is None)
            cleaned.append(name)
        except _ClientError as error:
            failed.append(_failure(name, str(error)))
        except ServiceError as error:
            failed.append(_failure(name, f"{error.code}: {error.message}"))
    metadata: dict[str, Json] = {
        "Cleanup": {"CleanedSteps": cleaned, "FailedSteps": failed, "SkippedSteps": skipped},
    }
    if failed:
        reasons = "; ".join(f"{each['StepName']}: {each['ErrorMessage']}" for each in failed)
        return StepResult(outcome=Failed(f"ClientError: outputs could not be deleted: {reasons}"), metadata=metadata)
    return StepResult(outcome=Succeeded({}), metadata=metadata)


def _outputs(left: Mapping[str, Json]) -> list[str]:
    """The folders that a step's job wrote, each with a slash at its end."""
    if "TrainingJobName" in left:
        root = (left.get("OutputDataConfig") or {}).get("S3OutputPath")
        return [f"{root.rstrip('/')}/{left['TrainingJobName']}/"] if root else []
    if "ProcessingJobName" in left:
        outputs = (left.get("ProcessingOutputConfig") or {}).get("Outputs") or []
        found = [(output.get("S3Output") or {}).get("S3Uri") for output in outputs]
    else:
        found = [(left.get("TransformOutput") or {}).get("S3OutputPath")]
    return [f"{uri.rstrip('/')}/" for uri in found if uri]


def _check(left: Mapping[str, Json], folders: list[str], uris: list[Json]) -> None:
    if left.get("VpcConfig") or (left.get("NetworkConfig") or {}).get("VpcConfig"):
        raise _ClientError("the outputs of a step that sets a VpcConfig cannot be cleaned up.")
    strange = [uri for uri in uris if not any(str(uri).startswith(folder) for folder in folders)]
    if strange:
        raise _ClientError(f"{strange[0]} is no object under the outputs of the step: {', '.join(folders)}")


def _failure(name: str, message: str) -> dict[str, Json]:
    return {"StepName": name, "ErrorCode": "ClientError", "ErrorMessage": message[:_MAX_MESSAGE]}
