"""The rules of the state machine, one by one."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from mlops_sm.definition import parse
from mlops_sm.engine import (
    STEP_FAILURE,
    ExecutionStatus,
    Failed,
    MisuseError,
    ResolveError,
    Run,
    StepStatus,
    Stopped,
    Succeeded,
)

DONE = Succeeded({})


def step(name: str, *after: str | dict[str, str], kind: str = "Processing", **arguments: Any) -> dict[str, Any]:
    return {"Name": name, "Type": kind, "Arguments": arguments, **({"DependsOn": list(after)} if after else {})}


def on(name: str, trigger: str) -> dict[str, str]:
    return {"Step": name, "Trigger": trigger}


def gate(
    name: str, *after: str | dict[str, str], then: Sequence[Any] = (), otherwise: Sequence[Any] = ()
) -> dict[str, Any]:
    conditions = [{"Type": "Equals", "LeftValue": {"Get": "Parameters.Go"}, "RightValue": True}]
    return step(name, *after, kind="Condition", Conditions=conditions, IfSteps=list(then), ElseSteps=list(otherwise))


def start(*steps: dict[str, Any], cap: int | None = None, go: bool = True) -> Run:
    parameters = [{"Name": "Go", "Type": "Boolean", "DefaultValue": True}]
    text = json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": parameters, "Steps": list(steps)})
    return Run(parse(text), parameters={"Go": go}, variables={}, max_parallel_steps=cap)


def no_file(uri: str) -> Any:
    raise ResolveError(f"nothing at {uri}")


def taken(run: Run) -> list[str]:
    return [s.name for s in run.take_ready()]


def left(run: Run, status: StepStatus) -> list[str]:
    return [name for name, found in run.statuses().items() if found is status]


def test_steps_without_dependencies_start_at_once_in_document_order() -> None:
    run = start(step("B"), step("A"), step("C", "B"))
    assert taken(run) == ["B", "A"]
    assert taken(run) == []
    assert run.statuses() == {"B": "Executing", "A": "Executing", "C": "Waiting"}


def test_a_step_waits_for_references_as_for_depends_on() -> None:
    run = start(step("A"), step("B"), step("C", "B", Role={"Get": "Steps.A.RoleArn"}))
    taken(run)
    run.complete("B", DONE)
    assert taken(run) == []
    run.complete("A", Succeeded({"RoleArn": "r"}))
    [c] = run.take_ready()
    assert run.resolve(c, no_file) == {"Role": "r"}


def test_all_succeeded() -> None:
    run = start(step("A"), step("B", "A"))
    for name in ("A", "B"):
        assert run.status is ExecutionStatus.EXECUTING
        assert taken(run) == [name]
        run.complete(name, DONE)
    assert (run.status, run.finished, run.failure_reason) == (ExecutionStatus.SUCCEEDED, True, None)


@pytest.mark.parametrize(("verdict", "runs", "skipped"), [(True, "Yes", ["No"]), (False, "No", ["Yes"])])
def test_a_verdict_opens_one_branch_and_skips_the_other(verdict: bool, runs: str, skipped: list[str]) -> None:
    run = start(gate("Gate", then=[step("Yes")], otherwise=[step("No")]))
    assert taken(run) == ["Gate"]
    run.complete("Gate", Succeeded({}, outcome=verdict))
    assert left(run, StepStatus.SKIPPED) == skipped
    assert taken(run) == [runs]
    run.complete(runs, DONE)
    assert run.status is ExecutionStatus.SUCCEEDED


def test_skipping_reaches_every_dependant_also_at_top_level_and_through_any() -> None:
    run = start(
        gate("Gate", then=[step("Register"), step("Tell", "Register")]),
        step("Top", "Register"),
        step("Far", "Top"),
        step("Always", on("Register", "Any")),
        step("Other"),
    )
    taken(run)
    run.complete("Gate", Succeeded({}, outcome=False))
    assert left(run, StepStatus.SKIPPED) == ["Register", "Tell", "Top", "Far", "Always"]
    run.complete("Other", DONE)
    assert run.status is ExecutionStatus.SUCCEEDED


def test_a_branch_step_still_waits_for_its_own_dependencies() -> None:
    run = start(step("Slow"), gate("Gate", then=[step("Both", "Slow")]))
    assert taken(run) == ["Slow", "Gate"]
    run.complete("Gate", Succeeded({}, outcome=True))
    assert taken(run) == []
    run.complete("Slow", DONE)
    assert taken(run) == ["Both"]


def test_nested_conditions() -> None:
    inner = gate("Inner", then=[step("Deep")], otherwise=[step("Else")])
    run = start(gate("Outer", then=[inner]))
    taken(run)
    run.complete("Outer", Succeeded({}, outcome=True))
    assert taken(run) == ["Inner"]
    run.complete("Inner", Succeeded({}, outcome=False))
    assert taken(run) == ["Else"]
    assert run.statuses()["Deep"] is StepStatus.SKIPPED


def test_a_skipped_condition_takes_both_its_branches_with_it() -> None:
    run = start(
        gate("Outer", then=[gate("Inner", then=[step("Deep")], otherwise=[step("Else")])]),
    )
    taken(run)
    run.complete("Outer", Succeeded({}, outcome=False))
    assert left(run, StepStatus.SKIPPED) == ["Inner", "Deep", "Else"]
    assert run.status is ExecutionStatus.SUCCEEDED


def test_a_condition_that_cannot_be_decided_skips_both_branches() -> None:
    run = start(gate("Gate", then=[step("Yes")], otherwise=[step("No")]))
    taken(run)
    run.complete("Gate", Failed("no such metric"))
    assert left(run, StepStatus.SKIPPED) == ["Yes", "No"]
    assert run.status is ExecutionStatus.FAILED
    assert run.failures() == {"Gate": "no such metric"}


def test_a_verdict_is_a_boolean_to_whoever_refers_to_it() -> None:
    message = {"Std:Join": {"On": ": ", "Values": ["said", {"Get": "Steps.Gate.Outcome"}]}}
    run = start(gate("Gate"), step("End", kind="Fail", ErrorMessage=message))
    taken(run)
    run.complete("Gate", Succeeded({"Outcome": "False"}, outcome=False))
    [end] = run.take_ready()
    assert run.resolve(end, no_file) == {"ErrorMessage": "said: false"}


def test_after_a_failure_running_steps_finish_and_nothing_new_starts() -> None:
    run = start(step("A"), step("B"), step("C", "B"), step("D", "A"))
    taken(run)
    run.complete("A", Failed("exit code 3"))
    assert run.statuses()["D"] is StepStatus.SKIPPED
    assert (run.status, run.failure_reason) == (ExecutionStatus.EXECUTING, None)
    run.complete("B", DONE)
    assert taken(run) == []
    assert (run.status, run.failure_reason) == (ExecutionStatus.FAILED, STEP_FAILURE)
    assert run.statuses() == {"A": "Failed", "B": "Succeeded", "C": "Skipped", "D": "Skipped"}


def test_a_failure_drops_what_was_ready_and_waited_for_a_slot() -> None:
    run = start(step("A"), step("B"), cap=1)
    assert taken(run) == ["A"]
    run.complete("A", Failed("boom"))
    assert taken(run) == []
    assert run.status is ExecutionStatus.FAILED


@pytest.mark.parametrize("trigger", ["Failed", "Any"])
def test_a_failure_that_a_trigger_answers_completes_with_failures(trigger: str) -> None:
    run = start(step("A"), step("Notify", on("A", trigger), Why={"Get": "Steps.A.FailureReason"}))
    taken(run)
    run.complete("A", Failed("boom", {"FailureReason": "boom"}))
    [notify] = run.take_ready()
    assert run.resolve(notify, no_file) == {"Why": "boom"}
    run.complete("Notify", DONE)
    assert (run.status, run.failure_reason) == (ExecutionStatus.COMPLETED_WITH_FAILURES, None)


def test_a_failure_stays_one_when_the_step_that_answers_fails_too() -> None:
    run = start(step("A"), step("Notify", on("A", "Failed")))
    taken(run)
    run.complete("A", Failed("boom"))
    taken(run)
    run.complete("Notify", Failed("also"))
    assert run.status is ExecutionStatus.FAILED
    assert run.failures() == {"A": "boom", "Notify": "also"}


def test_one_unanswered_failure_is_enough() -> None:
    run = start(step("A"), step("B"), step("Notify", on("A", "Failed")))
    taken(run)
    run.complete("A", Failed("boom"))
    run.complete("B", Failed("boom"))
    taken(run)
    run.complete("Notify", DONE)
    assert run.status is ExecutionStatus.FAILED


def test_a_trigger_that_can_no_longer_come_true_skips() -> None:
    run = start(step("A"), step("OnFail", on("A", "Failed")), step("OnStop", on("A", "Stopped")), step("End", "OnFail"))
    taken(run)
    run.complete("A", DONE)
    assert left(run, StepStatus.SKIPPED) == ["OnFail", "OnStop", "End"]
    assert run.status is ExecutionStatus.SUCCEEDED


def test_what_a_recovering_step_leads_to_starts_after_the_failure_too() -> None:
    run = start(
        step("A"),
        step("Other"),
        gate("Repair", on("A", "Failed"), then=[step("Fix")]),
        step("After", "Fix"),
        step("Normal", "Other"),
    )
    taken(run)
    run.complete("A", Failed("boom"))
    assert taken(run) == ["Repair"]
    run.complete("Other", DONE)
    assert taken(run) == []
    run.complete("Repair", Succeeded({}, outcome=True))
    assert taken(run) == ["Fix"]
    run.complete("Fix", DONE)
    assert taken(run) == ["After"]
    run.complete("After", DONE)
    assert run.status is ExecutionStatus.COMPLETED_WITH_FAILURES
    assert run.statuses()["Normal"] is StepStatus.SKIPPED


def test_any_asks_for_its_step_whatever_failed_elsewhere() -> None:
    run = start(step("A"), step("B"), step("Clean", on("A", "Any")))
    taken(run)
    run.complete("B", Failed("boom"))
    run.complete("A", DONE)
    assert taken(run) == ["Clean"]
    run.complete("Clean", DONE)
    assert run.status is ExecutionStatus.FAILED


def test_triggers_on_several_steps_must_all_come_true() -> None:
    run = start(step("A"), step("B"), step("Both", on("A", "Failed"), "B"))
    taken(run)
    run.complete("A", Failed("boom"))
    assert taken(run) == []
    run.complete("B", DONE)
    assert taken(run) == ["Both"]


def test_a_step_that_is_named_twice_asks_for_both_ends_and_never_runs() -> None:
    run = start(step("A"), step("Never", "A", on("A", "Failed")))
    taken(run)
    run.complete("A", Failed("boom"))
    assert run.statuses()["Never"] is StepStatus.SKIPPED


def test_a_step_stopped_from_outside_stops_the_execution() -> None:
    run = start(step("A"), step("B", "A"))
    taken(run)
    run.complete("A", Stopped())
    assert run.status is ExecutionStatus.STOPPED
    assert run.statuses() == {"A": "Stopped", "B": "Skipped"}


def test_a_stopped_step_that_a_trigger_answers_completes_with_failures() -> None:
    run = start(step("A"), step("B", on("A", "Stopped")))
    taken(run)
    run.complete("A", Stopped())
    assert taken(run) == ["B"]
    run.complete("B", DONE)
    assert run.status is ExecutionStatus.COMPLETED_WITH_FAILURES


def test_a_stopped_step_leaves_no_properties() -> None:
    run = start(step("A"), step("B", on("A", "Any"), Role={"Get": "Steps.A.RoleArn"}))
    taken(run)
    run.complete("A", Stopped())
    [b] = run.take_ready()
    with pytest.raises(ResolveError, match='step "A" has no "RoleArn": it holds nothing'):
        run.resolve(b, no_file)


def test_a_step_in_a_branch_may_name_its_condition_too() -> None:
    run = start(gate("Gate", then=[step("Yes", "Gate"), step("Never", on("Gate", "Failed"))]))
    taken(run)
    run.complete("Gate", Succeeded({}, outcome=True))
    assert taken(run) == ["Yes"]
    assert run.statuses()["Never"] is StepStatus.SKIPPED


def test_a_fail_step_fails_the_execution_and_waits_for_running_steps() -> None:
    run = start(
        gate("Gate", otherwise=[step("End", kind="Fail", ErrorMessage="AUC below 0.9")]),
        step("Long"),
        step("Next", "Long"),
    )
    taken(run)
    run.complete("Gate", Succeeded({}, outcome=False))
    [end] = run.take_ready()
    run.complete("End", Failed(run.resolve(end, no_file)["ErrorMessage"]))
    assert not run.finished
    run.complete("Long", DONE)
    assert taken(run) == []
    assert (run.status, run.failure_reason) == (ExecutionStatus.FAILED, STEP_FAILURE)
    assert run.failures() == {"End": "AUC below 0.9"}


def test_a_fail_step_in_the_branch_not_taken_has_no_effect() -> None:
    run = start(gate("Gate", then=[step("Go")], otherwise=[step("End", kind="Fail", ErrorMessage="no")]))
    taken(run)
    run.complete("Gate", Succeeded({}, outcome=True))
    assert taken(run) == ["Go"]
    run.complete("Go", DONE)
    assert run.status is ExecutionStatus.SUCCEEDED


def test_the_cap_counts_jobs_only() -> None:
    run = start(step("A"), step("B"), gate("Gate", then=[step("C")]), step("End", kind="Fail", ErrorMessage="x"), cap=1)
    assert taken(run) == ["A", "Gate", "End"]
    run.complete("Gate", Succeeded({}, outcome=True))
    assert taken(run) == []
    run.complete("A", DONE)
    assert taken(run) == ["B"]


def test_a_freed_slot_goes_to_the_first_ready_step_of_the_document() -> None:
    run = start(step("A"), step("B"), step("C", "A"), step("D"), cap=2)
    assert taken(run) == ["A", "B"]
    run.complete("A", DONE)
    assert taken(run) == ["C"]
    run.complete("C", DONE)
    assert taken(run) == ["D"]


def test_stop_waits_for_running_steps() -> None:
    run = start(step("A"), step("B", "A"), step("C"), cap=1)
    taken(run)
    run.request_stop()
    run.request_stop()
    assert (run.status, run.finished) == (ExecutionStatus.STOPPING, False)
    assert taken(run) == []
    run.complete("A", DONE)
    assert (run.status, run.finished, run.failure_reason) == (ExecutionStatus.STOPPED, True, None)
    assert run.statuses() == {"A": "Succeeded", "B": "Skipped", "C": "Skipped"}


def test_stop_ends_an_execution_in_which_nothing_runs() -> None:
    run = start(step("A"))
    run.request_stop()
    assert (run.status, taken(run)) == (ExecutionStatus.STOPPED, [])


def test_stop_drops_conditions_that_were_ready() -> None:
    run = start(step("A"), gate("Gate", "A"))
    taken(run)
    run.complete("A", DONE)
    run.request_stop()
    assert (run.status, taken(run)) == (ExecutionStatus.STOPPED, [])


def test_stop_starts_no_step_that_asks_for_a_stopped_one() -> None:
    run = start(step("A"), step("B", on("A", "Any")))
    taken(run)
    run.request_stop()
    run.complete("A", Stopped())
    assert taken(run) == []
    assert run.status is ExecutionStatus.STOPPED


def test_a_step_that_fails_while_stopping_fails_the_execution() -> None:
    run = start(step("A"))
    taken(run)
    run.request_stop()
    run.complete("A", Failed("timed out"))
    assert (run.status, run.failure_reason) == (ExecutionStatus.FAILED, STEP_FAILURE)


def test_stop_after_the_end_changes_nothing() -> None:
    run = start(step("A"))
    taken(run)
    run.complete("A", DONE)
    run.request_stop()
    assert run.status is ExecutionStatus.SUCCEEDED


def test_misuse_is_named() -> None:
    run = start(step("A"), step("B", "A"), gate("Gate"), step("End", "A", kind="Fail", ErrorMessage="x"))
    with pytest.raises(MisuseError, match='"A" cannot end: it is Waiting'):
        run.complete("A", DONE)
    a, _ = run.take_ready()
    with pytest.raises(MisuseError, match='no step "Z"'):
        run.complete("Z", DONE)
    with pytest.raises(MisuseError, match='"Gate" is a Condition step and needs a verdict'):
        run.complete("Gate", DONE)
    with pytest.raises(MisuseError, match='"A" is a Processing step and has no verdict to give'):
        run.complete("A", Succeeded({}, outcome=True))
    with pytest.raises(MisuseError, match="has no verdict"):
        run.evaluate(a, no_file)
    run.complete("A", DONE)
    with pytest.raises(MisuseError, match='"A" cannot end: it is Succeeded'):
        run.complete("A", DONE)
    taken(run)
    with pytest.raises(MisuseError, match='"End" is a Fail step and can only fail'):
        run.complete("End", DONE)


def test_a_refused_end_changes_nothing() -> None:
    run = start(gate("Gate", then=[step("A")]), cap=1)
    taken(run)
    with pytest.raises(MisuseError):
        run.complete("Gate", DONE)
    run.complete("Gate", Succeeded({}, outcome=True))
    assert taken(run) == ["A"]


def test_an_empty_branch_list_ends_at_once() -> None:
    run = start(gate("Gate"))
    taken(run)
    run.complete("Gate", Succeeded({}, outcome=True))
    assert run.status is ExecutionStatus.SUCCEEDED


def test_the_cap_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        start(step("A"), cap=0)


def test_a_cycle_or_a_dangling_edge_is_refused_instead_of_waiting_for_ever() -> None:
    with pytest.raises(ValueError, match="cycle"):
        start(step("A", "B"), step("B", "A"))
    with pytest.raises(ValueError, match='"A" waits for "Nowhere"'):
        start(step("A", "Nowhere"))


def test_a_condition_resolves_its_conditions_only_and_evaluates_them() -> None:
    run = start(gate("Gate", then=[step("Yes", Bad={"Get": "Steps.Gate.Nothing"})]), go=False)
    [found] = run.take_ready()
    assert run.resolve(found, no_file) == {"Conditions": [{"Type": "Equals", "LeftValue": False, "RightValue": True}]}
    assert run.evaluate(found, no_file) is False
