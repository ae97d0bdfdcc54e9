"""What a model version must fulfil before it is approved: ``[tool.mlops_sm.policy]``.

[tool.mlops_sm.policy]
required_approvals = 2
bias = { DPL = 0.1, DI = { at_least = 0.8, at_most = 1.25 } }

[tool.mlops_sm.policy.metrics]
auc = { at_least = 0.75, tolerance = 0.01 }
log_loss = { at_most = 0.35, tolerance = 0.02 }
accuracy = {}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from mlops_sm.errors import Problem, did_you_mean

_STRICT: Final = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False, validate_default=True)
Share = Annotated[float, Field(ge=0)]


class Bounds(BaseModel):
    """Between what a value must lie; both ends are allowed.

    Attributes:
        at_least: The smallest value that is good.
        at_most: The largest.
    """

    model_config = _STRICT

    at_least: float | None = None
    at_most: float | None = None

    @field_validator("at_most")
    @classmethod
    def _above(cls, value: float | None, info: ValidationInfo) -> float | None:
        lowest = info.data.get("at_least")
        if value is not None and lowest is not None and value < lowest:
            raise ValueError(f"at_most is {value:g}, below at_least, {lowest:g}: nothing fulfils both")
        return value


class MetricRule(Bounds):
    """What one metric must fulfil; a version without it does not pass.

    Attributes:
        tolerance: How much worse than the version in use it may be; without it the two are not compared.
        better: Which direction is better; default is ``higher`` with `at_least` or neither bound, else ``lower``.
    """

    tolerance: Share | None = None
    better: Literal["higher", "lower"] | None = None

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger value is better."""
        if self.better is not None:
            return self.better == "higher"
        return self.at_least is not None or self.at_most is None


class Policy(BaseModel):
    """The whole policy; the default asks for nothing but one approval.

    Attributes:
        metrics: What the metrics of the version must fulfil, by their names in its reports.
        bias: Limits of the bias metrics, for each of them in every facet. A number bounds the absolute value.
        required_approvals: How many people must approve.
    """

    model_config = _STRICT

    metrics: Mapping[str, MetricRule] = Field(default_factory=dict)
    bias: Mapping[str, Share | Bounds] = Field(default_factory=dict)
    required_approvals: Annotated[int, Field(ge=1, le=5)] = 1

    def bias_bounds(self, name: str) -> Bounds:
        """The limits of one bias metric."""
        limit = self.bias[name]
        return limit if isinstance(limit, Bounds) else Bounds(at_least=-limit, at_most=limit)


_TABLES: Final[Mapping[str, type[BaseModel]]] = {"metrics": MetricRule, "bias": Bounds}


def read_policy(table: object, where: str, problems: list[Problem]) -> Policy:
    """The policy of a table.

    Args:
        table: As TOML has it.
        where: The place of the table.
        problems: Takes what is wrong: E103 an unknown setting, E105 a wrong value.
    """
    if not isinstance(table, dict):
        fix = "Write it as a table: [tool.mlops_sm.policy]."
        problems.append(Problem("E105", where, f'"policy" must be a table, not {table!r}', fix))
        return Policy()
    try:
        return Policy.model_validate(table)
    except ValidationError as err:
        seen: set[str] = set()
        for error in err.errors(include_url=False):
            # Where a number or a table may stand, pydantic reports what is wrong with either: that a table is no number
            # says nothing, and otherwise the place is the same.
            if isinstance(error["input"], dict) and "constrained-float" in error["loc"]:
                continue
            path = [str(part) for part in error["loc"] if part not in {"Bounds", "constrained-float"}]
            place = f"{where} {'.'.join(path)}"
            if place not in seen:
                seen.add(place)
                problems.append(_problem(error["type"], path, place, error))
        return Policy()


def _problem(kind: str, path: list[str], place: str, error: Any) -> Problem:  # noqa: ANN401 - pydantic's own
    if kind == "extra_forbidden":
        inner = _TABLES.get(path[0]) if len(path) > 1 else Policy
        known = inner.model_fields if inner is not None else {}
        fix = did_you_mean(path[-1], known) or f"Settings here: {', '.join(known)}."
        return Problem("E103", place, f'unknown setting "{path[-1]}"', fix)
    what = str(error.get("ctx", {}).get("error", "")) or f"{error['input']!r} has the wrong form: {error['msg']}"
    return Problem("E105", place, what, _HOW.get(path[0], "Correct it."))


_HOW: Final = {
    "metrics": "For example auc = { at_least = 0.75, tolerance = 0.01 }.",
    "bias": "For example DPL = 0.1, or DI = { at_least = 0.8, at_most = 1.25 }.",
    "required_approvals": "Give a number from 1 to 5.",
}
