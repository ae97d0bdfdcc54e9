"""What kind of step a name belongs to: one of the definition, or one of an iteration of a ForEach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from mlops_sm.definition import Definition
from mlops_sm.engine.edges import runnable_steps


@dataclass(frozen=True, slots=True)
class StepKinds:
    """The kinds of an execution's steps by their names.

    Attributes:
        own: Those of the definition that can run, in document order: a ForEach's body is a template.
        bodies: The steps of bodies, and the ForEach of each.
    """

    own: Mapping[str, str] = field(default_factory=dict)
    bodies: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, definition: Definition | None) -> Self:
        """The kinds of a definition's steps; of None, none is known."""
        if definition is None:
            return cls()
        bodies = {
            step.name: (str(step.kind), step.branch.step)
            for step in definition.walk()
            if step.branch is not None and step.branch.member == "ForEachBody"
        }
        return cls({step.name: str(step.kind) for step in runnable_steps(definition)}, bodies)

    def kind(self, name: str) -> str:
        """The kind of a step that ran, empty where it is not known."""
        return self.own.get(name) or self.bodies.get(_body(name), ("", ""))[0]

    def loop(self, name: str) -> str | None:
        """The ForEach that a step is an iteration of, None of one that stands in the definition."""
        return None if name in self.own else self.bodies.get(_body(name), ("", None))[1]


def _body(name: str) -> str:
    body, _, index = name.rpartition("-")
    return body if index.isdecimal() else ""
