"""The Arguments of kinds that are no SageMaker request, and what kinds carry beside Arguments, as botocore shapes.

Source: the JSON that SageMaker SDK 3.27 writes, and the pipeline definition schema that AWS publishes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from mlops_sm.checks.service import Shape, ShapeResolver, resolver
from mlops_sm.definition.kinds import StepKind

ARGUMENTS: Final[Mapping[StepKind, str]] = MappingProxyType(
    {
        StepKind.FAIL: "FailArguments",
        StepKind.CONDITION: "ConditionArguments",
        StepKind.FOR_EACH: "ForEachArguments",
        StepKind.CLEANUP: "CleanupArguments",
        StepKind.LINEAGE: "LineageArguments",
        StepKind.EMR: "EmrArguments",
        StepKind.EMR_SERVERLESS: "EmrServerlessArguments",
    }
)
"""The shape of the Arguments of each kind with a vocabulary of its own."""

BESIDE: Final[Mapping[StepKind, str]] = MappingProxyType(
    {
        StepKind.LAMBDA: "LambdaMembers",
        StepKind.CALLBACK: "CallbackMembers",
        StepKind.QUALITY_CHECK: "QualityCheckMembers",
        StepKind.CLARIFY_CHECK: "ClarifyCheckMembers",
    }
)
"""The shape of what each kind carries beside Arguments."""


ROOT: Final[Mapping[str, str]] = MappingProxyType(
    {"PipelineExperimentConfig": "ExperimentMembers", "MlflowConfig": "MlflowMembers"}
)
"""The shape of each member of the definition itself that holds expressions."""


@cache
def vocabulary_shape(name: str) -> Shape:
    """One of the shapes named above."""
    return _shapes().get_shape_by_name(name)


@cache
def _shapes() -> ShapeResolver:
    return resolver(_SHAPES)


def _structure(required: str = "", **members: str) -> dict[str, Any]:
    """A structure; members are NAME=Shape, `required` names some of them."""
    return {
        "type": "structure",
        "required": required.split(),
        "members": {name: {"shape": shape} for name, shape in members.items()},
    }


def _list(of: str, **limits: int) -> dict[str, Any]:
    return {"type": "list", "member": {"shape": of}, **limits}


def _enum(*words: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(words)}


_CHECK_MEMBERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ModelPackageGroupName": "Text",
        "SkipCheck": "Flag",
        "FailOnViolation": "Flag",
        "RegisterNewBaseline": "Flag",
        "SuppliedBaselineConstraints": "Text",
    }
)

_SHAPES: Final[dict[str, Any]] = {
    "Text": {"type": "string"},
    "NonEmptyText": {"type": "string", "min": 1},
    "Flag": {"type": "boolean"},
    "Count": {"type": "integer", "min": 1},
    # Anything goes: vocabularies that others check.
    "Anything": {"type": "structure", "document": True, "members": {}},
    "AnythingList": _list("Anything"),
    "Texts": _list("Text"),
    "NonEmptyTexts": _list("Text", min=1),
    "TextMap": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Text"}},
    # ---------------------------------------------------------------- decided by the service itself
    "FailArguments": _structure("ErrorMessage", ErrorMessage="NonEmptyText"),
    # The branches hold steps, which are checked as steps; AWS's schema demands only the conditions.
    "ConditionArguments": _structure("Conditions", Conditions="Anything", IfSteps="Anything", ElseSteps="Anything"),
    "ForEachArguments": _structure(
        "IterableItems MaxConcurrency ForEachBody",
        IterableItems="Anything",
        MaxConcurrency="MaxConcurrency",
        Selector="Selector",
        ForEachBody="Anything",
    ),
    "MaxConcurrency": {"type": "integer", "min": 1, "max": 50},
    "Selector": _structure("Pick Field", Pick="Pick", Field="Anything"),
    "Pick": _enum("MaxBy", "MinBy"),
    "CleanupArguments": _structure("Resources", Resources="CleanupResources"),
    "CleanupResources": _structure("S3", S3="CleanupSources"),
    "CleanupSources": _list("CleanupSource", min=1),
    "CleanupSource": _structure("StepName", StepName="Text", S3Uris="NonEmptyTexts"),
    "LineageArguments": _structure(
        Actions="AnythingList", Artifacts="AnythingList", Contexts="AnythingList", Associations="Associations"
    ),
    "Associations": _list("Association"),
    "Association": _structure(
        "Source Destination", Source="Entity", Destination="Entity", AssociationType="AssociationType"
    ),
    "Entity": _structure(Name="Text", Type="Text", Arn="Text"),
    "AssociationType": _enum("ContributedTo", "AssociatedWith", "DerivedFrom", "Produced", "SameAs"),
    # ---------------------------------------------------------------- EMR
    "EmrArguments": _structure(
        "StepConfig",
        StepConfig="EmrStepConfig",
        ClusterId="NonEmptyText",
        ClusterConfig="Anything",
        ExecutionRoleArn="Text",
    ),
    "EmrStepConfig": _structure("HadoopJarStep", HadoopJarStep="HadoopJarStep", ActionOnFailure="Text", Name="Text"),
    "HadoopJarStep": _structure("Jar", Jar="NonEmptyText", Args="Texts", MainClass="Text", Properties="Properties"),
    "Properties": _list("KeyValue"),
    "KeyValue": _structure(Key="Text", Value="Text"),
    "EmrServerlessArguments": _structure(
        "ExecutionRoleArn JobConfig",
        ExecutionRoleArn="Text",
        ApplicationId="NonEmptyText",
        ApplicationConfig="Anything",
        JobConfig="EmrServerlessJob",
    ),
    "EmrServerlessJob": _structure(
        "executionRoleArn jobDriver",
        applicationId="Text",
        executionRoleArn="Text",
        jobDriver="Anything",
        configurationOverrides="Anything",
        executionTimeoutMinutes="Count",
        name="Text",
        tags="TextMap",
    ),
    # ---------------------------------------------------------------- the definition itself
    "ExperimentMembers": _structure(ExperimentName="Text", TrialName="Text"),
    "MlflowMembers": _structure("MlflowResourceArn", MlflowResourceArn="Text", MlflowExperimentName="Text"),
    # ---------------------------------------------------------------- beside Arguments
    "LambdaMembers": _structure("FunctionArn", FunctionArn="FunctionArn", OutputParameters="OutputParameters"),
    "FunctionArn": {
        "type": "string",
        "pattern": r"arn:aws[a-z\-]*:lambda:[a-z0-9\-]+:\d{12}:function:[A-Za-z0-9\-_]+(:[A-Za-z0-9\-_$]+)?",
    },
    "CallbackMembers": _structure("SqsQueueUrl", SqsQueueUrl="QueueUrl", OutputParameters="OutputParameters"),
    "QueueUrl": {"type": "string", "pattern": r"https?://\S+"},
    "OutputParameters": _list("OutputParameter"),
    "OutputParameter": _structure("OutputName OutputType", OutputName="NonEmptyText", OutputType="OutputType"),
    "OutputType": _enum("String", "Integer", "Boolean", "Float"),
    "QualityCheckMembers": _structure(
        "CheckType", CheckType="QualityCheckType", SuppliedBaselineStatistics="Text", **_CHECK_MEMBERS
    ),
    "QualityCheckType": _enum("DATA_QUALITY", "MODEL_QUALITY"),
    "ClarifyCheckMembers": _structure("CheckType", CheckType="ClarifyCheckType", ModelName="Text", **_CHECK_MEMBERS),
    "ClarifyCheckType": _enum("DATA_BIAS", "MODEL_BIAS", "MODEL_EXPLAINABILITY"),
}
