"""All inputs of one instance of a job."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, assert_never

from mlops_sm.local.isolation.layer import ML
from mlops_sm.local.jobs.channels.channel import AUGMENTED, Channel, Mode
from mlops_sm.local.jobs.channels.pipe import Pipe
from mlops_sm.local.jobs.channels.records import attributes, lines_of, objects
from mlops_sm.local.jobs.folder import JobFolder
from mlops_sm.local.jobs.transfer import as_job_failure, find_sources, put
from mlops_sm.local.site import Site

_PIPES: Final = "pipes"


@dataclass(slots=True)
class Inputs:
    """The inputs of one instance; as long as the context lasts, its pipes are filled.

    Attributes:
        folder: The instance's folder.
        site: Where it runs.
        role: The job's role ARN, for messages.
        under: The folder below which all of them must be, as the job sees it.
    """

    folder: JobFolder
    site: Site
    role: str
    under: str = ML
    _lent: list[str] = field(default_factory=list)
    _pipes: list[Pipe] = field(default_factory=list)

    def add(self, channel: Channel) -> None:
        """Make one input ready.

        Raises:
            JobFailureError: It is not there, or not what the request says it is.
        """
        place = self.folder.inside(channel.place, under=self.under)
        match channel.mode:
            case Mode.FILE:
                self._copy(channel, place, lend=False)
            case Mode.FAST_FILE:
                # Where nothing keeps a job from changing the objects themselves, it gets copies.
                lend = self.site.isolation.capabilities.mounts
                self._copy(channel, place, lend=lend)
                if self.site.isolation.capabilities.read_only:
                    self._lent.append(channel.place)
            case Mode.PIPE:
                self._pipes.append(self._pipe(channel, place))
            case _:
                assert_never(channel.mode)

    @property
    def read_only(self) -> tuple[str, ...]:
        """Folders that the job may not write to: the objects themselves are in them."""
        return tuple(self._lent)

    def check(self) -> None:
        """Tell whether all data could be given, once the job has ended.

        Raises:
            JobFailureError: The first failure.
        """
        for pipe in self._pipes:
            if pipe.failure is not None:
                raise pipe.failure

    def __enter__(self) -> Inputs:
        for pipe in self._pipes:
            pipe.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in self._pipes:
            pipe.close()

    def _copy(self, channel: Channel, place: Path, *, lend: bool) -> None:
        found = find_sources(
            self.site.store,
            channel.uri,
            place,
            data_type=channel.data_type,
            region=self.site.region,
            role=self.role,
        )
        put(self.site.store, channel.part(found), place, lend=lend)

    def _pipe(self, channel: Channel, place: Path) -> Pipe:
        store, scratch = self.site.store, self.folder.scratch / _PIPES
        scratch.mkdir(parents=True, exist_ok=True)
        if channel.data_type == AUGMENTED:
            with as_job_failure("Data download failed", place):
                lines = lines_of(channel, store)
            return Pipe(place, lambda epoch: attributes(channel, channel.part(lines, epoch), store, scratch))
        found = find_sources(
            store, channel.uri, place, data_type=channel.data_type, region=self.site.region, role=self.role
        )
        locations = [location for location, _ in found]
        return Pipe(place, lambda epoch: objects(channel, channel.part(locations, epoch), store, scratch))
