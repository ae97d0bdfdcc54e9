"""What a step produced, for the steps after it. A reference is also a dependency: the order follows from the data."""

from __future__ import annotations

from typing import Any

from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.properties import Properties
from sagemaker.mlops.workflow.steps import ProcessingStep, TrainingStep, TransformStep

from mlops_sm.errors import InputError, Problem, did_you_mean


def output(step: ProcessingStep, name: str) -> Properties:
    """The S3 URI of a processing step's output; of ours or of a plain SDK step.

    Raises:
        InputError: It is no processing step, or has no output of that name (E338).
    """
    expect(step, ProcessingStep, "output")
    names = output_names(step)
    if name not in names:
        raise InputError(
            Problem("E338", f'step "{step.name}"', f'it has no output "{name}"', did_you_mean(name, names) or "add it")
        )
    return step.properties.ProcessingOutputConfig.Outputs[name].S3Output.S3Uri


def output_names(step: ProcessingStep) -> tuple[str, ...]:
    """The names of a processing step's outputs."""
    return tuple(o.output_name for o in step.step_args.func_kwargs.get("outputs") or ())


def model_artifacts(step: TrainingStep) -> Properties:
    """The S3 URI of the model.tar.gz a training step made.

    Raises:
        InputError: It is no training step (E338).
    """
    expect(step, TrainingStep, "model_artifacts")
    return step.properties.ModelArtifacts.S3ModelArtifacts


def predictions(step: TransformStep) -> Properties:
    """The S3 URI below which a batch transform step left its results.

    Raises:
        InputError: It is no transform step (E338).
    """
    expect(step, TransformStep, "predictions")
    return step.properties.TransformOutput.S3OutputPath


def metric(step: ProcessingStep, path: str) -> JsonGet:
    """A value out of the report of an evaluation step.

    Args:
        step: A step with one property file, as `evaluation` makes it.
        path: Where in the report, e.g. ``binary_classification_metrics.auc.value``.

    Raises:
        InputError: The step has no report, or several (E338).
    """
    return JsonGet(step_name=step.name, property_file=_report(step, "metric"), json_path=path)


def report_uri(step: ProcessingStep) -> Join:
    """The S3 URI of the report of an evaluation step.

    Raises:
        InputError: The step has no report, or several (E338).
    """
    report = _report(step, "report_uri")
    return Join(on="/", values=[output(step, report.output_name), report.path])


def _report(step: ProcessingStep, function: str) -> Any:  # noqa: ANN401 - a PropertyFile; the SDK has no types
    expect(step, ProcessingStep, function)
    if len(step.property_files) != 1:
        raise InputError(
            Problem(
                "E338",
                f'step "{step.name}"',
                f"it has {len(step.property_files)} property files, so there is no such thing as its report",
                "make the step with `evaluation`, or use the SDK's JsonGet with the property file you mean",
            )
        )
    return step.property_files[0]


def expect(step: object, kind: type, function: str) -> None:
    """Refuse what is no step of a kind.

    Raises:
        InputError: It is not (E338).
    """
    if not isinstance(step, kind):
        name = getattr(step, "name", None)
        raise InputError(
            Problem(
                "E338",
                f'step "{name}"' if isinstance(name, str) else f"{function}({step!r})",
                f"`{function}` takes a {kind.__name__}, not a {type(step).__name__}",
                f"give it the {kind.__name__} itself",
            )
        )
