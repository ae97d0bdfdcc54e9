"""CloudWatch Logs' reads on the log groups of SageMaker's jobs and endpoints, answered from their log files.

A log file carries no times, so every event has the time at which its job started. Tokens are byte offsets: a reader
that follows a running job reads each line once.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Protocol

from mlops_sm import naming
from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.jobs import ACTIVE
from mlops_sm.emulator.store import Condition, Entity, Kind, Scope, Store
from mlops_sm.local.jobs import log_paths

GROUPS: Final[Mapping[str, Kind]] = {
    "/aws/sagemaker/ProcessingJobs": Kind.PROCESSING_JOB,
    "/aws/sagemaker/TrainingJobs": Kind.TRAINING_JOB,
    "/aws/sagemaker/TransformJobs": Kind.TRANSFORM_JOB,
}
_STARTS: Final = ("ProcessingStartTime", "TrainingStartTime", "TransformStartTime")

# Limits of CloudWatch Logs (API reference of GetLogEvents, FilterLogEvents and DescribeLogStreams).
_MAX_EVENTS: Final = 10_000
_MAX_ANSWER_BYTES: Final = 1 << 20
_MAX_EVENT_BYTES: Final = 256 * 1024
_MAX_STREAMS: Final = 50
_TAIL_BLOCK: Final = 64 * 1024


class _Line(NamedTuple):
    start: int
    end: int
    message: str


class Stream(NamedTuple):
    """One log stream.

    Attributes:
        name: Its name.
        path: The file with its lines.
        created: When it came to be, epoch seconds.
        modified: When it was written last, epoch seconds.
        began: Milliseconds of the epoch that all its events have.
        ended: Whether nothing is added any more, so that a last line without an end is whole.
        number: Tells it from others that came to be at the same time.
    """

    name: str
    path: Path
    created: float
    modified: float
    began: int
    ended: bool
    number: int = 1


class Source(Protocol):
    """Where log streams are."""

    def has(self, group: str) -> bool:
        """Whether a log group is of this source."""

    def streams(self, scope: Scope, group: str, prefix: str) -> list[Stream]:
        """The streams of a group whose names begin with a prefix, in any order."""


@dataclass(frozen=True, slots=True)
class JobLogs:
    """The log streams of the jobs of every scope: one for each instance of a job.

    Attributes:
        store: Knows the jobs.
        path: Where the log file of a job's first instance is.
    """

    store: Store
    path: Callable[[Entity], Path]

    def has(self, group: str) -> bool:
        """Whether a log group is one of jobs."""
        return group in GROUPS

    def streams(self, scope: Scope, group: str, prefix: str) -> list[Stream]:
        """The streams of a group whose names begin with a prefix."""
        conditions = [Condition("instr(name, ?) = 1", prefix.split("/", 1)[0])] if prefix else []
        jobs = self.store.select(scope, GROUPS[group], conditions=conditions)
        return [stream for job in jobs for stream in self._of_job(job) if stream.name.startswith(prefix)]

    def _of_job(self, job: Entity) -> Iterator[Stream]:
        started = next((job.body[name] for name in _STARTS if job.body.get(name)), job.created)
        for host, path in log_paths(self.path(job)).items():
            yield Stream(
                name=f"{job.name}/{host}-{round(job.created * 1000)}",
                path=path,
                created=job.created,
                modified=job.modified,
                began=round(started * 1000),
                ended=job.status not in ACTIVE,
                number=int(host.rpartition("-")[2]),
            )


@dataclass(frozen=True, slots=True)
class Logs:
    """Answers the reads on log streams.

    Attributes:
        sources: Where they are.
    """

    sources: Sequence[Source]

    def has(self, group: str) -> bool:
        """Whether a log group is answered here."""
        return any(source.has(group) for source in self.sources)

    def describe_streams(self, scope: Scope, request: Mapping[str, Json]) -> dict[str, Json]:
        """DescribeLogStreams: one stream for each instance of a job."""
        by_time = request.get("orderBy") == "LastEventTime"
        if by_time and request.get("logStreamNamePrefix"):
            raise _invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
        streams = self._streams(scope, request, by_name=not by_time, descending=bool(request.get("descending")))
        start = _offset(request.get("nextToken"))
        end = start + min(request.get("limit") or _MAX_STREAMS, _MAX_STREAMS)
        answer: dict[str, Json] = {
            "logStreams": [_describe(scope, group_of(request), stream) for stream in streams[start:end]]
        }
        if end < len(streams):
            answer["nextToken"] = f"f/{end}"
        return answer

    def get_events(self, scope: Scope, request: Mapping[str, Json]) -> dict[str, Json]:
        """GetLogEvents: lines of one stream, forwards from a place or backwards from it."""
        stream = self._stream(scope, group_of(request), request["logStreamName"])
        path = stream.path
        limit = min(request.get("limit") or _MAX_EVENTS, _MAX_EVENTS)
        token = request.get("nextToken")
        if not path.exists():
            lines, place = [], 0
        elif token is None and not request.get("startFromHead"):
            place = path.stat().st_size
            lines = _backwards(path, place, limit, whole=stream.ended)
        elif token is not None and token.startswith("b/"):
            place = _offset(token)
            lines = _backwards(path, place, limit, whole=True)
        else:
            place = _offset(token)
            lines = _forwards(path, place, limit, whole=stream.ended)
        time = stream.began
        inside = _in_range(time, request)
        events = [{"timestamp": time, "message": line.message, "ingestionTime": time} for line in lines if inside]
        first, last = (lines[0].start, lines[-1].end) if lines else (place, place)
        return {"events": events, "nextForwardToken": f"f/{last:056d}", "nextBackwardToken": f"b/{first:056d}"}

    def filter_events(self, scope: Scope, request: Mapping[str, Json]) -> dict[str, Json]:
        """FilterLogEvents: lines of several streams, one stream after the other in order of their start."""
        if names := request.get("logStreamNames"):
            streams = [self._stream(scope, group_of(request), name) for name in names]
        else:
            streams = self._streams(scope, request)
        terms = _terms(request.get("filterPattern") or "")
        limit = min(request.get("limit") or _MAX_EVENTS, _MAX_EVENTS)
        index, offset = _position(request.get("nextToken"))
        events: list[dict[str, Json]] = []
        read = 0
        for number, stream in enumerate(streams[index:], start=index):
            time, path = stream.began, stream.path
            if path.exists() and _in_range(time, request):
                for line in _forwards(path, offset, _MAX_EVENTS, whole=stream.ended):
                    read += line.end - line.start
                    if all(term in line.message for term in terms):
                        events.append(_found(stream, line, time))
                    offset = line.end
                    if len(events) >= limit or read >= _MAX_ANSWER_BYTES:
                        return {"events": events, "nextToken": f"{number}/{offset}", "searchedLogStreams": []}
            offset = 0
        return {"events": events, "searchedLogStreams": []}

    def _streams(
        self, scope: Scope, request: Mapping[str, Json], *, by_name: bool = False, descending: bool = False
    ) -> list[Stream]:
        """What there is of streams that begin with the request's logStreamNamePrefix; of the group without one."""
        found = self._found(scope, group_of(request), request.get("logStreamNamePrefix") or "")
        existing = [stream for stream in found if stream.path.exists()]
        return sorted(existing, key=lambda each: (0 if by_name else each.created, each.name), reverse=descending)

    def _stream(self, scope: Scope, group: str, name: str) -> Stream:
        for stream in self._found(scope, group, name):
            if stream.name == name:
                return stream
        raise AwsError("ResourceNotFoundException", "The specified log stream does not exist.")

    def _found(self, scope: Scope, group: str, prefix: str) -> list[Stream]:
        return [
            stream for source in self.sources if source.has(group) for stream in source.streams(scope, group, prefix)
        ]


