"""SageMaker's operations, one module per family; what is not in the table answers that it is not available."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlops_sm.emulator.sagemaker import (
    callback_steps,
    endpoints,
    endpoints_components,
    endpoints_updates,
    execution_starts,
    executions,
    experiments,
    experiments_components,
    lineage,
    lineage_query,
    models,
    package_groups,
    packages,
    pipeline_versions,
    pipelines,
    processing_jobs,
    records_table,
    search,
    tags,
    training_jobs,
    transform_jobs,
    tuning_jobs,
)
from mlops_sm.emulator.service import Operation

OPERATIONS: Final[Mapping[str, Operation]] = {
    **pipelines.OPERATIONS,
    **pipeline_versions.OPERATIONS,
    **execution_starts.OPERATIONS,
    **executions.OPERATIONS,
    **callback_steps.OPERATIONS,
    **processing_jobs.OPERATIONS,
    **training_jobs.OPERATIONS,
    **transform_jobs.OPERATIONS,
    **tuning_jobs.OPERATIONS,
    **models.OPERATIONS,
    **endpoints.OPERATIONS,
    **endpoints_updates.OPERATIONS,
    **endpoints_components.OPERATIONS,
    **package_groups.OPERATIONS,
    **packages.OPERATIONS,
    **tags.OPERATIONS,
    **search.OPERATIONS,
    **experiments.OPERATIONS,
    **experiments_components.OPERATIONS,
    **lineage.OPERATIONS,
    **lineage_query.OPERATIONS,
    **records_table.OPERATIONS,
}
