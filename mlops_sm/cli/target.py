"""What a command works on: a pipeline of the project, or a definition in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops_sm import naming
from mlops_sm.checks import check
from mlops_sm.cli.outside import Outside, cache_directory
from mlops_sm.compile import Compiled
from mlops_sm.definition import Definition, canonical_json, digest, parse
from mlops_sm.errors import InputError, Problem, did_you_mean
from mlops_sm.project import Environment, Project


@dataclass(frozen=True, slots=True)
class Target:
    """What the user named.

    Attributes:
        label: As it was named.
        file: The definition's file, None for a pipeline of the project.
        project: The project around it, or the one that stands in.
        environment: The environment it is meant for.
    """

    label: str
    file: Path | None
    project: Project
    environment: Environment


@dataclass(frozen=True, slots=True)
class Loaded:
    """A target that can be published.

    Attributes:
        compiled: The canonical definition and its assets.
        definition: The same, parsed.
        warnings: What the checks found that stops nothing.
    """

    compiled: Compiled
    definition: Definition
    warnings: tuple[Problem, ...]


def find_target(outside: Outside, label: str, environment_name: str) -> Target:
    """Tell a file from a pipeline, and find project and environment.

    Raises:
        InputError: There is no project, environment or file of that name.
    """
    if not is_file(label):
        project = outside.project()
        return Target(label, None, project, project.environment(environment_name))
    project = outside.project_or_standalone()
    environment = project.environment(environment_name)
    path = outside.cwd / label
    if not path.is_file():
        near = did_you_mean(path.name, (p.name for p in path.parent.glob("*.json"))) if path.parent.is_dir() else ""
        fix = near or "Name a definition (FILE.json), or a pipeline such as lending.build."
        raise InputError(Problem("E122", label, "there is no such file", fix))
    return Target(label, path, project, environment)


def is_file(label: str) -> bool:
    """Whether a label names a file and no pipeline."""
    return label.endswith(".json") or "/" in label


def read_definition(file: Path) -> bytes:
    """The file's bytes.

    Raises:
        InputError: It cannot be read (E122).
    """
    try:
        return file.read_bytes()
    except OSError as err:
        raise InputError(
            Problem("E122", str(file), f"it cannot be read: {err.strerror}", "Name a file that can be read.")
        ) from err


def load(outside: Outside, target: Target) -> Loaded:
    """Compile a pipeline, or read a definition from its file, and check it.

    Raises:
        InputError: The pipeline does not compile, or the checks found errors; with their warnings.
    """
    if target.file is None:
        compiled = outside.compile(target.project, target.environment, target.label, cache_directory(target.project))
        warnings = checked(compiled.definition)
        return Loaded(compiled, parse(compiled.definition), warnings)
    text = read_definition(target.file)
    warnings = checked(text)
    definition = parse(text)
    name = naming.slug(target.file.stem)
    if not name:
        fix = "Rename the file: its name becomes the pipeline's name, which takes letters, digits and hyphens."
        raise InputError(Problem("E122", target.label, "no pipeline name can be made of the file's name", fix))
    document = canonical_json(definition.raw)
    compiled = Compiled(
        reference=target.label,
        pipeline_name=name,
        source=target.file,
        definition=document,
        digest=digest(document),
        assets=(),
        from_cache=False,
        warnings=(),
    )
    return Loaded(compiled, definition, warnings)


def checked(text: str | bytes) -> tuple[Problem, ...]:
    """The warnings about a definition.

    Raises:
        InputError: There are errors.
    """
    problems = tuple(check(text))
    if any(problem.is_error for problem in problems):
        raise InputError(*problems)
    return problems


def parse_parameters(given: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` words as a mapping; what comes after the first ``=`` is the value.

    Raises:
        InputError: A word has no ``=`` or no name (E120), or a name is there twice (E121).
    """
    values: dict[str, str] = {}
    problems = []
    for word in given:
        name, separator, value = word.partition("=")
        if not separator or not name:
            fix = "Write -p NAME=VALUE, for example -p MinAuc=0.8."
            problems.append(Problem("E120", f"-p {word}", f'"{word}" is no parameter', fix))
        elif name in values:
            problems.append(Problem("E121", f"-p {word}", f'parameter "{name}" is given twice', "Give it once."))
        values[name] = value
    if problems:
        raise InputError(*problems)
    return values
