"""Associations and walks over them: AddAssociation, ListAssociations, QueryLineage, the account's lineage group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError, invalid
from mlops_sm.emulator.pages import make_token, read_token
from mlops_sm.emulator.sagemaker.lineage import GROUP, check_limit, group_arn
from mlops_sm.emulator.sagemaker.lineage_graph import Association, Graph, Node
from mlops_sm.emulator.service import Call, Operation
from mlops_sm.emulator.store import Entity, Kind

_EXPERIMENT_KINDS: Final = frozenset({Kind.EXPERIMENT, Kind.TRIAL, Kind.TRIAL_COMPONENT})
_ASSOCIABLE: Final = frozenset({Kind.EXPERIMENT, Kind.TRIAL_COMPONENT, Kind.ARTIFACT, Kind.ACTION, Kind.CONTEXT})
_LINEAGE_TYPES: Final[Mapping[str, str]] = {
    Kind.TRIAL_COMPONENT: "TrialComponent",
    Kind.ARTIFACT: "Artifact",
    Kind.CONTEXT: "Context",
    Kind.ACTION: "Action",
    Kind.EXPERIMENT: "Experiment",
}
_KINDS: Final = {name: kind for kind, name in _LINEAGE_TYPES.items()}
_JOB: Final = "SageMaker"
"""What a trial component's SourceType has before the type that QueryLineage knows, e.g. ``TrainingJob``."""
_PAGE: Final = 10
_VERTICES: Final = 50
"""On a page when MaxResults is absent: the most there can be, as the SageMaker SDK asks for one page only."""
_MAX_DEPTH: Final = 10
_MAX_ASSOCIATIONS: Final = 6_000
"""How many clients can add (developer guide, "Manually Create Tracking Entities", Limits)."""
_SORT: Final[Mapping[str, str]] = {
    "CreationTime": "a.created",
    "SourceArn": "a.source",
    "DestinationArn": "a.destination",
    "SourceType": "s.status",
    "DestinationType": "d.status",
}
_CONDITIONS: Final[Mapping[str, str]] = {
    "AssociationType": "a.type = ?",
    "CreatedAfter": "a.created >= ?",
    "CreatedBefore": "a.created <= ?",
}


def add_association(call: Call) -> dict[str, Json]:
    """Link two entities, of which at most one is an experiment entity.

    Source: developer guide, "Manually Create Tracking Entities", Limits.
    """
    with call.store.transaction():
        source, destination = (_end(call, member) for member in ("SourceArn", "DestinationArn"))
        if source.kind in _EXPERIMENT_KINDS and destination.kind in _EXPERIMENT_KINDS:
            raise invalid("An association can't be created between two experiment entities.")
        if source.arn == destination.arn:
            raise invalid("An association can't be created between an entity and itself.")
        edge = Association(source.arn, destination.arn, call.request.get("AssociationType", ""), call.now())
        graph = Graph(call.store)
        made = graph.associations_by_hand(source.scope, _MAX_ASSOCIATIONS)
        check_limit("associations", made, _MAX_ASSOCIATIONS)
        if not graph.associate(source.scope, edge):
            raise invalid(f"Association between {source.arn} and {destination.arn} already exists.")
    return {"SourceArn": source.arn, "DestinationArn": destination.arn}


def delete_association(call: Call) -> dict[str, Json]:
    """Remove a link."""
    source, destination = (call.request[member].lower() for member in ("SourceArn", "DestinationArn"))
    with call.store.transaction():
        if not Graph(call.store).dissociate(source, destination):
            raise AwsError("ResourceNotFound", f"Association between {source} and {destination} does not exist.")
    return {"SourceArn": source, "DestinationArn": destination}


def list_associations(call: Call) -> dict[str, Json]:
    """One page of links with the names and types of what they link."""
    request = call.request
    conditions: list[tuple[str, list[Any]]] = [
        (sql, [request[name]]) for name, sql in _CONDITIONS.items() if name in request
    ]
    conditions += [
        (f"a.{end} = ?", [request[member].lower()])
        for member, end in (("SourceArn", "source"), ("DestinationArn", "destination"))
        if member in request
    ]
    conditions += [
        (f"({end}.status IN (?, ?) OR {end}.kind = ?)", [wanted, _JOB + wanted, _KINDS.get(wanted, "")])
        for member, end in (("SourceType", "s"), ("DestinationType", "d"))
        if (wanted := request.get(member)) is not None
    ]
    size = request.get("MaxResults") or _PAGE
    found = Graph(call.store).select(
        call.scope,
        conditions,
        sort=_SORT[request.get("SortBy") or "CreationTime"],
        descending=request.get("SortOrder", "Descending") == "Descending",
        after=read_token(call),
        limit=size + 1,
    )
    page = found[:size]
    answer: dict[str, Json] = {"AssociationSummaries": [_summary(row) for row in page]}
    if len(found) > size:
        answer["NextToken"] = make_token(call, [page[-1][name] for name in ("sorted_by", "source", "destination")])
    return answer