def group_of(request: Mapping[str, Json]) -> str:
    """The log group that a request names, by name or by ARN."""
    name: str = request.get("logGroupName") or request.get("logGroupIdentifier") or ""
    return name.split(":log-group:", 1)[-1].removesuffix(":*")


def _describe(scope: Scope, group: str, stream: Stream) -> dict[str, Json]:
    return {
        "logStreamName": stream.name,
        "creationTime": round(stream.created * 1000),
        "firstEventTimestamp": stream.began,
        "lastEventTimestamp": stream.began,
        "lastIngestionTime": round(stream.modified * 1000),
        "uploadSequenceToken": "0",
        "arn": naming.arn("logs", scope.region, scope.account, f"log-group:{group}:log-stream:{stream.name}"),
        "storedBytes": 0,
    }


def _found(stream: Stream, line: _Line, time: int) -> dict[str, Json]:
    return {
        "logStreamName": stream.name,
        "timestamp": time,
        "message": line.message,
        "ingestionTime": time,
        "eventId": f"{round(stream.created * 1_000_000):020d}{stream.number:03d}{line.start:033d}",
    }


def _in_range(time: int, request: Mapping[str, Json]) -> bool:
    low, high = request.get("startTime"), request.get("endTime")
    return (low is None or time >= low) and (high is None or time < high)


def _forwards(path: Path, offset: int, limit: int, *, whole: bool) -> list[_Line]:
    """Lines from a byte offset on; an unfinished last line only when `whole`."""
    with path.open("rb") as log:
        log.seek(offset)
        return _read(log, limit, _MAX_ANSWER_BYTES, whole=whole)


def _backwards(path: Path, offset: int, limit: int, *, whole: bool) -> list[_Line]:
    """The last lines before a byte offset, in the file's order."""
    with path.open("rb") as log:
        start = offset
        block = b""
        while start > 0 and offset - start < _MAX_ANSWER_BYTES and block.count(b"\n") <= limit:
            step = min(_TAIL_BLOCK, start)
            start -= step
            log.seek(start)
            block = log.read(step) + block
        if start > 0:
            # The first line in the block began before it.
            start += block.find(b"\n") + 1
        log.seek(start)
        lines = [line for line in _read(log, sys.maxsize, sys.maxsize, whole=whole) if line.end <= offset]
    return lines[-limit:]


def _read(log: BinaryIO, limit: int, max_bytes: int, *, whole: bool) -> list[_Line]:
    lines: list[_Line] = []
    size = 0
    while len(lines) < limit and size < max_bytes:
        start = log.tell()
        line = log.readline(_MAX_EVENT_BYTES)
        unfinished = not line.endswith(b"\n") and len(line) < _MAX_EVENT_BYTES
        if not line or (unfinished and not whole):
            break
        size += len(line)
        lines.append(_Line(start, log.tell(), line.decode(errors="replace").rstrip("\r\n")))
    return lines


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(token.split("/", 1)[1])
    except (IndexError, ValueError):
        raise _invalid("The specified nextToken is invalid.") from None


def _position(token: str | None) -> tuple[int, int]:
    if token is None:
        return 0, 0
    try:
        index, offset = token.split("/")
        return int(index), int(offset)
    except ValueError:
        raise _invalid("The specified nextToken is invalid.") from None


def _terms(pattern: str) -> list[str]:
    """The words of a filter pattern, all of which a line must hold."""
    if pattern.startswith(("{", "[", "%")) or any(word.startswith(("?", "-")) for word in pattern.split()):
        raise _invalid("Only plain and quoted terms are available as filterPattern in the local account.")
    try:
        return shlex.split(pattern)
    except ValueError:
        raise _invalid("Invalid filter pattern") from None


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterException", message)
