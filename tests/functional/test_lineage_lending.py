"""From the model package that the lending build registers back to the raw data, by lineage alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import REPOSITORY, mlops

from mlops_sm.emulator import LocalAccount


@pytest.mark.sdk
def test_the_raw_data_of_a_registered_model(tmp_path: Path) -> None:
    state = tmp_path / "state"
    mlops(REPOSITORY, "run", "lending.build", "--state", str(state))
    with LocalAccount.open(state) as account:
        sagemaker = account.client("sagemaker")
        (package,) = sagemaker.list_model_packages(ModelPackageGroupName="lending-approval")["ModelPackageSummaryList"]
        (artifact,) = sagemaker.list_artifacts(SourceUri=package["ModelPackageArn"])["ArtifactSummaries"]
        answer = sagemaker.query_lineage(
            StartArns=[artifact["ArtifactArn"]],
            Direction="Ascendants",
            Filters={"Types": ["DataSet"], "LineageTypes": ["Artifact"]},
        )
        found = (sagemaker.describe_artifact(ArtifactArn=vertex["Arn"]) for vertex in answer["Vertices"])
        names = {dataset["Source"]["SourceUri"].rsplit("/", 1)[-1] for dataset in found}
        assert {"train", "validation", "loanapp.csv", "prepare.py", "features.py"} <= names
        (trial,) = sagemaker.list_trials(ExperimentName="lending-build")["TrialSummaries"]
        components = sagemaker.list_trial_components(TrialName=trial["TrialName"])["TrialComponentSummaries"]
        kinds = sorted(component["TrialComponentSource"]["SourceType"] for component in components)
        assert kinds == ["SageMakerProcessingJob"] * 3 + ["SageMakerTrainingJob"] * 4