def query_lineage(call: Call) -> dict[str, Json]:
    """Walk the associations breadth first from an entity; cycles end where they meet what was seen."""
    request = call.request
    starts = [start.lower() for start in request.get("StartArns") or []]
    if not starts:
        raise invalid("At least one start ARN must be specified in StartArns.")
    for start in starts:
        found = call.named(start)
        if found is None or found.kind not in _ASSOCIABLE:
            raise AwsError("ResourceNotFound", f"The lineage entity {start} does not exist.")
    depth = request.get("MaxDepth", _MAX_DEPTH)
    size = request.get("MaxResults", _VERTICES)
    for name, value in (("MaxDepth", depth), ("MaxResults", size)):
        if value < 1:
            raise invalid(f"{name} must be greater than or equal to 1.")
    wanted = _Wanted(call, request.get("Filters") or {})
    with_edges = request.get("IncludeEdges", False)
    position = read_token(call)
    begin = position[0] if position else 0

    def matching(walk: _Walk) -> list[str]:
        return [arn for arn in walk.order if arn not in starts and wanted.takes(walk.nodes[arn])]

    def enough(walk: _Walk) -> bool:
        # The entities on the way to a match are shown before it: all matches must be known.
        return not (with_edges and wanted.filters) and len(matching(walk)) > begin + size

    walk = _walk(call, starts, request.get("Direction", "Both"), depth, enough, with_edges=with_edges)
    matches = matching(walk)
    vertices = walk.with_paths(matches) if with_edges else matches
    page = vertices[begin : begin + size]
    edges = walk.edges_of(page, vertices[: begin + size]) if with_edges else []
    answer: dict[str, Json] = {
        "Vertices": [_vertex(walk.nodes[arn]) for arn in page],
        "Edges": [
            {"SourceArn": edge.source, "DestinationArn": edge.destination, "AssociationType": edge.type or None}
            for edge in edges
        ],
    }
    if begin + size < len(vertices):
        answer["NextToken"] = make_token(call, [begin + size])
    return answer


def describe_lineage_group(call: Call) -> dict[str, Json]:
    """The account's lineage group."""
    _check_group(call)
    return {**_group(call), "Description": "The default lineage group.", "CreatedBy": {}, "LastModifiedBy": {}}


def list_lineage_groups(call: Call) -> dict[str, Json]:
    """The account's one lineage group."""
    read_token(call)
    group, request = _group(call), call.request
    made = group["CreationTime"]
    hidden = made < request.get("CreatedAfter", made) or made > request.get("CreatedBefore", made)
    return {"LineageGroupSummaries": [] if hidden else [group]}


def get_lineage_group_policy(call: Call) -> dict[str, Json]:
    """No group is shared with another account here, so none has a policy."""
    _check_group(call)
    raise AwsError("ResourceNotFound", f"The lineage group {group_arn(call.scope)} has no resource policy.")


# ---------------------------------------------------------------------- the walk


