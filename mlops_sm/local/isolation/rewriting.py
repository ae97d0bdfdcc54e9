"""Paths of a job as they are on this machine, where a layer cannot put them where the job looks for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from mlops_sm.local.isolation.layer import ML, SCRATCH, Launch
from mlops_sm.local.isolation.led.mlops_sm_led import rewrite_files, rewrite_text


@dataclass(frozen=True, slots=True)
class Rewriting:
    """Replaces paths of a job by the machine's, where they stand as a path and not as a part of another.

    Attributes:
        places: Path of the job -> path on this machine.
    """

    places: Mapping[str, str]

    @classmethod
    def of(cls, *, ml: str | None = None, scratch: str | None = None) -> Self:
        """Where the job's folders are; None leaves a path as it is."""
        return cls({path: place for path, place in ((ML, ml), (SCRATCH, scratch)) if place is not None})

    def text(self, text: str) -> str:
        """Every path in a text: ``/opt/ml/model`` and ``--out=/opt/ml/model``, but not ``s3://bucket/opt/ml``."""
        return rewrite_text(text, self.places)

    def launch(self, launch: Launch) -> Launch:
        """The command, its environment, its working directory and our own programs in the scratch folder."""
        self.files(launch.scratch.rglob("*.py"))
        return replace(
            launch,
            argv=tuple(self.text(word) for word in launch.argv),
            environment={name: self.text(value) for name, value in launch.environment.items()},
            cwd=self.text(launch.cwd),
        )

    def files(self, files: Iterable[Path]) -> None:
        """The text of programs and their settings; what is none, no plain file or large stays as it is."""
        rewrite_files(map(str, files), self.places)
