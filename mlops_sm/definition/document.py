"""The pipeline definition as typed values. Steps keep their Arguments as plain JSON: AWS owns that vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_sm.definition.kinds import ParameterType, StepKind, Trigger

Scalar = str | int | float | bool
Json = Any
"""Any JSON value; narrowed where it is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A value given when an execution starts; one without a default must be given."""

    name: str
    type: ParameterType
    default: Scalar | None = None
    enum_values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """One entry of DependsOn."""

    step: str
    trigger: Trigger = Trigger.COMPLETED


@dataclass(frozen=True, slots=True, kw_only=True)
class PropertyFile:
    """A JSON file that a step leaves in one of its outputs, readable by JsonGet."""

    name: str
    output_name: str
    file_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """CacheConfig; `expire_after` is an ISO 8601 duration such as ``P30D``."""

    enabled: bool
    expire_after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """One entry of RetryPolicies; intervals in seconds, `expire_after_min` in minutes."""

    exception_types: tuple[str, ...]
    interval_seconds: int = 1
    backoff_rate: float = 2.0
    max_attempts: int | None = None
    expire_after_min: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Where a step stands when it is not at top level: the enclosing step and its list.

    Attributes:
        step: Name of the enclosing Condition or ForEach step.
        member: ``IfSteps``, ``ElseSteps`` or ``ForEachBody``.
    """

    step: str
    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step, at top level or inside a branch.

    Attributes:
        arguments: The step's Arguments, unresolved JSON.
        children: Steps nested in Arguments (IfSteps then ElseSteps, or ForEachBody), in document order.
        branch: Where this step is nested, None at top level.
        raw: The step's JSON as it was written (for members that only some kinds carry, e.g. FunctionArn).
        path: Where it stands in the document, e.g. ``Steps[2].Arguments.IfSteps[0]``.
    """

    name: str
    kind: StepKind
    arguments: Mapping[str, Json]
    depends_on: tuple[Dependency, ...] = ()
    property_files: tuple[PropertyFile, ...] = ()
    cache: CachePolicy | None = None
    retry_policies: tuple[RetryPolicy, ...] = ()
    display_name: str | None = None
    description: str | None = None
    children: tuple[Step, ...] = ()
    branch: Branch | None = None
    raw: Mapping[str, Json] = field(default_factory=dict)
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A parsed pipeline definition (Version ``2020-12-01``)."""

    version: str
    parameters: tuple[Parameter, ...]
    steps: tuple[Step, ...]
    metadata: Mapping[str, Json] = field(default_factory=dict)
    raw: Mapping[str, Json] = field(default_factory=dict)

    def walk(self) -> Iterator[Step]:
        """Every step, an enclosing step before the steps in its branches."""
        yield from _walk(self.steps)

    def step(self, name: str) -> Step:
        """The step of that name, at any depth.

        Raises:
            KeyError: No step has that name.
        """
        for found in self.walk():
            if found.name == name:
                return found
        raise KeyError(name)


def _walk(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from _walk(step.children)