@dataclass(slots=True)
class _Walk:
    """What a walk found.

    Attributes:
        nodes: By ARN, the starts included.
        order: ARNs in the order of their discovery, nearest first.
        before: The entity from which each was discovered.
        edges: Every association the walk went along.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    before: dict[str, str] = field(default_factory=dict)
    edges: dict[tuple[str, str], Association] = field(default_factory=dict)

    def discover(self, graph: Graph, arns: list[str]) -> dict[str, Node]:
        """Take entities in; an association may have outlived one of its ends."""
        found = graph.nodes(arns)
        self.nodes |= found
        self.order += found
        return found

    def with_paths(self, arns: Iterable[str]) -> list[str]:
        """Some entities and what lies on the way to them, in the order of discovery."""
        kept: set[str] = set()
        for arn in arns:
            current: str | None = arn
            while current is not None and current not in kept:
                kept.add(current)
                current = self.before.get(current)
        return [arn for arn in self.order if arn in kept]

    def edges_of(self, page: Iterable[str], shown: Iterable[str]) -> list[Association]:
        """The associations that a page completes: between one of its entities and one that was shown by now."""
        new, known = set(page), set(shown)
        return [
            edge
            for edge in self.edges.values()
            if {edge.source, edge.destination} <= known and (edge.source in new or edge.destination in new)
        ]


def _walk(
    call: Call, starts: list[str], direction: str, depth: int, enough: Callable[[_Walk], bool], *, with_edges: bool
) -> _Walk:
    """Walk so many associations far, or until it is enough; for the edges one further, which links the last ones."""
    graph, walk = Graph(call.store), _Walk()
    frontier = list(dict.fromkeys(starts))
    walk.discover(graph, frontier)
    complete = False
    for _ in range(depth):
        if enough(walk):
            if complete or not with_edges:
                break
            complete = True
        steps: list[tuple[str, str, Association]] = []
        if direction in {"Descendants", "Both"}:
            steps += [(edge.source, edge.destination, edge) for edge in graph.outgoing(frontier)]
        if direction in {"Ascendants", "Both"}:
            steps += [(edge.destination, edge.source, edge) for edge in graph.incoming(frontier)]
        fresh = walk.discover(graph, list(dict.fromkeys(to for _, to, _ in steps if to not in walk.nodes)))
        for origin, to, edge in steps:
            if to in walk.nodes:
                walk.edges.setdefault((edge.source, edge.destination), edge)
                if to in fresh:
                    walk.before.setdefault(to, origin)
        frontier = list(fresh)
        if not frontier:
            break
    return walk


class _Wanted:
    """The filters of a query; an entity satisfies all of them, and one of the pairs in Properties."""

    def __init__(self, call: Call, filters: Mapping[str, Any]) -> None:
        self._call = call
        self.filters = filters

    def takes(self, node: Node) -> bool:
        wanted = self.filters
        types, lineage_types = wanted.get("Types"), wanted.get("LineageTypes")
        return (
            (not types or bool({node.type, node.type.removeprefix(_JOB)} & set(types)))
            and (not lineage_types or _LINEAGE_TYPES[node.kind] in lineage_types)
            and node.created <= wanted.get("CreatedBefore", node.created)
            and node.created >= wanted.get("CreatedAfter", node.created)
            and node.modified <= wanted.get("ModifiedBefore", node.modified)
            and node.modified >= wanted.get("ModifiedAfter", node.modified)
            and self._has_a_property(node)
        )

    def _has_a_property(self, node: Node) -> bool:
        wanted = self.filters.get("Properties")
        if not wanted:
            return True
        entity = self._call.store.by_arn(node.arn)
        own = entity.body.get("Properties") or {} if entity is not None else {}
        return any(own.get(key) == value for key, value in wanted.items())


def _vertex(node: Node) -> dict[str, Json]:
    lineage_type = None if node.kind is Kind.EXPERIMENT else _LINEAGE_TYPES[node.kind]
    kind = node.type.removeprefix(_JOB) or _LINEAGE_TYPES[node.kind]
    return {"Arn": node.arn, "Type": kind[:40], "LineageType": lineage_type}


def _end(call: Call, member: str) -> Entity:
    arn = call.request[member].lower()
    entity = call.named(arn)
    if entity is None or entity.kind not in _ASSOCIABLE:
        raise AwsError("ResourceNotFound", f"{member} {arn} does not exist.")
    return entity


def _summary(row: Mapping[str, Any]) -> dict[str, Json]:
    return {
        "SourceArn": row["source"],
        "DestinationArn": row["destination"],
        "SourceType": row["source_type"] or _LINEAGE_TYPES[row["source_kind"]],
        "DestinationType": row["destination_type"] or _LINEAGE_TYPES[row["destination_kind"]],
        "AssociationType": row["type"] or None,
        "SourceName": row["source_name"],
        "DestinationName": row["destination_name"],
        "CreationTime": row["created"],
        "CreatedBy": {},
    }


def _group(call: Call) -> dict[str, Json]:
    # It is there from the beginning, whenever that was.
    return {
        "LineageGroupArn": group_arn(call.scope),
        "LineageGroupName": GROUP,
        "DisplayName": GROUP,
        "CreationTime": 0.0,
        "LastModifiedTime": 0.0,
    }


def _check_group(call: Call) -> None:
    name = call.request["LineageGroupName"]
    if name not in {GROUP, group_arn(call.scope)}:
        raise AwsError("ResourceNotFound", f"The lineage group {name} does not exist.")


OPERATIONS: Final[Mapping[str, Operation]] = {
    "AddAssociation": add_association,
    "DeleteAssociation": delete_association,
    "ListAssociations": list_associations,
    "QueryLineage": query_lineage,
    "DescribeLineageGroup": describe_lineage_group,
    "ListLineageGroups": list_lineage_groups,
    "GetLineageGroupPolicy": get_lineage_group_policy,
}
