"""From ``[tool.mlops_sm]`` in pyproject.toml to a Project: precedence, provenance and every problem at once."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mlops_sm import naming
from mlops_sm.errors import InputError, Problem, did_you_mean
from mlops_sm.project.environment import Environment
from mlops_sm.project.policy import read_policy
from mlops_sm.project.project import LOCAL, LocalSettings, Project

FILE_NAME: Final = "pyproject.toml"
OWNER_TAG: Final = "mlops-sm:owner"
"""Its value is the project's name; with `ENVIRONMENT_TAG` it marks everything we create."""
ENVIRONMENT_TAG: Final = "mlops-sm:environment"
STANDALONE: Final = "standalone"
"""The name of the project that stands in where there is none."""

_PROJECT_KEYS: Final = ("name", "environments", "local", "policy")
# A function in a module, e.g. pipelines.stand_ins:run_emr.
_FUNCTION: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_NAMES: Final = frozenset({"interpreter", "engine"})
"""Keys of an image's table whose value may be a name instead of a path."""
_LOCAL_KEYS: Final = ("images", "handlers", "isolation")
_SETTINGS: Final = tuple(f for f in Environment.model_fields if f not in {"name", "provenance"})
_FROM_VARIABLES: Final = (
    "account",
    "region",
    "role_arn",
    "artifact_bucket",
    "data_bucket",
    "model_bucket",
    "kms_key_arn",
    "profile",
)
"""Settings that an environment variable may set: plain strings, those that CI keeps outside the repository."""
_PLURALS: Final = {"list_type": "a list", "dict_type": "a table", "mapping_type": "a table", "tuple_type": "a list"}


def load_project(start: Path, *, variables: Mapping[str, str] = os.environ) -> Project:
    """Read the project that a folder belongs to.

    Args:
        start: Where to look first; then its parents, for a pyproject.toml with a ``[tool.mlops_sm]`` table.
        variables: Environment variables; ``MLOPS_SM_<ENVIRONMENT>_<SETTING>`` goes before the file.

    Raises:
        InputError: There is no project here (E101), the file is no TOML (E102), or its settings are wrong
            (E103 unknown, E104 missing, E105 wrong value): all of them at once.
    """
    found = find_project_file(start)
    if found is None:
        raise InputError(
            Problem(
                "E101",
                str(start),
                f"no {FILE_NAME} with a [tool.mlops_sm] table in this folder or above",
                "Go to a project's folder, or add to its pyproject.toml:\n"
                '         [tool.mlops_sm]\n         name = "my-project"',
            )
        )
    path, table = found
    problems = _unknown_keys(table, _PROJECT_KEYS, f"{path} [tool.mlops_sm]")
    name = _project_name(table, path, problems)
    local = _local_settings(table.get("local", {}), path, problems)
    policy = read_policy(table.get("policy", {}), f"{path} [tool.mlops_sm.policy]", problems)
    environments = {}
    tables = _environment_tables(table.get("environments", {}), path, problems)
    for environment_name, settings in tables.items():
        source = f"[tool.mlops_sm.environments.{environment_name}]"
        given = _given(environment_name, settings, source, variables)
        environment = _resolve(name, environment_name, given, f"{path} {source}", problems)
        if environment is not None:
            environments[environment_name] = environment
    if problems:
        raise InputError(*problems)
    return Project(name=name, root=path.parent, environments=environments, local=local, policy=policy)


def standalone_project(root: Path, *, variables: Mapping[str, str] | None = None) -> Project:
    """The project of a folder that has none: its one environment is the built-in ``local``.

    Args:
        root: The folder.
        variables: Environment variables; ``MLOPS_SM_LOCAL_<SETTING>`` goes before what is built in.

    Raises:
        InputError: A variable holds a wrong value (E105).
    """
    problems: list[Problem] = []
    environment = _resolve(STANDALONE, LOCAL, _given(LOCAL, {}, "", variables or {}), "built in", problems)
    if environment is None:
        raise InputError(*problems)
    return Project(name=STANDALONE, root=root.resolve(), environments={LOCAL: environment})


