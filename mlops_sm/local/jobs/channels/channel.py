"""One input of a job, as a request describes it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from mlops_sm.definition.document import Json
from mlops_sm.local.isolation.layer import ML
from mlops_sm.local.jobs.folder import JobFailureError

DATA: Final = f"{ML}/input/data"
AUGMENTED: Final = "AugmentedManifestFile"
_NONE: Final = "None"

T = TypeVar("T")


class Mode(StrEnum):
    """How a job gets its data (API reference, TrainingInputMode)."""

    FILE = "File"
    FAST_FILE = "FastFile"
    PIPE = "Pipe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One input.

    Attributes:
        name: What messages call it.
        place: Where the job finds it: the folder of its files; its pipes are at ``<place>_<epoch>``.
        uri: Its S3Uri.
        data_type: Its S3DataType.
        mode: How the job gets it.
        attributes: AttributeNames, of an augmented manifest.
        compressed: Whether the objects are unpacked from gzip on their way into a pipe.
        wrapped: Whether what goes into a pipe is wrapped into records of RecordIO.
        seed: Of ShuffleConfig; None keeps the order.
        share: Which of how many instances this is for: of ShardedByS3Key each gets its part.
    """

    name: str
    place: str
    uri: str
    data_type: str = "S3Prefix"
    mode: Mode = Mode.FILE
    attributes: tuple[str, ...] = ()
    compressed: bool = False
    wrapped: bool = False
    seed: int | None = None
    share: tuple[int, int] = (0, 1)

    @classmethod
    def of_training(cls, channel: Mapping[str, Json], mode: str, share: tuple[int, int] = (0, 1)) -> Channel:
        """A channel of a training job.

        Args:
            channel: A member of InputDataConfig.
            mode: The job's TrainingInputMode.
            share: Which part of the data it is.

        Raises:
            JobFailureError: It has no source in S3, or an augmented manifest is not read through a pipe.
        """
        name = channel["ChannelName"]
        source = s3_source(channel)
        found = cls(
            name=name,
            place=f"{DATA}/{name}",
            uri=source["S3Uri"],
            data_type=source.get("S3DataType", "S3Prefix"),
            mode=Mode(channel.get("InputMode", mode)),
            attributes=tuple(source.get("AttributeNames") or ()),
            compressed=channel.get("CompressionType", _NONE) != _NONE,
            wrapped=channel.get("RecordWrapperType", _NONE) != _NONE,
            seed=(channel.get("ShuffleConfig") or {}).get("Seed"),
            share=share,
        )
        if found.data_type == AUGMENTED and found.mode is not Mode.PIPE:
            raise JobFailureError(
                f"ClientError: channel {name}: AugmentedManifestFile can only be used if the Channel's input mode is "
                "Pipe"
            )
        return found

    @classmethod
    def of_processing(cls, entry: Mapping[str, Json], share: tuple[int, int] = (0, 1)) -> Channel:
        """An input of a processing job.

        Args:
            entry: A member of ProcessingInputs.
            share: Which part of the data it is.

        Raises:
            JobFailureError: It has no source in S3 or no place.
        """
        name, source = entry.get("InputName", ""), entry.get("S3Input")
        if source is None:
            raise JobFailureError(f"ClientError: input {name} has no S3Input; only that works here")
        if "LocalPath" not in source:
            raise JobFailureError(f"ClientError: {source['S3Uri']} has no LocalPath; only app-managed data may lack it")
        return cls(
            name=name,
            place=source["LocalPath"].rstrip("/"),
            uri=source["S3Uri"],
            data_type=source.get("S3DataType", "S3Prefix"),
            mode=Mode(source.get("S3InputMode", "File")),
            compressed=source.get("S3CompressionType", _NONE) != _NONE,
            share=share,
        )

    def part(self, found: list[T], epoch: int = 0) -> list[T]:
        """What this instance gets of the objects or lines in an epoch, in its order.

        Shuffling comes before sharding: "the content sent to a particular node on the first epoch might be sent to a
        different node on the second epoch" (API reference, ShuffleConfig). Every instance shuffles alike.
        """
        if self.seed is not None:
            found = list(found)
            random.Random(f"{self.seed}/{epoch}").shuffle(found)  # noqa: S311 - nobody is to be surprised by it
        return found[self.share[0] :: self.share[1]]


def s3_source(channel: Mapping[str, Json]) -> Mapping[str, Json]:
    """The S3DataSource of a training channel.

    Raises:
        JobFailureError: It has another one.
    """
    source: Mapping[str, Json] | None = (channel.get("DataSource") or {}).get("S3DataSource")
    if source is None:
        raise JobFailureError(
            f"ClientError: channel {channel['ChannelName']} has no S3DataSource; only that works here"
        )
    return source
