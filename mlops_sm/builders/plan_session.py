"""PlanSession: the SDK's pipeline session that uploads nothing, calls nothing and remembers what was to be uploaded."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol

from sagemaker.core.workflow.pipeline_context import PipelineSession

from mlops_sm import naming
from mlops_sm.errors import InputError, Problem

PLACEHOLDER: Final = "unlinked"
"""How the stand-in for an asset's digest begins. Eight decimal digits follow: it is as long as the digest in a key."""

_ACCEPTED: Final = {"ETag": '"0"', "ResponseMetadata": {"HTTPStatusCode": 200}}


class PlannedForm(StrEnum):
    """What becomes of a planned source: the file, the folder as one tar.gz, or every file of the folder."""

    FILE = "file"
    ARCHIVE = "archive"
    TREE = "tree"


@dataclass(frozen=True, slots=True)
class Planned:
    """Something the definition refers to and a publish must upload.

    Attributes:
        uri: Where the definition says it is, until the definition is linked: of the object, or of the folder of a TREE.
        source: A path inside the project, or the content itself where the SDK made it.
        form: How the source becomes objects.
    """

    uri: str
    source: Path | bytes
    form: PlannedForm


class Events(Protocol):
    """Where handlers of a boto3 session are registered."""

    def register(self, event_name: str, handler: Callable[..., object]) -> object:
        """Call the handler at every event of this name."""


class BotoSession(Protocol):
    """The part of a boto3 session that is touched here; the SDK takes the rest."""

    @property
    def events(self) -> Events:
        """The event system every client of the session copies."""


class Service(Protocol):
    """The service an operation belongs to, as botocore's model names it."""

    service_name: str


class Operation(Protocol):
    """An operation, as botocore's model names it."""

    name: str
    service_model: Service


class _HttpAnswer:
    """What botocore wants back, beside the parsed answer, from a handler that answers instead of the service."""

    status_code = 200
    headers: Mapping[str, str] = {}


def line_in_project(project_root: Path) -> str | None:
    """``path:line`` of the innermost caller whose file belongs to the project, the path relative to its root."""
    return next(_lines_in_project(project_root), None)


def _lines_in_project(project_root: Path) -> Iterator[str]:
    frame = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if is_project_file(path, project_root):
            yield f"{path.relative_to(project_root)}:{frame.f_lineno}"
        if frame.f_back is None:
            return
        frame = frame.f_back


def is_project_file(path: Path, project_root: Path) -> bool:
    """Whether a file is the project's own: below its root, and in no virtual environment there."""
    if not path.is_relative_to(project_root):
        return False
    return "site-packages" not in path.parts and not path.is_relative_to(Path(__file__).parent.parent)


