"""AWS's XGBoost image without a script: what it reads, trains, prints, saves and refuses."""

from __future__ import annotations

import io
import json
import pickle
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from mlops_sm.local.built_in import metric_definitions
from mlops_sm.local.jobs import JobOutcome, run_training
from mlops_sm.local.jobs.outcome import JobStatus
from mlops_sm.local.site import Site
from mlops_sm.local.warm import WarmWorkers
from mlops_sm.local.xgboost_image.errors import UserError

xgboost = pytest.importorskip("xgboost", reason="XGBOOST IS NOT INSTALLED: its image is not tested here")
data = pytest.importorskip("mlops_sm.local.xgboost_image.data")

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:"
RANDOM = np.random.default_rng(3)
FEATURES = RANDOM.normal(size=(120, 3)).round(3)
LABELS = (FEATURES[:, 0] + 0.3 * FEATURES[:, 1] > 0).astype(int)
ROWS = np.column_stack([LABELS, FEATURES])


def csv(rows: Any = ROWS) -> str:
    return "".join(",".join(f"{value:g}" for value in row) + "\n" for row in rows)


def channel(name: str, content_type: str | None = "text/csv", uri: str = "", **members: Any) -> dict[str, Any]:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri or f"s3://bucket/{name}/"}}
    typed = {} if content_type is None else {"ContentType": content_type}
    return {"ChannelName": name, "DataSource": source, **typed, **members}


@dataclass
class Trainer:
    """Trains with the image; the data is in S3."""

    bench: Any

    def __post_init__(self) -> None:
        self.bench.store.put("s3://bucket/train/part-1.csv", csv(ROWS[:50]))
        self.bench.store.put("s3://bucket/train/part-2.csv", csv(ROWS[50:90]))
        self.bench.store.put("s3://bucket/validation/rows.csv", csv(ROWS[90:]))

    def __call__(
        self,
        given: Mapping[str, str],
        *,
        version: str = "1.7-1",
        channels: Any = None,
        instances: int = 1,
        name: str = "job",
        **members: Any,
    ) -> JobOutcome:
        request: dict[str, Any] = {
            "RoleArn": "arn:aws:iam::123456789012:role/job",
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE + version,
                "TrainingInputMode": "File",
                "MetricDefinitions": metric_definitions(given),
            },
            "HyperParameters": {"num_round": "5", "objective": "binary:logistic", **given},
            "InputDataConfig": channels or [channel("train"), channel("validation")],
            "OutputDataConfig": {"S3OutputPath": "s3://bucket/models"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": instances, "VolumeSizeInGB": 1},
            **members,
        }
        return run_training(request, **self.bench._around(name))

    @property
    def rounds(self) -> list[str]:
        """The lines of its log with scores."""
        return [line for line in self.bench.log().splitlines() if "#011" in line]


@pytest.fixture
def train(site: Site, warm: WarmWorkers, store: Any, make_bench: Any) -> Trainer:
    return Trainer(make_bench(replace(site, warm=warm), store))


def files(bench: Any, key: str = "models/job/output/model.tar.gz") -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(bench.store.read("bucket", key))) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar if each.isfile()}  # type: ignore[union-attr] # files


def model_of(bench: Any, tmp_path: Path) -> Any:
    path = tmp_path / "model.ubj"  # the library warns of a name without ending
    path.write_bytes(files(bench)["xgboost-model"])
    booster = xgboost.Booster()
    booster.load_model(str(path))
    return booster


def test_csv_from_several_files(train: Trainer, tmp_path: Path) -> None:
    outcome = train({"eval_metric": "auc,error", "max_depth": "3"})

    assert outcome.status is JobStatus.COMPLETED, train.bench.log()
    assert "Train matrix has 90 rows and 3 columns" in train.bench.log()
    assert [line.partition("#")[0] for line in train.rounds] == ["[0]", "[1]", "[2]", "[3]", "[4]"]
    assert train.rounds[0].count("#011") == 4
    final = {metric.name: metric.value for metric in outcome.final_metrics}
    assert final.keys() == {"train:auc", "train:error", "validation:auc", "validation:error"}
    assert final["validation:auc"] > 0.9
    model = model_of(train.bench, tmp_path)
    predicted = model.predict(xgboost.DMatrix(FEATURES[90:]))
    assert ((predicted > 0.5) == LABELS[90:]).mean() == pytest.approx(1 - final["validation:error"], abs=1e-4)


def test_a_job_that_starts_cold(bench: Any) -> None:
    outcome = Trainer(bench)({})

    assert outcome.status is JobStatus.COMPLETED, bench.log()
    assert [metric.name for metric in outcome.final_metrics] == ["train:logloss", "validation:logloss"]


def test_old_images_pickle_the_model(train: Trainer) -> None:
    assert train({}, version="1.0-1-cpu-py3").status is JobStatus.COMPLETED
    model = pickle.loads(files(train.bench)["xgboost-model"])  # noqa: S301 - our own
    assert model.num_boosted_rounds() == 5


