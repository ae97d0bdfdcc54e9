"""What AWS's XGBoost image answers with and without an inference script."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops_sm.local.environment import job_environment
from mlops_sm.local.jobs.folder import JobFolder
from mlops_sm.local.serving import ModelSource, NotHealthyError, Running, ServedModel, Server
from mlops_sm.local.site import Site
from mlops_sm.local.warm import WarmWorkers
from mlops_sm.testing.stores import MemoryStore

xgboost = pytest.importorskip("xgboost", reason="XGBOOST IS NOT INSTALLED: its image is not tested here")
inference = pytest.importorskip("mlops_sm.local.xgboost_image.inference")
recordio = pytest.importorskip("mlops_sm.local.xgboost_image.recordio")

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:"
RANDOM = np.random.default_rng(5)
FEATURES = RANDOM.normal(size=(90, 3)).round(2)
CLASSES = np.digitize(FEATURES[:, 0], [-0.5, 0.5])
TIMEOUT = 60.0


def booster(objective: str, labels: Any = None, **parameters: Any) -> Any:
    data = xgboost.DMatrix(FEATURES, label=CLASSES if labels is None else labels)
    return xgboost.train({"objective": objective, **parameters}, data, num_boost_round=4)


BINARY = booster("binary:logistic", CLASSES > 1)
SEVERAL = booster("multi:softprob", num_class=3)


class Answers:
    """Answers requests as the server does, in this process."""

    def __init__(self, models: Any, version: tuple[int, int]) -> None:
        self._models = models
        self._transform = inference.handlers(version)["transform_fn"]
        self.status = 200

    def __call__(self, content: bytes | str, content_type: str = "text/csv", accept: str = "text/csv") -> str:
        body, _ = self._transform(self._models, content, content_type, accept, self)
        return bytes(body).decode()

    def set_response_status(self, code: int) -> None:
        self.status = code


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SAGEMAKER_BATCH", "SAGEMAKER_INFERENCE_OUTPUT", "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answers]:
    def make(*models: Any, version: tuple[int, int] = (1, 7), **variables: str) -> Answers:
        for name, value in {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv", **variables}.items():
            monkeypatch.setenv(name, value)
        return Answers(models, version)

    return make


def csv(rows: Any) -> str:
    return "\n".join(",".join(map(str, row)) for row in rows)


def expected(model: Any, rows: Any) -> list[Any]:
    found: list[Any] = model.predict(xgboost.DMatrix(np.asarray(rows))).tolist()
    return found


def test_csv_has_a_row_for_each_prediction(answers: Any) -> None:
    found = [float(line) for line in answers(BINARY)(csv(FEATURES[:4])).splitlines()]
    assert found == expected(BINARY, FEATURES[:4])


def test_csv_of_old_images_is_one_line(answers: Any) -> None:
    body = answers(BINARY, version=(1, 3))(csv(FEATURES[:4]))
    assert [float(value) for value in body.split(",")] == expected(BINARY, FEATURES[:4])


def test_in_a_batch_classes_stay_together(answers: Any) -> None:
    lines = answers(SEVERAL, SAGEMAKER_BATCH="true")(csv(FEATURES[:2])).splitlines()
    assert [json.loads(line) for line in lines] == expected(SEVERAL, FEATURES[:2])


@pytest.mark.parametrize("content", ["1:0.5 2:-1\n0:2", "0 1:0.5 2:-1\n1 0:2"])
def test_libsvm_with_and_without_labels(answers: Any, content: str) -> None:
    rows = [[np.nan, 0.5, -1], [2, np.nan, np.nan]]
    found = [float(line) for line in answers(BINARY)(content, "text/libsvm").splitlines()]
    assert found == expected(BINARY, rows)


def test_json_and_json_lines(answers: Any) -> None:
    answer, scores = answers(BINARY), expected(BINARY, FEATURES[:2])
    assert json.loads(answer(csv(FEATURES[:2]), accept="application/json")) == {
        "predictions": [{"score": score} for score in scores]
    }
    lines = answer(csv(FEATURES[:2]), accept="application/jsonlines").splitlines()
    assert [json.loads(line) for line in lines] == [{"score": score} for score in scores]


def test_content_is_selected(answers: Any) -> None:
    answer = answers(SEVERAL, SAGEMAKER_INFERENCE_OUTPUT="predicted_label, probabilities,labels")
    (row,) = expected(SEVERAL, FEATURES[:1])
    (found,) = json.loads(answer(csv(FEATURES[:1]), accept="application/json"))["predictions"]
    assert found == {"predicted_label": int(np.argmax(row)), "probabilities": row, "labels": [0, 1, 2]}
    assert answer(csv(FEATURES[:1])) == f'{int(np.argmax(row))},"{row}","[0, 1, 2]"'


def test_what_an_objective_does_not_have_is_no_number(answers: Any) -> None:
    answer = answers(booster("reg:squarederror"), SAGEMAKER_INFERENCE_OUTPUT="predicted_score,probability")
    score, probability = answer(csv(FEATURES[:1])).split(",")
    assert (float(score), probability) == (expected(booster("reg:squarederror"), FEATURES[:1])[0], "nan")


def test_models_of_folds_vote(answers: Any) -> None:
    other = booster("binary:logistic", CLASSES > 0)
    found = [float(line) for line in answers(BINARY, other)(csv(FEATURES[:3])).splitlines()]
    means = np.mean([expected(BINARY, FEATURES[:3]), expected(other, FEATURES[:3])], axis=0)
    assert found == pytest.approx(means)


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        (("1,2,3", "application/json", "text/csv"), 415, "application/json is not an accepted ContentType"),
        (("a,b,c", "text/csv", "text/csv"), 415, "please ensure data is in text/csv format"),
        (("1,2", "text/csv", "text/csv"), 400, "Feature size of text/csv inference data 2 is not consistent"),
        (("7:1", "text/libsvm", "text/csv"), 400, "Feature size of text/libsvm inference data 8 is larger than"),
        (("1,2,3", "text/csv", "image/png"), 406, "Accept type image/png is not supported"),
    ],
)
def test_requests_that_are_wrong(answers: Any, request_: tuple[str, str, str], status: int, words: str) -> None:
    with pytest.raises(inference.InferenceError, match=words) as refused:
        answers(BINARY)(*request_)
    assert refused.value.status_code == status


def test_nothing_is_answered_with_nothing(answers: Any) -> None:
    answer = answers(BINARY)
    assert (answer(""), answer.status) == ("", 204)


def test_records_go_there_and_back(answers: Any) -> None:
    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    content = b""
    for row in FEATURES[:2]:
        tensor = field(2, field(1, np.asarray(row, "<f4").tobytes()))
        message = field(1, field(1, b"values") + field(2, tensor))
        content += struct.pack("<II", 0xCED7230A, len(message)) + message + bytes(-len(message) % 4)
    rows, labels = recordio.read(content)
    assert (np.vstack(rows) == FEATURES[:2].astype(np.float32)).all()
    assert labels == []
    answer = answers(BINARY)
    assert [float(line) for line in answer(content, "application/x-recordio-protobuf").splitlines()] == expected(
        BINARY, FEATURES[:2].astype(np.float32)
    )


# ---------------------------------------------------------------- through a server


@pytest.fixture
def serve(site: Site, warm: WarmWorkers, store: MemoryStore) -> Callable[..., Any]:
    warm_site = replace(site, warm=warm)

    @contextmanager
    def start(files: dict[str, bytes], version: str = "1.7-1", **variables: str) -> Iterator[Running]:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        store.put("s3://bucket/model.tar.gz", buffer.getvalue())
        folder = JobFolder.create(site.jobs, "server")
        model = ServedModel(
            image=IMAGE + version, source=ModelSource("s3://bucket/model.tar.gz"), environment=variables
        )
        script = model.stage(folder, store)
        around = job_environment(variables, region="us-east-1", endpoint_url=None)
        running = Server(site=warm_site, folder=folder, log=folder.log).start(script, around)
        try:
            yield running
        finally:
            running.stop()

    return start


def saved(model: Any, tmp_path: Path) -> bytes:
    model.save_model(tmp_path / "model.ubj")
    return (tmp_path / "model.ubj").read_bytes()


@pytest.mark.parametrize("pickled", [True, False])
def test_a_model_is_served_without_a_script(serve: Any, tmp_path: Path, pickled: bool) -> None:
    content = pickle.dumps(BINARY) if pickled else saved(BINARY, tmp_path)
    with serve({"xgboost-model": content}) as running:
        answer = running.invoke(csv(FEATURES[:2]).encode(), None, timeout=TIMEOUT)
        wrong = running.invoke(b"1,2", "text/csv", timeout=TIMEOUT)

    assert (answer.status, answer.content_type) == (200, "text/csv")
    assert [float(line) for line in answer.body.decode().splitlines()] == expected(BINARY, FEATURES[:2])
    assert (wrong.status, b"Feature size" in wrong.body) == (400, True)


def test_a_script_is_given_what_it_does_not_define(serve: Any, tmp_path: Path) -> None:
    script = b"def predict_fn(matrix, model):\n    return matrix.num_row() + model.num_features()\n"
    with serve({"xgboost-model": saved(BINARY, tmp_path), "code/inference.py": script}) as running:
        answer = running.invoke(csv(FEATURES[:2]).encode(), "text/csv", timeout=TIMEOUT)
        wrong = running.invoke(b"{}", "application/json", timeout=TIMEOUT)

    assert answer.body == b"5"
    assert wrong.status == 415


def test_a_script_uses_the_encoders_of_the_image(serve: Any, tmp_path: Path) -> None:
    script = b"""
from sagemaker_xgboost_container import encoder as xgb_encoders

def input_fn(body, content_type):
    return xgb_encoders.libsvm_to_dmatrix(body)

def output_fn(predictions, accept):
    return ",".join(map(str, predictions.tolist()))
"""
    with serve({"xgboost-model": saved(BINARY, tmp_path), "code/inference.py": script}) as running:
        answer = running.invoke(b"0:1 1:2 2:3", "text/libsvm", timeout=TIMEOUT)

    assert [float(answer.body)] == expected(BINARY, [[1, 2, 3]])


def test_a_model_that_is_none(serve: Any) -> None:
    with pytest.raises(NotHealthyError, match="cannot be loaded"), serve({"xgboost-model": b"no model"}):
        pass
