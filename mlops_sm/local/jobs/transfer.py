"""S3 to a job's folder and back, with the service's rules about prefixes, manifests and links."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from mlops_sm.local.jobs.folder import JobFailureError
from mlops_sm.local.site import ObjectStore, StoreError
from mlops_sm.naming import S3Uri, parse_s3_uri


def download(
    store: ObjectStore,
    uri: str,
    target: Path,
    *,
    data_type: str,
    region: str,
    role: str,
    share: tuple[int, int] = (0, 1),
) -> None:
    """Fetch what an S3 data source names into a folder.

    Args:
        store: S3.
        uri: A key prefix (``S3Prefix``) or the object that lists the keys (``ManifestFile``).
        target: The folder; made if missing.
        data_type: ``S3Prefix`` or ``ManifestFile``.
        region: For the message when there is nothing.
        role: The job's role ARN, for the same message.
        share: Which of how many instances this is for: of ShardedByS3Key each gets its part of the objects.

    Raises:
        JobFailureError: Nothing there, no such bucket, an unusable key, or the disk is full.
    """
    with as_job_failure("Data download failed", target):
        target.mkdir(parents=True, exist_ok=True)
        files = _found(store, uri, data_type=data_type, region=region, role=role)
        put(store, files[share[0] :: share[1]], target)


def put(store: ObjectStore, files: Sequence[tuple[S3Uri, str]], target: Path, *, lend: bool = False) -> None:
    """Put objects into a folder, which is made if missing.

    Args:
        store: S3.
        files: The objects, each with its path below the folder.
        target: The folder.
        lend: Whether the store may put its own files there, which nobody may change.

    Raises:
        JobFailureError: One is not there, an unusable key, or the disk is full.
    """
    with as_job_failure("Data download failed", target):
        target.mkdir(parents=True, exist_ok=True)
        take = store.lend if lend else store.fetch
        for location, relative in files:
            path = target / _safe(relative)
            path.parent.mkdir(parents=True, exist_ok=True)
            take(location.bucket, location.key, path)


def find_sources(
    store: ObjectStore, uri: str, place: Path, *, data_type: str, region: str, role: str
) -> list[tuple[S3Uri, str]]:
    """The objects that an S3 data source names, each with its path below the source; arguments as of `download`.

    Raises:
        JobFailureError: Nothing there, no such bucket, or an unusable key.
    """
    with as_job_failure("Data download failed", place):
        found = _found(store, uri, data_type=data_type, region=region, role=role)
        return [(location, str(_safe(relative))) for location, relative in found]


def _found(store: ObjectStore, uri: str, *, data_type: str, region: str, role: str) -> list[tuple[S3Uri, str]]:
    source = parse_s3_uri(uri)
    match data_type:
        case "S3Prefix":
            files = _under_prefix(store, source)
        case "ManifestFile":
            files = _in_manifest(store, source)
        case _:
            raise JobFailureError(f"ClientError: Data download failed: S3DataType {data_type} is not supported here")
    if not files:
        raise JobFailureError(
            f'ClientError: Data download failed: No S3 objects found under S3 URL "{uri}" given in input data '
            f"source. Please ensure that the bucket exists in the selected region ({region}), that objects exist "
            f'under that S3 prefix, and that the role "{role}" has "s3:ListBucket" permissions on bucket '
            f'"{source.bucket}".'
        )
    return files


def restore(store: ObjectStore, uri: str, target: Path) -> None:
    """Fetch a prefix that may be empty: a job's checkpoints."""
    with as_job_failure("Data download failed", target):
        target.mkdir(parents=True, exist_ok=True)
        source = parse_s3_uri(uri)
        folder = S3Uri(source.bucket, source.key.rstrip("/") + "/" if source.key else "")
        for location, relative in _under_prefix(store, folder):
            path = target / _safe(relative)
            path.parent.mkdir(parents=True, exist_ok=True)
            store.fetch(location.bucket, location.key, path)


def fetch_object(store: ObjectStore, uri: str, target: Path) -> None:
    """Fetch one object.

    Raises:
        JobFailureError: It is not there, or the disk is full.
    """
    with as_job_failure("Data download failed", target):
        source = parse_s3_uri(uri)
        store.fetch(source.bucket, source.key, target)