def test_old_images_begin_at_a_half(train: Trainer, tmp_path: Path) -> None:
    train({"objective": "reg:squarederror"}, version="1.7-1")
    old = json.loads(model_of(train.bench, tmp_path).save_config())["learner"]
    train({"objective": "reg:squarederror"}, version="3.0-5")
    new = json.loads(model_of(train.bench, tmp_path).save_config())["learner"]

    assert float(old["learner_model_param"]["base_score"].strip("[]")) == 0.5
    assert float(new["learner_model_param"]["base_score"].strip("[]")) == pytest.approx(ROWS[:90, 0].mean(), abs=1e-6)


def test_everything_that_is_wrong_is_said_at_once(train: Trainer) -> None:
    outcome = train({"num_round": "0", "eta": "2", "depth": "3", "objective": "multi:softmax", "gamma": "much"})

    assert outcome.status is JobStatus.FAILED
    assert outcome.failure_reason == (
        "AlgorithmError: framework error: \n"
        "sagemaker_algorithm_toolkit.exceptions.UserError: Hyperparameter num_round: 0 is not in [1, +inf)\n"
        "Hyperparameter eta: 2.0 is not in [0, 1]\n"
        "Extraneous hyperparameter found: depth\n"
        "Hyperparameter gamma: could not parse value\n"
        "Require input for parameter 'num_class' for multi-classification, exit code: 1"
    )


@pytest.mark.parametrize(
    ("content_type", "content", "words"),
    [
        ("text/csv", "label,a,b\n1,2,3\n", "Failed to load csv data with exception:\ncould not convert string"),
        ("text/csv", "12\n", "Could not determine delimiter on line 12"),
        (None, "1,2,3\n", "First line '1,2,3...' of file 'part-1' is not 'LIBSVM' format"),
        ("application/x-recordio-protobuf", "no records", "Failed to load recordio-protobuf data"),
        ("application/x-parquet", "no table", "Failed to load parquet data"),
    ],
)
def test_data_that_is_wrong(tmp_path: Path, content_type: str | None, content: str, words: str) -> None:
    (tmp_path / "part-1").write_text(content)
    with pytest.raises(UserError, match=re.escape(words)):
        data.load(tmp_path, data.kind_of(content_type), weighted=False, piped=False)


@pytest.mark.parametrize("content_type", ["text/plain", "text/csv; label_size=2"])
def test_content_types_that_are_wrong(content_type: str) -> None:
    with pytest.raises(UserError, match="is not an accepted"):
        data.kind_of(content_type)


def test_a_label_that_is_wrong(train: Trainer) -> None:
    train.bench.store.put("s3://bucket/wrong/part-1.csv", "7,1\n3,2\n")
    outcome = train({}, channels=[channel("train", uri="s3://bucket/wrong/")])

    assert outcome.status is JobStatus.FAILED
    assert "UserError: label must be in (0, 1) for logistic regression" in (outcome.failure_reason or "")


def test_an_empty_channel(train: Trainer) -> None:
    train.bench.store.put("s3://bucket/empty/part-1.csv", "")
    outcome = train({}, channels=[channel("train", uri="s3://bucket/empty/")])

    assert "UserError: No data in train channel path /opt/ml/input/data/train" in (outcome.failure_reason or "")


# ---------------------------------------------------------------- rounds


def test_training_stops_early_and_the_best_rounds_are_kept(train: Trainer, tmp_path: Path) -> None:
    hurried = {"num_round": "200", "early_stopping_rounds": "3", "eta": "1", "eval_metric": "auc,logloss"}
    assert train(hurried).status is JobStatus.COMPLETED, train.bench.log()

    scores = [float(line.rpartition("validation-logloss:")[2]) for line in train.rounds]
    best = int(np.argmin(scores))
    assert len(scores) == best + 4 < 200
    assert model_of(train.bench, tmp_path).num_boosted_rounds() == best + 1


def test_a_tuning_objective_decides_and_is_computed(train: Trainer) -> None:
    outcome = train({"_tuning_objective_metric": "validation:f1_macro", "eval_metric": "error"})

    expected = {f"{part}:{name}" for part in ("train", "validation") for name in ("error", "f1_macro")}
    assert {metric.name for metric in outcome.final_metrics} == expected


def test_checkpoints_are_kept_and_resumed(train: Trainer, tmp_path: Path) -> None:
    config = {"CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints"}}
    train({"num_round": "7"}, **config)
    kept = {each.key for each in train.bench.store.list("bucket", "checkpoints/")}
    assert kept == {f"checkpoints/xgboost-checkpoint.{number}" for number in range(2, 7)}

    train({"num_round": "10"}, **config)
    assert "Resuming from iteration 7" in train.bench.log()
    assert [line.partition("#")[0] for line in train.rounds] == ["[7]", "[8]", "[9]"]
    assert model_of(train.bench, tmp_path).num_boosted_rounds() == 10


