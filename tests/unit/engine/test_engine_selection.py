"""Runs that begin with steps that have succeeded before, and runs of only some steps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlops_sm.definition import parse
from mlops_sm.engine import ExecutionStatus, Failed, ResolveError, Run, Selection, StepStatus, Succeeded

DONE = Succeeded({})


def step(name: str, *after: str, kind: str = "Processing", **arguments: Any) -> dict[str, Any]:
    return {"Name": name, "Type": kind, "Arguments": arguments, **({"DependsOn": list(after)} if after else {})}


def gate(name: str, then: list[Any], otherwise: list[Any]) -> dict[str, Any]:
    return step(name, kind="Condition", Conditions=[], IfSteps=then, ElseSteps=otherwise)


def of(*steps: dict[str, Any]) -> Any:
    return parse(json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": list(steps)}))


def start(*steps: dict[str, Any], **options: Any) -> Run:
    return Run(of(*steps), parameters={}, variables={}, **options)


def no_file(uri: str) -> Any:
    raise ResolveError(f"nothing at {uri}")


def taken(run: Run) -> list[str]:
    return [s.name for s in run.take_ready()]


def test_what_succeeded_before_is_not_run_again() -> None:
    run = start(step("A"), step("B", "A"), step("C", "B"), reused={"A": DONE})
    assert taken(run) == ["B"]
    run.complete("B", DONE)
    assert taken(run) == ["C"]
    run.complete("C", DONE)
    assert run.status is ExecutionStatus.SUCCEEDED


def test_a_run_of_which_everything_succeeded_before_has_ended() -> None:
    run = start(step("A"), step("B", "A"), reused={"A": DONE, "B": DONE})
    assert run.finished
    assert run.status is ExecutionStatus.SUCCEEDED


def test_a_reused_step_is_referred_to() -> None:
    user = step("B", Environment={"N": {"Get": "Steps.A.ProcessingJobName"}})
    run = start(step("A"), user, reused={"A": Succeeded({"ProcessingJobName": "job-a"})})
    (ready,) = run.take_ready()
    assert run.resolve(ready, no_file) == {"Environment": {"N": "job-a"}}


@pytest.mark.parametrize(("verdict", "opened"), [(True, ["Yes"]), (False, ["No"])])
def test_a_reused_verdict_opens_its_branch(verdict: bool, opened: list[str]) -> None:
    run = start(gate("G", [step("Yes")], [step("No")]), reused={"G": Succeeded({"Outcome": str(verdict)}, verdict)})
    assert taken(run) == opened


def test_a_step_waits_for_all_that_is_not_reused() -> None:
    run = start(step("A"), step("B"), step("C", "A", "B"), reused={"A": DONE})
    assert taken(run) == ["B"]
    run.complete("B", Failed("no"))
    assert run.statuses()["C"] is StepStatus.SKIPPED
    assert run.status is ExecutionStatus.FAILED


def test_only_selected_steps_run_and_nobody_waits_for_the_others() -> None:
    run = start(step("A"), step("B", "A"), step("C", "B"), step("D", "C"), selected={"B", "C"})
    assert taken(run) == ["B"]
    run.complete("B", DONE)
    assert taken(run) == ["C"]
    run.complete("C", DONE)
    assert run.status is ExecutionStatus.SUCCEEDED
    assert [name for name, status in run.statuses().items() if status is StepStatus.SKIPPED] == ["A", "D"]


def test_a_selected_step_of_a_branch_runs_without_its_condition() -> None:
    run = start(gate("G", [step("Yes")], [step("No")]), selected={"No"})
    assert taken(run) == ["No"]


def test_more_room_lets_more_steps_start() -> None:
    run = start(step("A"), step("B"), step("C"), step("D"), max_parallel_steps=1)
    assert taken(run) == ["A"]
    run.limit(3)
    assert taken(run) == ["B", "C"]
    run.limit(1)
    assert taken(run) == []
    run.complete("A", DONE)
    assert taken(run) == []
    with pytest.raises(ValueError, match="at least 1"):
        run.limit(0)


def test_a_variable_has_the_value_it_was_given_last() -> None:
    run = start(step("A", Environment={"T": {"Get": "Execution.CurrentDateTime"}}))
    (ready,) = run.take_ready()
    for moment in ("first", "second"):
        run.set_variable("CurrentDateTime", moment)
        assert run.resolve(ready, no_file) == {"Environment": {"T": moment}}


def test_members_beside_the_arguments_are_resolved() -> None:
    asked = step("Ask", "A", kind="Callback", given=1) | {
        "SqsQueueUrl": {"Std:Join": {"On": "/", "Values": ["https://q", {"Get": "Steps.A.ProcessingJobName"}]}},
        "OutputParameters": [{"OutputName": "x", "OutputType": "String"}],
        "CacheConfig": {"Enabled": False},
    }
    run = start(step("A"), asked, reused={"A": Succeeded({"ProcessingJobName": "a"})})
    (ready,) = run.take_ready()
    assert run.resolve_members(ready, no_file) == {
        "SqsQueueUrl": "https://q/a",
        "OutputParameters": [{"OutputName": "x", "OutputType": "String"}],
    }


def diamond() -> Any:
    """A -> B, C -> D; D uses A's job beside waiting for B and C."""
    return of(
        step("A"),
        step("B", "A"),
        step("C", "A"),
        step("D", "B", "C", Environment={"N": {"Get": "Steps.A.ProcessingJobName"}}),
    )


@pytest.mark.parametrize(
    ("names", "gaps", "inputs", "before"),
    [
        (["D"], [], ["A"], ["A", "B", "C"]),
        (["A", "D"], ["B", "C"], [], ["B", "C"]),
        (["B", "C", "D"], [], ["A"], ["A"]),
        (["A", "B"], [], [], []),
    ],
)
def test_a_selection_knows_what_it_needs(
    names: list[str], gaps: list[str], inputs: list[str], before: list[str]
) -> None:
    selection = Selection(diamond(), names)
    assert (selection.unknown(), selection.gaps(), selection.inputs(), selection.before()) == ([], gaps, inputs, before)


def test_names_that_no_step_has() -> None:
    assert Selection(diamond(), ["Z", "A"]).unknown() == ["Z"]
