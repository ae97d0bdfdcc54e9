"""inference.py as AWS's scikit-learn image calls it: model_fn once, then input, predict and output for each request."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

Invoke = Callable[[str | bytes, str, str], str]


@pytest.fixture(scope="module")
def inference(lending: Any) -> ModuleType:
    """The module out of the model folder: the file that is deployed, not the one in the repository."""
    spec = importlib.util.spec_from_file_location("inference", lending.model / "code" / "inference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def invoke(inference: ModuleType, lending: Any) -> Invoke:
    model = inference.model_fn(str(lending.model))

    def call(body: str | bytes, content_type: str, accept: str) -> str:
        table = inference.input_fn(body, content_type)
        answer, answered_type = inference.output_fn(inference.predict_fn(table, model), accept)
        assert answered_type == accept
        return answer

    return call


@pytest.fixture(scope="module")
def rows(lending: Any) -> pd.DataFrame:
    table = pd.read_csv(Path(lending.features) / "test" / "test.csv")
    return table[[c for c in table.columns if c != "approve" and not c.startswith("protected_")]].head(20)


@pytest.fixture(scope="module")
def expected(lending: Any) -> list[float]:
    """The probabilities the evaluation measured for the same rows."""
    return list(pd.read_csv(Path(lending.outcome) / "predictions" / "predictions.csv")["probability"].head(20))


def test_serving_gives_what_was_evaluated_whatever_the_form(
    invoke: Invoke, rows: pd.DataFrame, expected: list[float]
) -> None:
    forms = [
        (rows.to_csv(index=False, header=False), "text/csv"),
        (rows.to_csv(index=False).encode(), "text/csv; charset=utf-8"),
        (rows[rows.columns[::-1]].to_csv(index=False), "text/csv"),
        (json.dumps({"instances": json.loads(rows.to_json(orient="records"))}), "application/json"),
    ]
    for body, content_type in forms:
        answer = invoke(body, content_type, "text/csv")
        assert [float(line) for line in answer.splitlines()] == pytest.approx(expected, abs=1e-6)


def test_a_json_answer_has_the_decision(invoke: Invoke, rows: pd.DataFrame, expected: list[float]) -> None:
    answer = json.loads(invoke(rows.to_csv(index=False), "text/csv", "application/json"))
    assert [p["probability"] for p in answer["predictions"]] == pytest.approx(expected, abs=1e-6)
    assert [p["approve"] for p in answer["predictions"]] == [int(p >= 0.5) for p in expected]


def test_what_an_application_does_not_give_is_imputed(invoke: Invoke) -> None:
    answer = json.loads(
        invoke('{"instances": [{"loanamt": 120}, {"obrat": null}]}', "application/json", "application/json")
    )
    assert all(0 < p["probability"] < 1 for p in answer["predictions"])


@pytest.mark.parametrize(
    ("body", "content_type", "accept", "message"),
    [
        ("1,2,3\n", "text/csv", "text/csv", "3 columns, but the model has 27: loanamt, loanprc"),
        ("", "text/csv", "text/csv", "the body is empty"),
        ("loanamt,black\n1,1\n", "text/csv", "text/csv", "not features of the model: black"),
        ("loanamt,term\nplenty,1\n", "text/csv", "text/csv", "plenty"),
        ("[1, 2]", "application/json", "text/csv", "the body must be"),
        ('{"instances": []}', "application/json", "text/csv", "the body must be"),
        ('{"instances": [{"black": 1}]}', "application/json", "text/csv", "not features of the model: black"),
        ("x", "image/png", "text/csv", "content type 'image/png' is not supported"),
        ('{"instances": [{"loanamt": 1}]}', "application/json", "image/png", "accept 'image/png' is not supported"),
    ],
)
def test_requests_that_cannot_be_answered_are_refused(
    body: str, content_type: str, accept: str, message: str, invoke: Invoke
) -> None:
    with pytest.raises(ValueError, match=message):
        invoke(body, content_type, accept)
