"""ForEach steps: items, order, concurrency, ends, selection.

Rules: SDK 3.27, mlops/workflow/for_each_step.py; API reference, ForEachStepMetadata; ``docs/engine.md``.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.definition import parse
from mlops_sm.engine import ExecutionStatus, Failed, MisuseError, ResolveError, Run, StepStatus, Stopped, Succeeded

DONE = Succeeded({})


def step(name: str, *after: Any, kind: str = "Processing", **arguments: Any) -> dict[str, Any]:
    return {"Name": name, "Type": kind, "Arguments": arguments, **({"DependsOn": list(after)} if after else {})}


def each(items: Any, *body: dict[str, Any], at_once: int = 2, name: str = "Each", **members: Any) -> dict[str, Any]:
    return step(name, kind="ForEach", IterableItems=items, MaxConcurrency=at_once, ForEachBody=list(body), **members)


def start(*steps: dict[str, Any], cap: int | None = None, reused: Any = None, **parameters: Any) -> Run:
    declared = [{"Name": name, "Type": "String"} for name in parameters]
    text = json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": declared, "Steps": list(steps)})
    return Run(parse(text), parameters=parameters, variables={}, max_parallel_steps=cap, reused=reused)


def no_file(uri: str) -> Any:
    raise ResolveError(f"nothing at {uri}")


def begin(run: Run) -> list[str]:
    """Begin the ForEach steps that may start and take what may start then; the names of the jobs."""
    found: list[str] = []
    while True:
        for end in run.ended_loops():
            run.complete(end.name, end.outcome)
        ready = run.take_ready()
        if not ready:
            return found
        for taken in ready:
            if taken.kind == "ForEach":
                run.repeat(taken, no_file)
            else:
                found.append(taken.name)


def selector(field: str, how: str = "MaxBy") -> dict[str, Any]:
    return {"Pick": how, "Field": {"Get": f"IterationOutput.{field}"}}


def test_each_item_gets_its_own_steps_and_so_many_run_at_once() -> None:
    run = start(each(["a", "b", "c"], step("One"), step("Two", "One")))
    assert begin(run) == ["One-0", "One-1"]
    run.complete("One-1", DONE)
    assert begin(run) == ["Two-1"]
    run.complete("One-0", DONE)
    assert begin(run) == ["Two-0"]
    for name in ("Two-1", "Two-0"):
        run.complete(name, DONE)
    assert begin(run) == ["One-2"]
    run.complete("One-2", DONE)
    begin(run)
    run.complete("Two-2", DONE)
    begin(run)
    assert run.status is ExecutionStatus.SUCCEEDED
    assert run.left_by("Each") == {
        "Status": "Succeeded",
        "InputItemCount": 3,
        "TotalStepCount": 6,
        "SucceededStepCount": 6,
        "FailedStepCount": 0,
        "StoppedStepCount": 0,
        "IterationOutputs": [{"One": {}, "Two": {}}] * 3,
    }


def test_the_cap_of_the_execution_counts_steps_of_iterations() -> None:
    run = start(step("A"), each(["a", "b", "c"], step("One"), at_once=3), cap=2)
    assert begin(run) == ["A", "One-0"]
    run.complete("One-0", DONE)
    assert begin(run) == ["One-1"]


@pytest.mark.parametrize(
    ("item", "path", "value"),
    [
        ("x", "", "x"),
        (3, "", 3),
        (True, "", True),
        ('{"a": {"b": [1, 2]}}', ".a.b[1]", 2),
        ('{"a b": 1}', "['a b']", 1),
        ('{"a": {"b": 1}}', ".a", {"b": 1}),
        ('{"a": 1}', "", '{"a": 1}'),
    ],
)
def test_a_step_sees_its_item(item: Any, path: str, value: Any) -> None:
    run = start(each([item], step("One", V={"Get": f"ForEach.CurrentItem{path}"})))
    [loop] = run.take_ready()
    run.repeat(loop, no_file)
    [one] = run.take_ready()
    assert run.resolve(one, no_file) == {"V": value}
    iteration = run.iteration("One-0")
    assert iteration is not None
    assert (iteration.parent, iteration.index, iteration.item) == ("Each", 0, item)
    assert run.iteration("Each") is None


def test_items_come_from_text_that_holds_a_json_list() -> None:
    run = start(each({"Get": "Parameters.Items"}, step("One", V={"Get": "ForEach.CurrentItem"})), Items='[{"a":1},2]')
    [loop] = run.take_ready()
    run.repeat(loop, no_file)
    assert [run.resolve(one, no_file)["V"] for one in run.take_ready()] == ['{"a":1}', 2]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a,b", "no JSON list"),
        ('{"a": 1}', "holds no list"),
        ("", "no JSON list"),
        ("3", "holds no list"),
        ("[" * 100_000, "no JSON list"),
    ],
)
def test_what_holds_no_items_is_said(text: str, why: str) -> None:
    run = start(each({"Get": "Parameters.Items"}, step("One")), Items=text)
    [loop] = run.take_ready()
    with pytest.raises(ResolveError, match=why):
        run.repeat(loop, no_file)
    run.complete("Each", Failed("no items"))
    assert run.status is ExecutionStatus.FAILED


def test_an_item_without_the_field_is_named() -> None:
    run = start(each(["x"], step("One", V={"Get": "ForEach.CurrentItem.a"})))
    [loop] = run.take_ready()
    run.repeat(loop, no_file)
    with pytest.raises(ResolveError, match="no JSON object that could have"):
        run.resolve(run.take_ready()[0], no_file)


def test_an_item_that_is_nested_too_deeply_fails_its_step_only() -> None:
    run = start(each(["[" * 100_000], step("One", V={"Get": "ForEach.CurrentItem.a"})))
    [loop] = run.take_ready()
    run.repeat(loop, no_file)
    with pytest.raises(ResolveError, match="nested too deeply"):
        run.resolve(run.take_ready()[0], no_file)


def test_no_items_are_no_iterations() -> None:
    run = start(each({"Get": "Parameters.Items"}, step("One")), step("Next", "Each"), Items="[]")
    assert begin(run) == ["Next"]


def test_steps_of_one_iteration_see_each_other_and_what_came_before() -> None:
    body = step("Two", A={"Get": "Steps.One.Score"}, B={"Get": "Steps.First.Name"})
    run = start(step("First"), each(["a", "b"], step("One"), body, at_once=50))
    assert begin(run) == ["First"]
    run.complete("First", Succeeded({"Name": "f"}))
    assert begin(run) == ["One-0", "One-1"]
    run.complete("One-1", Succeeded({"Score": 1}))
    [two] = run.take_ready()
    assert (two.name, run.resolve(two, no_file)) == ("Two-1", {"A": 1, "B": "f"})


def test_later_steps_refer_to_iterations() -> None:
    last = step(
        "Last",
        Second={"Get": "Steps.Each.IterationOutputs[1].One.Score"},
        Best={"Get": "Steps.Each.Selected.Score"},
        Count={"Get": "Steps.Each.SucceededStepCount"},
    )
    run = start(each(["a", "b", "c"], step("One"), at_once=3, Selector=selector("One.Score")), last)
    for name, score in zip(begin(run), (1, 5, 5), strict=True):
        run.complete(name, Succeeded({"Score": score}))
    [end] = run.ended_loops()
    assert end.summary["Selector"] == {"StepName": "One", "Index": 1}
    run.complete(end.name, end.outcome)
    [ready] = run.take_ready()
    assert run.resolve(ready, no_file) == {"Second": 5, "Best": 5, "Count": 3}


@pytest.mark.parametrize(("how", "index"), [("MaxBy", 1), ("MinBy", 2)])
def test_text_that_is_a_number_is_compared_as_one(how: str, index: int) -> None:
    run = start(each(["a", "b", "c"], step("One"), at_once=3, Selector=selector("One.S['x']", how)))
    for name, score in zip(begin(run), ("9", "10", "-1"), strict=True):
        run.complete(name, Succeeded({"S": {"x": score}}))
    assert run.ended_loops()[0].summary["Selector"] == {"StepName": "One", "Index": index}


@pytest.mark.parametrize(
    ("left", "why"),
    [({}, 'step "One-0" has no "Score"'), ({"Score": "good"}, "no number to compare"), ({"Score": True}, "no number")],
)
def test_a_selector_on_what_is_not_there_fails_the_step(left: dict[str, Any], why: str) -> None:
    run = start(each(["a"], step("One"), Selector=selector("One.Score")))
    begin(run)
    run.complete("One-0", Succeeded(left))
    [end] = run.ended_loops()
    assert isinstance(end.outcome, Failed)
    assert why in end.outcome.reason
    assert end.summary["Status"] == "Failed"


def test_a_failed_iteration_lets_those_finish_that_run_and_no_other_begin() -> None:
    run = start(each(["a", "b", "c"], step("One"), step("Two", "One")), step("Next", "Each"))
    begin(run)
    run.complete("One-0", Failed("boom"))
    assert begin(run) == []
    assert run.status is ExecutionStatus.EXECUTING
    run.complete("One-1", DONE)
    [end] = run.ended_loops()
    assert end.outcome.reason == "Step failure: steps of iterations failed: One-0."  # type: ignore[union-attr] - it failed
    assert end.summary == {
        "Status": "Failed",
        "InputItemCount": 3,
        "TotalStepCount": 6,
        "SucceededStepCount": 1,
        "FailedStepCount": 1,
        "StoppedStepCount": 0,
    }
    begin(run)
    assert run.status is ExecutionStatus.FAILED
    assert run.statuses()["Next"] is StepStatus.SKIPPED
    assert run.statuses()["One-2"] is StepStatus.SKIPPED


def test_a_failed_for_each_that_a_trigger_answers_completes_with_failures() -> None:
    after = step("After", {"Step": "Each", "Trigger": "Failed"}, N={"Get": "Steps.Each.FailedStepCount"})
    run = start(each(["a"], step("One")), after)
    begin(run)
    run.complete("One-0", Failed("boom"))
    [end] = run.ended_loops()
    run.complete(end.name, end.outcome)
    [ready] = run.take_ready()
    assert run.resolve(ready, no_file) == {"N": 1}
    run.complete("After", DONE)
    assert run.status is ExecutionStatus.COMPLETED_WITH_FAILURES


def test_a_failure_elsewhere_lets_running_iterations_go_on() -> None:
    run = start(step("A"), each(["a", "b"], step("One"), at_once=1))
    begin(run)
    run.complete("A", Failed("boom"))
    run.complete("One-0", DONE)
    assert begin(run) == ["One-1"]
    run.complete("One-1", DONE)
    begin(run)
    assert run.status is ExecutionStatus.FAILED


def test_stop_waits_for_running_iterations_and_begins_none() -> None:
    run = start(each(["a", "b"], step("One"), at_once=1))
    begin(run)
    run.request_stop()
    assert begin(run) == []
    run.complete("One-0", Stopped())
    [end] = run.ended_loops()
    assert (end.outcome, end.summary["Status"], end.summary["StoppedStepCount"]) == (Stopped(), "Stopped", 1)
    begin(run)
    assert run.status is ExecutionStatus.STOPPED


def test_a_retry_runs_only_the_iterations_that_did_not_succeed() -> None:
    reused = {"One-1": Succeeded({"Score": 7})}
    run = start(each(["a", "b", "c"], step("One"), at_once=3, Selector=selector("One.Score")), reused=reused)
    assert begin(run) == ["One-0", "One-2"]
    for name in ("One-0", "One-2"):
        run.complete(name, Succeeded({"Score": 1}))
    [end] = run.ended_loops()
    assert end.summary["SucceededStepCount"] == 3
    assert end.summary["Selector"]["Index"] == 1


def test_only_a_for_each_repeats() -> None:
    run = start(step("A"))
    [a] = run.take_ready()
    with pytest.raises(MisuseError, match="repeats nothing"):
        run.repeat(a, no_file)


@given(
    items=st.integers(0, 12),
    bodies=st.integers(1, 3),
    at_once=st.integers(1, 5),
    cap=st.one_of(st.none(), st.integers(1, 4)),
    chained=st.booleans(),
    data=st.data(),
)
def test_whatever_ends_first_every_step_runs_once_and_never_too_many(
    *, items: int, bodies: int, at_once: int, cap: int | None, chained: bool, data: Any
) -> None:
    body = [step(f"B{i}", *([f"B{i - 1}"] if chained and i else [])) for i in range(bodies)]
    run = start(each({"Get": "Parameters.I"}, *body, at_once=at_once), cap=cap, I=json.dumps(list(range(items))))
    running, seen = begin(run), []
    while running:
        assert len(running) <= min(at_once, cap or at_once)
        name = running.pop(data.draw(st.integers(0, len(running) - 1)))
        seen.append(name)
        run.complete(name, DONE)
        running += begin(run)
    assert run.status is ExecutionStatus.SUCCEEDED
    assert sorted(seen) == sorted(f"B{b}-{i}" for b in range(bodies) for i in range(items))
