"""What the service's DataProcessing does to records: filter what goes to the model, join it with what comes back.

Source: SageMaker developer guide, "Associate Prediction Results with Input Records", and API reference, DataProcessing.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.local.batch.paths import JsonPath, PathError

_INPUT: Final = "SageMakerInput"
_OUTPUT: Final = "SageMakerOutput"
_ID: Final = "SageMakerInferenceId"
_TIME: Final = "SageMakerInferenceTime"


class Format(Enum):
    """How records are written."""

    CSV = auto()
    JSON = auto()


class AssociationError(ValueError):
    """Records that cannot be filtered or joined; the message is for the job's log."""


def format_of(content_type: str | None) -> Format | None:
    """The format of a content type; None when DataProcessing cannot read it."""
    match (content_type or "").split(";", 1)[0].strip().lower():
        case "text/csv":
            return Format.CSV
        case "application/json" | "application/jsonlines" | "application/x-jsonlines" | "application/x-ndjson":
            return Format.JSON
        case _:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Association:
    """What is done with the records of a job.

    Attributes:
        format: How they are written; None when nothing is done with them.
        lines: Whether a payload is lines of records; else it is one record.
        input_filter: Selects what the model gets.
        output_filter: Selects what is kept.
        join: Whether the input is kept beside the output.
        inference: Makes the id and time of an inference, which are then appended; None appends nothing.
    """

    format: Format | None
    lines: bool
    input_filter: JsonPath
    output_filter: JsonPath
    join: bool
    inference: Callable[[], tuple[str, str]] | None = None

    def request(self, payload: bytes) -> bytes:
        """What the model gets for a payload.

        Raises:
            AssociationError: A record cannot be read, or has nothing at the filter.
        """
        if self.input_filter.is_root:
            return payload
        return self._written([self._selected(self.input_filter, record) for record in self._read(payload)])

    def result(self, payload: bytes, answer: bytes) -> bytes:
        """What is stored for a payload and the model's answer to it.

        Raises:
            AssociationError: A record cannot be read or has nothing at the filter, or there are more or fewer answers
                than records.
        """
        if not self.join and self.output_filter.is_root and self.inference is None:
            return answer
        records = self._read(answer)
        if self.join:
            inputs = self._read(payload)
            if len(inputs) != len(records):
                raise AssociationError(
                    "Fail to join data: mismatched line count between the input and the output "
                    f"({len(inputs)} and {len(records)})"
                )
            records = [self._joined(before, after) for before, after in zip(inputs, records, strict=True)]
        records = [self._selected(self.output_filter, record) for record in records]
        if self.inference is not None:
            records = [self._identified(record, *self.inference()) for record in records]
        return self._written(records)

    def _read(self, payload: bytes) -> list[Json]:
        try:
            text = payload.decode()
            if self.format is Format.CSV:
                return [row for row in csv.reader(io.StringIO(text, newline="")) if row]
            if self.lines:
                return [json.loads(line) for line in text.split("\n") if line.strip()]
            return [json.loads(text)]
        except (ValueError, csv.Error) as error:
            raise AssociationError(f"Fail to parse data: {error}") from error

    def _written(self, records: list[Json]) -> bytes:
        if self.format is Format.CSV:
            stream = io.StringIO(newline="")
            rows = (record if isinstance(record, list) else [record] for record in records)
            csv.writer(stream, lineterminator="\n").writerows(rows)
            return stream.getvalue().encode()
        dumped = [json.dumps(record, separators=(",", ":"), ensure_ascii=False) for record in records]
        return "".join(f"{each}\n" for each in dumped).encode() if self.lines else dumped[0].encode()

    def _joined(self, before: Json, after: Json) -> Json:
        if self.format is Format.CSV:
            return before + after
        if isinstance(before, dict):
            return {**before, _OUTPUT: after}
        return {_INPUT: before, _OUTPUT: after}

    def _selected(self, path: JsonPath, record: Json) -> Json:
        try:
            return path.select(record)
        except PathError as error:
            raise AssociationError(f"Fail to filter data: {error}") from error

    def _identified(self, record: Json, inference_id: str, time: str) -> Json:
        if self.format is Format.CSV:
            return [*(record if isinstance(record, list) else [record]), inference_id, time]
        kept = record if isinstance(record, dict) else {_OUTPUT: record}
        return {**kept, _ID: inference_id, _TIME: time}
