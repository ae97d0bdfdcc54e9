"""Who waits for whom, in which order, and whether it ends."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.definition import Graph, parse


def step(name: str, *reads: str, after: tuple[Any, ...] = (), **arguments: Any) -> dict[str, Any]:
    values = {f"in{i}": {"Get": f"Steps.{other}.OutputParameters['x']"} for i, other in enumerate(reads)}
    return {"Name": name, "Type": "Lambda", "Arguments": values | arguments, "DependsOn": list(after)}


def condition(name: str, conditions: list[Any], then: list[Any], otherwise: list[Any]) -> dict[str, Any]:
    arguments = {"Conditions": conditions, "IfSteps": then, "ElseSteps": otherwise}
    return {"Name": name, "Type": "Condition", "Arguments": arguments}


def graph(*steps: dict[str, Any]) -> Graph:
    return Graph.of(parse(json.dumps({"Version": "2020-12-01", "Steps": list(steps)})))


def upstream(drawn: Graph) -> dict[str, set[str]]:
    return {name: set(found) for name, found in drawn.upstream.items()}


def test_references_and_depends_on_draw_edges() -> None:
    drawn = graph(step("C", "B", after=({"Step": "A", "Trigger": "Failed"},)), step("B", after=("A",)), step("A"))
    assert upstream(drawn) == {"C": {"A", "B"}, "B": {"A"}, "A": set()}
    assert drawn.order() == ("A", "B", "C")


def test_references_deep_inside_expressions_count() -> None:
    join = {"Std:Join": {"On": "/", "Values": ["a", {"Std:Join": {"On": "", "Values": [{"Get": "Steps.A.X"}]}}]}}
    file = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.B.PropertyFiles.P"}, "Path": "x"}}
    uri = {"Std:JsonGet": {"S3Uri": {"Get": "Steps.C.X"}, "Path": "x"}}
    drawn = graph(step("A"), step("B"), step("C"), step("D", one=[join], two={"deep": file}, three=uri))
    assert upstream(drawn)["D"] == {"A", "B", "C"}


def test_a_condition_waits_for_its_conditions_and_its_branches_wait_for_it() -> None:
    decides = [{"Type": "Equals", "LeftValue": {"Get": "Steps.A.X"}, "RightValue": 1}]
    drawn = graph(
        step("A"),
        step("B"),
        condition("If", decides, [condition("Inner", [], [step("Then", "B")], [])], [step("Else")]),
    )
    assert upstream(drawn) == {
        "A": set(),
        "B": set(),
        "If": {"A"},
        "Inner": {"If"},
        "Then": {"B", "Inner"},
        "Else": {"If"},
    }


def test_a_for_each_waits_for_what_its_body_reads_outside() -> None:
    each = {
        "Name": "Each",
        "Type": "ForEach",
        "Arguments": {
            "IterableItems": {"Get": "Steps.A.X"},
            "ForEachBody": [step("One", "B"), step("Two", "One", after=("C",))],
        },
    }
    drawn = graph(step("A"), step("B"), step("C"), each)
    assert upstream(drawn)["Each"] == {"A", "B", "C"}
    assert upstream(drawn)["Two"] == {"One", "C", "Each"}
    assert drawn.order() == ("A", "B", "C", "Each", "One", "Two")


def test_inputs_beside_arguments_count() -> None:
    check = {
        "Name": "Check",
        "Type": "ClarifyCheck",
        "Arguments": {},
        "CheckType": "MODEL_BIAS",
        "ModelName": {"Get": "Steps.A.ModelName"},
    }
    assert upstream(graph(check, step("A")))["Check"] == {"A"}


def test_names_that_no_step_has_draw_no_edge() -> None:
    assert upstream(graph(step("A", "Nobody", after=("Nowhere",)))) == {"A": set()}


def test_the_document_decides_between_steps_that_could_come_next() -> None:
    assert graph(step("Z"), step("A"), step("M", "A")).order() == ("Z", "A", "M")
    assert graph(step("M", "A"), step("Z"), step("A")).order() == ("Z", "A", "M")


@pytest.mark.parametrize(
    ("steps", "cycle"),
    [
        ([step("A", after=("A",))], ("A", "A")),
        ([step("A", "B"), step("B", "A")], ("A", "B", "A")),
        ([step("X", "A"), step("A", "B"), step("B", "C"), step("C", "A")], ("A", "B", "C", "A")),
        (
            [condition("If", [{"LeftValue": {"Get": "Steps.Then.X"}}], [step("Then")], [])],
            ("If", "Then", "If"),
        ),
    ],
)
def test_a_cycle_is_a_closed_path(steps: list[dict[str, Any]], cycle: tuple[str, ...]) -> None:
    drawn = graph(*steps)
    assert drawn.cycle() == cycle
    with pytest.raises(ValueError, match=" -> ".join(cycle)):
        drawn.order()


def test_cycles_without_a_step_in_common_are_all_found() -> None:
    drawn = graph(step("A", "B"), step("B", "A"), step("C", "A", "D"), step("D", "C"), step("E", "E"))
    assert list(drawn.cycles()) == [("A", "B", "A"), ("C", "D", "C"), ("E", "E")]


def test_a_long_chain_needs_no_deep_stack() -> None:
    count = 3000
    drawn = graph(*[step(f"S{i}", *([f"S{i + 1}"] if i + 1 < count else [])) for i in range(count)])
    assert drawn.cycle() is None
    assert drawn.order()[0] == f"S{count - 1}"


EDGES = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20)


@given(EDGES)
def test_order_respects_edges_or_there_is_a_cycle(edges: list[tuple[int, int]]) -> None:
    reads: dict[int, list[str]] = {i: [] for i in range(8)}
    for waiting, other in edges:
        reads[waiting].append(f"S{other}")
    drawn = graph(*[step(f"S{i}", *names) for i, names in reads.items()])
    cycle = drawn.cycle()
    if cycle is None:
        order = drawn.order()
        assert sorted(order) == sorted(drawn.upstream)
        position = {name: index for index, name in enumerate(order)}
        assert all(position[other] < position[name] for name, found in drawn.upstream.items() for other in found)
    else:
        assert cycle[0] == cycle[-1]
        assert all(second in drawn.upstream[first] for first, second in itertools.pairwise(cycle))


@given(EDGES)
def test_found_cycles_are_disjoint_and_leave_none(edges: list[tuple[int, int]]) -> None:
    found: dict[str, set[str]] = {f"S{i}": set() for i in range(8)}
    for waiting, other in edges:
        found[f"S{waiting}"].add(f"S{other}")
    drawn = Graph({name: frozenset(others) for name, others in found.items()})
    steps = [name for cycle in drawn.cycles() for name in cycle[:-1]]
    assert len(steps) == len(set(steps))
    rest = Graph({n: o - frozenset(steps) for n, o in drawn.upstream.items() if n not in steps})
    assert rest.cycle() is None
