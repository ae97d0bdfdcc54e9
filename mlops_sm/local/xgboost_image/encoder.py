"""Requests of inference as XGBoost's matrices, by content type."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xgboost
from scipy import sparse

from . import data, recordio

CSV: Final = "text/csv"


class UnsupportedFormatError(Exception):
    """A content type that is not read.

    Attributes:
        status_code: HTTP's, for the server.
    """

    status_code = 415


def csv_to_dmatrix(content: bytes | str, dtype: object = None) -> xgboost.DMatrix:
    """CSV without labels and without a header."""
    del dtype
    text = _bytes(content).strip()
    first = text.split(b"\n", 1)[0].decode(errors="replace")
    # One value alone has no delimiter.
    return xgboost.DMatrix(data.csv_matrix(text, data.delimiter_of(first, alone=True)))


def libsvm_to_dmatrix(content: bytes | str) -> xgboost.DMatrix:
    """LIBSVM, with labels or without."""
    return xgboost.DMatrix(data.libsvm_rows(_bytes(content))[1])


def recordio_protobuf_to_dmatrix(content: bytes) -> xgboost.DMatrix:
    """RecordIO-protobuf; labels are left out."""
    return xgboost.DMatrix(np.vstack(recordio.read(_bytes(content))[0]))


def decode(content: bytes | str, content_type: str) -> xgboost.DMatrix:
    """Content of any of these types.

    Raises:
        UnsupportedFormatError: It is of another one.
    """
    match content_type.partition(";")[0].strip().lower():
        case "text/csv" | "csv":
            return csv_to_dmatrix(content)
        case "text/libsvm" | "text/x-libsvm" | "libsvm":
            return libsvm_to_dmatrix(content)
        case "application/x-recordio-protobuf" | "recordio-protobuf":
            return recordio_protobuf_to_dmatrix(_bytes(content))
        case _:
            raise UnsupportedFormatError(
                f"{content_type} is not an accepted ContentType: csv, libsvm, recordio-protobuf, text/csv, "
                "text/libsvm, text/x-libsvm, application/x-recordio-protobuf."
            )


def as_wide_as(matrix: xgboost.DMatrix, features: int) -> xgboost.DMatrix:
    """A matrix with at least so many columns; a LIBSVM request does not name all of them."""
    if matrix.num_col() >= features:
        return matrix
    found = sparse.csr_matrix(matrix.get_data())
    found.resize((matrix.num_row(), features))
    return xgboost.DMatrix(found)


def _bytes(content: Any) -> bytes:  # noqa: ANN401 - text or bytes
    return content.encode() if isinstance(content, str) else bytes(content)