def find_project_file(start: Path) -> tuple[Path, Mapping[str, Any]] | None:
    """The nearest pyproject.toml with a ``[tool.mlops_sm]`` table, here or above, and that table.

    Raises:
        InputError: A pyproject.toml on the way cannot be read or is no TOML (E102).
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        path = folder / FILE_NAME
        if not path.is_file():
            continue
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as err:
            raise InputError(
                Problem("E102", str(path), f"cannot be read as TOML: {err}", "Correct the file at that place.")
            ) from err
        tool = document.get("tool")
        if isinstance(tool, dict) and "mlops_sm" in tool:
            table = tool["mlops_sm"]
            if not isinstance(table, dict):
                raise InputError(_not_a_table(f"{path} [tool]", "mlops_sm", table))
            return path, table
    return None


class _Given(NamedTuple):
    value: Any
    source: str


def _given(name: str, settings: Mapping[str, Any], source: str, variables: Mapping[str, str]) -> dict[str, _Given]:
    """What is set for an environment and by whom; a variable goes before the file, the file before what is built in."""
    given: dict[str, _Given] = {}
    if name == LOCAL:
        given["account"] = _Given(naming.LOCAL_ACCOUNT_ID, "built in")
        given["region"] = _Given(naming.DEFAULT_REGION, "built in")
    for key, value in settings.items():
        given[key] = _Given(value, f"{FILE_NAME} {source}")
    for key in _FROM_VARIABLES:
        variable = f"MLOPS_SM_{name}_{key}".replace("-", "_").upper()
        if variable in variables:
            given[key] = _Given(variables[variable], f"environment variable {variable}")
    return given


def _resolve(
    project: str, name: str, given: dict[str, _Given], where: str, problems: list[Problem]
) -> Environment | None:
    problems += _unknown_keys(given, _SETTINGS, where)
    settings = {key: value for key, value in given.items() if key in _SETTINGS}
    for key, value in _computed(project, name, settings).items():
        settings.setdefault(key, value)
    # ours win: clean-up and the model registry find what belongs to a project by these
    owner = {OWNER_TAG: project, ENVIRONMENT_TAG: name}
    tags = settings.get("tags", _Given({}, "built in"))
    if isinstance(tags.value, dict):
        settings["tags"] = _Given({**tags.value, **owner}, tags.source)
    provenance = {key: "built in" for key in _SETTINGS} | {key: value.source for key, value in settings.items()}
    provenance |= {f"tags.{key}": "built in" for key in owner}
    values = {key: value.value for key, value in settings.items()}
    try:
        return Environment.model_validate({**values, "name": name, "provenance": provenance})
    except ValidationError as err:
        for error in err.errors(include_url=False):
            field = str(error["loc"][0])
            if provenance.get(field, "").startswith("computed"):
                continue  # it is wrong only because what it was computed from is
            problems.append(_problem(error, where, provenance.get(field, "")))
        return None


def _computed(project: str, name: str, settings: Mapping[str, _Given]) -> dict[str, _Given]:
    """Role and buckets from `naming`, as far as account and region are known."""
    account, region = (settings[key].value if key in settings else None for key in ("account", "region"))
    account, region = (value if isinstance(value, str) else "" for value in (account, region))
    role = naming.role_arn(region, account, naming.execution_role_name(project, name))
    computed = {"role_arn": _Given(role, "computed by naming.execution_role_name")}
    for field, purpose in (("artifact_bucket", "artifacts"), ("data_bucket", "data"), ("model_bucket", "models")):
        bucket = naming.bucket_name(project, name, purpose, account, region)
        computed[field] = _Given(bucket, "computed by naming.bucket_name")
    return computed


def _project_name(table: Mapping[str, Any], path: Path, problems: list[Problem]) -> str:
    where = f"{path} [tool.mlops_sm] name"
    if "name" not in table:
        problems.append(Problem("E104", where, "the project has no name", 'Add name = "my-project" to the table.'))
        return "project"
    name = table["name"]
    if not isinstance(name, str) or not name or naming.slug(name) != name or not name[0].isalpha() or len(name) > 32:  # noqa: PLR2004 - leaves room in every AWS name
        problems.append(
            Problem(
                "E105",
                where,
                f"{name!r} is no project name",
                "Use 1 to 32 lower-case letters, digits and single hyphens, a letter first: "
                "it becomes part of names in AWS.",
            )
        )
        return "project"
    return name


def _local_settings(table: object, path: Path, problems: list[Problem]) -> LocalSettings:
    where = f"{path} [tool.mlops_sm.local]"
    if not isinstance(table, dict):
        problems.append(_not_a_table(f"{path} [tool.mlops_sm]", "local", table))
        return LocalSettings()
    problems += _unknown_keys(table, _LOCAL_KEYS, where)
    images = table.get("images", {})
    if not isinstance(images, dict):
        problems.append(_not_a_table(where, "images", images))
        return LocalSettings()
    return LocalSettings(
        images={image: _stands_for(image, target, path, problems) for image, target in images.items()},
        handlers=_handlers(table.get("handlers", {}), path, problems),
        isolation=_isolation(table.get("isolation", "auto"), where, problems),
    )


def _stands_for(image: str, target: object, path: Path, problems: list[Problem]) -> str | dict[str, str]:
    """What an image stands for, with paths from where the file is; a word without a slash is a name."""
    if isinstance(target, str) and target:
        return str(path.parent / target) if "/" in target else target
    if isinstance(target, dict) and all(isinstance(value, str) and value for value in target.values()):
        return {
            key: value if key in _NAMES and "/" not in value else str(path.parent / value)
            for key, value in target.items()
        }
    problems.append(
        Problem(
            "E105",
            f"{path} [tool.mlops_sm.local.images]",
            f'image "{image}" stands for {target!r}',
            f'Write "{image}" = "python" for an image that local Python stands for, or a table of paths: program, '
            'interpreter, requirements; or engine = "docker" to run it as it is.',
        )
    )
    return ""


def _isolation(value: object, where: str, problems: list[Problem]) -> str:
    """The name of a layer; which ones there are is known where they are."""
    if isinstance(value, str) and value:
        return value
    fix = 'Write isolation = "auto", or the name of a way to isolate jobs that "mlops-sm doctor" shows.'
    problems.append(Problem("E105", where, f"jobs are isolated by {value!r}", fix))
    return "auto"


def _handlers(table: object, path: Path, problems: list[Problem]) -> Mapping[str, str]:
    """The functions that stand in for steps."""
    if not isinstance(table, dict):
        problems.append(_not_a_table(f"{path} [tool.mlops_sm.local]", "handlers", table))
        return {}
    for kind, target in table.items():
        if not isinstance(target, str) or _FUNCTION.fullmatch(target) is None:
            fix = f'Write {kind} = "module:function" for the function that stands in for such steps.'
            problems.append(
                Problem("E105", f"{path} [tool.mlops_sm.local.handlers]", f"{kind} is handled by {target!r}", fix)
            )
    return table


def _environment_tables(tables: object, path: Path, problems: list[Problem]) -> dict[str, Mapping[str, Any]]:
    """The environments' tables, ``local`` first and always there."""
    found: dict[str, Mapping[str, Any]] = {LOCAL: {}}
    if not isinstance(tables, dict):
        problems.append(_not_a_table(f"{path} [tool.mlops_sm]", "environments", tables))
        return found
    for name, table in tables.items():
        if isinstance(table, dict):
            found[name] = table
        else:
            problems.append(_not_a_table(f"{path} [tool.mlops_sm.environments]", name, table))
    return found


