"""The data of a channel as the image reads it: CSV, LIBSVM, Parquet and RecordIO-protobuf, from files or a pipe.

Source: developer guide, "How to use SageMaker AI XGBoost", Input/Output Interface: the label comes first, CSV has no
header, LIBSVM counts from 0 and is the default.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xgboost
from scipy import sparse

from . import recordio
from .errors import UserError

CSV, LIBSVM, PARQUET, RECORDIO = "csv", "libsvm", "parquet", "recordio-protobuf"
_ACCEPTED: Final = {
    "csv": CSV,
    "libsvm": LIBSVM,
    "parquet": PARQUET,
    "recordio-protobuf": RECORDIO,
    "text/csv": CSV,
    "text/libsvm": LIBSVM,
    "text/x-libsvm": LIBSVM,
    "application/x-parquet": PARQUET,
    "application/x-recordio-protobuf": RECORDIO,
}
_DELIMITERS: Final = (",", ";", "\t", "|", " ")
_SHOWN: Final = 50
_PARQUET_MAGIC: Final = b"PAR1"


@dataclass(frozen=True)
class Table:
    """Rows of features with their labels.

    Attributes:
        features: A dense or a sparse matrix.
        labels: One of each row.
        weights: One of each row; None when all weigh the same.
        groups: The query each row belongs to, for ranking; None without.
    """

    features: Any
    labels: Any
    weights: Any = None
    groups: Any = None

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self.features.shape[0])

    def widened(self, columns: int) -> Table:
        """With so many columns: a LIBSVM file does not tell how many it might have had."""
        if not sparse.issparse(self.features) or self.features.shape[1] >= columns:
            return self
        features = self.features.copy()
        features.resize((self.rows, columns))
        return replace(self, features=features)

    def part(self, rows: Any) -> Table:  # noqa: ANN401 - indices
        """Some of the rows."""
        return Table(
            self.features[rows],
            self.labels[rows],
            None if self.weights is None else self.weights[rows],
            None if self.groups is None else self.groups[rows],
        )

    def matrix(self) -> xgboost.DMatrix:
        """As the library wants it."""
        matrix = xgboost.DMatrix(self.features, label=self.labels, weight=self.weights)
        if self.groups is not None:
            matrix.set_info(qid=self.groups)
        return matrix


def stacked(tables: Sequence[Table]) -> Table:
    """The rows of several tables one after the other."""
    width = max(table.features.shape[1] for table in tables)
    tables = [table.widened(width) for table in tables]

    def join(values: list[Any]) -> Any:  # noqa: ANN401 - an array
        return None if any(value is None for value in values) else np.concatenate(values)

    features = [table.features for table in tables]
    return Table(
        sparse.vstack(features).tocsr() if sparse.issparse(features[0]) else np.concatenate(features),
        join([table.labels for table in tables]),
        join([table.weights for table in tables]),
        join([table.groups for table in tables]),
    )


def kind_of(content_type: str | None) -> str:
    """The format that a channel's ContentType names.

    Raises:
        UserError: None that is accepted.
    """
    if content_type is None:
        return LIBSVM
    name, *parameters = (part.strip() for part in content_type.lower().split(";"))
    if name not in _ACCEPTED:
        raise UserError(f"{content_type} is not an accepted ContentType: {', '.join(_ACCEPTED)}.")
    sizes = [value for key, _, value in (each.partition("=") for each in parameters) if key.strip() == "label_size"]
    if _ACCEPTED[name] == CSV and sizes not in ([], ["1"]):
        raise UserError(
            f"{content_type} is not an accepted csv ContentType. Optional parameter label_size must be equal to 1"
        )
    return _ACCEPTED[name]


def load(channel: Path, kind: str, *, weighted: bool, piped: bool) -> Table | None:
    """Everything in a channel; None when it is empty.

    Args:
        channel: Its folder, or what the names of its pipes begin with.
        kind: The format.
        weighted: Whether the second column of CSV says what a row weighs.
        piped: Whether the data comes through a pipe.

    Raises:
        UserError: The data is not of that format.
    """
    if piped and kind == LIBSVM:
        raise UserError("Pipe mode not supported for LibSVM.")
    try:
        contents = [(each.name, each.read_bytes()) for each in _files(channel, piped=piped)]
        tables = [_parse(kind, name, content, weighted=weighted) for name, content in contents if content]
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"Failed to load {kind} data with exception:\n{error}") from error
    tables = [table for table in tables if table.rows]
    if not tables:
        return None
    table = stacked(tables)
    if len(table.labels) != table.rows:
        raise UserError("Got input data without labels. Please check the input data set.")
    return table


def _files(channel: Path, *, piped: bool) -> Iterator[Path]:
    if piped:
        yield channel.with_name(f"{channel.name}_0")
        return
    for path in sorted(channel.rglob("*")) if channel.is_dir() else []:
        if path.is_file() and not path.name.startswith((".", "_")):
            yield path


def _parse(kind: str, name: str, content: bytes, *, weighted: bool) -> Table:
    if kind == CSV:
        first = content.split(b"\n", 1)[0].decode(errors="replace")
        delimiter = delimiter_of(first)
        logging.info("Determined delimiter of CSV input is '%s'", delimiter)
        return _labelled(csv_matrix(content, delimiter), weighted=weighted)
    if kind == LIBSVM:
        return _of_libsvm(name, content)
    if kind == PARQUET:
        return _labelled(np.concatenate(list(_of_parquet(content))))
    rows, labels = recordio.read(content)
    return Table(np.vstack(rows), np.asarray(labels, dtype=np.float32))


def delimiter_of(line: str, *, alone: bool = False) -> str:
    """What separates the columns of CSV.

    Args:
        line: Its first line.
        alone: Whether there may be only one column.

    Raises:
        UserError: It cannot be told.
    """
    for delimiter in _DELIMITERS:
        if delimiter in line.strip():
            return delimiter
    if alone:
        return _DELIMITERS[0]
    raise UserError(f"Could not determine delimiter on line {line[:_SHOWN]}")


def csv_matrix(content: bytes, delimiter: str) -> Any:  # noqa: ANN401 - an array
    """CSV without a header as numbers; what is missing is NaN."""
    frame = pd.read_csv(io.BytesIO(content), header=None, sep=delimiter, dtype=np.float32, skipinitialspace=True)
    return frame.to_numpy()


def _labelled(matrix: Any, *, weighted: bool = False) -> Table:  # noqa: ANN401 - an array
    if weighted:
        return Table(matrix[:, 2:], matrix[:, 0], matrix[:, 1])
    return Table(matrix[:, 1:], matrix[:, 0])


def _of_parquet(content: bytes) -> Iterator[Any]:
    """The matrix of each file; files that come through a pipe follow each other, each between two magic words."""
    for part in content.split(_PARQUET_MAGIC * 2):
        whole = _PARQUET_MAGIC + part.removeprefix(_PARQUET_MAGIC).removesuffix(_PARQUET_MAGIC) + _PARQUET_MAGIC
        yield pd.read_parquet(io.BytesIO(whole)).to_numpy(dtype=np.float32)


def libsvm_rows(content: bytes) -> tuple[list[str], Any]:
    """What stands before the features of each line, and the features; a line may have features only."""
    heads: list[str] = []
    values: list[float] = []
    columns: list[int] = []
    ends = [0]
    for line in content.decode().splitlines():
        words = line.partition("#")[0].split()
        if not words:
            continue
        # Of "1:0.5 2:3" nothing says whether the first word is a label with a weight, so it is one in training only.
        head = words.pop(0) if ":" not in words[0] else ""
        heads.append(head)
        for word in words:
            key, _, value = word.partition(":")
            if key == "qid":
                heads[-1] += f" {value}"
                continue
            columns.append(int(key))
            values.append(float(value))
        ends.append(len(columns))
    width = max(columns, default=-1) + 1
    return heads, sparse.csr_matrix(
        (np.asarray(values, dtype=np.float32), np.asarray(columns, dtype=np.int64), ends), shape=(len(heads), width)
    )


def _of_libsvm(name: str, content: bytes) -> Table:
    """Each line ``label[:weight] [qid:group] index:value ...``."""
    weights, lines = [], []
    for line in content.decode(errors="replace").splitlines():
        head, _, rest = line.strip().partition(" ")
        label, colon, weight = head.partition(":")
        if not head:
            continue
        try:
            float(label)
            if colon:
                weights.append(float(weight))
        except ValueError:
            raise UserError(
                f"First line '{line[:_SHOWN]}...' of file '{name}' is not 'LIBSVM' format. Please ensure the file is "
                "in 'LIBSVM' format."
            ) from None
        lines.append(f"{label} {rest}")
    heads, features = libsvm_rows("\n".join(lines).encode())
    labels, groups = zip(*(head.partition(" ")[::2] for head in heads), strict=True) if heads else ((), ())
    return Table(
        features,
        np.asarray([float(label) for label in labels], dtype=np.float32),
        np.asarray(weights, dtype=np.float32) if lines and len(weights) == len(lines) else None,
        np.asarray([int(group) for group in groups]) if heads and all(groups) else None,
    )
