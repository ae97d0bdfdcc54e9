"""Which steps an execution runs that is asked to run only some of a definition's.

Source: developer guide, "Selective execution of pipeline steps", and API reference, SelectiveExecutionConfig.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from mlops_sm.definition.document import Definition
from mlops_sm.definition.graph import Graph, referenced_steps
from mlops_sm.engine.edges import runnable_steps


class Selection:
    """Some steps of a definition.

    Args:
        definition: A definition that passed its checks.
        names: The steps that are to run.
    """

    def __init__(self, definition: Definition, names: Collection[str]) -> None:
        self._definition = definition
        self._upstream = Graph.of(definition).upstream
        self.names = frozenset(names)

    def unknown(self) -> list[str]:
        """Names that no step has which could run by itself."""
        return sorted(self.names - {step.name for step in runnable_steps(self._definition)})

    def gaps(self) -> list[str]:
        """Steps between two selected ones that are not selected themselves, in document order."""
        above = self._reach(self._upstream)
        below = self._reach(_reversed(self._upstream))
        return [name for name in self._upstream if name in above and name in below and name not in self.names]

    def inputs(self) -> list[str]:
        """The steps that are not selected and whose results the selected ones refer to, in document order."""
        used = {
            name
            for step in self._definition.walk()
            if step.name in self.names
            for name in referenced_steps(step)
            if name not in self.names
        }
        return [name for name in self._upstream if name in used]

    def before(self) -> list[str]:
        """Every step that is not selected and comes before one that is, in document order."""
        above = self._reach(self._upstream)
        return [name for name in self._upstream if name in above and name not in self.names]

    def _reach(self, edges: Mapping[str, Iterable[str]]) -> set[str]:
        """Every step that one of the selected leads to along the edges."""
        reached: set[str] = set()
        stack = [name for name in self.names if name in edges]
        while stack:
            for name in edges[stack.pop()]:
                if name not in reached:
                    reached.add(name)
                    stack.append(name)
        return reached


def _reversed(edges: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    turned: dict[str, set[str]] = {name: set() for name in edges}
    for name, others in edges.items():
        for other in others:
            turned[other].add(name)
    return turned