class PlanSession(PipelineSession):  # type: ignore[misc] # the SDK has no types
    """A ``PipelineSession`` for compiling: no network, no AWS call, no account needed.

    Every upload the SDK or a pipeline module asks for becomes a `Planned` entry. A path of the project is named by a
    placeholder URI, which the link stage replaces by a content-addressed one. Content the SDK makes itself keeps the
    key the SDK chose, because the SDK computes sibling keys from it; the link stage replaces that key's folder.

    Args:
        boto_session: A boto3 session with a region. Its events are taken over: clients made from it answer
            ``s3:PutObject`` here and refuse every other operation.
        bucket: The environment's artifact bucket.
        pipeline_name: Name of the pipeline, the first part of an asset's key.
        account: Account id, for the SDK code that asks STS for it.
        role_arn: Role for the SDK code that asks for the caller's role.
        project_root: Folder of the project; what is outside of it is not an asset.
    """

    def __init__(
        self,
        *,
        boto_session: BotoSession,
        bucket: str,
        pipeline_name: str,
        account: str,
        role_arn: str,
        project_root: Path,
    ) -> None:
        self._planned: dict[str, Planned] = {}
        self._uris: dict[tuple[Path | bytes, PlannedForm, str], str] = {}
        self._folders: dict[str, str] = {}
        self._elsewhere: dict[str, str] = {}
        self._pipeline_name = pipeline_name
        self._account = account
        self._role_arn = role_arn
        self._project_root = project_root.resolve()
        boto_session.events.register("before-parameter-build.s3.PutObject", self._keep_put)
        boto_session.events.register("before-call", self._refuse)
        super().__init__(boto_session=boto_session, default_bucket=bucket)
        self._default_bucket = bucket  # known: the SDK would list and create buckets to find out

    @property
    def project_root(self) -> Path:
        """Folder of the project, resolved."""
        return self._project_root

    @property
    def planned(self) -> tuple[Planned, ...]:
        """Everything to upload, in the order it was asked for."""
        return tuple(self._planned.values())

    def plan(self, source: Path | bytes, form: PlannedForm, name: str) -> str:
        """Remember a source; the same source again has the same URI.

        Args:
            source: A resolved path inside the project, or content.
            form: How it becomes objects.
            name: The last part of the URI: the object's file name, or the folder's name for a TREE.

        Returns:
            The placeholder S3 URI.
        """
        known = self._uris.get((source, form, name))
        if known is not None:
            return known
        placeholder = self._new_placeholder()
        uri = f"s3://{self._default_bucket}/{naming.asset_key(self._pipeline_name, placeholder, name)}"
        self._uris[source, form, name] = uri
        self._planned[uri] = Planned(uri, source, form)
        return uri

    def folder_for(self, name: str) -> str:
        """What stands for the digest of everything that the SDK is going to upload below a folder of this name."""
        return self._folders.setdefault(name, self._new_placeholder())

    def where_planned(self, definition: str) -> str:
        """The definition with the URIs of folders that the SDK names itself although it was told where they are."""
        for uri, planned in self._elsewhere.items():
            definition = definition.replace(f'"{uri}"', f'"{planned}"')
        return definition

    def account_id(self) -> str:
        """The environment's account."""
        return self._account

    def get_caller_identity_arn(self) -> str:
        """The environment's pipeline role: whoever compiles is nobody in AWS."""
        return self._role_arn

    def upload_data(
        self,
        path: str | Path,
        bucket: str | None = None,
        key_prefix: str = "data",
        callback: Callable[..., object] | None = None,
        extra_args: Mapping[str, object] | None = None,
    ) -> str:
        """Plan the upload of a file, or of a folder's files under one prefix.

        Raises:
            InputError: The path does not exist, or is neither in the project nor made by the SDK just now.
        """
        source = Path(path).resolve()
        if not source.exists():
            raise InputError(self._problem("E307", f'there is no file or folder "{path}"', "correct the path"))
        name = Path(path).name or source.name  # of a link its own name: the SDK starts the script by it
        if source.is_relative_to(self._project_root):
            return self.plan(source, PlannedForm.TREE if source.is_dir() else PlannedForm.FILE, name)
        if not self._is_generated(source):
            raise InputError(
                self._problem(
                    "E308",
                    f'"{path}" is outside of the project, so another machine could not compile this pipeline',
                    "move it into the project, or put it in S3 and give its URI",
                )
            )
        if source.is_dir():
            planned = self._plan_generated_folder(source, key_prefix.rstrip("/").rpartition("/")[2] or "data")
            self._elsewhere[f"s3://{bucket or self._default_bucket}/{key_prefix}"] = planned
            return planned
        return self.plan(source.read_bytes(), PlannedForm.FILE, name)

    def upload_string_as_file_body(
        self, body: str | bytes, bucket: str | None, key: str, kms_key: str | None = None
    ) -> str:
        """Plan the upload of a text under exactly this key; callers ignore what is returned and use their own key."""
        return self._keep(bucket or self._default_bucket, key, body.encode() if isinstance(body, str) else bytes(body))

    def _new_placeholder(self) -> str:
        return f"{PLACEHOLDER}{len(self._uris) + len(self._folders):08d}"

    def _keep(self, bucket: str, key: str, content: bytes) -> str:
        uri = f"s3://{bucket}/{key}"
        self._planned[uri] = Planned(uri, content, PlannedForm.FILE)
        return uri

    def _is_generated(self, path: Path) -> bool:
        sdk = Path(str(sys.modules["sagemaker.core"].__file__)).parent.parent
        return path.is_relative_to(Path(tempfile.gettempdir()).resolve()) or path.is_relative_to(sdk)

    def _plan_generated_folder(self, folder: Path, name: str) -> str:
        files = sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        listing = b"".join(f"{p.relative_to(folder).as_posix()}\0".encode() + p.read_bytes() for p in files)
        uri = self.plan(listing, PlannedForm.TREE, name)
        self._planned.pop(uri, None)
        prefix = naming.parse_s3_uri(uri)
        for file in files:
            self._keep(prefix.bucket, f"{prefix.key}/{file.relative_to(folder).as_posix()}", file.read_bytes())
        return uri

    def _keep_put(self, params: Mapping[str, Any], **_: object) -> None:
        body = params.get("Body", b"")
        content = (
            body if isinstance(body, (bytes, bytearray)) else body.encode() if isinstance(body, str) else body.read()
        )
        self._keep(params["Bucket"], params["Key"], bytes(content))

    def _refuse(self, model: Operation, **_: object) -> tuple[type[_HttpAnswer], Mapping[str, object]]:
        operation = f"{model.service_model.service_name}:{model.name}"
        if operation == "s3:PutObject":
            return _HttpAnswer, dict(_ACCEPTED)
        raise InputError(
            self._problem(
                "E309",
                f"compiling tried to call AWS: {operation}",
                "give the value in the environment or as a pipeline parameter, or look it up in a step of the pipeline",
            )
        )

    def _problem(self, code: str, what: str, fix: str) -> Problem:
        return Problem(code, line_in_project(self._project_root) or self._pipeline_name, what, fix)
