"""RecordIO whose records are the ``Record`` messages of SageMaker's algorithms, read and written without protobuf.

Source: developer guide, "Common Data Formats for Training": the schema of ``Record``; a record is a magic number, a
length of 29 bits, and the message padded to four bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np

_MAGIC: Final = 0xCED7230A
_HEAD: Final = struct.Struct("<II")
_LENGTH: Final = (1 << 29) - 1
_FEATURES, _LABEL = 1, 2
_TENSORS: Final[dict[int, Any]] = {2: np.dtype("<f4"), 3: np.dtype("<f8"), 7: None}
"""The fields of a ``Value``: tensors of float32, float64 and int32."""
_VALUES, _KEYS, _SHAPE = 1, 2, 3
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read(content: bytes) -> tuple[list[Any], list[float]]:
    """The rows of every record, dense, and their labels; no label of records that have none.

    Raises:
        ValueError: It is no such content.
    """
    rows, labels = [], []
    for message in _messages(content):
        label, row = None, None
        for field, _, entry in _fields(message):
            if field in {_FEATURES, _LABEL}:
                tensor = _tensor(dict((number, value) for number, _, value in _fields(entry))[2])
                if field == _FEATURES:
                    row = tensor
                else:
                    label = float(tensor[0])
        if row is None:
            raise ValueError("a record has no features")
        rows.append(row)
        if label is not None:
            labels.append(label)
    return rows, labels


def write(records: Iterable[Mapping[str, Iterable[float]]]) -> bytes:
    """Records whose labels are the given values by name, as float32."""
    written = bytearray()
    for record in records:
        message = bytearray()
        for name, values in record.items():
            packed = np.asarray(list(values), dtype="<f4").tobytes()
            value = _delimited(2, _delimited(_VALUES, packed))
            message += _delimited(_LABEL, _delimited(1, name.encode()) + _delimited(2, value))
        written += _HEAD.pack(_MAGIC, len(message)) + message + bytes(-len(message) % 4)
    return bytes(written)


def _messages(content: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(content):
        if len(content) - place < _HEAD.size:
            raise ValueError("the content ends within a record")
        magic, length = _HEAD.unpack_from(content, place)
        length &= _LENGTH
        place += _HEAD.size
        if magic != _MAGIC or place + length > len(content):
            raise ValueError("it is not RecordIO, or it ends within a record")
        yield content[place : place + length]
        place += length + -length % 4


def _fields(message: bytes) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and value of each field of a message."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield tag >> 3, kind, value
            continue
        if kind == _BYTES:
            size, place = _varint(message, place)
        elif kind in {_FIXED32, _FIXED64}:
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError("a record is no message")
        if place + size > len(message):
            raise ValueError("a record ends within a field")
        yield tag >> 3, kind, message[place : place + size]
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(message):
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a number
            return value, place
        shift += 7
    raise ValueError("a record ends within a number")


def _tensor(value: bytes) -> Any:  # noqa: ANN401 - an array
    """A tensor as one row; a sparse one is filled with what is missing."""
    for field, _, content in _fields(value):
        if field not in _TENSORS:
            raise ValueError("a record holds no numbers")
        dtype = _TENSORS[field]
        values: list[Any] = []
        keys: list[int] = []
        shape: list[int] = []
        for number, kind, item in _fields(content):
            if number == _VALUES and dtype is not None:
                values.append(np.frombuffer(item, dtype))
            elif number == _VALUES:
                values.append(np.asarray(_whole(item, kind)).astype(np.int32))
            elif number == _KEYS:
                keys += _whole(item, kind)
            elif number == _SHAPE:
                shape += _whole(item, kind)
        found = np.concatenate(values) if values else np.zeros(0)
        if not keys:
            return found.astype(np.float32)
        row = np.full(shape[-1] if shape else max(keys) + 1, np.nan, dtype=np.float32)
        row[keys] = found
        return row
    raise ValueError("a record holds an empty value")


def _whole(item: Any, kind: int) -> list[int]:  # noqa: ANN401 - packed, or a single number
    if kind == _VARINT:
        return [item]
    numbers, place = [], 0
    while place < len(item):
        number, place = _varint(item, place)
        numbers.append(number)
    return numbers


def _delimited(field: int, content: bytes) -> bytes:
    head, size = bytearray([field << 3 | _BYTES]), len(content)
    while size > 0x7F:  # noqa: PLR2004 - seven bits in a byte
        head.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes(head) + bytes([size]) + content
