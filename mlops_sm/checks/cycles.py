"""The rule that steps do not wait for each other."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_sm.checks.subject import Subject, place
from mlops_sm.definition.graph import Graph
from mlops_sm.definition.kinds import StepKind
from mlops_sm.definition.wording import shown
from mlops_sm.errors import Problem


def check_cycles(subject: Subject) -> Iterator[Problem]:
    """No step waits for itself (E230); cycles without a step in common are each reported, as a path."""
    fails = frozenset(name for name, step in subject.steps.items() if step.kind is StepKind.FAIL)
    upstream = Graph.of(subject.definition).upstream
    # What waits for a Fail step is reported as that, and not as a cycle as well.
    graph = Graph({name: found - fails for name, found in upstream.items() if name not in fails})
    for cycle in graph.cycles():
        first = subject.steps[cycle[0]]
        what = "steps wait for each other: " + " -> ".join(shown(name) for name in cycle)
        if len(cycle) == 2:  # noqa: PLR2004 - a step and the same step again
            what = f'step "{shown(first.name)}" waits for itself'
        yield Problem("E230", place(first), what, "Remove one of the references or DependsOn entries along this path.")
