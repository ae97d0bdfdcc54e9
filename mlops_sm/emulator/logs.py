"""CloudWatch Logs' reads on the log groups of SageMaker jobs, answered from the jobs' log files.

A log file carries no times, so every event has the time at which its job started. Tokens are byte offsets: a reader
that follows a running job reads each line once.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

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


class _Stream(NamedTuple):
    """What one instance of a job has written."""

    job: Entity
    host: str
    path: Path

    @property
    def name(self) -> str:
        return f"{self.job.name}/{self.host}-{round(self.job.created * 1000)}"


@dataclass(frozen=True, slots=True)
class JobLogs:
    """The log streams of the jobs of every scope.

    Attributes:
        store: Knows the jobs.
        path: Where the log file of a job's first instance is.
    """

    store: Store
    path: Callable[[Entity], Path]

    def describe_streams(self, scope: Scope, request: Mapping[str, Json]) -> dict[str, Json]:
        """DescribeLogStreams: one stream for each instance of a job."""
        by_time = request.get("orderBy") == "LastEventTime"
        if by_time and request.get("logStreamNamePrefix"):
            raise _invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
        streams = self._streams(
            scope, request, sort="created" if by_time else "name", descending=bool(request.get("descending"))
        )
        start = _offset(request.get("nextToken"))
        end = start + min(request.get("limit") or _MAX_STREAMS, _MAX_STREAMS)
        answer: dict[str, Json] = {"logStreams": [_describe(stream) for stream in streams[start:end]]}
        if end < len(streams):
            answer["nextToken"] = f"f/{end}"
        return answer

    def get_events(self, scope: Scope, request: Mapping[str, Json]) -> dict[str, Json]:
        """GetLogEvents: lines of one stream, forwards from a place or backwards from it."""
        job, _, path = self._stream(scope, _kind(request), request["logStreamName"])
        limit = min(request.get("limit") or _MAX_EVENTS, _MAX_EVENTS)
        token = request.get("nextToken")
        if not path.exists():
            lines, place = [], 0
        elif token is None and not request.get("startFromHead"):
            place = path.stat().st_size
            lines = _backwards(path, place, limit, whole=job.status not in ACTIVE)
        elif token is not None and token.startswith("b/"):
            place = _offset(token)
            lines = _backwards(path, place, limit, whole=True)
        else:
            place = _offset(token)
            lines = _forwards(path, place, limit, whole=job.status not in ACTIVE)
        time = _time(job)
        inside = _in_range(time, request)
        events = [{"timestamp": time, "message": line.message, "ingestionTime": time} for line in lines if inside]
        first, last = (lines[0].start, lines[-1].end) if lines else (place, place)
        return {"events": events, "nextForwardToken": f"f/{last:056d}", "nextBackwardToken": f"b/{first:056d}"}

    def filter_events(self, scope: Scope, request: Mapping[str, Json]) -> dict[str, Json]:
        """FilterLogEvents: lines of several streams, one stream after the other in order of their start."""
        if names := request.get("logStreamNames"):
            streams = [self._stream(scope, _kind(request), name) for name in names]
        else:
            streams = self._streams(scope, request)
        terms = _terms(request.get("filterPattern") or "")
        limit = min(request.get("limit") or _MAX_EVENTS, _MAX_EVENTS)
        index, offset = _position(request.get("nextToken"))
        events: list[dict[str, Json]] = []
        read = 0
        for number, stream in enumerate(streams[index:], start=index):
            job, time, path = stream.job, _time(stream.job), stream.path
            if path.exists() and _in_range(time, request):
                for line in _forwards(path, offset, _MAX_EVENTS, whole=job.status not in ACTIVE):
                    read += line.end - line.start
                    if all(term in line.message for term in terms):
                        events.append(_found(stream, line, time))
                    offset = line.end
                    if len(events) >= limit or read >= _MAX_ANSWER_BYTES:
                        return {"events": events, "nextToken": f"{number}/{offset}", "searchedLogStreams": []}
            offset = 0
        return {"events": events, "searchedLogStreams": []}

    def _streams(
        self, scope: Scope, request: Mapping[str, Json], *, sort: str = "created", descending: bool = False
    ) -> list[_Stream]:
        """What there is of streams that begin with the request's logStreamNamePrefix; of the group without one."""
        prefix = request.get("logStreamNamePrefix") or ""
        conditions = [Condition("instr(name, ?) = 1", prefix.split("/", 1)[0])] if prefix else []
        jobs = self.store.select(scope, _kind(request), conditions=conditions, sort=sort, descending=descending)
        streams = [stream for job in jobs for stream in self._of_job(job, descending=descending)]
        return [stream for stream in streams if stream.name.startswith(prefix) and stream.path.exists()]

    def _stream(self, scope: Scope, kind: Kind, name: str) -> _Stream:
        job = self.store.get(scope, kind, name.split("/", 1)[0])
        found = [stream for stream in self._of_job(job) if stream.name == name] if job is not None else []
        if not found:
            raise AwsError("ResourceNotFoundException", "The specified log stream does not exist.")
        return found[0]

    def _of_job(self, job: Entity, *, descending: bool = False) -> list[_Stream]:
        streams = [_Stream(job, host, path) for host, path in log_paths(self.path(job)).items()]
        return streams[::-1] if descending else streams


def group_of(request: Mapping[str, Json]) -> str:
    """The log group that a request names, by name or by ARN."""
    name: str = request.get("logGroupName") or request.get("logGroupIdentifier") or ""
    return name.split(":log-group:", 1)[-1].removesuffix(":*")


def _kind(request: Mapping[str, Json]) -> Kind:
    return GROUPS[group_of(request)]


def _describe(stream: _Stream) -> dict[str, Json]:
    job, time = stream.job, _time(stream.job)
    group = next(group for group, kind in GROUPS.items() if kind is job.kind)
    return {
        "logStreamName": stream.name,
        "creationTime": round(job.created * 1000),
        "firstEventTimestamp": time,
        "lastEventTimestamp": time,
        "lastIngestionTime": round(job.modified * 1000),
        "uploadSequenceToken": "0",
        "arn": f"arn:{naming.partition(job.scope.region)}:logs:{job.scope.region}:{job.scope.account}"
        f":log-group:{group}:log-stream:{stream.name}",
        "storedBytes": 0,
    }


def _time(job: Entity) -> int:
    started = next((job.body[name] for name in _STARTS if job.body.get(name)), job.created)
    return round(started * 1000)


def _found(stream: _Stream, line: _Line, time: int) -> dict[str, Json]:
    number = int(stream.host.rpartition("-")[2])
    return {
        "logStreamName": stream.name,
        "timestamp": time,
        "message": line.message,
        "ingestionTime": time,
        "eventId": f"{round(stream.job.created * 1_000_000):020d}{number:03d}{line.start:033d}",
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
