"""``[tool.mlops_sm.policy]``: read strictly, and everything that is wrong is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_sm.errors import InputError
from mlops_sm.project import Policy, Project, load_project


def load(folder: Path, *lines: str) -> Project:
    (folder / "pyproject.toml").write_text("\n".join(["[tool.mlops_sm]", 'name = "churn"', *lines]))
    return load_project(folder, variables={})


def test_without_a_table_nothing_is_asked_for(tmp_path: Path) -> None:
    assert load(tmp_path).policy == Policy()


def test_everything_that_can_be_asked_for(tmp_path: Path) -> None:
    policy = load(
        tmp_path,
        "[tool.mlops_sm.policy]",
        "required_approvals = 2",
        "bias = { DPL = 0.1, DI = { at_least = 0.8, at_most = 1.25 } }",
        "[tool.mlops_sm.policy.metrics]",
        "auc = { at_least = 0.75, tolerance = 0.01 }",
        'loss = { better = "lower" }',
        "rows = {}",
    ).policy
    assert policy.required_approvals == 2
    assert (policy.bias_bounds("DPL").at_least, policy.bias_bounds("DI").at_most) == (-0.1, 1.25)
    assert [rule.higher_is_better for rule in policy.metrics.values()] == [True, False, True]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["policy = 3"], [("E105", "policy]", "must be a table")]),
        (
            ["[tool.mlops_sm.policy]", "required_approval = 2"],
            [("E103", "policy] required_approval", 'Did you mean "required_approvals"?')],
        ),
        (["[tool.mlops_sm.policy]", "required_approvals = 0"], [("E105", "required_approvals", "from 1 to 5")]),
        (["[tool.mlops_sm.policy]", "bias = { DPL = -0.1 }"], [("E105", "bias.DPL", "For example DPL = 0.1")]),
        (
            ["[tool.mlops_sm.policy]", 'bias = { DI = { at_leas = 1, at_most = "x" }, DPL = true }'],
            [
                ("E105", "bias.DI.at_most", "For example DPL = 0.1"),
                ("E103", "bias.DI.at_leas", 'Did you mean "at_least"?'),
                ("E105", "bias.DPL", "For example DPL = 0.1"),
            ],
        ),
        (
            ["[tool.mlops_sm.policy.metrics]", "auc = { atleast = 1 }", 'loss = { at_most = "x", tolerance = -1 }'],
            [
                ("E103", "metrics.auc.atleast", 'Did you mean "at_least"?'),
                ("E105", "metrics.loss.at_most", "For example auc"),
                ("E105", "metrics.loss.tolerance", "For example auc"),
            ],
        ),
        (
            ["[tool.mlops_sm.policy.metrics]", "auc = { at_least = 0.9, at_most = 0.1 }"],
            [("E105", "metrics.auc.at_most", "nothing fulfils both")],
        ),
        (["[tool.mlops_sm.policy.metrics]", "auc = { at_least = nan }"], [("E105", "metrics.auc.at_least", "finite")]),
        (["[tool.mlops_sm.policy.metrics]", "auc = 0.8"], [("E105", "metrics.auc", "For example auc")]),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, lines: list[str], expected: list[tuple[str, str, str]]) -> None:
    with pytest.raises(InputError) as refused:
        load(tmp_path, *lines)
    found = refused.value.problems
    assert [p.code for p in found] == [code for code, _, _ in expected]
    for problem, (_, where, part) in zip(found, expected, strict=True):
        assert problem.where.endswith(where)
        assert part in f"{problem.what} {problem.fix}"
