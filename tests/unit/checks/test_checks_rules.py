"""Each rule: one edit to a clean definition gives exactly this problem, with its place and its fix."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from mlops_sm.checks import check
from mlops_sm.checks.codes import CODES

if TYPE_CHECKING:
    from conftest import Samples

REMOVED = object()


class Case(NamedTuple):
    sample: str
    path: str
    value: Any
    code: str
    where: str
    fix: str


def get(target: str) -> dict[str, str]:
    return {"Get": target}


def writes(uri: Any) -> dict[str, Any]:
    """A step of a body that writes there."""
    return {
        "Name": "Write",
        "Type": "Processing",
        "Arguments": {
            "AppSpecification": {"ImageUri": "image"},
            "ProcessingOutputConfig": {
                "Outputs": [
                    {
                        "OutputName": "scores",
                        "S3Output": {"S3Uri": uri, "LocalPath": "/opt/ml/processing/a", "S3UploadMode": "EndOfJob"},
                    }
                ]
            },
            "ProcessingResources": {
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}
            },
            "RoleArn": "arn:aws:iam::123456789012:role/example-role",
        },
    }


FAIL = {"Name": "End", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}
V2_TRAIN = "Steps[1].Arguments"
V2_TUNE = "Steps[2].Arguments"
V2_DEFINITION = "Steps[2].Arguments.TrainingJobDefinition"
V2_CONFIG = V2_TUNE + ".HyperParameterTuningJobConfig"
V2_RANGE = V2_CONFIG + ".ParameterRanges.ContinuousParameterRanges[0]"
V2_CONDITION = "Steps[4].Arguments"
HAND = "Steps[0].Arguments"
HAND_INPUT = "Steps[0].Arguments.ProcessingInputs[0]"
HAND_OUTPUT = "Steps[0].Arguments.ProcessingOutputConfig.Outputs[0]"
EACH = "Steps[3].Arguments"

STRUCTURE = [
    Case("by_hand", "Version", "2021-01-01", "E206", "Version", '"2020-12-01"'),
    Case("by_hand", "Version", REMOVED, "E204", "the definition", '"Version"'),
    Case("by_hand", "Steps", [], "E204", "Steps", "at least one step"),
    Case("by_hand", "Parameter", [], "E205", "Parameter", '"Parameters"'),
    Case("by_hand", "Steps[1].Depends", [], "E205", "Steps[1].Depends", '"DependsOn"'),
    Case("by_hand", "Steps[1].DependsOn[0]", 5, "E203", "Steps[1].DependsOn[0]", "a step name"),
    Case(
        "by_hand",
        "Steps[1].DependsOn",
        [{"Step": "Copy", "Trigger": "Fail"}],
        "E206",
        "DependsOn[0].Trigger",
        '"Failed"',
    ),
    Case("by_hand", "Steps[0].CacheConfig", {"Enabled": "yes"}, "E203", "CacheConfig.Enabled", "true or false"),
    Case("by_hand", "Parameters[0].DefaultValue", ["a"], "E203", "Parameters[0].DefaultValue", "a string"),
    Case("by_hand", "Steps[0].FunctionArn", "x", "E205", "Steps[0].FunctionArn", "Remove or rename"),
    Case("sdk_v2", "Steps[3].PropertyFiles[0].FilePath", REMOVED, "E204", "PropertyFiles[0]", '"FilePath"'),
    Case("sdk_v2", "Steps[1].RetryPolicies[0].MaxAttempts", 2.5, "E203", "RetryPolicies[0].MaxAttempts", "an integer"),
    Case("sdk_v2", "Steps[1].RetryPolicies[0].ExceptionType", [1], "E203", "ExceptionType[0]", "a string"),
    Case("sdk_v2", "Steps[4].Arguments.ElseSteps", {}, "E203", "ElseSteps", "a list of steps"),
]
NAMES = [
    Case("by_hand", "Steps[1].Name", "Stop it", "E210", "Steps[1].Name", "hyphens and underscores"),
    Case("by_hand", "Steps[1].Name", "", "E210", "Steps[1].Name", "1 to 64"),
    Case("by_hand", "Steps[1].Name", "x" * 65, "E210", "Steps[1].Name", "1 to 64"),
    Case("by_hand", "Parameters[1]", {"Name": "a.b", "Type": "Float"}, "E210", "Parameters[1].Name", "1 to 256"),
    Case("by_hand", "Parameters[1]", {"Name": "Input", "Type": "String"}, "E211", "Parameters[1].Name", "Remove or"),
    Case("sdk_v2", "Steps[5]", FAIL | {"Name": "Train"}, "E211", "Steps[5].Name", "Rename one of them"),
    Case("sdk_v2", "Steps[5]", FAIL | {"Name": "NotGoodEnough"}, "E211", "Steps[5].Name", "in the branch only"),
    Case("sdk_v3_more", "Steps[8]", FAIL | {"Name": "Score-12"}, "E212", "Steps[8].Name", "-NUMBER"),
    Case("sdk_v3_more", "Steps[8]", FAIL | {"Name": "Score"}, "E211", "Steps[8].Name", "branch"),
    Case(
        "sdk_v2",
        "Steps[3].PropertyFiles[1]",
        {"PropertyFileName": "Report", "OutputName": "evaluation", "FilePath": "b.json"},
        "E211",
        "PropertyFiles[1].PropertyFileName",
        "Rename",
    ),
]
PARAMETERS = [
    Case("sdk_v2", "Parameters[1].DefaultValue", "1", "E213", "Parameters[1].DefaultValue", "an integer such as 3"),
    Case("sdk_v2", "Parameters[1].DefaultValue", True, "E213", "Parameters[1].DefaultValue", "an integer such as 3"),
    Case("sdk_v2", "Parameters[1].DefaultValue", 1.0, "E213", "Parameters[1].DefaultValue", "an integer such as 3"),
    Case("sdk_v3", "Parameters[5].DefaultValue", "no", "E213", "Parameters[5].DefaultValue", "true or false"),
    Case("sdk_v2", "Parameters[0].DefaultValue", 1, "E213", "Parameters[0].DefaultValue", "text"),
    Case(
        "sdk_v2", "Parameters[2].EnumValues", ["1"], "E214", "Parameters[2].EnumValues", "make the parameter a String"
    ),
    Case("sdk_v2", "Parameters[5].EnumValues", ["Approved"], "E214", "Parameters[5].DefaultValue", "Approved"),
]
REFERENCES = [
    Case("by_hand", HAND_INPUT + ".S3Input.S3Uri", get("Inputs.X"), "E220", "S3Input.S3Uri", "Get, Std:Join"),
    Case("by_hand", HAND_INPUT + ".S3Input.S3Uri", get("Parameters.Inptu"), "E221", "S3Input.S3Uri", '"Input"'),
    Case("by_hand", HAND_INPUT + ".S3Input.S3Uri", get("Execution.Id"), "E222", "S3Input.S3Uri", "PipelineExecutionId"),
    Case("by_hand", HAND_INPUT + ".S3Input.S3Uri", get("Steps.Copi.X"), "E223", "S3Input.S3Uri", '"Copy"'),
    Case("by_hand", HAND_INPUT + ".S3Input.S3Uri", get("ForEach.CurrentItem"), "E229", "S3Input.S3Uri", "ForEachBody"),
    Case("by_hand", "Steps[1].DependsOn[0]", "Cop", "E223", "Steps[1].DependsOn[0]", '"Copy"'),
    Case("by_hand", "Steps[0].DependsOn", ["Copy"], "E230", "Steps[0]", "along this path"),
    Case(
        "by_hand",
        "PipelineExperimentConfig",
        {"ExperimentName": get("Steps.Copy.ProcessingJobName")},
        "E229",
        "PipelineExperimentConfig.ExperimentName",
        "execution variable",
    ),
    Case("sdk_v2", "Steps[3].DependsOn[0]", "NotGoodEnough", "E233", "DependsOn[0]", "step before it"),
    Case(
        "sdk_v2",
        "Steps[3].Arguments.ProcessingInputs[0].S3Input.S3Uri",
        get("Steps.Train.ModelArtifacts.S3ModelArtefacts"),
        "E224",
        "ProcessingInputs[0].S3Input.S3Uri",
        '"S3ModelArtifacts"',
    ),
    Case(
        "sdk_v2",
        "Steps[3].Arguments.ProcessingInputs[1].S3Input.S3Uri",
        get("Steps.Prepare.ProcessingOutputConfig.Outputs[2].S3Output.S3Uri"),
        "E225",
        "ProcessingInputs[1].S3Input.S3Uri",
        "from 0",
    ),
    Case(
        "sdk_v2",
        "Steps[3].Arguments.ProcessingInputs[1].S3Input.S3Uri",
        get("Steps.Prepare.ProcessingOutputConfig.Outputs['test'.S3Output"),
        "E220",
        "ProcessingInputs[1].S3Input.S3Uri",
        "A.B[0]['name']",
    ),
    Case(
        "sdk_v2",
        "Steps[3].Arguments.ProcessingInputs[1].S3Input.S3Uri",
        get("Steps.Tune.TrainingJobSummaries.TrainingJobName"),
        "E224",
        "ProcessingInputs[1].S3Input.S3Uri",
        "TrainingJobSummaries[0]",
    ),
    Case(
        "sdk_v2",
        "Steps[3].Arguments.ProcessingInputs[1].S3Input.S3Uri",
        get("Steps.Train.TrainingJobName.X"),
        "E224",
        "ProcessingInputs[1].S3Input.S3Uri",
        'End the path at "TrainingJobName"',
    ),
    Case(
        "sdk_v2",
        V2_CONDITION + ".IfSteps[2].Arguments.TransformOutput.S3OutputPath",
        get("Steps.Evaluate.PropertyFiles.Report"),
        "E224",
        "TransformOutput.S3OutputPath",
        "Std:JsonGet",
    ),
    Case(
        "sdk_v2",
        V2_CONDITION + ".Conditions[0].LeftValue['Std:JsonGet'].PropertyFile",
        get("Steps.Evaluate.PropertyFiles.Reprot"),
        "E226",
        "Conditions[0].LeftValue",
        '"Report"',
    ),
    Case("sdk_v2", "Steps[3].PropertyFiles[0].OutputName", "evaluatoin", "E227", "OutputName", '"evaluation"'),
    Case(
        "sdk_v2",
        "Steps[1].PropertyFiles",
        [{"PropertyFileName": "M", "OutputName": "m", "FilePath": "m.json"}],
        "E227",
        "Steps[1].PropertyFiles[0].OutputName",
        "Processing steps",
    ),
    Case(
        "sdk_v2",
        V2_CONDITION + ".ElseSteps[0].DependsOn",
        ["Score"],
        "E231",
        "ElseSteps[0].DependsOn[0]",
        "Only one branch runs",
    ),
    Case("sdk_v3_more", "Steps[5].DependsOn[0].Step", "Score", "E232", "DependsOn[0]", "IterationOutputs[0].Score"),
    Case(
        "sdk_v3_more",
        "Steps[5].Arguments.failed",
        get("Steps.PerSegment.IterationOutputs.Score"),
        "E224",
        "Arguments.failed",
        "IterationOutputs[0]",
    ),
    Case(
        "sdk_v3_more",
        "Steps[5].Arguments.failed",
        get("Steps.PerSegment.IterationOutputs[0].Scoer.X"),
        "E225",
        "Arguments.failed",
        '"Score"',
    ),
    Case("sdk_v3_more", "Steps[5].Arguments.failed", get("Steps.PerSegment.Stauts"), "E224", "failed", '"Status"'),
    Case("sdk_v3_more", "Steps[5].Arguments.failed", get("Steps.Tidy.X"), "E224", "failed", "another step"),
    Case(
        "sdk_v3_more", "Steps[5].Arguments.failed", get("Steps.Approve.OutputParameters['x']"), "E225", "failed", "ba"
    ),
    Case("sdk_v3_more", "Steps[5].Arguments.failed", get("Steps.Approve.Outputs['x']"), "E224", "failed", "NAME"),
    Case("sdk_v3_more", "Steps[5].Arguments.failed", get("Steps.AnyFailed.Otcome"), "E224", "failed", '"Outcome"'),
    Case("sdk_v3_more", "Steps[5].Arguments.failed", get("Steps.Spark.Stats"), "E224", "failed", '"Status"'),
    Case("sdk_v3_more", "Steps[5].Arguments.failed", get("Steps.Record.ActionArn"), "E224", "failed", "ActionArns"),
    Case("sdk_v3_more", "Steps[5].Arguments.failed", get("IterationOutput.Score.X"), "E229", "failed", "BODY_STEP"),
    Case("sdk_v3_more", EACH + ".Selector.Field", get("IterationOutput.Scoer.X"), "E225", "Selector.Field", '"Score"'),
    Case("sdk_v3_more", "Steps[7].Arguments.Resources.S3[0].StepName", "Reprot", "E223", "StepName", '"Report"'),
]
TYPES = [
    Case("sdk_v2", HAND + ".AppSpecification.ContainerArguments[1]", get("Parameters.Rows"), "E228", "[1]", "Std:Join"),
    Case(
        "sdk_v2", V2_TRAIN + ".ResourceConfig.InstanceCount", get("Parameters.Eta"), "E228", "InstanceCount", "integer"
    ),
    Case(
        "sdk_v2",
        V2_TRAIN + ".ResourceConfig.InstanceCount",
        get("Steps.Prepare.ProcessingJobName"),
        "E228",
        "InstanceCount",
        "integer",
    ),
    Case(
        "sdk_v2",
        V2_TRAIN + ".InputDataConfig[0].DataSource.S3DataSource.S3Uri",
        get("Steps.Prepare.ProcessingOutputConfig.Outputs['train'].S3Output"),
        "E228",
        "S3DataSource.S3Uri",
        "Take one value out of it",
    ),
    Case("sdk_v2", V2_TRAIN + ".HyperParameters", get("Parameters.Raw"), "E247", "HyperParameters", "an object"),
    Case(
        "sdk_v2",
        V2_TRAIN + ".VpcConfig",
        {"Subnets": get("Parameters.Raw"), "SecurityGroupIds": ["sg-1"]},
        "E247",
        "VpcConfig.Subnets",
        "a list",
    ),
    Case("sdk_v3", "Steps[1].SkipCheck", get("Parameters.InputDataUri"), "E228", "Steps[1].SkipCheck", "boolean"),
    Case("sdk_v2", V2_CONDITION + ".Conditions[1].RightValue", 1, "E228", "Conditions[1].RightValue", "same type"),
    Case(
        "sdk_v2",
        V2_CONDITION + ".Conditions[1].LeftValue",
        get("Steps.Train.ResourceConfig"),
        "E228",
        "Conditions[1].LeftValue",
        "Take one value",
    ),
    Case(
        "sdk_v2",
        V2_CONDITION + ".ElseSteps[0].Arguments.ErrorMessage",
        {"Std:Join": {"On": "", "Values": [get("Steps.Train.ResourceConfig")]}},
        "E228",
        "ErrorMessage.Std:Join.Values[0]",
        "Take one value",
    ),
    Case(
        "sdk_v2",
        V2_CONDITION + ".ElseSteps[0].Arguments.ErrorMessage",
        {"Std:Join": {"On": "", "Values": [["a"]]}},
        "E220",
        "Arguments.ErrorMessage",
        "scalars only",
    ),
    Case(
        "sdk_v3_more", EACH + ".ForEachBody[1].OutputParameters[0].OutputType", "Number", "E243", "OutputType", "Float"
    ),
    Case("sdk_v2", "Parameters[0].DefaultValue", "ml.m5.larg", "W240", "ClusterConfig.InstanceType", '"ml.m5.large"'),
]
SHAPES = [
    Case("by_hand", HAND + ".RoleArn", REMOVED, "E241", "Steps[0].Arguments", '"RoleArn"'),
    Case("by_hand", HAND + ".RoleArm", "x", "E240", "Arguments.RoleArm", '"RoleArn"'),
    Case("by_hand", HAND + ".RoleArn", "arn:aws:iam::12:role/short-name", "E244", "Arguments.RoleArn", "must match"),
    Case("by_hand", HAND + ".RoleArn", "short", "E245", "Arguments.RoleArn", "at least 20"),
    Case("by_hand", HAND + ".RoleArn", None, "E242", "Arguments.RoleArn", "Leave the member out"),
    Case("by_hand", HAND + ".Environment", {"LEVEL": 3}, "E242", "Environment.LEVEL", '"3"'),
    Case(
        "by_hand", HAND + ".AppSpecification.ContainerEntrypoint", [], "E245", "ContainerEntrypoint", "at least 1 items"
    ),
    Case(
        "by_hand", HAND + ".StoppingCondition", {"MaxRuntimeInSeconds": 0}, "E246", "MaxRuntimeInSeconds", "at least 1"
    ),
    Case("by_hand", HAND_INPUT + ".S3Input.S3DataType", "S3prefix", "E243", "S3DataType", '"S3Prefix"'),
    Case("by_hand", HAND_INPUT + ".S3Input.S3Uri", "in/", "E244", "S3Input.S3Uri", "must match"),
    Case("by_hand", HAND + ".ProcessingInputs", {}, "E242", "Arguments.ProcessingInputs", "a list"),
    Case("by_hand", "Steps[1].Arguments.ErrorMessage", REMOVED, "E241", "Steps[1].Arguments", '"ErrorMessage"'),
    Case("by_hand", "Steps[1].Arguments.ErrorMesage", "x", "E240", "Arguments.ErrorMesage", '"ErrorMessage"'),
    Case("sdk_v3", "Steps[1].CheckType", "DATA", "E243", "Steps[1].CheckType", "DATA_QUALITY"),
    Case("sdk_v3", "Steps[2].CheckType", "DATA_QUALITY", "E243", "Steps[2].CheckType", "DATA_BIAS"),
    Case("sdk_v3", "Steps[1].CheckType", REMOVED, "E241", "Steps[1]", '"CheckType"'),
    Case("sdk_v3_more", "Steps[0].SqsQueueUrl", "approvals", "E244", "Steps[0].SqsQueueUrl", "https"),
    Case("sdk_v3_more", "Steps[5].FunctionArn", REMOVED, "E241", "Steps[5]", '"FunctionArn"'),
    Case("sdk_v3_more", EACH + ".MaxConcurrency", 51, "E246", "MaxConcurrency", "at most 50"),
    Case("sdk_v3_more", EACH + ".Selector.Pick", "Max", "E243", "Selector.Pick", '"MaxBy"'),
    Case(
        "sdk_v3_more", "Steps[6].Arguments.ElseSteps[0].Arguments.Actions[0].ActionType", REMOVED, "E241", "[0]", "Act"
    ),
    Case("sdk_v3_more", "Steps[7].Arguments.Resources.S3", [], "E245", "Resources.S3", "at least 1"),
    Case("sdk_v3_more", "Steps[1].Arguments.StepConfig.HadoopJarStep.Jar", REMOVED, "E241", "HadoopJarStep", '"Jar"'),
]
REQUIRED = [
    Case("sdk_v2", V2_TRAIN + ".StoppingCondition", REMOVED, "E250", "Steps[1].Arguments", '"StoppingCondition"'),
    Case("sdk_v2", V2_TRAIN + ".ResourceConfig", REMOVED, "E250", "Steps[1].Arguments", '"ResourceConfig"'),
    Case("sdk_v2", V2_TRAIN + ".AlgorithmSpecification", REMOVED, "E250", "Arguments", '"AlgorithmSpecification"'),
    Case("sdk_v2", V2_TRAIN + ".ResourceConfig.InstanceCount", REMOVED, "E250", "ResourceConfig", '"InstanceCount"'),
    Case("sdk_v2", V2_TRAIN + ".ResourceConfig.InstanceCount", 0, "E257", "InstanceCount", "1 or more"),
    Case("sdk_v2", V2_TRAIN + ".ResourceConfig.VolumeSizeInGB", 0, "E257", "VolumeSizeInGB", "1 or more"),
    Case(
        "sdk_v2", V2_TRAIN + ".AlgorithmSpecification.TrainingImage", REMOVED, "E250", "Specification", "TrainingImage"
    ),
    Case("sdk_v2", V2_TRAIN + ".AlgorithmSpecification.AlgorithmName", "mine", "E251", "Specification", "Keep one"),
    Case("sdk_v2", V2_TRAIN + ".EnableManagedSpotTraining", True, "E250", "StoppingCondition", "MaxWaitTimeInSeconds"),
    Case(
        "sdk_v2", V2_TRAIN + ".StoppingCondition.MaxWaitTimeInSeconds", 90000, "E251", "StoppingCondition", "Remove it"
    ),
    Case("sdk_v2", V2_TRAIN + ".InputDataConfig[0].DataSource", {}, "E250", "DataSource", "S3DataSource"),
    Case(
        "sdk_v2",
        V2_TRAIN + ".ResourceConfig.InstanceGroups",
        [{"InstanceType": "ml.m5.large", "InstanceCount": 1, "InstanceGroupName": "a"}],
        "E251",
        "ResourceConfig",
        "Keep one",
    ),
    Case("sdk_v2", V2_DEFINITION, REMOVED, "E250", "Steps[2].Arguments", '"TrainingJobDefinition"'),
    Case(
        "sdk_v2", V2_DEFINITION + ".HyperParameterTuningResourceConfig", REMOVED, "E250", "Definition", "ResourceConfig"
    ),
    Case(
        "sdk_v2",
        V2_TUNE + ".HyperParameterTuningJobConfig.HyperParameterTuningJobObjective",
        REMOVED,
        "E250",
        "HyperParameterTuningJobConfig",
        "Objective",
    ),
    Case(
        "sdk_v2", V2_CONFIG + ".ResourceLimits.MaxNumberOfTrainingJobs", REMOVED, "E250", "ResourceLimits", "MaxNumber"
    ),
    Case("sdk_v2", V2_RANGE + ".MaxValue", "0.001", "E257", "Ranges[0].MinValue", "Swap them"),
    Case("sdk_v2", V2_RANGE + ".MaxValue", "much", "E257", "Ranges[0].MaxValue", "Write a number"),
    Case("sdk_v2", V2_RANGE + ".MinValue", "nan", "E257", "Ranges[0].MinValue", "Write a number"),
    Case(
        "sdk_v2",
        V2_CONFIG + ".ParameterRanges.IntegerParameterRanges",
        [{"Name": "max_depth", "MinValue": "1.5", "MaxValue": "4"}],
        "E257",
        "IntegerParameterRanges[0].MinValue",
        "Write a whole number",
    ),
    Case(
        "sdk_v2",
        V2_CONFIG + ".ParameterRanges.ContinuousParameterRanges",
        [{"Name": "eta", "MinValue": "0", "MaxValue": "1", "ScalingType": "Logarithmic"}],
        "E257",
        "Ranges[0].MinValue",
        "above 0",
    ),
    Case(
        "sdk_v2",
        V2_CONFIG + ".ParameterRanges.ContinuousParameterRanges",
        [{"Name": "eta", "MinValue": "0", "MaxValue": "1", "ScalingType": "ReverseLogarithmic"}],
        "E257",
        "Ranges[0].ScalingType",
        "Change the ends",
    ),
    Case(
        "sdk_v2",
        V2_RANGE + ".Name",
        V2_CONFIG + ".ParameterRanges.CategoricalParameterRanges[0].Name",
        "E256",
        "CategoricalParameterRanges[0].Name",
        "Rename",
    ),
    Case("sdk_v2", V2_RANGE + ".Name", "objective", "E251", "Ranges[0].Name", "Keep one"),
    Case("sdk_v2", V2_CONFIG + ".Strategy", "Grid", "E251", "ContinuousParameterRanges[0]", "Categorical"),
    Case(
        "sdk_v2",
        V2_CONFIG + ".HyperParameterTuningJobObjective.MetricName",
        "accuracy",
        "E250",
        "HyperParameterTuningJobConfig",
        "Define it",
    ),
    Case("by_hand", HAND_INPUT + ".S3Input", REMOVED, "E250", "ProcessingInputs[0]", '"S3Input"'),
    Case("by_hand", HAND_INPUT + ".S3Input.LocalPath", REMOVED, "E250", "S3Input", '"LocalPath"'),
    Case("by_hand", HAND_INPUT + ".S3Input.S3InputMode", REMOVED, "E250", "S3Input", '"S3InputMode"'),
    Case("by_hand", HAND_INPUT + ".S3Input.LocalPath", "/opt/ml/in", "E252", "LocalPath", "/opt/ml/processing/"),
    Case(
        "by_hand", HAND_INPUT + ".S3Input.LocalPath", "/opt/ml/processing2", "E252", "LocalPath", "/opt/ml/processing/"
    ),
    Case("by_hand", HAND_OUTPUT + ".S3Output", REMOVED, "E250", "Outputs[0]", '"S3Output"'),
    Case("by_hand", HAND_OUTPUT + ".S3Output.LocalPath", "out", "E252", "LocalPath", "/opt/ml/processing/"),
    Case(
        "by_hand", HAND + ".ProcessingResources.ClusterConfig.InstanceCount", REMOVED, "E250", "ClusterConfig", "Count"
    ),
    Case("sdk_v2", V2_CONDITION + ".IfSteps[0].Arguments.PrimaryContainer", REMOVED, "E250", "Arguments", "PrimaryC"),
    Case(
        "sdk_v2", V2_CONDITION + ".IfSteps[0].Arguments.PrimaryContainer.Image", REMOVED, "E250", "Container", "Image"
    ),
    Case("sdk_v2", V2_CONDITION + ".IfSteps[1].Arguments.ModelPackageGroupName", REMOVED, "E250", "Arguments", "Group"),
    Case(
        "sdk_v3",
        "Steps[6].Arguments.IfSteps[6].Arguments.ProductionVariants[0].InitialInstanceCount",
        REMOVED,
        "E250",
        "ProductionVariants[0]",
        "InitialInstanceCount",
    ),
    Case("sdk_v3_more", "Steps[1].Arguments.ClusterId", REMOVED, "E250", "Arguments", "ClusterId"),
    Case("sdk_v3_more", "Steps[1].Arguments.ClusterConfig", {}, "E251", "Arguments", "Keep one"),
    Case("sdk_v3_more", "Steps[2].Arguments.ApplicationId", REMOVED, "E250", "Arguments", "ApplicationId"),
    Case("sdk_v3_more", "Steps[6].Arguments.ElseSteps[0].Arguments", {}, "E250", "Arguments", "Actions"),
    Case(
        "sdk_v3_more", "Steps[6].Arguments.ElseSteps[1].Arguments.Specification", REMOVED, "E250", "Arguments", "Spec"
    ),
]
CONDITIONS = [
    Case("sdk_v2", V2_CONDITION + ".Conditions", REMOVED, "E241", "Steps[4].Arguments", '"Conditions"'),
    Case("sdk_v2", V2_CONDITION + ".Conditions", [], "E253", "Arguments.Conditions", "at least one condition"),
    Case("sdk_v2", V2_CONDITION + ".Conditions[1]", "x", "E253", "Conditions[1]", '"Type"'),
    Case("sdk_v2", V2_CONDITION + ".Conditions[1].Type", "NotEquals", "E253", "Conditions[1].Type", '"Equals"'),
    Case("sdk_v2", V2_CONDITION + ".Conditions[1].Type", REMOVED, "E253", "Conditions[1]", "LessThanOrEqualTo"),
    Case("sdk_v2", V2_CONDITION + ".Conditions[1].LeftValue", REMOVED, "E253", "Conditions[1]", '"LeftValue"'),
    Case("sdk_v2", V2_CONDITION + ".Conditions[1].Left", 1, "E253", "Conditions[1].Left", "LeftValue, RightValue"),
    Case("sdk_v2", V2_CONDITION + ".Conditions[1].RightValue", None, "E253", "Conditions[1].RightValue", "Compare a"),
    Case("sdk_v2", V2_CONDITION + ".Conditions[1].RightValue", ["a"], "E253", "Conditions[1].RightValue", "Compare a"),
    Case("sdk_v2", V2_CONDITION + ".IfStep", [], "E240", "Arguments.IfStep", '"IfSteps"'),
    Case(
        "sdk_v3", "Steps[6].Arguments.Conditions[1].Conditions", [], "E253", "Conditions[1].Conditions", "at least one"
    ),
    Case("sdk_v3", "Steps[6].Arguments.Conditions[1].Conditions[0].Values", [], "E253", "Values", "count as a match"),
    Case("sdk_v3", "Steps[6].Arguments.Conditions[1].Conditions[0].Values[0]", 1, "E228", "Values[0]", "same type"),
    Case("sdk_v3", "Steps[6].Arguments.Conditions[1].Conditions[0].QueryValue", REMOVED, "E253", "[0]", "QueryValue"),
    Case("sdk_v3", "Steps[6].Arguments.Conditions[1].Conditions[1].Condition", REMOVED, "E253", "[1]", '"Condition"'),
    Case(
        "sdk_v3", "Steps[6].Arguments.Conditions[1].Conditions[1].Condition.RightValue", 1, "E228", "RightValue", "type"
    ),
]
POLICIES = [
    Case("sdk_v2", "Steps[0].CacheConfig.ExpireAfter", "30 days", "E254", "CacheConfig.ExpireAfter", "P30D"),
    Case("sdk_v2", "Steps[0].CacheConfig.ExpireAfter", "P", "E254", "CacheConfig.ExpireAfter", "P30D"),
    Case("sdk_v2", "Steps[0].CacheConfig.ExpireAfter", "PT", "E254", "CacheConfig.ExpireAfter", "P30D"),
    Case("sdk_v2", "Steps[0].CacheConfig.ExpireAfter", REMOVED, "E254", "CacheConfig", '"ExpireAfter"'),
    Case("by_hand", "Steps[1].CacheConfig", {"Enabled": True, "ExpireAfter": "P1D"}, "W250", "CacheConfig", "Remove"),
    Case(
        "sdk_v2", "Steps[1].RetryPolicies[0].ExceptionType", "Step.FAULT", "E255", "ExceptionType", "Step.SERVICE_FAULT"
    ),
    Case("sdk_v2", "Steps[1].RetryPolicies[0].ExceptionType", [], "E255", "ExceptionType", "at least one"),
    Case("sdk_v2", "Steps[1].RetryPolicies[0].MaxAttempts", 21, "E255", "MaxAttempts", "1 to 20"),
    Case("sdk_v2", "Steps[1].RetryPolicies[0].ExpireAfterMin", 10, "E255", "RetryPolicies[0]", "Keep one"),
    Case("sdk_v2", "Steps[1].RetryPolicies[0].IntervalSeconds", 43201, "E255", "IntervalSeconds", "0 to 43200"),
    Case("sdk_v2", "Steps[1].RetryPolicies[0].BackoffRate", -1, "E255", "BackoffRate", "at least 0"),
    Case("by_hand", "Steps[1].RetryPolicies", [{"ExceptionType": ["Step.THROTTLING"]}], "W250", "Policies", "Remove"),
    Case(
        "sdk_v2",
        V2_CONDITION + ".IfSteps[0].RetryPolicies",
        [{"ExceptionType": ["SageMaker.CAPACITY_ERROR"]}],
        "W250",
        "ExceptionType",
        "Step.THROTTLING",
    ),
]
LIMITS = [
    Case("by_hand", "Steps[0].DisplayName", "x" * 257, "E261", "Steps[0].DisplayName", "256"),
    Case("by_hand", "Steps[0].Description", "x" * 3073, "E261", "Steps[0].Description", "3072"),
    Case("sdk_v3_more", EACH + ".IterableItems", [], "E262", "IterableItems", "1 to 100"),
    Case("sdk_v3_more", EACH + ".IterableItems", ["a"] * 101, "E262", "IterableItems", "1 to 100"),
    Case("sdk_v3_more", EACH + ".IterableItems", ["a", ["b"]], "E262", "IterableItems[1]", "as a string"),
    Case("sdk_v3_more", EACH + ".IterableItems", "a", "E262", "IterableItems", "a list of 1 to 100"),
    Case("sdk_v3_more", EACH + ".ForEachBody[2]", FAIL, "E263", "ForEachBody[2]", "Move it out"),
    Case("by_hand", "Metadata", {"note": "x" * 1_100_000}, "W260", "the definition", "1,048,576"),
    Case(
        "sdk_v3_more",
        EACH + ".ForEachBody[2]",
        writes("s3://example-bucket/scores"),
        "W263",
        "ForEachBody[2].Arguments.ProcessingOutputConfig.Outputs[0].S3Output.S3Uri",
        "ForEach.CurrentItem",
    ),
    Case(
        "sdk_v3_more",
        EACH + ".ForEachBody[2]",
        writes({"Std:Join": {"On": "/", "Values": ["s3://example-bucket", get("Execution.PipelineExecutionId")]}}),
        "W263",
        "S3Output.S3Uri",
        "ForEach.CurrentItem",
    ),
]


EXTRA = [
    Case("sdk_v3", "PipelineExperimentConfig.TrialName", 5, "E242", "PipelineExperimentConfig.TrialName", '"5"'),
    Case("sdk_v3", "MlflowConfig", {}, "E241", "MlflowConfig", '"MlflowResourceArn"'),
    Case("sdk_v3", "Steps[0].Arguments.ProcessingOutputConfig", {"Outputs": 5}, "E242", "Outputs", "a list"),
    Case("sdk_v3_more", EACH + ".Selector.Field", "auc", "E229", "Selector.Field", "IterationOutput.BODY_STEP"),
    Case(
        "sdk_v3_more",
        "Steps[6].Arguments.ElseSteps[0].Arguments.Associations[0].Source.Type",
        REMOVED,
        "E250",
        "Associations[0].Source",
        '"Arn"',
    ),
    Case("by_hand", HAND + ".ProcessingInputs[1]", HAND_INPUT, "E256", "ProcessingInputs[1].InputName", "Rename"),
    Case("sdk_v2", V2_TRAIN + ".InputDataConfig[1]", V2_TRAIN + ".InputDataConfig[0]", "E256", "ChannelName", "Rename"),
]
AUTO_ML = {
    "AutoMLJobInputDataConfig": [{"ChannelType": "training"}],
    "OutputDataConfig": {"S3OutputPath": "s3://example-bucket/out"},
    "AutoMLProblemTypeConfig": {"TabularJobConfig": {"TargetAttributeName": "y"}},
    "RoleArn": "arn:aws:iam::123456789012:role/example-role",
}
AUTO_ML_V1 = {
    "InputDataConfig": [{"TargetAttributeName": "y"}],
    "OutputDataConfig": {"S3OutputPath": "s3://example-bucket/out"},
    "AutoMLJobConfig": {"Mode": "ENSEMBLING"},
    "RoleArn": "arn:aws:iam::123456789012:role/example-role",
}


def auto_ml(arguments: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"Name": "Search", "Type": "AutoML", "Arguments": arguments | changes}


EXTRA_KINDS = [
    Case("by_hand", "Steps[2]", auto_ml(AUTO_ML, AutoMLProblemTypeConfig={}), "E248", "ProblemTypeConfig", "meant"),
    Case(
        "by_hand", "Steps[2]", auto_ml(AUTO_ML_V1, ProblemType="Binary"), "E243", "ProblemType", "BinaryClassification"
    ),
    Case(
        "by_hand",
        "Parameters",
        [{"Name": f"P{i}", "Type": "String"} for i in range(200)] + [{"Name": "Input", "Type": "String"}],
        "E260",
        "Parameters",
        "at most 200",
    ),
]
ALL = [
    *STRUCTURE,
    *NAMES,
    *PARAMETERS,
    *REFERENCES,
    *TYPES,
    *SHAPES,
    *REQUIRED,
    *CONDITIONS,
    *POLICIES,
    *LIMITS,
    *EXTRA,
    *EXTRA_KINDS,
]


@pytest.mark.parametrize("case", ALL, ids=lambda c: f"{c.code}-{c.sample}-{c.path}")
def test_one_fault_gives_one_problem(samples: Samples, case: Case) -> None:
    value = samples.value(case.sample, case.value) if case.code == "E256" else case.value
    text = samples.edited(case.sample, case.path, *(() if value is REMOVED else (value,)))
    problems = check(text)
    assert [p.code for p in problems] == [case.code], "\n".join(p.render() for p in problems)
    assert problems[0].where.endswith(case.where)
    assert case.fix in problems[0].fix
    assert problems[0].what


ELSEWHERE = {
    # reading text: test_definition_jsontext.py
    *("E200", "E201", "E202", "E207", "E208"),
    # values given at start: test_definition_parameters.py
    *("E215", "E216", "E217", "E218"),
}


def test_every_code_is_planted() -> None:
    assert {case.code for case in ALL} | ELSEWHERE == set(CODES)


SPOT = {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200}
GROUPS = {
    "InstanceGroups": [{"InstanceType": "ml.m5.large", "InstanceCount": 2, "InstanceGroupName": "workers"}],
    "VolumeSizeInGB": 10,
}
METRIC = get("Steps.Train.FinalMetricDataList['validation:auc'].Value")


@pytest.mark.parametrize(
    ("sample", "edits"),
    [
        ("sdk_v2", {V2_TRAIN + ".StoppingCondition": SPOT, V2_TRAIN + ".EnableManagedSpotTraining": True}),
        ("sdk_v2", {V2_TRAIN + ".ResourceConfig": GROUPS}),
        ("sdk_v2", {V2_TRAIN + ".ResourceConfig.KeepAlivePeriodInSeconds": 600}),
        ("sdk_v2", {V2_CONDITION + ".Conditions[1]": {"Type": "GreaterThan", "LeftValue": METRIC, "RightValue": 0.5}}),
        ("sdk_v2", {V2_CONDITION + ".IfSteps[0].Arguments.PrimaryContainer.ModelDataUrl": get("Parameters.Raw")}),
        ("sdk_v2", {"Steps[0].CacheConfig.ExpireAfter": "P1DT12H"}),
        ("sdk_v2", {"Steps[0].CacheConfig.ExpireAfter": "T16m"}),
        ("sdk_v2", {"Steps[0].CacheConfig": {"Enabled": False}}),
        (
            "sdk_v2",
            {"Steps[1].RetryPolicies[0]": {"ExceptionType": "SageMaker.CAPACITY_ERROR", "ExpireAfterMin": 14400}},
        ),
        ("sdk_v2", {"Parameters[2].DefaultValue": 0, "Parameters[3].DefaultValue": 1}),
        ("sdk_v3_more", {EACH + ".IterableItems": ["a", 1, True, get("Parameters.Segments")]}),
        ("sdk_v3_more", {EACH + ".IterableItems": ["a"], EACH + ".ForEachBody[2]": writes("s3://bucket/one")}),
        (
            "sdk_v3_more",
            {
                EACH + ".ForEachBody[2]": writes(
                    {"Std:Join": {"On": "/", "Values": ["s3://bucket", get("ForEach.CurrentItem")]}}
                )
            },
        ),
        (
            "sdk_v3_more",
            {
                EACH + ".ForEachBody[2]": writes(
                    {"Std:Join": {"On": "/", "Values": ["s3://bucket", get("Execution.ProcessingJobName")]}}
                )
            },
        ),
        (
            "sdk_v3_more",
            {
                EACH + ".ForEachBody[2]": writes(
                    {"Std:Join": {"On": "/", "Values": ["s3://bucket", get("Steps.TrainSegment.TrainingJobName")]}}
                )
            },
        ),
        ("sdk_v3_more", {"Steps[5].Arguments.failed": get("Steps.PerSegment.Selected.OutputParameters['auc']")}),
        ("sdk_v3_more", {"Steps[5].Arguments.failed": get("Steps.Spark.Status.State")}),
        ("sdk_v3_more", {"Steps[5].Arguments.failed": get("Steps.SparkServerless.jobRun.state")}),
        ("sdk_v3_more", {"Steps[5].Arguments.failed": get("Steps.Report.Environment['ANY']")}),
        ("sdk_v2", {V2_RANGE + ".MinValue": get("Parameters.Raw"), V2_RANGE + ".MaxValue": "0.001"}),
        ("sdk_v2", {V2_RANGE + ".ScalingType": "Logarithmic"}),
        ("by_hand", {HAND_INPUT + ".S3Input.LocalPath": "/opt/ml/processing"}),
        (
            "by_hand",
            {
                HAND_INPUT + ".AppManaged": True,
                HAND_INPUT + ".S3Input": {"S3Uri": "s3://b/k", "S3DataType": "S3Prefix"},
            },
        ),
        ("by_hand", {"Steps[2]": auto_ml(AUTO_ML)}),
        ("by_hand", {"Steps[2]": auto_ml(AUTO_ML_V1)}),
        ("by_hand", {"Steps[2]": {"Name": "Query", "Type": "Athena", "Arguments": {"x": 1}, "Unknown": True}}),
        ("by_hand", {"PipelineExperimentConfig": {"ExperimentName": "example"}, "Metadata": {"any": [1]}}),
    ],
)
def test_what_the_service_takes_has_no_problems(samples: Samples, sample: str, edits: dict[str, Any]) -> None:
    document = samples.load(sample)
    for path, value in edits.items():
        samples.edit(document, path, value)
    assert check(json.dumps(document)) == []
