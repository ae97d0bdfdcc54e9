"""The body of a PutObject or UploadPart, streamed into a content's file and checked as S3 checks it.

moto then answers a request that is the same but for its body, and the file becomes the object's content.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import importlib
import importlib.util
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.contents import Contents
from mlops_sm.emulator.errors import AwsError

_BLOCK: Final = 1024**2
_LINE: Final = 64 * 1024
_OPERATIONS: Final = frozenset({"PutObject", "UploadPart"})
_CHECKSUM: Final = "x-amz-checksum-"
_NO_CHECKSUMS: Final = frozenset({"algorithm", "mode", "type"})
_STREAMED: Final = "STREAMING-"
_SHA256_DIGITS: Final = 64
_MD5_BYTES: Final = 16
_DROPPED: Final = frozenset({"x-amz-decoded-content-length", "x-amz-trailer", "transfer-encoding", "expect"})


class Digest(Protocol):
    """A checksum that is being computed."""

    def update(self, block: bytes, /) -> object:
        """Take more of the content."""

    def digest(self) -> bytes:
        """The checksum of what was taken."""


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, block: bytes, /) -> None:
        self._value = zlib.crc32(block, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


class _Crt:
    """A checksum that only awscrt has at a speed worth waiting for."""

    def __init__(self, compute: Callable[[bytes, int], int], size: int) -> None:
        self._compute = compute
        self._size = size
        self._value = 0

    def update(self, block: bytes, /) -> None:
        self._value = self._compute(block, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


def digest_of(algorithm: str) -> Digest | None:
    """What computes a checksum, by its name in lower case; None for one that cannot be computed here."""
    match algorithm:
        case "crc32":
            return _Crc32()
        case "sha1":
            return hashlib.sha1(usedforsecurity=False)
        case "sha256":
            return hashlib.sha256()
        case "crc32c" | "crc64nvme" if importlib.util.find_spec("awscrt"):
            compute = getattr(importlib.import_module("awscrt.checksums"), algorithm)
            return _Crt(compute, 8 if algorithm == "crc64nvme" else 4)
        case _:
            return None


class Received(NamedTuple):
    """A body that is in a file.

    Attributes:
        content: The content's id.
        etag: Its MD5 in hexadecimal digits.
        request: The request as moto gets it: with the checksums that were checked, without a body.
    """

    content: str
    etag: str
    request: Arrival


def is_upload(arrival: Arrival) -> bool:
    """Whether a request's body is the content of an object or of a part of one."""
    return arrival.service == "s3" and arrival.operation in _OPERATIONS and "x-amz-copy-source" not in arrival.headers


def receive(arrival: Arrival, contents: Contents) -> Received:
    """Write a body into a content's file and check it against what its request says of it.

    The errors are those of "List of error codes" in S3's API reference.

    Raises:
        AwsError: BadDigest, InvalidDigest, XAmzContentSHA256Mismatch, IncompleteBody: it is not what was announced.
        OSError: The disk refused.
    """
    headers = arrival.headers
    wanted = {
        name.removeprefix(_CHECKSUM): value
        for name, value in headers.items()
        if name.startswith(_CHECKSUM) and name.removeprefix(_CHECKSUM) not in _NO_CHECKSUMS
    }
    trailer = headers.get("x-amz-trailer", "").removeprefix(_CHECKSUM)
    named = {*wanted, *filter(None, [trailer, headers.get("x-amz-sdk-checksum-algorithm", "").lower()])}
    digests = {name: made for name in named if (made := digest_of(name)) is not None}
    md5, sha256 = hashlib.md5(usedforsecurity=False), _payload_digest(headers)
    body = _Body(arrival.open())

    def blocks() -> Iterator[bytes]:
        for block in body.decoded() if _is_chunked(headers) else body.plain():
            for digest in (md5, sha256, *digests.values()):
                if digest is not None:
                    digest.update(block)
            yield block

    content = contents.receive(blocks())
    try:
        _check_length(headers, body.size)
        wanted.update(body.trailers(_CHECKSUM))
        computed = {name: base64.b64encode(digest.digest()).decode() for name, digest in digests.items()}
        _check(headers, wanted, computed, md5.digest(), None if sha256 is None else sha256.hexdigest())
    except BaseException:
        contents.remove([content])
        raise
    return Received(content, md5.hexdigest(), _without_body(arrival, {**computed, **wanted}))


