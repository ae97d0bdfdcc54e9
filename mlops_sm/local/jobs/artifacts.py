"""What a training job leaves: the model and the output data of all its instances, as one object each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mlops_sm.definition.document import Json
from mlops_sm.local.jobs import archive
from mlops_sm.local.jobs.folder import JobFolder
from mlops_sm.local.jobs.transfer import as_job_failure, upload, upload_file
from mlops_sm.local.site import ObjectStore


def upload_artifacts(config: Mapping[str, Json], name: str, folders: Sequence[JobFolder], store: ObjectStore) -> str:
    """Store the model and the output data; the model's S3 URI.

    Several instances write into one archive; they "should ensure no file/directory names clash" (developer guide, "How
    Amazon SageMaker Processes Training Output"). Where they do, the first instance's file is the one.

    Args:
        config: The request's OutputDataConfig.
        name: The job's name.
        folders: Of every instance, in order.
        store: S3.

    Raises:
        JobFailureError: No such bucket, a file cannot be read, or the disk is full.
    """
    base = f"{config['S3OutputPath'].rstrip('/')}/{name}/output"
    models, data = [folder.ml / "model" for folder in folders], [folder.ml / "output/data" for folder in folders]
    for model in models:
        model.mkdir(exist_ok=True)
    data = [each for each in data if each.is_dir() and any(each.iterdir())]
    if config.get("CompressionType", "GZIP") == "NONE":
        for model in reversed(models):
            upload(store, model, f"{base}/model")
        for each in reversed(data):
            upload(store, each, f"{base}/data")
        return f"{base}/model/"
    packed = folders[0].scratch / "artifact.tar.gz"
    _upload_packed(models, packed, f"{base}/model.tar.gz", store)
    if data:
        _upload_packed(data, packed, f"{base}/output.tar.gz", store)
    return f"{base}/model.tar.gz"


def _upload_packed(sources: Sequence[Path], packed: Path, uri: str, store: ObjectStore) -> None:
    with as_job_failure("Artifact upload failed", sources[0]):
        archive.pack(sources, packed)
    upload_file(store, packed, uri)
    packed.unlink()