def test_a_stopped_job_leaves_its_last_model(train: Trainer, tmp_path: Path) -> None:
    endless = {"num_round": "1000000", "save_model_on_termination": "true", "max_depth": "1"}
    outcome = train(endless, StoppingCondition={"MaxRuntimeInSeconds": 2})

    assert outcome.status is JobStatus.STOPPED
    # The line of a round is written before its model.
    assert model_of(train.bench, tmp_path).num_boosted_rounds() in {len(train.rounds), len(train.rounds) - 1}


def test_folds(train: Trainer) -> None:
    outcome = train({"_kfold": "3", "_num_cv_round": "2", "eval_metric": "error", "seed": "1"})

    assert outcome.status is JobStatus.COMPLETED, train.bench.log()
    assert files(train.bench).keys() == {f"xgboost-model-{number}" for number in range(6)}
    predictions = files(train.bench, "models/job/output/output.tar.gz")["predictions.csv"].decode().splitlines()
    assert len(predictions) == len(ROWS)
    assert [float(line.split(",")[0]) for line in predictions] == LABELS.tolist()
    assert sum(line.startswith("[5]") for line in train.rounds) == 3


# ---------------------------------------------------------------- formats


def labelled(table: Any) -> list[list[float]]:
    features = table.features.toarray() if hasattr(table.features, "toarray") else table.features
    return np.column_stack([table.labels, features]).tolist()  # type: ignore[no-any-return] # numpy's


def test_weights_are_the_second_column(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("1;0.5;7\n0;2;8\n")
    table = data.load(tmp_path, data.CSV, weighted=True, piped=False)
    assert (labelled(table), table.weights.tolist()) == ([[1, 7], [0, 8]], [0.5, 2])


def test_what_is_missing_in_csv_is_no_number(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("1,,3\n0,2,\n")
    (table,) = (data.load(tmp_path, data.CSV, weighted=False, piped=False),)
    assert np.isnan(table.features).tolist() == [[True, False], [False, True]]


def test_libsvm_counts_from_0(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1 0:5 2:7\n0 1:6 # a comment\n")
    (tmp_path / "b").write_text("1 3:8\n")
    table = data.load(tmp_path, data.LIBSVM, weighted=False, piped=False)
    assert labelled(table) == [[1, 5, 0, 7, 0], [0, 0, 6, 0, 0], [1, 0, 0, 0, 8]]


def test_libsvm_has_weights_and_groups(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1:0.5 qid:1 0:5\n0:2 qid:2 1:6\n")
    table = data.load(tmp_path, data.LIBSVM, weighted=False, piped=False)
    assert (table.weights.tolist(), table.groups.tolist()) == ([0.5, 2], [1, 2])


def test_parquet_of_files_and_of_a_pipe(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="PYARROW IS NOT INSTALLED: Parquet is not tested here")
    folder = tmp_path / "train"
    folder.mkdir()
    for name, rows in (("a", ROWS[:3]), ("b", ROWS[3:5])):
        pd.DataFrame(rows, columns=list("labc")).to_parquet(folder / name)
    (tmp_path / "train_0").write_bytes((folder / "a").read_bytes() + (folder / "b").read_bytes())
    for piped in (False, True):
        table = data.load(folder, data.PARQUET, weighted=False, piped=piped)
        assert labelled(table) == ROWS[:5].astype(np.float32).tolist()


def test_pipe_mode(train: Trainer) -> None:
    piped = [channel("train", InputMode="Pipe"), channel("validation", InputMode="Pipe")]
    assert train({}, channels=piped).status is JobStatus.COMPLETED, train.bench.log()
    assert "Train matrix has 90 rows" in train.bench.log()


def test_libsvm_cannot_be_piped(train: Trainer) -> None:
    outcome = train({}, channels=[channel("train", "text/libsvm", InputMode="Pipe")])
    assert "UserError: Pipe mode not supported for LibSVM." in (outcome.failure_reason or "")


# ---------------------------------------------------------------- instances


# Version 1 of the library chose approx for several instances: "exact is not supported" by distributed training.
@pytest.mark.parametrize("given", [{"tree_method": "hist"}, {}], ids=["hist", "auto"])
def test_two_instances_train_one_model(train: Trainer, tmp_path: Path, given: dict[str, str]) -> None:
    sharded = {"S3DataType": "S3Prefix", "S3DataDistributionType": "ShardedByS3Key"}
    channels = [
        {**each, "DataSource": {"S3DataSource": {**each["DataSource"]["S3DataSource"], **sharded}}}
        for each in (channel("train"),)
    ]
    outcome = train(given, channels=channels, instances=2)

    assert outcome.status is JobStatus.COMPLETED, train.bench.log()
    assert "Distributed node training with 2 hosts" in train.bench.log()
    (final,) = outcome.final_metrics
    together = model_of(train.bench, tmp_path)
    predicted = together.predict(xgboost.DMatrix(FEATURES[:90]))
    assert final.value == pytest.approx(log_loss(LABELS[:90], predicted), abs=1e-4)
    assert len(train.rounds) == together.num_boosted_rounds() == 5
