"""Context: what a pipeline module is given to build its pipeline with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sagemaker.core.helper.pipeline_variable import PipelineVariable

from mlops_sm.builders.plan_session import PlannedForm, PlanSession, line_in_project
from mlops_sm.errors import InputError, Problem, did_you_mean
from mlops_sm.project import Environment, Policy


@dataclass(frozen=True, slots=True)
class Context:
    """The argument of ``def pipeline(ctx)``.

    Attributes:
        environment: Where the definition is compiled for: account, region, buckets, role, network, tags.
        pipeline_name: The name to give the pipeline.
        project_name: Name of the project.
        root: Folder of the pipeline module; relative asset paths start here.
        session: The session to give to every SDK object as ``sagemaker_session``.
        role: ARN of the role that the pipeline and its jobs run as.
        policy: What a model version must fulfil: ``[tool.mlops_sm.policy]``.
        iteration: In the body of a `for_each`, what tells its iterations apart: a pipeline variable.
    """

    environment: Environment
    pipeline_name: str
    project_name: str
    root: Path
    session: PlanSession
    role: str
    policy: Policy = field(default_factory=Policy)
    iteration: PipelineVariable | None = None

    def asset(self, path: str | Path) -> str:
        """Register a file as an asset.

        Args:
            path: Relative to the pipeline module's folder, or absolute inside the project.

        Returns:
            The file's S3 URI, ``s3://<artifact bucket>/<pipeline>/assets/<digest>/<file name>``.

        Raises:
            InputError: There is no such file (E307), or it lies outside of the project (E308).
        """
        file = self._inside_project(path, folder=False)
        return self.session.plan(file, PlannedForm.FILE, Path(path).name)

    def archive(self, folder: str | Path) -> str:
        """Register a folder as an asset that is uploaded as one ``sourcedir.tar.gz``.

        Args:
            folder: Relative to the pipeline module's folder, or absolute inside the project.

        Returns:
            The archive's S3 URI.

        Raises:
            InputError: There is no such folder (E307), or it lies outside of the project (E308).
        """
        return self.session.plan(self._inside_project(folder, folder=True), PlannedForm.ARCHIVE, "sourcedir.tar.gz")

    def _inside_project(self, path: str | Path, *, folder: bool) -> Path:
        project = self.session.project_root
        where = line_in_project(project) or self.pipeline_name
        wanted = (self.root / path).resolve()
        if not wanted.is_relative_to(project):
            raise InputError(
                Problem(
                    "E308",
                    where,
                    f'asset "{path}" lies outside of the project',
                    "copy it into the project: another machine must be able to compile this pipeline",
                )
            )
        kind = "folder" if folder else "file"
        shown = wanted.relative_to(project).as_posix()
        if not wanted.exists():
            raise InputError(Problem("E307", where, f'there is no {kind} "{shown}"', _nearby(wanted, project)))
        if wanted.is_dir() is not folder:
            other = "ctx.asset(...) for one file" if folder else "ctx.archive(...) for a folder"
            raise InputError(Problem("E307", where, f'"{shown}" is not a {kind}', f"use {other}"))
        return wanted


def _nearby(missing: Path, project: Path) -> str:
    parent = missing.parent
    if not parent.is_dir():
        return f'there is no folder "{parent.relative_to(project).as_posix()}" either: correct the path'
    hint = did_you_mean(missing.name, (p.name for p in parent.iterdir() if not p.name.startswith((".", "__"))))
    return f"create it or correct the path. {hint}".rstrip()
