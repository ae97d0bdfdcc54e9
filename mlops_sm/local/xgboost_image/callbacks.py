"""What happens after each round of training: a line in the log, a checkpoint, a model for a job that is stopped."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Final

import xgboost

_CHECKPOINT: Final = "xgboost-checkpoint"
_NUMBERED: Final = re.compile(rf"{_CHECKPOINT}\.([0-9]+)")
_KEPT: Final = 5
"""Checkpoints that are kept, the newest ones."""


def log_line(rounds: int, scores: list[tuple[str, str, float]]) -> str:
    """A line of the log with a round's scores: (data, metric, value).

    The image prints tabs; the platform's log shows each as ``#011``, which is what MetricDefinitions are written for.
    """
    return f"[{rounds}]" + "".join(f"#011{data}-{metric}:{value:.5f}" for data, metric, value in scores)


def newest(checkpoints: Path | None) -> tuple[Path | None, int]:
    """The newest checkpoint and how many rounds it has seen; (None, 0) when there is none."""
    found = checkpoints.iterdir() if checkpoints is not None and checkpoints.is_dir() else []
    numbered = [(int(match[1]), path) for path in found if (match := _NUMBERED.fullmatch(path.name))]
    if not numbered:
        return None, 0
    number, path = max(numbered)
    return path, number + 1


def save(booster: Any, path: Path) -> None:  # noqa: ANN401 - a Booster
    """Write a model in XGBoost's own format, all at once."""
    # The library tells the format by the ending.
    whole = path.with_name(f".{path.name}.ubj")
    booster.save_model(whole)
    whole.replace(path)


class AfterRound(xgboost.callback.TrainingCallback):
    """What is done after every round.

    Args:
        seen: Rounds that an earlier training has done.
        checkpoints: Where checkpoints go; None for no checkpoints.
        left: Where the model goes after every round; None when it is written at the end only.
    """

    def __init__(self, *, seen: int, checkpoints: Path | None, left: Path | None) -> None:
        super().__init__()
        self._seen = seen
        self._checkpoints = checkpoints
        self._left = left

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ANN401 - the library's
        """Tell, and keep, what has been reached."""
        rounds = self._seen + epoch
        scores = [(data, name, values[-1]) for data, each in evals_log.items() for name, values in each.items()]
        if scores and xgboost.collective.get_rank() == 0:
            sys.stdout.write(log_line(rounds, scores) + "\n")
            sys.stdout.flush()
        if self._checkpoints is not None:
            save(model, self._checkpoints / f"{_CHECKPOINT}.{rounds}")
            (self._checkpoints / f"{_CHECKPOINT}.{rounds - _KEPT}").unlink(missing_ok=True)
        if self._left is not None:
            save(model, self._left)
        return False
