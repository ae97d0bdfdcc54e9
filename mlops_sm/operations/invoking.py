"""Calling an endpoint: a body from what people type or keep in files, and the answer as a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

from mlops_sm.errors import InputError, Problem
from mlops_sm.operations.clients import Clients
from mlops_sm.operations.refusals import AwsError

CSV: Final = "text/csv"
JSON: Final = "application/json"
JSON_LINES: Final = "application/jsonlines"
_BY_SUFFIX: Final = {
    ".csv": CSV,
    ".json": JSON,
    ".jsonl": JSON_LINES,
    ".npy": "application/x-npy",
    ".libsvm": "text/libsvm",
    ".svm": "text/libsvm",
    ".parquet": "application/x-parquet",
    ".txt": "text/plain",
}
_MODEL_ERROR: Final = "ModelError"
_NUMBERED: Final = "prediction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What is sent: a body and its content type."""

    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back.

    Attributes:
        body: As the model wrote it; empty when it has failed.
        content_type: Of the body.
        variant: Which one answered.
        error: What the model said when it failed, after its status; empty otherwise.
    """

    body: bytes
    content_type: str
    variant: str
    error: str = ""

    @property
    def text(self) -> str | None:
        """The body as text; None when it is none."""
        try:
            return self.body.decode()
        except UnicodeDecodeError:
            return None

    def data(self) -> Any:  # noqa: ANN401 - whatever a model answers
        """The body as JSON has it: parsed JSON, the rows of a CSV, else its text; None when it is none."""
        text, kind = self.text, self.content_type.partition(";")[0].strip().lower()
        if text is None:
            return None
        try:
            if kind == JSON:
                return json.loads(text)
            if kind == JSON_LINES:
                return [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError:
            return text
        if kind == CSV:
            return [[_value(cell) for cell in row] for row in csv.reader(io.StringIO(text)) if row]
        return text


def pairs_payload(pairs: Sequence[str], content_type: str | None) -> Payload:
    """One row from ``key=value`` words: a JSON object among ``instances``, a JSON line, or a CSV line with its header.

    Args:
        pairs: The words.
        content_type: JSON unless given.

    Raises:
        InputError: A word is no pair, or a key comes twice; or the content type is another one (E156).
    """
    row: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key or key in row:
            what = f"{key} is given twice" if key in row else f'"{pair}" is neither a file nor key=value'
            raise InputError(Problem("E156", pair, what, "Name a file, - for standard input, or key=value for a row."))
        row[key] = _value(value)
    match content_type:
        case None | "application/json":
            text, content_type = json.dumps({"instances": [row]}), JSON
        case "application/jsonlines":
            text = json.dumps(row) + "\n"
        case "text/csv":
            stream = io.StringIO()
            csv.writer(stream, lineterminator="\n").writerows(
                [list(row), ["" if v is None else v for v in row.values()]]
            )
            text = stream.getvalue()
        case _:
            what = f"key=value cannot be written as {content_type}"
            fix = f"Choose {JSON}, {JSON_LINES} or {CSV}, or send a file."
            raise InputError(Problem("E156", "--content-type", what, fix))
    return Payload(body=text.encode(), content_type=content_type)


def body_payload(body: bytes, name: str, content_type: str | None) -> Payload:
    """A body that was read from a file, or from standard input, which has no name.

    Args:
        body: What was read.
        name: The file's name, which tells the content type; without one the body tells: JSON or else CSV.
        content_type: Instead of both.
    """
    guessed = _BY_SUFFIX.get(PurePath(name).suffix.lower())
    if guessed is None:
        guessed = JSON if body.lstrip()[:1] in (b"{", b"[") else CSV
    return Payload(body=body, content_type=content_type or guessed)


def invoke(
    clients: Clients, endpoint: str, payload: Payload, *, accept: str | None = None, variant: str | None = None
) -> Answer:
    """Call an endpoint once.

    Args:
        clients: The account.
        endpoint: The endpoint.
        payload: What is sent.
        accept: The wanted content type of the answer.
        variant: Who is to answer, instead of one by weight.

    Raises:
        RefusedError: The service did not pass the request on.
    """
    wanted = {"Accept": accept, "TargetVariant": variant}
    try:
        answer = clients.runtime.invoke_endpoint(
            EndpointName=endpoint,
            Body=payload.body,
            ContentType=payload.content_type,
            **{name: value for name, value in wanted.items() if value is not None},
        )
    except AwsError as error:
        if error.code != _MODEL_ERROR:
            raise
        return Answer(body=b"", content_type="", variant=variant or "", error=error.message)
    return Answer(
        body=answer["Body"].read(),
        content_type=answer.get("ContentType", ""),
        variant=answer.get("InvokedProductionVariant", ""),
    )


def rows_of(data: Any) -> tuple[list[str], list[list[str]]] | None:  # noqa: ANN401 - whatever a model answers
    """Headers and rows of an answer; None when it is no table."""
    if isinstance(data, Mapping) and len(data) == 1:
        # {"predictions": [...]} and its like
        (data,) = data.values()
    if isinstance(data, Mapping):
        data = [data]
    if not isinstance(data, list) or not data:
        return None
    if all(isinstance(row, Mapping) for row in data):
        headers = list(dict.fromkeys(key for row in data for key in row))
        return headers, [[_cell(row.get(key)) for key in headers] for row in data]
    rows = [row if isinstance(row, list) else [row] for row in data]
    width = max(map(len, rows))
    headers = [_NUMBERED] if width == 1 else [f"{_NUMBERED}.{number}" for number in range(1, width + 1)]
    return headers, [[_cell(cell) for cell in row] + [""] * (width - len(row)) for row in rows]


def _value(text: str) -> Any:  # noqa: ANN401 - a number, a truth value, nothing, or text
    try:
        value = json.loads(text)
    except ValueError:
        return text or None
    return value if not isinstance(value, (dict, list)) else text


def _cell(value: Any) -> str:  # noqa: ANN401 - a cell of whatever a model answers
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.6g}"
        case int():
            return str(value)
        case _:
            return json.dumps(value)
