"""What the rules look at: a definition as far as it could be read, and what is known of the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from mlops_sm.definition.document import Definition, Parameter, Step
from mlops_sm.definition.kinds import StepKind
from mlops_sm.definition.parse import Reading
from mlops_sm.definition.wording import step_place
from mlops_sm.errors import Problem


@dataclass(frozen=True, slots=True)
class Subject:
    """A definition under check.

    Attributes:
        definition: The readable part.
        reading: What else is known to exist though it could not be read.
        steps: Every readable step by name; of steps that share a name, the first.
        parameters: Every readable parameter by name; of those that share a name, the first.
    """

    definition: Definition
    reading: Reading
    steps: Mapping[str, Step]
    parameters: Mapping[str, Parameter]

    @classmethod
    def of(cls, definition: Definition, reading: Reading) -> Subject:
        """Index a definition."""
        steps: dict[str, Step] = {}
        for step in definition.walk():
            steps.setdefault(step.name, step)
        parameters: dict[str, Parameter] = {}
        for parameter in definition.parameters:
            parameters.setdefault(parameter.name, parameter)
        return cls(definition, reading, steps, parameters)

    def may_be_step(self, name: str) -> bool:
        """Whether a step of that name may exist among those that could not be read."""
        return self.reading.nameless_steps or name in self.reading.unread_steps

    def may_be_parameter(self, name: str) -> bool:
        """Whether a parameter of that name may exist among those that could not be read."""
        return self.reading.nameless_parameters or name in self.reading.unread_parameters

    def enclosing(self, step: Step) -> Iterator[tuple[str, str]]:
        """The branches a step stands in, innermost first: enclosing step, member."""
        seen: set[str] = set()
        branch = step.branch
        while branch is not None and branch.step not in seen:
            yield branch.step, branch.member
            seen.add(branch.step)
            outer = self.steps.get(branch.step)
            branch = None if outer is None else outer.branch

    def body_of(self, step: Step) -> str | None:
        """The ForEach step whose body a step stands in, or None."""
        for name, member in self.enclosing(step):
            if member == "ForEachBody" and name in self.steps and self.steps[name].kind is StepKind.FOR_EACH:
                return name
        return None


Rule = Callable[[Subject], Iterator[Problem]]
"""One check over a definition."""


def place(step: Step, path: str = "") -> str:
    """Where something of a step stands, for `Problem.where`."""
    return step_place(step.name, f"{step.path}.{path}" if path else step.path)
