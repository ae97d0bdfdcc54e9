"""The policy on model versions: every demand with its figures, and the same verdict for the same evidence."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.checks.approval import Evidence, bias_of, judge, numbers_of
from mlops_sm.project import Policy

NUMBER = st.floats(-1e6, 1e6)


def policy(**settings: object) -> Policy:
    return Policy.model_validate(settings)


def version(name: str = "new", bias: dict[str, float] | None = None, **metrics: float) -> Evidence:
    return Evidence(name=name, metrics=metrics or None, bias=bias)


def test_no_policy_asks_for_nothing() -> None:
    verdict = judge(Policy(), version())
    assert verdict.passed
    assert verdict.reasons == ()


@pytest.mark.parametrize(
    ("rule", "value", "met", "text"),
    [
        ({"at_least": 0.8}, 0.8, True, "auc must be at least 0.8 and is 0.8"),
        ({"at_least": 0.8}, 0.7999, False, "auc must be at least 0.8 and is 0.7999"),
        ({"at_most": 0.3}, 0.3, True, "auc must be at most 0.3 and is 0.3"),
        ({"at_most": 0.3}, 0.31, False, "auc must be at most 0.3 and is 0.31"),
        ({"at_least": 0.1, "at_most": 0.3}, 0.05, False, "auc must be at least 0.1 and at most 0.3 and is 0.05"),
        ({}, -3.0, True, "auc is required and is -3"),
    ],
)
def test_bounds(rule: dict[str, float], value: float, met: bool, text: str) -> None:
    [reason] = judge(policy(metrics={"auc": rule}), version(auc=value)).reasons
    assert (reason.met, reason.text, reason.value) == (met, text, value)


@pytest.mark.parametrize("metrics", [{}, {"f1": 0.5}, {"auc": math.nan}, {"auc": math.inf}])
def test_what_was_not_measured_is_missed(metrics: dict[str, float]) -> None:
    [reason] = judge(policy(metrics={"auc": {}}), version(**metrics)).reasons
    assert not reason.met
    assert "auc is required and was not measured" in reason.text


@pytest.mark.parametrize(
    ("rule", "now", "before", "met"),
    [
        ({"at_least": 0.5, "tolerance": 0.01}, 0.79, 0.8, True),
        ({"at_least": 0.5, "tolerance": 0.01}, 0.78, 0.8, False),
        ({"at_most": 0.5, "tolerance": 0.01}, 0.41, 0.4, True),
        ({"at_most": 0.5, "tolerance": 0.01}, 0.42, 0.4, False),
        ({"tolerance": 0.0}, 0.8, 0.8, True),
        ({"tolerance": 0.0}, 0.9, 0.8, True),
        ({"tolerance": 0.0, "better": "lower"}, 0.9, 0.8, False),
        ({"at_most": 1.0, "tolerance": 0.0, "better": "higher"}, 0.9, 0.8, True),
    ],
)
def test_a_tolerance_compares_with_the_version_in_use(
    rule: dict[str, object], now: float, before: float, met: bool
) -> None:
    reason = judge(policy(metrics={"auc": rule}), version(auc=now), version("old", auc=before)).reasons[-1]
    assert reason.rule == "metric auc against old"
    assert reason.met is met
    assert f"worse than {before:g} of old" in reason.text


def test_without_a_version_in_use_or_its_metric_there_is_nothing_to_compare() -> None:
    asked = policy(metrics={"auc": {"tolerance": 0.1}})
    assert len(judge(asked, version(auc=0.1)).reasons) == 1
    compared = judge(asked, version(auc=0.1), version("old", f1=0.5)).reasons[-1]
    assert compared.met
    assert "old, which is in use, has none" in compared.text


def test_bias_is_limited_in_every_facet() -> None:
    asked = policy(bias={"DPL": 0.1, "DI": {"at_least": 0.8}})
    found = {"DPL of age=40": -0.2, "DPL of sex=f": 0.05, "DI of age=40": 0.9}
    told = [(r.rule, r.met) for r in judge(asked, version(bias=found)).reasons]
    assert told == [("bias DPL of age=40", False), ("bias DPL of sex=f", True), ("bias DI of age=40", True)]
    missing = judge(asked, version()).missed
    assert [r.rule for r in missing] == ["bias DPL", "bias DI"]


def test_metrics_of_a_report_by_name() -> None:
    report = {
        "binary_classification_metrics": {"auc": {"value": 0.8, "standard_deviation": 0.1}, "flag": True},
        "rows": 100,
        "version": "1.0",
    }
    assert numbers_of(report) == {"auc": 0.8, "rows": 100.0}


@pytest.mark.parametrize("report", [None, [], 3, {"post_training_bias_metrics": {"facets": {"age": [{"metrics": 3}]}}}])
def test_a_report_that_is_none_of_bias_has_none(report: object) -> None:
    assert bias_of(report) == {}


def test_bias_metrics_without_a_value_are_left_out() -> None:
    metrics = [{"name": "DPL", "value": 0.1}, {"name": "KL", "value": None, "error": "too few"}]
    report = {
        "pre_training_bias_metrics": {"facets": {"age": [{"value_or_threshold": "(40, 60]", "metrics": metrics}]}}
    }
    assert bias_of(report) == {"DPL of age=(40, 60]": 0.1}


@given(NUMBER, NUMBER, st.floats(0, 10))
def test_a_better_version_is_never_refused_where_a_worse_one_passes(low: float, high: float, tolerance: float) -> None:
    low, high = sorted((low, high))
    asked = policy(metrics={"auc": {"at_least": 0.0, "tolerance": tolerance}})
    in_use = version("old", auc=0.5)
    if judge(asked, version(auc=low), in_use).passed:
        assert judge(asked, version(auc=high), in_use).passed


def test_what_is_no_finite_number_was_not_measured() -> None:
    report = json.loads('{"binary_classification_metrics": {"auc": {"value": NaN}, "loss": {"value": Infinity}}}')
    assert numbers_of(report) == {}
    [reason] = judge(policy(metrics={"auc": {}}), Evidence(name="new", metrics=numbers_of(report))).reasons
    assert reason.text == "auc is required and was not measured: its report has no numbers"
    metrics = [{"name": "DPL", "value": math.nan}]
    facets = {"age": [{"value_or_threshold": "40", "metrics": metrics}]}
    assert bias_of({"post_training_bias_metrics": {"facets": facets}}) == {}
