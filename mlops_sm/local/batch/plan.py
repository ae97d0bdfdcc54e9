"""What a batch transform job is asked to do, read out of its request once."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.local.batch.association import Association, format_of
from mlops_sm.local.batch.paths import JsonPath
from mlops_sm.local.batch.records import MEGABYTE

MAX_PAYLOAD: Final = 6
"""Megabytes of a payload when the request does not say (API reference, CreateTransformJob)."""
_MAX_MEGABYTES: Final = 100
"""Of a payload, and of all that are sent at once, so no more payloads either (the same page)."""
_TRANSFORMS: Final = "MaxConcurrentTransforms"
_CONTAINERS: Final = frozenset({"MaxPayloadInMB", _TRANSFORMS, "BatchStrategy"})
"""Members that a container may decide when the request does not."""
_TIMEOUT: Final = 600
_RETRIES: Final = 3
"""Of an invocation, when the request does not say (API reference, ModelClientConfig)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One job.

    Attributes:
        containers: The container definitions of its model.
        source: S3 URI of the input.
        data_type: ``S3Prefix`` or ``ManifestFile``.
        target: S3 URI that outputs are stored below, without a slash at its end.
        content_type: Of the payloads.
        accept: Of the answers.
        compressed: Whether the input is gzip.
        lines: Whether objects are split at line ends.
        single: Whether a payload is one record.
        max_payload: Megabytes; 0 for any number.
        concurrency: How many payloads are transformed at once.
        timeout: Seconds of one invocation.
        retries: Of one invocation.
        assemble: Whether every answer ends with a line end.
        association: What happens to records.
        capture: Where manifests of input and output are stored; None when they are not.
        environment: The request's own variables.
        variables: Those that tell the container about the job.
        network: Whether the container reaches the network.
        role: The role's ARN, for messages.
        open: Members of the request that it leaves to the container.
    """

    containers: tuple[Mapping[str, Json], ...]
    source: str
    data_type: str
    target: str
    content_type: str | None
    accept: str | None
    compressed: bool
    lines: bool
    single: bool
    max_payload: int
    concurrency: int
    timeout: float
    retries: int
    assemble: bool
    association: Association
    capture: str | None
    environment: Mapping[str, str]
    variables: Mapping[str, str]
    network: bool
    role: str
    open: frozenset[str]

    @classmethod
    def of(cls, request: Mapping[str, Json], arn: str) -> Plan:
        """Read a request whose members have been checked."""
        source, target = request["TransformInput"], request["TransformOutput"]
        processing, client = request.get("DataProcessing") or {}, request.get("ModelClientConfig") or {}
        capture = request.get("DataCaptureConfig") or {}
        single = request.get("BatchStrategy") == "SingleRecord"
        lines = source.get("SplitType") == "Line"
        content_type = source.get("ContentType")
        return cls(
            containers=tuple(request["Containers"]),
            source=source["DataSource"]["S3DataSource"]["S3Uri"],
            data_type=source["DataSource"]["S3DataSource"]["S3DataType"],
            target=target["S3OutputPath"].rstrip("/"),
            content_type=content_type,
            accept=target.get("Accept"),
            compressed=source.get("CompressionType") == "Gzip",
            lines=lines,
            single=single,
            max_payload=request.get("MaxPayloadInMB", MAX_PAYLOAD),
            concurrency=request.get(_TRANSFORMS) or 1,
            timeout=client.get("InvocationsTimeoutInSeconds", _TIMEOUT),
            retries=client.get("InvocationsMaxRetries", _RETRIES),
            assemble=target.get("AssembleWith") == "Line",
            association=Association(
                format=format_of(content_type),
                lines=lines,
                input_filter=JsonPath.parse(processing.get("InputFilter") or "$"),
                output_filter=JsonPath.parse(processing.get("OutputFilter") or "$"),
                join=processing.get("JoinSource") == "Input",
                inference=_inferences(arn) if capture.get("GenerateInferenceId") else None,
            ),
            capture=capture.get("DestinationS3Uri"),
            environment=request.get("Environment") or {},
            variables=_variables(request),
            network=not request.get("EnableNetworkIsolation", False),
            role=request.get("ExecutionRoleArn", ""),
            open=_CONTAINERS - request.keys() | (set() if request.get(_TRANSFORMS) else {_TRANSFORMS}),
        )

    def completed(self, wanted: Mapping[str, Json]) -> Plan:
        """The plan with what the container wants where the request leaves it open.

        Source: API reference, CreateTransformJob, MaxConcurrentTransforms; developer guide, "Custom Inference Code with
        Batch Transform", execution parameters. What makes no sense is not heard.
        """
        changes: dict[str, Json] = {}
        payload, transforms = wanted.get("MaxPayloadInMB"), wanted.get(_TRANSFORMS)
        if "MaxPayloadInMB" in self.open and type(payload) is int and 0 <= payload <= _MAX_MEGABYTES:
            changes["max_payload"] = payload
        if _TRANSFORMS in self.open and type(transforms) is int and 0 < transforms <= _MAX_MEGABYTES:
            changes["concurrency"] = transforms
        if "BatchStrategy" in self.open and wanted.get("BatchStrategy") in {"SINGLE_RECORD", "MULTI_RECORD"}:
            changes["single"] = wanted["BatchStrategy"] == "SINGLE_RECORD"
        return replace(self, **changes)

    @property
    def strategy_name(self) -> str:
        """As the service logs it."""
        return "SINGLE_RECORD" if self.single else "MULTI_RECORD"

    @property
    def limit(self) -> int | None:
        """Bytes of a payload; None for any number."""
        return self.max_payload * MEGABYTE or None


def _variables(request: Mapping[str, Json]) -> dict[str, str]:
    """What the container is told ("Custom Inference Code with Batch Transform"): only what the request says."""
    variables = {"SAGEMAKER_BATCH": "true"}
    if "MaxPayloadInMB" in request:
        variables["SAGEMAKER_MAX_PAYLOAD_IN_MB"] = str(request["MaxPayloadInMB"])
    if "BatchStrategy" in request:
        single = request["BatchStrategy"] == "SingleRecord"
        variables["SAGEMAKER_BATCH_STRATEGY"] = "SINGLE_RECORD" if single else "MULTI_RECORD"
    if request.get(_TRANSFORMS):
        variables["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] = str(request[_TRANSFORMS])
    return variables


def _inferences(arn: str) -> Callable[[], tuple[str, str]]:
    """Ids that no other job has, and the time."""
    namespace, numbers, guard = uuid.uuid5(uuid.NAMESPACE_URL, arn), itertools.count(), threading.Lock()

    def inference() -> tuple[str, str]:
        with guard:
            number = next(numbers)
        return str(uuid.uuid5(namespace, str(number))), f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"

    return inference
