"""Where in S3 a step puts what it produces.

    s3://<artifact bucket>/<pipeline>/<execution id>/<step>/<output>/               processing
    s3://<artifact bucket>/<pipeline>/<execution id>/<step>/<key of the input>.out  batch transform
    s3://<model bucket>/<pipeline>/<execution id>/<step>/<output>/                  evaluation
    s3://<model bucket>/<pipeline>/<execution id>/<step>/<job>/output/model.tar.gz  training

In the body of a `for_each` the iteration's key comes after the step: ``.../<step>/<key>/<output>/``.

No execution overwrites another's results, no iteration another's, and everything about a model, its evaluation
included, is in one bucket.
"""

from __future__ import annotations

from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join

from mlops_sm.builders.context import Context
from mlops_sm.builders.values import Text


def execution_uri(ctx: Context, bucket: str, step: str, *parts: Text) -> Join:
    """A place in a bucket that belongs to a step of this pipeline, to the execution that runs and to its iteration."""
    iteration = () if ctx.iteration is None else (ctx.iteration,)
    return Join(
        on="/",
        values=[
            "s3:/",
            bucket,
            ctx.pipeline_name,
            ExecutionVariables.PIPELINE_EXECUTION_ID,
            step,
            *iteration,
            *parts,
        ],
    )
