"""A project: its name, its folder and its environments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mlops_sm.errors import InputError, Problem, did_you_mean
from mlops_sm.project.environment import Environment
from mlops_sm.project.policy import Policy

LOCAL: Final = "local"
"""The environment that every project has: the local account."""


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Settings of local runs.

    Attributes:
        images: What the images of the user stand for, by image URI: ``python``, a folder with programs, or a
            table of paths.
        handlers: Functions of the user, ``module:function``, by the kind of step they stand in for.
        isolation: How jobs get their own /opt/ml: ``auto``, or the name of a layer.
    """

    images: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)
    handlers: Mapping[str, str] = field(default_factory=dict)
    isolation: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What ``[tool.mlops_sm]`` says.

    Attributes:
        name: Part of every name the project makes in an account.
        root: The folder of its pyproject.toml, absolute.
        environments: By name; ``local`` is always there.
        local: Settings of local runs.
        policy: What a model version must fulfil before it is approved.
    """

    name: str
    root: Path
    environments: Mapping[str, Environment]
    local: LocalSettings = LocalSettings()
    policy: Policy = field(default_factory=Policy)

    def environment(self, name: str) -> Environment:
        """The environment of that name.

        Raises:
            InputError: The project has none of that name (E106).
        """
        try:
            return self.environments[name]
        except KeyError:
            problem = Problem(
                "E106",
                f"--env {name}",
                f'project "{self.name}" has no environment "{name}"',
                f"{did_you_mean(name, self.environments)} An environment is a table "
                f"[tool.mlops_sm.environments.{name}] in {self.root / 'pyproject.toml'}.".lstrip(),
            )
            raise InputError(problem) from None
