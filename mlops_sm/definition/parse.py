"""Text -> Definition. Takes what SDK v3 and v2 write and what people write by hand; reports every structural problem.

Reading goes on after a problem: what could be read is checked further, and what could not is remembered by name, so
that a step of unknown type does not also make every reference to it dangle.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeVar

from mlops_sm.definition.document import (
    Branch,
    CachePolicy,
    Definition,
    Dependency,
    Json,
    Parameter,
    PropertyFile,
    RetryPolicy,
    Step,
)
from mlops_sm.definition.jsontext import load_json
from mlops_sm.definition.kinds import UNDOCUMENTED_KINDS, ParameterType, StepKind, Trigger
from mlops_sm.definition.wording import item, member, shown, step_place, suggestion, type_word
from mlops_sm.errors import InputError, Problem

VERSION: Final = "2020-12-01"

T = TypeVar("T")

_ROOT: Final = frozenset({"Version", "Metadata", "Parameters", "PipelineExperimentConfig", "MlflowConfig", "Steps"})
_PARAMETER: Final = frozenset({"Name", "Type", "DefaultValue", "EnumValues", "Description"})
_STEP: Final = frozenset(
    {
        "Name",
        "Type",
        "Arguments",
        "DependsOn",
        "DisplayName",
        "Description",
        "CacheConfig",
        "RetryPolicies",
        "PropertyFiles",
    }
)
_CHECK_STEP: Final = frozenset(
    {
        "CheckType",
        "ModelPackageGroupName",
        "SkipCheck",
        "FailOnViolation",
        "RegisterNewBaseline",
        "SuppliedBaselineConstraints",
    }
)
BESIDE_ARGUMENTS: Final[Mapping[StepKind, frozenset[str]]] = MappingProxyType(
    {
        StepKind.LAMBDA: frozenset({"FunctionArn", "OutputParameters"}),
        StepKind.CALLBACK: frozenset({"SqsQueueUrl", "OutputParameters"}),
        StepKind.QUALITY_CHECK: _CHECK_STEP | {"SuppliedBaselineStatistics"},
        StepKind.CLARIFY_CHECK: _CHECK_STEP | {"ModelName"},
    }
)
"""The members that a step of some kinds carries beside Arguments."""

_BRANCHES: Final[Mapping[StepKind, tuple[str, ...]]] = MappingProxyType(
    {StepKind.CONDITION: ("IfSteps", "ElseSteps"), StepKind.FOR_EACH: ("ForEachBody",)}
)
_ANY_BRANCH: Final = tuple(name for names in _BRANCHES.values() for name in names)
# The SDK leaves out or nulls the Arguments of a Lambda or Callback step without inputs.
_MAY_LACK_ARGUMENTS: Final = frozenset({StepKind.LAMBDA, StepKind.CALLBACK})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What could be read of a document, with what was wrong.

    Attributes:
        definition: The readable part, None when the text holds no JSON object.
        problems: Every structural problem, in document order.
        unread_steps: Names of steps that exist but are not in `definition`.
        unread_parameters: Names of parameters that exist but are not in `definition`.
        nameless_steps: Whether some step's name could not be read: an unknown name may then be that step's.
        nameless_parameters: The same of parameters.
    """

    definition: Definition | None
    problems: tuple[Problem, ...] = ()
    unread_steps: frozenset[str] = frozenset()
    unread_parameters: frozenset[str] = frozenset()
    nameless_steps: bool = False
    nameless_parameters: bool = False


def parse(text: str | bytes) -> Definition:
    """Read a pipeline definition.

    Raises:
        InputError: With every structural problem (codes E200 to E209).
    """
    reading = read(text)
    if reading.problems or reading.definition is None:
        raise InputError(*reading.problems)
    return reading.definition


