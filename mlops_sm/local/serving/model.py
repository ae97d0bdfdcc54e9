"""A model as its server finds it: artifacts unpacked at /opt/ml/model, and the script that loads them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from mlops_sm.definition.document import Json
from mlops_sm.local import built_in
from mlops_sm.local.isolation.layer import ML
from mlops_sm.local.jobs import archive
from mlops_sm.local.jobs.folder import JobFailureError, JobFolder
from mlops_sm.local.jobs.script_mode import CODE, fetch_source
from mlops_sm.local.jobs.transfer import fetch_object, restore
from mlops_sm.local.site import ObjectStore

MODEL: Final = f"{ML}/model"
_CODE: Final = f"{MODEL}/code"
_DEFAULT_PROGRAM: Final = "inference.py"
_MAX_MODEL_BYTES: Final = 20 << 30
"""Unpacked bytes of a model; far above any that this machine could load."""


class ModelSource(NamedTuple):
    """Where the artifacts are: an archive; with `packed` False one object, or below a prefix that ends with a slash."""

    uri: str
    packed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """One model to serve.

    Attributes:
        image: The container image it is made for.
        source: Its artifacts; None when it has none.
        environment: The variables its container is given.
    """

    image: str
    source: ModelSource | None
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, container: Mapping[str, Json]) -> ServedModel:
        """A container definition of the service."""
        source = None
        data = (container.get("ModelDataSource") or {}).get("S3DataSource")
        if data is not None:
            source = ModelSource(data["S3Uri"], packed=data.get("CompressionType") == "Gzip")
        elif container.get("ModelDataUrl"):
            source = ModelSource(container["ModelDataUrl"])
        return cls(image=container["Image"], source=source, environment=container.get("Environment") or {})

    def stage(self, folder: JobFolder, store: ObjectStore, *, scripted: bool = True) -> Script:
        """Put the artifacts and the script into a folder.

        Args:
            folder: The server's.
            store: S3.
            scripted: Whether a script serves it; False of an image's own ``serve``.

        Raises:
            JobFailureError: They are not there, or not a safe archive.
        """
        model = folder.ml / "model"
        model.mkdir()
        if self.source is not None:
            _unpack(self.source, model, folder, store)
        if not scripted:
            return Script(_CODE, "")
        return self._script(folder, store)

    def _script(self, folder: JobFolder, store: ObjectStore) -> Script:
        submitted = self.environment.get("SAGEMAKER_SUBMIT_DIRECTORY", "")
        place = _CODE
        if submitted.startswith("s3://"):
            place = CODE
            fetch_source(submitted, folder.inside(place), folder, store)
        elif submitted:
            place = submitted.removeprefix("file://")
        code = folder.inside(place)
        named = self.environment.get("SAGEMAKER_PROGRAM")
        program = named or (_DEFAULT_PROGRAM if (code / _DEFAULT_PROGRAM).is_file() else "")
        if named and not (code / named).is_file():
            raise JobFailureError(
                f"AlgorithmError: the inference program {place}/{named} is not there: the model's SAGEMAKER_PROGRAM "
                f"names it, and {_content(code)}"
            )
        if built_in.is_xgboost(self.image):
            program = built_in.serving_program(folder.scratch, self.image, place, program)
        return Script(place, program)


class Script(NamedTuple):
    """The inference script: its folder as the server sees it, and its file there; empty when there is none."""

    folder: str
    program: str


def _unpack(source: ModelSource, model: Path, folder: JobFolder, store: ObjectStore) -> None:
    if not source.packed:
        if source.uri.endswith("/"):
            restore(store, source.uri, model)
        else:
            fetch_object(store, source.uri, model / source.uri.rpartition("/")[2])
        if not any(model.iterdir()):
            raise JobFailureError(
                f'ClientError: Data download failed: No S3 objects found under S3 URL "{source.uri}" given in the '
                "model's data source"
            )
        return
    fetched = folder.scratch / "model.tar.gz"
    fetch_object(store, source.uri, fetched)
    try:
        archive.unpack(fetched, model, limit=_MAX_MODEL_BYTES)
    except JobFailureError as error:
        why = error.reason.partition(" is refused: ")[2].splitlines()[0]
        raise JobFailureError(
            f'ClientError: Failed to extract model data archive from URL "{source.uri}". Please ensure that the object '
            f"located at the URL is a valid tar.gz archive: {why}"
        ) from error
    fetched.unlink()


def _content(code: Path) -> str:
    if not code.is_dir():
        return "the model has no such folder"
    names = sorted(path.name for path in code.iterdir())
    return f"the folder holds {', '.join(names) or 'nothing'}"


def copy_programs(scratch: Path) -> None:
    """Put the server's own programs into a job's scratch folder."""
    here, target = Path(__file__).parent, scratch / "serving"
    target.mkdir()
    shutil.copyfile(here / "program.py", target / "serve.py")
    shutil.copyfile(here / "script.py", target / "serving_script.py")
    shutil.copyfile(here / "forward.py", target / "forward.py")
