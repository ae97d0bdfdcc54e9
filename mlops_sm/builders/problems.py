"""What a builder refuses: every problem of a call at once, with the line of the pipeline module that made it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from mlops_sm import naming
from mlops_sm.builders.context import Context
from mlops_sm.builders.plan_session import line_in_project
from mlops_sm.builders.values import is_variable
from mlops_sm.errors import InputError, Problem, did_you_mean

_PART_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}")
"""Names of inputs, outputs and channels become folder names, and parts of S3 keys and references."""


def location(ctx: Context, step: str) -> str:
    """Where a problem of a step is: the innermost line of the project, and the step."""
    line = line_in_project(ctx.session.project_root) or ctx.pipeline_name
    return f'{line}, step "{step}"'


def refuse(problems: Iterable[Problem]) -> None:
    """Raise if there is anything to refuse.

    Raises:
        InputError: With all of the problems.
    """
    found = tuple(problems)
    if found:
        raise InputError(*found)


def step_name_problems(where: str, name: object) -> Iterator[Problem]:
    """A step's name must be one the service takes (E330)."""
    if not isinstance(name, str) or naming.STEP_NAME.fullmatch(name) is None:
        yield Problem(
            "E330", where, f"{name!r} is no step name", "use 1 to 64 letters, digits, hyphens and underscores"
        )


def part_name_problems(where: str, kind: str, names: Iterable[str]) -> Iterator[Problem]:
    """Names of one kind (input, output, channel) must be proper (E330) and differ (E332)."""
    seen: set[str] = set()
    for name in names:
        if _PART_NAME.fullmatch(str(name)) is None:
            yield Problem(
                "E330",
                where,
                f"{name!r} is no name for the {kind}",
                "use 1 to 64 letters, digits, hyphens, underscores and dots, a letter or digit first",
            )
        elif name in seen:
            yield Problem("E332", where, f'there are two {kind}s called "{name}"', "rename one of them")
        seen.add(name)


def option_problems(where: str, given: Mapping[str, Any], known: Collection[str]) -> Iterator[Problem]:
    """Keyword arguments nobody knows (E331)."""
    for name in given:
        if name not in known:
            yield Problem("E331", where, f'there is no argument "{name}"', did_you_mean(name, known) or "leave it out")


def constant_problems(where: str, **values: object) -> Iterator[Problem]:
    """Values that decide what the definition looks like cannot wait for an execution (E335)."""
    for name, value in values.items():
        if is_variable(value):
            yield Problem(
                "E335",
                where,
                f"{name} is a pipeline variable, but its value decides what is compiled",
                "give a constant; what depends on a parameter belongs into a gate, or into the job's arguments",
            )


def count_problems(where: str, **values: object) -> Iterator[Problem]:
    """Counts, sizes and times must be whole and positive, or pipeline variables (E336)."""
    for name, value in values.items():
        if is_variable(value) or value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            yield Problem("E336", where, f"{name} is {value!r}", "give a whole number of 1 or more")
