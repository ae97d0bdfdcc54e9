"""What holds for every definition, whatever happens to its steps."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_sm.definition import parse
from mlops_sm.definition.document import Definition, Step
from mlops_sm.definition.kinds import StepKind, Trigger
from mlops_sm.engine import ExecutionStatus, Failed, Outcome, Run, StepStatus, Stopped, Succeeded

TRIGGERS = st.sampled_from(["Completed", "Completed", "Completed", "Failed", "Stopped", "Any"])
ENDED = {StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.STOPPED}


@st.composite
def definitions(draw: st.DrawFn, *, triggers: bool, branches: bool = True) -> Definition:
    """Acyclic by construction: a step waits for earlier steps only, and stands in an earlier Condition's branch."""
    size = draw(st.integers(1, 12))
    steps: list[dict[str, Any]] = []
    homes: list[list[dict[str, Any]]] = [steps]
    for index in range(size):
        kind = draw(st.sampled_from(["Processing", "Processing", "Condition"] if branches else ["Processing"]))
        step: dict[str, Any] = {"Name": f"S{index}", "Type": kind, "Arguments": {}}
        upstream = draw(st.lists(st.integers(0, index - 1), max_size=3, unique=True)) if index else []
        depends: list[Any] = []
        for number in upstream:
            trigger = draw(TRIGGERS) if triggers else "Completed"
            if trigger == "Completed" and draw(st.booleans()):
                step["Arguments"][f"In{number}"] = {"Get": f"Steps.S{number}.Arn"}
            else:
                depends.append(f"S{number}" if trigger == "Completed" else {"Step": f"S{number}", "Trigger": trigger})
        if depends:
            step["DependsOn"] = depends
        home = draw(st.sampled_from(homes))
        if kind == "Condition":
            step["Arguments"] = {"Conditions": [], "IfSteps": [], "ElseSteps": []}
            homes += [step["Arguments"]["IfSteps"], step["Arguments"]["ElseSteps"]]
        home.append(step)
    return parse(json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": steps}))


def drive(
    run: Run, choose: Callable[[int], int], end: Callable[[Step], Outcome], *, stop_after: int | None = None
) -> list[Any]:
    """Run to the end; `choose` picks whose end comes next. Returns what was seen, starts and ends in order."""
    seen: list[Any] = []
    executing: list[Step] = []
    ends = 0
    while True:
        started = run.take_ready()
        seen += [("start", step.name) for step in started]
        executing += started
        if ends == stop_after:
            run.request_stop()
            seen.append(("stop",))
        if not executing:
            break
        step = executing.pop(choose(len(executing)))
        outcome = end(step)
        run.complete(step.name, outcome)
        seen.append(("end", step.name, run.statuses()[step.name]))
        ends += 1
    return seen


def waits_for(definition: Definition) -> Iterator[tuple[str, str, Trigger]]:
    """(step, upstream, trigger), read off the document without the engine's edges."""
    for step in definition.walk():
        for dependency in step.depends_on:
            yield step.name, dependency.step, dependency.trigger
        for value in step.arguments.values():
            if isinstance(value, dict):
                yield step.name, value["Get"].split(".")[1], Trigger.COMPLETED
        if step.branch:
            yield step.name, step.branch.step, Trigger.COMPLETED


def begin(definition: Definition, cap: int | None = None) -> Run:
    return Run(definition, parameters={}, variables={}, max_parallel_steps=cap)


def picker(data: st.DataObject) -> Callable[[int], int]:
    return lambda count: data.draw(st.integers(0, count - 1))


def random_end(data: st.DataObject) -> Callable[[Step], Outcome]:
    def end(step: Step) -> Outcome:
        match data.draw(st.sampled_from(["good", "good", "good", "failed", "stopped"])):
            case "failed":
                return Failed("boom")
            case "stopped":
                return Stopped()
            case _:
                return good_end(data)(step)

    return end


def good_end(data: st.DataObject) -> Callable[[Step], Outcome]:
    return lambda step: Succeeded({}, outcome=data.draw(st.booleans()) if step.kind is StepKind.CONDITION else None)


@given(definitions(triggers=False, branches=False), st.none() | st.integers(1, 3), st.data())
def test_without_branches_every_step_runs_once_and_after_its_upstream_steps(
    definition: Definition, cap: int | None, data: st.DataObject
) -> None:
    run = begin(definition, cap)
    seen = drive(run, picker(data), good_end(data))
    assert sorted(e[1] for e in seen if e[0] == "start") == sorted(step.name for step in definition.walk())
    assert run.status is ExecutionStatus.SUCCEEDED
    for name, upstream, _ in waits_for(definition):
        assert seen.index(("end", upstream, StepStatus.SUCCEEDED)) < seen.index(("start", name))


@given(definitions(triggers=False), st.data())
def test_with_branches_exactly_the_reachable_steps_run(definition: Definition, data: st.DataObject) -> None:
    run = begin(definition)
    verdicts: dict[str, bool] = {}

    def end(step: Step) -> Outcome:
        outcome = good_end(data)(step)
        if step.kind is StepKind.CONDITION and isinstance(outcome, Succeeded):
            verdicts[step.name] = bool(outcome.outcome)
        return outcome

    seen = drive(run, picker(data), end)
    # The steps in the order of their numbers are in topological order, so one pass finds what can be reached.
    reachable: set[str] = set()
    for step in sorted(definition.walk(), key=lambda s: int(s.name[1:])):
        upstream = {u for n, u, _ in waits_for(definition) if n == step.name}
        if not upstream <= reachable:
            continue
        if step.branch and verdicts[step.branch.step] is not (step.branch.member == "IfSteps"):
            continue
        reachable.add(step.name)
    started = [e[1] for e in seen if e[0] == "start"]
    assert sorted(started) == sorted(reachable)
    assert run.status is ExecutionStatus.SUCCEEDED
    assert {n for n, s in run.statuses().items() if s is StepStatus.SKIPPED} == run.statuses().keys() - reachable


@settings(max_examples=200)
@given(definitions(triggers=True), st.none() | st.integers(1, 3), st.none() | st.integers(0, 8), st.data())
def test_whatever_happens_the_run_ends_and_keeps_its_rules(
    definition: Definition, cap: int | None, stop_after: int | None, data: st.DataObject
) -> None:
    run = begin(definition, cap)
    seen = drive(run, picker(data), random_end(data), stop_after=stop_after)
    assert run.finished
    statuses = run.statuses()
    assert set(statuses.values()) <= ENDED | {StepStatus.SKIPPED}
    started = [e[1] for e in seen if e[0] == "start"]
    assert len(started) == len(set(started))
    assert {n for n, s in statuses.items() if s in ENDED} == set(started)

    edges = list(waits_for(definition))
    ends: dict[str, StepStatus] = {}
    halted = stopped = False
    recovering: set[str] = set()
    for event in seen:
        match event:
            case ("start", name):
                mine = [(u, t) for n, u, t in edges if n == name]
                explicit = {(u, t) for u, t in mine if t is not Trigger.COMPLETED}
                for upstream, trigger in mine:
                    end = ends[upstream]
                    assert trigger is Trigger.ANY or end == {"Completed": "Succeeded"}.get(trigger, trigger)
                if any(ends[u] is not StepStatus.SUCCEEDED or u in recovering for u, _ in mine):
                    recovering.add(name)
                assert not stopped
                assert not halted or explicit or name in recovering
            case ("end", name, status):
                ends[name] = status
                halted = halted or status is not StepStatus.SUCCEEDED
            case _:
                stopped = True

    bad = [n for n, s in statuses.items() if s in {StepStatus.FAILED, StepStatus.STOPPED}]
    if run.status is ExecutionStatus.SUCCEEDED:
        assert not bad
    if run.status is ExecutionStatus.COMPLETED_WITH_FAILURES:
        answered = {u for n, u, t in edges if t is not Trigger.COMPLETED and statuses[n] is StepStatus.SUCCEEDED}
        assert bad
        assert set(bad) <= answered
    assert (run.failure_reason is not None) is (run.status is ExecutionStatus.FAILED)


@given(definitions(triggers=True), st.integers(1, 4), st.lists(st.integers(0, 10**6), min_size=1), st.data())
def test_the_cap_is_never_exceeded_and_never_wasted(
    definition: Definition, cap: int, picks: list[int], data: st.DataObject
) -> None:
    run, free = begin(definition, cap), begin(definition)
    seen = drive(run, lambda n: picks[0] % n, good_end(data))
    jobs = {s.name for s in definition.walk() if s.kind is not StepKind.CONDITION}
    executing = 0
    for event in seen:
        if event[1] in jobs:
            executing += 1 if event[0] == "start" else -1
        assert 0 <= executing <= cap
    assert len(run.take_ready()) == 0
    assert len([s for s in free.take_ready() if s.name in jobs][:cap]) == len(
        [s for s in begin(definition, cap).take_ready() if s.name in jobs]
    )


@given(definitions(triggers=True), st.integers(1, 3), st.lists(st.integers(0, 10**6), min_size=40, max_size=40))
def test_the_same_ends_give_the_same_starts(definition: Definition, cap: int, numbers: list[int]) -> None:
    def once() -> tuple[list[Any], ExecutionStatus]:
        left = iter(numbers)
        kinds: list[Outcome] = [Succeeded({}), Succeeded({}), Failed("boom"), Stopped()]

        def end(step: Step) -> Outcome:
            number = next(left)
            found = kinds[number % 4]
            if step.kind is StepKind.CONDITION and isinstance(found, Succeeded):
                return Succeeded({}, outcome=number % 8 < 4)
            return found

        run = begin(definition, cap)
        return drive(run, lambda n: next(left) % n, end), run.status

    assert once() == once()