def read(text: str | bytes) -> Reading:
    """Read as much of a pipeline definition as can be read; never raises for bad input."""
    value, problems = load_json(text)
    if value is None and problems:
        return Reading(definition=None, problems=tuple(problems))
    if any(p.code == "E207" for p in problems):
        return Reading(definition=None, problems=tuple(problems))
    reader = _Reader(problems)
    definition = reader.root(value)
    return Reading(
        definition=definition,
        problems=tuple(reader.problems),
        unread_steps=frozenset(reader.unread_steps),
        unread_parameters=frozenset(reader.unread_parameters),
        nameless_steps=reader.nameless_steps,
        nameless_parameters=reader.nameless_parameters,
    )


_WORDS: Final[Mapping[type, str]] = MappingProxyType(
    {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "an integer", float: "a number"}
)


@dataclass(slots=True)
class _Reader:
    problems: list[Problem]
    unread_steps: set[str] = field(default_factory=set)
    unread_parameters: set[str] = field(default_factory=set)
    nameless_steps: bool = False
    nameless_parameters: bool = False

    def root(self, value: Json) -> Definition | None:
        if not isinstance(value, dict):
            self._wrong_type(value, "an object", "the definition")
            return None
        self._only(value, _ROOT, "")
        version = self._required(value, "Version", str, "")
        if version is not None and version != VERSION:
            what = f'"{shown(version)}" is no version of pipeline definitions'
            self._report("E206", "Version", what, f'Write "{VERSION}", the only version there is.')
        metadata: dict[str, Json] | None = self._optional(value, "Metadata", dict, "")
        for member_name in ("PipelineExperimentConfig", "MlflowConfig"):
            self._optional(value, member_name, dict, "")
        parameters: list[Json] | None = self._optional(value, "Parameters", list, "")
        if parameters is None and (value.get("Parameters") is not None or not value.keys() <= _ROOT):
            # They may stand where they cannot be read, e.g. under a misspelt name.
            self.nameless_parameters = True
        steps: list[Json] | None = self._required(value, "Steps", list, "")
        if steps is None:
            self.nameless_steps = True
        elif not steps:
            self._report("E204", "Steps", "the definition has no steps", "Give at least one step.")
        return Definition(
            version=version or VERSION,
            parameters=tuple(self._parameters(parameters or [])),
            steps=tuple(self._steps(steps or [], "Steps", None)),
            metadata=metadata or {},
            raw=value,
        )

    # ------------------------------------------------------------ parameters

    def _parameters(self, entries: list[Json]) -> Iterator[Parameter]:
        for index, entry in enumerate(entries):
            where = item("Parameters", index)
            if not isinstance(entry, dict):
                self.nameless_parameters = True
                self._wrong_type(entry, "an object", where)
                continue
            self._only(entry, _PARAMETER, where)
            name = self._required(entry, "Name", str, where)
            kind = self._word(entry, "Type", tuple(ParameterType), where)
            default = self._default(entry, where)
            enum_values = self._strings(entry, "EnumValues", where)
            self._optional(entry, "Description", str, where)
            if name is None:
                self.nameless_parameters = True
            elif kind is None:
                self.unread_parameters.add(name)
            else:
                yield Parameter(name=name, type=ParameterType(kind), default=default, enum_values=enum_values)

    def _default(self, entry: dict[str, Json], where: str) -> str | int | float | None:
        default = entry.get("DefaultValue")
        if default is None or isinstance(default, str | int | float):
            return default
        self._wrong_type(default, "a string, a number or a boolean", member(where, "DefaultValue"))
        return None

    # ------------------------------------------------------------ steps

    def _steps(self, entries: list[Json], path: str, branch: Branch | None) -> Iterator[Step]:
        for index, entry in enumerate(entries):
            where = item(path, index)
            if not isinstance(entry, dict):
                self.nameless_steps = True
                self._wrong_type(entry, "an object", where)
                continue
            step = self._step(entry, where, branch)
            if step is not None:
                yield step

    def _step(self, entry: dict[str, Json], path: str, branch: Branch | None) -> Step | None:
        name = self._required(entry, "Name", str, path)
        where = path if name is None else step_place(name, path)
        word = self._word(entry, "Type", tuple(StepKind), where)
        kind = None if word is None else StepKind(word)
        if kind is not None and kind not in UNDOCUMENTED_KINDS:
            self._only(entry, _STEP | BESIDE_ARGUMENTS.get(kind, frozenset()), where)
        arguments = self._arguments(entry, kind, where)
        depends_on = tuple(self._dependencies(entry, where))
        property_files = tuple(self._property_files(entry, where))
        cache = self._cache(entry, where)
        retry_policies = tuple(self._retry_policies(entry, where))
        display_name = self._optional(entry, "DisplayName", str, where)
        description = self._optional(entry, "Description", str, where)
        if name is None:
            self.nameless_steps = True
        children = self._children(arguments or {}, kind, name, path)
        if name is None or kind is None or arguments is None:
            if name is not None:
                self.unread_steps.add(name)
            # Its children are out of reach of every rule, yet they exist: nothing that names them dangles.
            self.unread_steps.update(child.name for child in _with_descendants(children))
            self.nameless_steps = self.nameless_steps or (arguments is None and kind in (None, *_BRANCHES))
            return None
        return Step(
            name=name,
            kind=kind,
            arguments=arguments,
            depends_on=depends_on,
            property_files=property_files,
            cache=cache,
            retry_policies=retry_policies,
            display_name=display_name,
            description=description,
            children=children,
            branch=branch,
            raw=entry,
            path=path,
        )

    def _arguments(self, entry: dict[str, Json], kind: StepKind | None, where: str) -> dict[str, Json] | None:
        if kind in _MAY_LACK_ARGUMENTS and entry.get("Arguments") is None:
            return {}
        found: dict[str, Json] | None = self._required(entry, "Arguments", dict, where)
        return found

    def _children(
        self, arguments: dict[str, Json], kind: StepKind | None, name: str | None, path: str
    ) -> tuple[Step, ...]:
        found: list[Step] = []
        for member_name in _ANY_BRANCH if kind is None else _BRANCHES.get(kind, ()):
            where = member(member(path, "Arguments"), member_name)
            entries = arguments.get(member_name)
            if isinstance(entries, list):
                found.extend(self._steps(entries, where, Branch(step=name or "", member=member_name)))
            elif entries is not None:
                self.nameless_steps = True
                self._wrong_type(entries, "a list of steps", where)
        return tuple(found)

    def _dependencies(self, entry: dict[str, Json], where: str) -> Iterator[Dependency]:
        depends_on: list[Json] = self._optional(entry, "DependsOn", list, where) or []
        for index, value in enumerate(depends_on):
            here = item(member(where, "DependsOn"), index)
            match value:
                case str():
                    yield Dependency(step=value)
                case dict():
                    self._only(value, frozenset({"Step", "Trigger"}), here)
                    step = self._required(value, "Step", str, here)
                    trigger = Trigger.COMPLETED
                    if value.get("Trigger") is not None:
                        word = self._word(value, "Trigger", tuple(Trigger), here)
                        trigger = trigger if word is None else Trigger(word)
                    if step is not None:
                        yield Dependency(step=step, trigger=trigger)
                case _:
                    self._wrong_type(value, 'a step name or {"Step": ..., "Trigger": ...}', here)

    def _property_files(self, entry: dict[str, Json], where: str) -> Iterator[PropertyFile]:
        members = ("PropertyFileName", "OutputName", "FilePath")
        for here, value in self._objects(entry, "PropertyFiles", where):
            self._only(value, members, here)
            texts = [self._required(value, name, str, here) for name in members]
            match texts:
                case [str(name), str(output), str(path)]:
                    yield PropertyFile(name=name, output_name=output, file_path=path)
                case _:
                    # Half a property file still has a name that a JsonGet may use.
                    yield PropertyFile(name=texts[0] or "", output_name=texts[1] or "", file_path=texts[2] or "")

    def _cache(self, entry: dict[str, Json], where: str) -> CachePolicy | None:
        value: dict[str, Json] | None = self._optional(entry, "CacheConfig", dict, where)
        if value is None:
            return None
        here = member(where, "CacheConfig")
        self._only(value, ("Enabled", "ExpireAfter"), here)
        enabled = self._required(value, "Enabled", bool, here)
        expire_after = self._optional(value, "ExpireAfter", str, here)
        return None if enabled is None else CachePolicy(enabled=enabled, expire_after=expire_after)

    def _retry_policies(self, entry: dict[str, Json], where: str) -> Iterator[RetryPolicy]:
        members = ("ExceptionType", "IntervalSeconds", "BackoffRate", "MaxAttempts", "ExpireAfterMin")
        for here, value in self._objects(entry, "RetryPolicies", where):
            self._only(value, members, here)
            if isinstance(value.get("ExceptionType"), str):
                types: tuple[str, ...] | None = (value["ExceptionType"],)
            elif self._required(value, "ExceptionType", list, here, "a list of strings") is not None:
                found = self._strings(value, "ExceptionType", here)
                types = found if len(found) == len(value["ExceptionType"]) else None
            else:
                types = None
            interval = self._optional(value, "IntervalSeconds", int, here)
            backoff = self._optional(value, "BackoffRate", float, here)
            attempts = self._optional(value, "MaxAttempts", int, here)
            expire = self._optional(value, "ExpireAfterMin", int, here)
            if types is not None:
                yield RetryPolicy(
                    exception_types=types,
                    interval_seconds=1 if interval is None else interval,
                    backoff_rate=2.0 if backoff is None else backoff,
                    max_attempts=attempts,
                    expire_after_min=expire,
                )

    # ------------------------------------------------------------ members

    def _report(self, code: str, where: str, what: str, fix: str) -> None:
        self.problems.append(Problem(code, where, what, fix))

    def _wrong_type(self, value: Json, wanted: str, where: str) -> None:
        what = f"this must be {wanted}, not {type_word(value)}"
        self._report("E203", where, what, f"Write {wanted} in place of {shown(value)}.")

    def _only(self, value: dict[str, Json], known: Collection[str], where: str) -> None:
        for key in value:
            if key not in known:
                fix = f"Remove or rename it. {suggestion(key, known)}".strip()
                self._report("E205", member(where, key), f'"{shown(key)}" is no member here', fix)

    def _required(self, value: dict[str, Json], key: str, kind: type[T], where: str, wanted: str = "") -> T | None:
        if key not in value:
            fix = f'Add "{key}": {wanted or _WORDS[kind]}.'
            self._report("E204", where or "the definition", f'the member "{key}" is missing', fix)
            return None
        found = value[key]
        if not _is(found, kind):
            self._wrong_type(found, wanted or _WORDS[kind], member(where, key))
            return None
        narrowed: T = found
        return narrowed

    def _optional(self, value: dict[str, Json], key: str, kind: type[T], where: str) -> T | None:
        # The SDK writes null for what is not set, so null is as good as absent.
        return None if value.get(key) is None else self._required(value, key, kind, where)

    def _word(self, value: dict[str, Json], key: str, known: tuple[str, ...], where: str) -> str | None:
        found = self._required(value, key, str, where)
        if found is None or found in known:
            return found
        fix = suggestion(found, known) or "Use one of: " + ", ".join(sorted(known)) + "."
        self._report("E206", member(where, key), f'"{shown(found)}" is no known {key}', fix)
        return None

    def _strings(self, value: dict[str, Json], key: str, where: str) -> tuple[str, ...]:
        entries: list[Json] = self._optional(value, key, list, where) or []
        for index, entry in enumerate(entries):
            if not isinstance(entry, str):
                self._wrong_type(entry, "a string", item(member(where, key), index))
        return tuple(entry for entry in entries if isinstance(entry, str))

    def _objects(self, value: dict[str, Json], key: str, where: str) -> Iterator[tuple[str, dict[str, Json]]]:
        entries: list[Json] = self._optional(value, key, list, where) or []
        for index, entry in enumerate(entries):
            here = item(member(where, key), index)
            if isinstance(entry, dict):
                yield here, entry
            else:
                self._wrong_type(entry, "an object", here)


def _is(value: Json, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _with_descendants(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from _with_descendants(step.children)
