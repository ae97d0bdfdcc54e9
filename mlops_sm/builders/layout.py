"""Where in S3 a step puts what it produces.

    s3://<artifact bucket>/<pipeline>/<execution id>/<step>/<output>/               processing
    s3://<artifact bucket>/<pipeline>/<execution id>/<step>/<key of the input>.out  batch transform
    s3://<model bucket>/<pipeline>/<execution id>/<step>/<output>/                  evaluation
    s3://<model bucket>/<pipeline>/<execution id>/<step>/<job>/output/model.tar.gz  training

No execution overwrites another's results, and everything about a model, its evaluation included, is in one bucket.
"""

from __future__ import annotations

from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join

from mlops_sm.builders.context import Context
from mlops_sm.builders.values import Text


def execution_uri(ctx: Context, bucket: str, *parts: Text) -> Join:
    """A place in a bucket that belongs to this pipeline and to the execution that runs."""
    return Join(on="/", values=["s3:/", bucket, ctx.pipeline_name, ExecutionVariables.PIPELINE_EXECUTION_ID, *parts])