def _check_length(headers: Mapping[str, str], size: int) -> None:
    announced = headers.get("x-amz-decoded-content-length") or headers.get("content-length")
    if announced is not None and announced != str(size):
        message = "You did not provide the number of bytes specified by the Content-Length HTTP header."
        raise AwsError("IncompleteBody", message)


def _check(
    headers: Mapping[str, str], wanted: Mapping[str, str], computed: Mapping[str, str], md5: bytes, sha256: str | None
) -> None:
    if "content-md5" in headers:
        try:
            announced = base64.b64decode(headers["content-md5"], validate=True)
        except binascii.Error:
            announced = b""
        if len(announced) != _MD5_BYTES:
            raise AwsError("InvalidDigest", "The Content-MD5 you specified was invalid.")
        if not hmac.compare_digest(announced, md5):
            raise AwsError("BadDigest", "The Content-MD5 you specified did not match what we received.")
    for name, value in wanted.items():
        if name in computed and computed[name] != value:
            message = f"The {name.upper()} you specified did not match the calculated checksum."
            raise AwsError("BadDigest", message)
    if sha256 is not None and sha256 != headers["x-amz-content-sha256"].lower():
        message = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise AwsError("XAmzContentSHA256Mismatch", message)


def _payload_digest(headers: Mapping[str, str]) -> Any:  # noqa: ANN401 - hashlib's own type has no name
    """What computes the hash that the request was signed with; None when it was signed without."""
    announced = headers.get("x-amz-content-sha256", "")
    return hashlib.sha256() if len(announced) == _SHA256_DIGITS else None


def _is_chunked(headers: Mapping[str, str]) -> bool:
    return headers.get("x-amz-content-sha256", "").startswith(_STREAMED) or "aws-chunked" in _encodings(headers)


def _encodings(headers: Mapping[str, str]) -> list[str]:
    return [name.strip() for name in headers.get("content-encoding", "").split(",") if name.strip()]


def _without_body(arrival: Arrival, checksums: Mapping[str, str]) -> Arrival:
    headers = {name: value for name, value in arrival.headers.items() if name not in _DROPPED}
    headers["content-length"] = "0"
    headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
    encodings = [name for name in _encodings(headers) if name != "aws-chunked"]
    headers.pop("content-encoding", None)
    if encodings:
        headers["content-encoding"] = ",".join(encodings)
    for name, value in checksums.items():
        # moto keeps a checksum only with the name of its algorithm.
        headers["x-amz-sdk-checksum-algorithm"] = name.upper()
        headers[_CHECKSUM + name] = value
    return arrival._replace(headers=headers, read=bytes, stream=None)


class _Body:
    """A body on its way in.

    Attributes:
        size: How many bytes of content it had so far.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._ahead = b""
        self._trailers: dict[str, str] = {}
        self.size = 0

    def plain(self) -> Iterator[bytes]:
        """The content of a body that is nothing else."""
        while block := self._source.read(_BLOCK):
            self.size += len(block)
            yield block

    def decoded(self) -> Iterator[bytes]:
        """The content of a body in the aws-chunked encoding, signed or not.

        Raises:
            AwsError: IncompleteBody, it is cut off or no such encoding.
        """
        try:
            while (left := int(self._line().partition(b";")[0], 16)) > 0:
                while left:
                    block = self._take(min(left, _BLOCK))
                    left -= len(block)
                    self.size += len(block)
                    yield block
                self._line()
            while line := self._line():
                name, _, value = line.decode("latin-1").partition(":")
                self._trailers[name.strip().lower()] = value.strip()
        except (ValueError, EOFError) as error:
            raise AwsError("IncompleteBody", "The request body terminated unexpectedly") from error

    def trailers(self, prefix: str) -> dict[str, str]:
        """What came after the content, by names without their prefix."""
        return {name.removeprefix(prefix): value for name, value in self._trailers.items() if name.startswith(prefix)}

    def _take(self, size: int) -> bytes:
        """At least one byte, at most so many."""
        if not self._ahead:
            self._ahead = self._source.read(_BLOCK)
            if not self._ahead:
                raise EOFError
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        return taken

    def _line(self) -> bytes:
        while b"\n" not in self._ahead:
            more = self._source.read(_BLOCK)
            if not more:
                # The last line may end with the body.
                line, self._ahead = self._ahead, b""
                return line.rstrip(b"\r")
            self._ahead += more
            if len(self._ahead) > _LINE + _BLOCK and b"\n" not in self._ahead:
                raise ValueError("a line without end")
        line, _, self._ahead = self._ahead.partition(b"\n")
        return line.rstrip(b"\r")
