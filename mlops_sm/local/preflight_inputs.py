"""What of a job's inputs contradicts itself: members that belong to Pipe mode, and how a manifest is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.errors import Problem

_PIPE: Final = "Pipe"
_AUGMENTED: Final = "AugmentedManifestFile"
_ONLY_PIPES: Final = {"CompressionType": "Gzip", "RecordWrapperType": "RecordIO"}
"""Members of a channel that do something in Pipe mode only (API reference, Channel)."""

Known = Callable[[Json], Json]


def check_channels(
    channels: Json, mode: Json, known: Known, where: Callable[[str], str], step: str
) -> Iterator[Problem]:
    """Problems of a training job's channels.

    Args:
        channels: InputDataConfig.
        mode: TrainingInputMode.
        known: A value before anything ran; what it gives for a value that only a run can know equals no text.
        where: The place of a member of InputDataConfig in the document.
        step: The step's name.
    """
    for index, channel in enumerate(channels if isinstance(channels, list) else []):
        name = f"channel {known(channel.get('ChannelName'))}"
        used = known(channel.get("InputMode", mode)) or "File"
        if not isinstance(used, str):
            continue
        source = (channel.get("DataSource") or {}).get("S3DataSource") or {}
        place = f"[{index}].DataSource.S3DataSource"
        if known(source.get("S3DataType")) == _AUGMENTED:
            if used != _PIPE:
                yield Problem(
                    "E422",
                    where(f"{place}.S3DataType"),
                    f'step "{step}": {name} reads an augmented manifest in {used} mode, and only Pipe mode does that',
                    f'Set "InputMode": "{_PIPE}" for the channel, and have the program read the pipes.',
                )
            if not source.get("AttributeNames"):
                yield Problem(
                    "E422",
                    where(place),
                    f'step "{step}": {name} reads an augmented manifest and names none of its attributes',
                    "Name them in AttributeNames, in the order in which they are to be streamed.",
                )
        for member, value in _ONLY_PIPES.items():
            if used != _PIPE and known(channel.get(member)) == value:
                yield _without_effect(where(f"[{index}].{member}"), f'step "{step}": {name}: {member} {value}')


def check_inputs(inputs: Json, known: Known, where: Callable[[str], str], step: str) -> Iterator[Problem]:
    """Problems of a processing job's inputs; arguments as of `check_channels`."""
    for index, entry in enumerate(inputs if isinstance(inputs, list) else []):
        source: Mapping[str, Json] = entry.get("S3Input") or {}
        mode = known(source.get("S3InputMode")) or "File"
        if isinstance(mode, str) and mode != _PIPE and known(source.get("S3CompressionType")) == "Gzip":
            name = f"input {known(entry.get('InputName'))}"
            place = where(f"[{index}].S3Input.S3CompressionType")
            yield _without_effect(place, f'step "{step}": {name}: S3CompressionType Gzip')


def _without_effect(where: str, what: str) -> Problem:
    return Problem(
        "W418",
        where,
        f"{what} is used in Pipe mode only; the files arrive as they are, as on AWS",
        "Leave it out, or read the data through a pipe.",
    )
