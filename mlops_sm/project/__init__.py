"""A project's settings: ``[tool.mlops_sm]`` in pyproject.toml."""

from mlops_sm.project.environment import Environment
from mlops_sm.project.load import (
    ENVIRONMENT_TAG,
    OWNER_TAG,
    STANDALONE,
    find_project_file,
    load_project,
    standalone_project,
)
from mlops_sm.project.policy import Policy
from mlops_sm.project.project import LOCAL, LocalSettings, Project

__all__ = [
    "ENVIRONMENT_TAG",
    "LOCAL",
    "OWNER_TAG",
    "STANDALONE",
    "Environment",
    "LocalSettings",
    "Policy",
    "Project",
    "find_project_file",
    "load_project",
    "standalone_project",
]
