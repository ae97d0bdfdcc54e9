"""Container images: AWS's for scripts, AWS's built-in algorithms, and one's own. Looked up in the SDK, never on AWS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

from sagemaker.core import image_uris

from mlops_sm import naming
from mlops_sm.builders.context import Context
from mlops_sm.builders.plan_session import line_in_project
from mlops_sm.builders.problems import refuse
from mlops_sm.errors import InputError, Problem, did_you_mean

FRAMEWORKS: Final = ("pytorch", "sklearn", "tensorflow", "xgboost")
"""AWS's images that run a script: training finds it by ``sagemaker_program``, serving by ``SAGEMAKER_PROGRAM``."""

ALGORITHMS: Final = (
    *("blazingtext", "factorization-machines", "forecasting-deepar", "image-classification", "ipinsights", "kmeans"),
    *("knn", "lda", "linear-learner", "ntm", "object-detection", "object2vec", "pca", "randomcutforest"),
    *("semantic-segmentation", "seq2seq", "xgboost"),
)
"""AWS's built-in algorithms: images that train without a script, steered by hyperparameters."""


def framework_image(
    ctx: Context,
    framework: str,
    version: str,
    *,
    scope: Literal["training", "inference"] = "training",
    instance_type: str = "ml.m5.large",
    py_version: str | None = None,
) -> str:
    """The URI of one of AWS's images that run a script, in the environment's region.

    Args:
        ctx: The context of the pipeline.
        framework: One of `FRAMEWORKS`.
        version: For example ``1.2-1`` for scikit-learn.
        scope: What the image is for. Those of scikit-learn and XGBoost do both.
        instance_type: Decides between the images for processors and for GPUs.
        py_version: For example ``py312``, where AWS has several.

    Raises:
        InputError: AWS has no such image (E340), or a value is a pipeline variable (E335).
    """
    _refuse_unknown(ctx, "framework", framework, FRAMEWORKS)
    _refuse_unknown(ctx, "scope", scope, ("training", "inference"))
    return _retrieve(ctx, framework, version=version, scope=scope, instance_type=instance_type, py_version=py_version)


def algorithm_image(ctx: Context, algorithm: str, version: str | None = None) -> str:
    """The URI of one of AWS's built-in algorithms, in the environment's region.

    Args:
        ctx: The context of the pipeline.
        algorithm: One of `ALGORITHMS`.
        version: Needed for ``xgboost`` only; the others have one version.

    Raises:
        InputError: AWS has no such image (E340), or a value is a pipeline variable (E335).
    """
    _refuse_unknown(ctx, "algorithm", algorithm, ALGORITHMS)
    if version is None and len(versions := image_uris.list_versions(algorithm)) > 1:
        raise InputError(
            Problem(
                "E340", _where(ctx), f"there are several versions of {algorithm}", f"give one: {', '.join(versions)}"
            )
        )
    return _retrieve(ctx, algorithm, version=version)


def own_image(ctx: Context, repository: str, *, tag: str = "latest", digest: str | None = None) -> str:
    """The URI of an image in the environment's own registry.

    Args:
        ctx: The context of the pipeline.
        repository: Name of the ECR repository.
        tag: Which image. A tag can be moved to another image without the definition, or the cache, noticing.
        digest: ``sha256:...``; names one image forever, and wins over the tag.
    """
    suffix = "amazonaws.com.cn" if naming.partition(ctx.environment.region) == "aws-cn" else "amazonaws.com"
    registry = f"{ctx.environment.account}.dkr.ecr.{ctx.environment.region}.{suffix}"
    return f"{registry}/{repository}@{digest}" if digest else f"{registry}/{repository}:{tag}"


def _refuse_unknown(ctx: Context, kind: str, name: object, known: tuple[str, ...]) -> None:
    refuse(_variable_problems(ctx, **{kind: name}))
    if name not in known:
        raise InputError(
            Problem(
                "E340",
                _where(ctx),
                f"there is no {kind} {name!r}",
                f"{did_you_mean(str(name), known) or 'Known: ' + ', '.join(known) + '.'} "
                "Any other image: give its URI instead.",
            )
        )


def _variable_problems(ctx: Context, **values: object) -> Iterator[Problem]:
    for name, value in values.items():
        if value is not None and not isinstance(value, str):
            yield Problem("E335", _where(ctx), f"the {name} is no text", "give a constant: an image is looked up now")


def _retrieve(ctx: Context, framework: str, *, version: str | None, scope: str = "training", **arguments: Any) -> str:  # noqa: ANN401 - passed on to the SDK
    refuse(_variable_problems(ctx, version=version, **arguments))
    try:
        uri: str = image_uris.retrieve(
            framework, region=ctx.environment.region, version=version, image_scope=scope, **arguments
        )
    except (ValueError, KeyError) as unknown:
        raise InputError(
            Problem(
                "E340",
                _where(ctx),
                f"there is no {scope} image of {framework} {version or ''} in {ctx.environment.region}: "
                f"{_first_sentence(unknown)}",
                _known_versions(framework, version, scope),
            )
        ) from unknown
    return uri


def _known_versions(framework: str, version: str | None, scope: str) -> str:
    versions = [str(v) for v in image_uris.list_versions(framework, image_scope=scope)]
    if version in versions:
        return "take another region, version or instance type; any other image: give its URI instead"
    return did_you_mean(version or "", versions) or f"Known versions: {', '.join(versions)}."


def _first_sentence(error: Exception) -> str:
    text = str(error.args[0]) if error.args else str(error)
    return text.partition(". ")[0].rstrip(".")


def _where(ctx: Context) -> str:
    return line_in_project(ctx.session.project_root) or ctx.pipeline_name