def _unknown_keys(table: Iterable[str], known: tuple[str, ...], where: str) -> list[Problem]:
    return [
        Problem("E103", f"{where} {key}", f'unknown setting "{key}"', _one_of(key, known))
        for key in table
        if key not in known
    ]


def _one_of(key: str, known: tuple[str, ...]) -> str:
    return did_you_mean(key, known) or f"Settings here: {', '.join(known)}."


def _not_a_table(where: str, key: str, value: object) -> Problem:
    return Problem(
        "E105", f"{where} {key}", f'"{key}" must be a table, not {value!r}', f"Write it as a table: [...{key}]."
    )


def _problem(error: ErrorDetails, where: str, source: str) -> Problem:
    """A finding of pydantic in our words."""
    field, *rest = error["loc"]
    place = f"{where} {field}" + "".join(f"[{part}]" for part in rest)
    if source.startswith("environment variable"):
        place = source
    kind, value = error["type"], error["input"]
    if kind == "missing":
        return Problem(
            "E104", place, f'"{field}" is missing', f"Add {field} to the table. {_HOW.get(str(field), '')}".strip()
        )
    if kind == "string_type" and isinstance(value, int):
        return Problem("E105", place, f'"{field}" is a number, not a string', f'Put it in quotes: {field} = "{value}".')
    what = str(error.get("ctx", {}).get("error", "")) or f'"{field}" has the wrong form: {error["msg"]}'
    if kind in _PLURALS:
        what = f'"{field}" must be {_PLURALS[kind]}, not {value!r}'
    return Problem("E105", place, what, _HOW.get(str(field), f"Correct {field}."))


_HOW: Final = {
    "name": "Rename the table, for example to [tool.mlops_sm.environments.dev].",
    "account": 'For example account = "111111111111".',
    "region": 'For example region = "eu-central-1".',
    "role_arn": "Give the ARN of a role of this account, or leave role_arn out: its name is then computed.",
    "artifact_bucket": "Give another name, or leave artifact_bucket out: it is then computed.",
    "data_bucket": "Give another name, or leave data_bucket out: it is then computed.",
    "model_bucket": "Give another name, or leave model_bucket out: it is then computed.",
    "kms_key_arn": "Give the ARN of a key in the environment's region, or leave it out.",
    "subnets": 'For example subnets = ["subnet-0a1b2c3d"], together with security_group_ids.',
    "security_group_ids": 'For example security_group_ids = ["sg-0a1b2c3d"], together with subnets.',
    "network_isolation": "Write true or false.",
    "protected": "Write true or false.",
    "four_eyes": "Write true or false.",
    "tags": 'For example tags = { team = "credit-risk" }.',
    "profile": "Name a profile of your AWS configuration, or leave profile out.",
}