def upload(store: ObjectStore, source: Path, uri: str) -> int:
    """Store every regular file of a folder below a prefix; how many. Symbolic links are not uploaded.

    Raises:
        JobFailureError: No such bucket, or a file cannot be read.
    """
    with as_job_failure("Artifact upload failed", source):
        target = parse_s3_uri(uri)
        count = 0
        for path in regular_files(source):
            store.store(path, target.bucket, target.join(path.relative_to(source).as_posix()).key)
            count += 1
        return count


def upload_file(store: ObjectStore, source: Path, uri: str) -> None:
    """Make a file the object at a URI.

    Raises:
        JobFailureError: No such bucket, or the file cannot be read.
    """
    with as_job_failure("Artifact upload failed", source):
        target = parse_s3_uri(uri)
        store.store(source, target.bucket, target.key)


def regular_files(source: Path) -> Iterator[Path]:
    """Every file of a folder and its folders that is no symbolic link, in order."""
    for folder, folders, names in os.walk(source):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield path


def relative_name(key: str, prefix: str) -> str:
    """The path of an object below the job's folder.

    S3Prefix is a prefix of the *key*: below ``data/train`` (or ``data/train/``) that is the rest of the key, the object
    ``data/train`` itself keeps its name, and ``data/tr`` matches ``data/train.csv``, which keeps its name too.
    """
    rest = key[len(prefix) :]
    if prefix == "" or prefix.endswith("/"):
        return rest
    if rest.startswith("/"):
        return rest.lstrip("/")
    return key[prefix.rfind("/") + 1 :]


def _under_prefix(store: ObjectStore, source: S3Uri) -> list[tuple[S3Uri, str]]:
    return [
        (S3Uri(source.bucket, found.key), relative_name(found.key, source.key))
        for found in store.list(source.bucket, source.key)
        if not found.key.endswith("/")  # the empty objects by which consoles show folders
    ]


def _in_manifest(store: ObjectStore, source: S3Uri) -> list[tuple[S3Uri, str]]:
    """``[{"prefix": "s3://bucket/some/prefix/"}, "relative/path-1", ...]``."""
    try:
        manifest = json.loads(store.read(source.bucket, source.key))
    except ValueError as error:
        raise _manifest_failure(source, f"is not JSON ({error})") from error
    match manifest:
        case [{"prefix": str(prefix)}, *names] if all(isinstance(name, str) for name in names):
            try:
                base = parse_s3_uri(prefix)
            except ValueError as error:
                raise _manifest_failure(source, str(error)) from error
            return [(S3Uri(base.bucket, base.key + name), name.lstrip("/")) for name in names]
        case _:
            raise _manifest_failure(
                source, 'must be a list that starts with {"prefix": "s3://..."}, then relative keys'
            )


def _manifest_failure(source: S3Uri, what: str) -> JobFailureError:
    return JobFailureError(f"ClientError: Data download failed: manifest {source} {what}")


def _safe(relative: str) -> PurePosixPath:
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts or "\0" in relative or not path.parts:
        raise JobFailureError(f"ClientError: Data download failed: key {relative!r} leads out of the input's folder")
    return path


@contextmanager
def as_job_failure(what: str, place: Path) -> Iterator[None]:
    """Word whatever S3 or the disk says as the service's failure reason."""
    try:
        yield
    except StoreError as error:
        raise JobFailureError(f"ClientError: {what}: {error.code}: {error.message}") from error
    except (ValueError, UnicodeError) as error:
        raise JobFailureError(f"ClientError: {what}: {error}") from error
    except OSError as error:
        raise JobFailureError(f"ClientError: {what}: {_words(error, place)}") from error


def _words(error: OSError, place: Path) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return no_space(place)
        case errno.ENOTDIR | errno.EISDIR | errno.EEXIST:
            return f"{error.filename or place} would have to be a file and a folder at once"
        case _:
            return str(error)


def no_space(place: Path) -> str:
    """What a full disk is called, with the place to make room in."""
    return f"No space left on device (the disk that holds {place} is full)"
