"""QueryLineage on any graph, cycles included, says what a plain walk says; pages leave nothing out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SIZE = 8
_numbers = itertools.count()
Edges = set[tuple[int, int]]

edges = st.sets(
    st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1)).filter(lambda pair: pair[0] != pair[1]), max_size=14
)


def reached(graph: Edges, direction: str, depth: int) -> set[int]:
    """What lies at most so many edges from 0, without 0."""
    steps = set(graph) if direction != "Ascendants" else set()
    if direction != "Descendants":
        steps |= {(to, origin) for origin, to in graph}
    seen, frontier = {0}, {0}
    for _ in range(depth):
        frontier = {to for origin, to in steps if origin in frontier} - seen
        seen |= frontier
    return seen - {0}


def make(sagemaker: Any, graph: Iterable[tuple[int, int]]) -> list[str]:
    number = next(_numbers)
    arns = [
        sagemaker.create_artifact(Source={"SourceUri": f"s3://{number}/{node}"}, ArtifactType=f"T{node % 2}")[
            "ArtifactArn"
        ]
        for node in range(SIZE)
    ]
    for origin, to in graph:
        sagemaker.add_association(SourceArn=arns[origin], DestinationArn=arns[to])
    return arns


def pages(sagemaker: Any, **request: Any) -> tuple[list[str], list[tuple[str, str]]]:
    vertices: list[str] = []
    links: list[tuple[str, str]] = []
    token: dict[str, str] = {}
    while True:
        answer = sagemaker.query_lineage(**request, **token)
        assert len(answer["Vertices"]) <= request["MaxResults"]
        vertices += [vertex["Arn"] for vertex in answer["Vertices"]]
        links += [(edge["SourceArn"], edge["DestinationArn"]) for edge in answer.get("Edges", [])]
        if "NextToken" not in answer:
            return vertices, links
        token = {"NextToken": answer["NextToken"]}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    graph=edges,
    direction=st.sampled_from(["Ascendants", "Descendants", "Both"]),
    depth=st.integers(1, 10),
    size=st.integers(1, 4),
)
def test_any_graph(account: Any, graph: Edges, direction: str, depth: int, size: int) -> None:
    sagemaker = account.sagemaker
    arns = make(sagemaker, graph)
    wanted = reached(graph, direction, depth)
    request = {"StartArns": [arns[0]], "Direction": direction, "MaxDepth": depth, "MaxResults": size}

    found, links = pages(sagemaker, **request)
    assert links == []
    assert sorted(found) == sorted(arns[node] for node in wanted)

    odd = {node for node in wanted if node % 2}
    found, _ = pages(sagemaker, **request, Filters={"Types": ["T1"]})
    assert sorted(found) == sorted(arns[node] for node in odd)

    found, links = pages(sagemaker, **request, IncludeEdges=True)
    assert len(set(links)) == len(links)
    assert set(links) <= {(arns[origin], arns[to]) for origin, to in graph}
    assert sorted(found) == sorted(arns[node] for node in wanted | ({0} if wanted else set()))
    # Everything that is shown hangs together with the start.
    assert {arn for link in links for arn in link} >= {arns[node] for node in wanted}
