"""Which step waits for which: the edges that references, DependsOn and nesting draw."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from mlops_sm.definition.document import Definition, Json, Step
from mlops_sm.definition.expressions import JsonGetFile, StepRef, find_expressions
from mlops_sm.definition.kinds import StepKind
from mlops_sm.definition.wording import member

# What of a step is no input of its own: branches hold whole steps, DependsOn holds names.
_NO_INPUT: Final = frozenset({"Name", "Type", "DependsOn", "Arguments", "DisplayName", "Description"})


@dataclass(frozen=True, slots=True)
class Graph:
    """The dependencies between the steps of a definition, nested ones included.

    Attributes:
        upstream: For each step, in document order, the steps it waits for: those its inputs reference, those in its
            DependsOn, and the Condition or ForEach it stands in. A ForEach also waits for what its body references
            outside of itself. Names that no step has are left out; `checks` reports them.
    """

    upstream: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, definition: Definition) -> Graph:
        """Draw the graph of a definition."""
        steps = list(definition.walk())
        known = {step.name for step in steps}
        edges: dict[str, set[str]] = {step.name: set() for step in steps}
        for step in steps:
            edges[step.name].update(referenced_steps(step), (d.step for d in step.depends_on))
            if step.branch is not None:
                edges[step.name].add(step.branch.step)
        for step in steps:
            if step.kind is StepKind.FOR_EACH:
                body = {child.name for child in step.children}
                for name in body:
                    edges[step.name].update(edges[name] - body - {step.name})
        return cls(MappingProxyType({name: frozenset(found & known) for name, found in edges.items()}))

    def order(self) -> tuple[str, ...]:
        """Every step after all it waits for; among steps that could come next, the first in the document.

        Raises:
            ValueError: The graph has a cycle.
        """
        position = {name: index for index, name in enumerate(self.upstream)}
        names = list(self.upstream)
        downstream: dict[str, list[str]] = {name: [] for name in names}
        waiting = {name: len(found) for name, found in self.upstream.items()}
        for name, found in self.upstream.items():
            for other in found:
                downstream[other].append(name)
        ready = [position[name] for name, count in waiting.items() if count == 0]
        heapq.heapify(ready)
        ordered: list[str] = []
        while ready:
            name = names[heapq.heappop(ready)]
            ordered.append(name)
            for other in downstream[name]:
                waiting[other] -= 1
                if waiting[other] == 0:
                    heapq.heappush(ready, position[other])
        if len(ordered) < len(names):
            raise ValueError("steps wait for each other: " + " -> ".join(self.cycle() or ()))
        return tuple(ordered)

    def cycle(self) -> tuple[str, ...] | None:
        """A path along which each step waits for the next and that ends where it began, or None."""
        return next(self.cycles(), None)

    def cycles(self) -> Iterator[tuple[str, ...]]:
        """Cycles that have no step in common; none of the graph's cycles avoids all of their steps."""
        done: set[str] = set()
        for start in self.upstream:
            path: dict[str, Iterator[str]] = {}
            follow: str | None = None if start in done else start
            while follow is not None:
                if follow in path:
                    names = list(path)
                    cycle = names[names.index(follow) :]
                    yield (*cycle, follow)
                    for name in cycle:
                        del path[name]
                    done.update(cycle)
                else:
                    path[follow] = iter(sorted(self.upstream[follow]))
                follow = None
                while path and follow is None:
                    last = next(reversed(path))
                    follow = next((name for name in path[last] if name not in done), None)
                    if follow is None:
                        del path[last]
                        done.add(last)


def referenced_steps(step: Step) -> frozenset[str]:
    """The names of the steps whose results a step's own inputs use, whether such steps exist or not."""
    return frozenset(
        expression.step
        for _, value in own_inputs(step)
        for _, expression in find_expressions(value)
        if isinstance(expression, StepRef | JsonGetFile)
    )


def own_inputs(step: Step) -> Iterator[tuple[str, Json]]:
    """What a step itself takes as input, without the steps in its branches: path within the step, value."""
    match step.kind:
        case StepKind.CONDITION:
            yield "Arguments.Conditions", step.arguments.get("Conditions")
        case StepKind.FOR_EACH:
            for key, value in step.arguments.items():
                if key != "ForEachBody":
                    yield member("Arguments", key), value
        case _:
            yield "Arguments", dict(step.arguments)
    # QualityCheck, ClarifyCheck, Lambda and Callback take inputs beside their Arguments.
    for key, value in step.raw.items():
        if key not in _NO_INPUT:
            yield member("", key), value
