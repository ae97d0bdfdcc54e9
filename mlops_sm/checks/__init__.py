"""Rules over a pipeline definition, whoever wrote it: all problems at once, offline."""

from __future__ import annotations

from typing import Final

from mlops_sm.checks.arguments import check_arguments
from mlops_sm.checks.conditions import check_conditions
from mlops_sm.checks.cycles import check_cycles
from mlops_sm.checks.iterations import check_iterations
from mlops_sm.checks.limits import check_for_each, check_size, check_texts
from mlops_sm.checks.names import check_parameters, check_step_names
from mlops_sm.checks.policies import check_cache, check_retries
from mlops_sm.checks.ranges import check_ranges
from mlops_sm.checks.references import (
    check_cleanup,
    check_depends_on,
    check_property_files,
    check_references,
    check_selectors,
)
from mlops_sm.checks.required import check_required
from mlops_sm.checks.subject import Rule, Subject
from mlops_sm.definition.jsontext import too_deep
from mlops_sm.definition.parse import read
from mlops_sm.errors import Problem

__all__ = ["RULES", "check"]

RULES: Final[tuple[Rule, ...]] = (
    check_step_names,
    check_parameters,
    check_references,
    check_depends_on,
    check_cleanup,
    check_selectors,
    check_property_files,
    check_cycles,
    check_conditions,
    check_arguments,
    check_required,
    check_ranges,
    check_cache,
    check_retries,
    check_size,
    check_texts,
    check_for_each,
    check_iterations,
)
"""Every rule over a readable definition, in the order of their findings."""


def check(text: str | bytes) -> list[Problem]:
    """Everything that is wrong with a definition; never raises for bad input.

    What cannot be read is reported as such, and the rules go on over the rest, so that one fault gives one problem.
    """
    try:
        reading = read(text)
        problems = list(reading.problems)
        if reading.definition is not None:
            subject = Subject.of(reading.definition, reading)
            for rule in RULES:
                problems.extend(rule(subject))
    except RecursionError:
        # The caller's own stack may leave little room, even for a definition within the limit.
        return [too_deep("the definition")]
    return problems
