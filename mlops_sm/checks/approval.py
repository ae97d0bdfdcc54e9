"""Whether a model version fulfils the policy: one function for the gate, the command line and the approval."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_sm.definition.document import Json
from mlops_sm.project.policy import Bounds, MetricRule, Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a version.

    Attributes:
        name: What messages call it.
        metrics: Its metrics by name; None when there is no report that can be read.
        bias: Its bias metrics, ``DPL of age=40``; None as above.
    """

    name: str
    metrics: Mapping[str, float] | None
    bias: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """One demand of the policy on a version.

    Attributes:
        rule: What it is about: ``metric auc``, ``metric auc against lending/3``, ``bias DPL of age=40``.
        met: Whether it is fulfilled.
        text: The demand with its figures, as a sentence.
        value: What was measured, None when nothing was.
    """

    rule: str
    met: bool
    text: str
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policy says of a version; without reasons it asks for nothing.

    Attributes:
        reasons: Every demand, in the order of the policy.
    """

    reasons: tuple[Reason, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether every demand is met."""
        return all(reason.met for reason in self.reasons)

    @property
    def missed(self) -> tuple[Reason, ...]:
        """The demands that are not met."""
        return tuple(reason for reason in self.reasons if not reason.met)


def judge(policy: Policy, candidate: Evidence, current: Evidence | None = None) -> Verdict:
    """Hold a version against the policy.

    Args:
        policy: The demands.
        candidate: The version.
        current: The version that is in use, which metrics with a tolerance are compared with; None when there is none.
    """
    return Verdict(tuple(_reasons(policy, candidate, current)))


def numbers_of(report: Json) -> dict[str, float]:
    """Metrics by name: ``{"..._metrics": {"auc": {"value": 0.8}}}`` gives ``auc``; other numbers keep their path.

    NaN and the infinities, which Python writes into JSON, are no measured values.
    """
    return {name: value for name, value in _numbers(report, ()) if math.isfinite(value)}


def bias_of(report: Json) -> dict[str, float]:
    """The bias metrics of a report as Clarify writes it, ``DPL of age=40``; those without a value are left out.

    Source: developer guide, "Bias analysis": ``{"post_training_bias_metrics": {"facets": {NAME: [{"value_or_threshold":
    ..., "metrics": [{"name": ..., "value": ...}]}]}}}``, and the same before training.
    """
    found: dict[str, float] = {}
    for section in ("pre_training_bias_metrics", "post_training_bias_metrics"):
        facets = _member(_member(report, section), "facets")
        for facet, groups in facets.items() if isinstance(facets, dict) else ():
            for group in groups if isinstance(groups, list) else ():
                metrics = _member(group, "metrics")
                for metric in metrics if isinstance(metrics, list) else ():
                    name, value = _member(metric, "name"), _member(metric, "value")
                    if isinstance(name, str) and _is_number(value):
                        found[f"{name} of {facet}={_member(group, 'value_or_threshold')}"] = float(value)
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _reasons(policy: Policy, candidate: Evidence, current: Evidence | None) -> Iterator[Reason]:
    measured = candidate.metrics or {}
    for name, rule in policy.metrics.items():
        value = measured.get(name)
        if value is None or not math.isfinite(value):
            known = f"its report has {', '.join(list(measured)[:8]) or 'no numbers'}"
            if candidate.metrics is None:
                known = "it has no report that can be read"
            yield Reason(f"metric {name}", False, f"{name} is required and was not measured: {known}")
            continue
        yield _bounded(f"metric {name}", name, value, rule)
        if rule.tolerance is not None and current is not None:
            yield _compared(name, value, rule, rule.tolerance, current)
    for name in policy.bias:
        bounds = policy.bias_bounds(name)
        found = {
            full: v for full, v in (candidate.bias or {}).items() if full == name or full.startswith(f"{name} of ")
        }
        if not found:
            yield Reason(f"bias {name}", False, f"bias {name} is limited and no report of it can be read")
        for full, value in found.items():
            yield _bounded(f"bias {full}", f"bias {full}", value, bounds)


def _bounded(rule: str, name: str, value: float, bounds: Bounds) -> Reason:
    met, demands = True, []
    if bounds.at_least is not None:
        met = met and value >= bounds.at_least
        demands.append(f"at least {bounds.at_least:g}")
    if bounds.at_most is not None:
        met = met and value <= bounds.at_most
        demands.append(f"at most {bounds.at_most:g}")
    demand = f"must be {' and '.join(demands)} and is" if demands else "is required and is"
    return Reason(rule, met, f"{name} {demand} {value:.6g}", value)


def _compared(name: str, value: float, rule: MetricRule, tolerance: float, current: Evidence) -> Reason:
    label = f"metric {name} against {current.name}"
    before = (current.metrics or {}).get(name)
    if before is None:
        return Reason(label, True, f"{name} is {value:.6g}; {current.name}, which is in use, has none", value)
    worse = before - value if rule.higher_is_better else value - before
    # What is exactly at the tolerance is met: the difference of two floats may say a little more.
    met = worse <= tolerance + 1e-9 * max(1.0, abs(before))
    text = f"{name} may be {tolerance:g} worse than {before:.6g} of {current.name}, which is in use, and is {value:.6g}"
    return Reason(label, met, text, value)


def _numbers(document: Json, path: tuple[str, ...]) -> Iterator[tuple[str, float]]:
    match document:
        case {"value": int() | float() as value} if not isinstance(value, bool):
            yield ".".join(path), float(value)
        case dict():
            for key, value in document.items():
                yield from _numbers(value, path if key.endswith("_metrics") and not path else (*path, str(key)))
        case bool() | list():
            return
        case int() | float():
            yield ".".join(path), float(document)
        case _:
            return


def _member(value: Json, name: str) -> Any:  # noqa: ANN401 - JSON of others
    return value.get(name) if isinstance(value, dict) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
