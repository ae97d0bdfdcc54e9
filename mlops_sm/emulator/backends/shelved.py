"""Which collections of moto's grow without end, service by service."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from mlops_sm.emulator.backends.shelves import Forgetful, Handles, Ledger, Shelf, Slice

Backend = Any
"""One of moto's."""


def shelves_of(service: str, backend: Backend) -> list[Shelf]:
    """The shelves of a backend; from the first call on they stand where moto's own collections stood."""
    find = _SHELVED.get(service)
    return list(find(backend)) if find else []


def read_shelf(kind: str, label: str, slices: Sequence[Slice]) -> Shelf:
    """The shelf that slices were written of."""
    if kind == Ledger.kind:
        return Ledger.read(label, slices)
    if kind == Handles.kind:
        return Handles.read(label, slices)
    from mlops_sm.emulator.backends.queues import Messages  # noqa: PLC0415 - imports moto's SQS

    return Messages.read(label, slices)


def _queues(backend: Backend) -> Iterator[Shelf]:
    from mlops_sm.emulator.backends.queues import shelves_of as find  # noqa: PLC0415 - imports moto's SQS

    return find(backend)


def _metrics(backend: Backend) -> Iterator[Shelf]:
    if not isinstance(backend.metric_data, Ledger):
        backend.metric_data = Ledger("metric_data", backend.metric_data)
    yield backend.metric_data


def _logs(backend: Backend) -> Iterator[Shelf]:
    for group, log_group in list(backend.groups.items()):
        for stream, log_stream in list(log_group.streams.items()):
            if not isinstance(log_stream.events, Ledger):
                log_stream.events = Ledger(f"{group}\n{stream}", log_stream.events)
            yield log_stream.events


def _archives(backend: Backend) -> Iterator[Shelf]:
    for name, archive in list(backend.archives.items()):
        if not isinstance(archive.events, Ledger):
            archive.events = Ledger(name, archive.events)
        yield archive.events


def _topics(backend: Backend) -> Iterator[Shelf]:
    for topic in list(backend.topics.values()):
        if not isinstance(topic.sent_notifications, Forgetful):
            topic.sent_notifications = Forgetful()
    return iter(())


_SHELVED: Final[Mapping[str, Callable[[Backend], Iterator[Shelf]]]] = {
    "cloudwatch": _metrics,
    "events": _archives,
    "logs": _logs,
    "sns": _topics,
    "sqs": _queues,
}
