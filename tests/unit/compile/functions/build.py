"""Functions as steps."""

from pathlib import Path
from typing import IO

from pipelines.functions import shared
from pipelines.functions.shared import Model
from sagemaker.core.workflow.conditions import ConditionGreaterThan
from sagemaker.core.workflow.parameters import ParameterInteger
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.function_step import step
from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm.builders import Context, framework_image

NAMES = {"b", "a", "c"}
HERE = Path(__file__).parent


def split(count: int, uri: str) -> tuple[list[int], list[str]]:
    return list(range(count)), [uri, *sorted(NAMES)]


def fit(numbers: list[int]) -> Model:
    """A model."""
    return Model(sum(numbers) / shared.SCALE)


def score(model: Model) -> dict[str, float]:
    return {"error": model.predict()}


def lost() -> Path:
    return HERE / "data.csv"


def opened(stream: IO[str]) -> str:
    return stream.read()


def where(path: object) -> object:
    return path


def pipeline(ctx: Context) -> Pipeline:
    settings = {"image_uri": framework_image(ctx, "sklearn", "1.2-1"), "instance_type": "ml.m5.large"}
    requirements = str(ctx.root / "requirements.txt")
    count = ParameterInteger("Count", default_value=4)
    parts = step(split, name="Split", dependencies=requirements, **settings)(count, ctx.asset("data.csv"))
    model = step(fit, name="Fit", dependencies=requirements, **settings)(parts[0])
    evaluation = step(score, name="Score", **settings)(model)
    gate = ConditionStep(name="Gate", conditions=[ConditionGreaterThan(evaluation["error"], 1)])
    return Pipeline(name=ctx.pipeline_name, parameters=[count], steps=[evaluation, gate], sagemaker_session=ctx.session)
