"""Artifacts, actions, contexts and their associations.

Rules: SageMaker API reference; developer guide, "Manually Create Tracking Entities". The code and the words of what
exists already: the SageMaker SDK's ``is_already_exist_error`` matches ValidationException and "already exists".
"""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def sagemaker(account: Any) -> Any:
    return account.sagemaker


def make(sagemaker: Any, uri: str, kind: str = "DataSet", **members: Any) -> str:
    arn: str = sagemaker.create_artifact(Source={"SourceUri": uri}, ArtifactType=kind, **members)["ArtifactArn"]
    return arn


def link(sagemaker: Any, *arns: str, kind: str = "ContributedTo") -> None:
    for source, destination in itertools.pairwise(arns):
        sagemaker.add_association(SourceArn=source, DestinationArn=destination, AssociationType=kind)


# ---------------------------------------------------------------------- entities


def test_an_artifact_is_described_as_it_was_made(sagemaker: Any) -> None:
    arn = sagemaker.create_artifact(
        ArtifactName="data",
        Source={"SourceUri": "s3://b/x", "SourceTypes": [{"SourceIdType": "S3ETag", "Value": "e"}]},
        ArtifactType="DataSet",
        Properties={"rows": "10"},
        MetadataProperties={"CommitId": "c"},
        Tags=[{"Key": "k", "Value": "v"}],
    )["ArtifactArn"]
    assert re.fullmatch(r"arn:aws:sagemaker:us-east-1:123456789012:artifact/[0-9a-f]{32}", arn)
    described = sagemaker.describe_artifact(ArtifactArn=arn)
    assert described["ArtifactName"] == "data"
    assert described["Source"] == {
        "SourceUri": "s3://b/x",
        "SourceTypes": [{"SourceIdType": "S3ETag", "Value": "e"}],
    }
    assert (described["ArtifactType"], described["Properties"]) == ("DataSet", {"rows": "10"})
    assert described["MetadataProperties"] == {"CommitId": "c"}
    assert described["LineageGroupArn"].endswith(":lineage-group/sagemaker-default-lineage-group")
    assert described["CreationTime"] == described["LastModifiedTime"]
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "k", "Value": "v"}]


def test_one_source_has_one_artifact(sagemaker: Any) -> None:
    make(sagemaker, "s3://b/x")
    with pytest.raises(ClientError, match=r"ValidationException.*already exists"):
        make(sagemaker, "s3://b/x", kind="Model")
    # Another version of the same URI is another source.
    sagemaker.create_artifact(
        Source={"SourceUri": "s3://b/x", "SourceTypes": [{"SourceIdType": "S3Version", "Value": "2"}]},
        ArtifactType="DataSet",
    )
    assert len(sagemaker.list_artifacts(SourceUri="s3://b/x")["ArtifactSummaries"]) == 2


@pytest.mark.parametrize("family", ["action", "context"])
def test_names_are_unique_whatever_their_case(sagemaker: Any, family: str) -> None:
    noun = family.capitalize()
    create = getattr(sagemaker, f"create_{family}")
    members = {"Source": {"SourceUri": "u"}, f"{noun}Type": "T"}
    arn = create(**{f"{noun}Name": "My-Name", **members})[f"{noun}Arn"]
    assert arn == f"arn:aws:sagemaker:us-east-1:123456789012:{family}/my-name"
    with pytest.raises(ClientError, match=r"ValidationException.*already exists"):
        create(**{f"{noun}Name": "my-name", **members})
    described = getattr(sagemaker, f"describe_{family}")
    assert described(**{f"{noun}Name": "MY-NAME"})[f"{noun}Name"] == "My-Name"
    assert described(**{f"{noun}Name": arn})[f"{noun}Arn"] == arn


def test_properties_overwrite_the_list_and_some_are_removed(sagemaker: Any) -> None:
    arn = make(sagemaker, "s3://b/x", Properties={"a": "1", "b": "2"})
    sagemaker.update_artifact(ArtifactArn=arn, ArtifactName="new", PropertiesToRemove=["a", "never"])
    assert sagemaker.describe_artifact(ArtifactArn=arn)["Properties"] == {"b": "2"}
    sagemaker.update_artifact(ArtifactArn=arn, Properties={"c": "3", "d": "4"}, PropertiesToRemove=["d"])
    described = sagemaker.describe_artifact(ArtifactArn=arn)
    assert (described["ArtifactName"], described["Properties"]) == ("new", {"c": "3"})
    assert described["LastModifiedTime"] >= described["CreationTime"]


def test_an_action_is_updated(sagemaker: Any) -> None:
    sagemaker.create_action(
        ActionName="a", Source={"SourceUri": "u"}, ActionType="ModelDeployment", Status="InProgress", Description="old"
    )
    sagemaker.update_action(ActionName="a", Status="Completed", Properties={"p": "1"})
    described = sagemaker.describe_action(ActionName="a")
    assert (described["Status"], described["Description"]) == ("Completed", "old")
    assert described["Properties"] == {"p": "1"}


def test_a_context_is_updated(sagemaker: Any) -> None:
    sagemaker.create_context(ContextName="c_1", Source={"SourceUri": "u"}, ContextType="Endpoint")
    sagemaker.update_context(ContextName="c_1", Description="new")
    assert sagemaker.describe_context(ContextName="c_1")["Description"] == "new"
    assert sagemaker.delete_context(ContextName="c_1")["ContextArn"].endswith(":context/c_1")


def test_what_does_not_exist(sagemaker: Any) -> None:
    nothing = "arn:aws:sagemaker:us-east-1:123456789012:artifact/" + "0" * 32
    for call, request in (
        ("describe_artifact", {"ArtifactArn": nothing}),
        ("update_artifact", {"ArtifactArn": nothing}),
        ("delete_artifact", {"ArtifactArn": nothing}),
        ("describe_action", {"ActionName": "x"}),
        ("update_action", {"ActionName": "x"}),
        ("delete_action", {"ActionName": "x"}),
        ("describe_context", {"ContextName": "x"}),
        ("update_context", {"ContextName": "x"}),
        ("delete_context", {"ContextName": "x"}),
    ):
        with pytest.raises(sagemaker.exceptions.ResourceNotFound, match="does not exist"):
            getattr(sagemaker, call)(**request)


def test_an_artifact_is_deleted_by_its_source(sagemaker: Any) -> None:
    arn = make(sagemaker, "s3://b/x")
    assert sagemaker.delete_artifact(Source={"SourceUri": "s3://b/x"})["ArtifactArn"] == arn
    with pytest.raises(ClientError, match=r"ValidationException.*Either ArtifactArn or Source"):
        sagemaker.delete_artifact()


def test_lists_are_filtered_sorted_and_paged(sagemaker: Any) -> None:
    for name, kind in (("b", "X"), ("a", "X"), ("c", "Y")):
        sagemaker.create_action(ActionName=name, Source={"SourceUri": f"u:{kind}"}, ActionType=kind)
    names = [each["ActionName"] for each in sagemaker.list_actions()["ActionSummaries"]]
    assert names == ["c", "a", "b"]  # newest first is the documented default
    found = sagemaker.list_actions(ActionType="X", SortBy="Name", SortOrder="Ascending")["ActionSummaries"]
    assert [each["ActionName"] for each in found] == ["a", "b"]
    assert [each["ActionName"] for each in sagemaker.list_actions(SourceUri="u:Y")["ActionSummaries"]] == ["c"]
    pages = sagemaker.get_paginator("list_actions").paginate(PaginationConfig={"PageSize": 2})
    assert [[each["ActionName"] for each in page["ActionSummaries"]] for page in pages] == [["c", "a"], ["b"]]


# ---------------------------------------------------------------------- associations


def test_an_association_is_added_listed_and_deleted(sagemaker: Any) -> None:
    data = make(sagemaker, "s3://b/x", ArtifactName="data")
    context = sagemaker.create_context(ContextName="end", Source={"SourceUri": "u"}, ContextType="Endpoint")
    added = sagemaker.add_association(
        SourceArn=data, DestinationArn=context["ContextArn"], AssociationType="AssociatedWith"
    )
    assert (added["SourceArn"], added["DestinationArn"]) == (data, context["ContextArn"])
    (summary,) = sagemaker.list_associations(SourceArn=data)["AssociationSummaries"]
    assert {name: value for name, value in summary.items() if not name.startswith("Creat")} == {
        "SourceArn": data,
        "DestinationArn": context["ContextArn"],
        "SourceType": "DataSet",
        "DestinationType": "Endpoint",
        "AssociationType": "AssociatedWith",
        "SourceName": "data",
        "DestinationName": "end",
    }
    with pytest.raises(ClientError, match=r"ValidationException.*already exists"):
        sagemaker.add_association(SourceArn=data, DestinationArn=context["ContextArn"])
    sagemaker.delete_association(SourceArn=data, DestinationArn=context["ContextArn"])
    assert sagemaker.list_associations()["AssociationSummaries"] == []
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.delete_association(SourceArn=data, DestinationArn=context["ContextArn"])


def test_experiment_entities_are_not_associated_with_each_other(sagemaker: Any) -> None:
    experiment = sagemaker.create_experiment(ExperimentName="e")["ExperimentArn"]
    component = sagemaker.create_trial_component(TrialComponentName="c")["TrialComponentArn"]
    with pytest.raises(ClientError, match=r"ValidationException.*two experiment entities"):
        sagemaker.add_association(SourceArn=component, DestinationArn=experiment)
    link(sagemaker, make(sagemaker, "s3://b/x"), component)


def test_both_ends_must_exist(sagemaker: Any) -> None:
    data = make(sagemaker, "s3://b/x")
    nothing = "arn:aws:sagemaker:us-east-1:123456789012:context/nothing"
    for ends in ({"SourceArn": data, "DestinationArn": nothing}, {"SourceArn": nothing, "DestinationArn": data}):
        with pytest.raises(sagemaker.exceptions.ResourceNotFound, match="context/nothing does not exist"):
            sagemaker.add_association(**ends)


def test_an_entity_with_associations_is_not_deleted(sagemaker: Any) -> None:
    source, destination = make(sagemaker, "s3://b/x"), make(sagemaker, "s3://b/y")
    link(sagemaker, source, destination)
    with pytest.raises(ClientError, match=r"ValidationException.*has associations"):
        sagemaker.delete_artifact(ArtifactArn=destination)
    sagemaker.delete_association(SourceArn=source, DestinationArn=destination)
    sagemaker.delete_artifact(ArtifactArn=destination)


def test_associations_are_filtered_by_type_and_paged_in_order(sagemaker: Any) -> None:
    data = [make(sagemaker, f"s3://b/{number}") for number in range(5)]
    model = make(sagemaker, "s3://b/model", kind="Model")
    for each in data:
        link(sagemaker, each, model)
    link(sagemaker, model, data[0], kind="DerivedFrom")
    listed = sagemaker.list_associations
    assert len(listed(SourceType="DataSet")["AssociationSummaries"]) == 5
    assert len(listed(DestinationType="DataSet")["AssociationSummaries"]) == 1
    assert len(listed(DestinationType="Artifact", SourceArn=data[1])["AssociationSummaries"]) == 1
    assert listed(AssociationType="Produced")["AssociationSummaries"] == []
    pages = sagemaker.get_paginator("list_associations").paginate(
        DestinationArn=model, SortBy="SourceArn", SortOrder="Ascending", PaginationConfig={"PageSize": 2}
    )
    shown = [[each["SourceArn"] for each in page["AssociationSummaries"]] for page in pages]
    assert [len(page) for page in shown] == [2, 2, 1]
    assert [arn for page in shown for arn in page] == sorted(data)


# ---------------------------------------------------------------------- QueryLineage


@pytest.fixture
def chain(sagemaker: Any) -> dict[str, str]:
    """What a build leaves: raw -> prepare -> train -> job -> model -> group."""
    arns = {
        "raw": make(sagemaker, "s3://b/raw", Properties={"owner": "bank"}),
        "prepare": sagemaker.create_trial_component(TrialComponentName="prepare")["TrialComponentArn"],
        "train": make(sagemaker, "s3://b/train"),
        "job": sagemaker.create_action(ActionName="job", Source={"SourceUri": "u"}, ActionType="Fit")["ActionArn"],
        "model": make(sagemaker, "s3://b/model", kind="Model"),
        "group": sagemaker.create_context(ContextName="g", Source={"SourceUri": "g"}, ContextType="ModelGroup")[
            "ContextArn"
        ],
    }
    link(sagemaker, *arns.values())
    return arns


def vertices(answer: dict[str, Any]) -> list[str]:
    return [vertex["Arn"] for vertex in answer["Vertices"]]


def test_ascendants_and_descendants(sagemaker: Any, chain: dict[str, str]) -> None:
    query = sagemaker.query_lineage
    up = query(StartArns=[chain["train"]], Direction="Ascendants", IncludeEdges=False)
    assert vertices(up) == [chain["prepare"], chain["raw"]]
    assert up["Vertices"][1] == {"Arn": chain["raw"], "Type": "DataSet", "LineageType": "Artifact"}
    assert up["Vertices"][0]["LineageType"] == "TrialComponent"
    assert up.get("Edges", []) == []
    down = query(StartArns=[chain["train"]], Direction="Descendants", IncludeEdges=False)
    assert vertices(down) == [chain["job"], chain["model"], chain["group"]]
    both = query(StartArns=[chain["train"]], Direction="Both", IncludeEdges=False)
    assert set(vertices(both)) == set(chain.values()) - {chain["train"]}


def test_depth_counts_associations(sagemaker: Any, chain: dict[str, str]) -> None:
    answer = sagemaker.query_lineage(StartArns=[chain["group"]], Direction="Ascendants", MaxDepth=2)
    assert vertices(answer) == [chain["model"], chain["job"]]
    with pytest.raises(ClientError, match=r"ValidationException.*less than or equal to 10"):
        sagemaker.query_lineage(StartArns=[chain["group"]], MaxDepth=11)


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({"LineageTypes": ["Artifact"]}, ["model", "train", "raw"]),
        ({"Types": ["Model", "Fit"]}, ["model", "job"]),
        ({"Types": ["DataSet"], "LineageTypes": ["Artifact"]}, ["train", "raw"]),
        ({"Properties": {"owner": "bank", "never": "this"}}, ["raw"]),
        ({"CreatedAfter": "2100-01-01T00:00:00Z"}, []),
        ({"ModifiedBefore": "2000-01-01T00:00:00Z"}, []),
    ],
)
def test_filters(sagemaker: Any, chain: dict[str, str], filters: dict[str, Any], wanted: list[str]) -> None:
    answer = sagemaker.query_lineage(
        StartArns=[chain["group"]], Direction="Ascendants", IncludeEdges=False, Filters=filters
    )
    assert vertices(answer) == [chain[name] for name in wanted]


def test_with_edges_the_way_to_a_match_is_shown(sagemaker: Any, chain: dict[str, str]) -> None:
    answer = sagemaker.query_lineage(
        StartArns=[chain["model"]], Direction="Ascendants", IncludeEdges=True, Filters={"Types": ["DataSet"]}
    )
    assert vertices(answer) == [chain[name] for name in ("model", "job", "train", "prepare", "raw")]
    ends = [(edge["SourceArn"], edge["DestinationArn"], edge["AssociationType"]) for edge in answer["Edges"]]
    assert set(ends) == {
        (chain["job"], chain["model"], "ContributedTo"),
        (chain["train"], chain["job"], "ContributedTo"),
        (chain["prepare"], chain["train"], "ContributedTo"),
        (chain["raw"], chain["prepare"], "ContributedTo"),
    }


def test_a_cycle_ends(sagemaker: Any, chain: dict[str, str]) -> None:
    link(sagemaker, chain["group"], chain["raw"])
    answer = sagemaker.query_lineage(StartArns=[chain["model"]], Direction="Descendants", IncludeEdges=True)
    assert sorted(vertices(answer)) == sorted(chain.values())
    assert len(answer["Edges"]) == 6


def test_a_query_is_paged_and_every_edge_is_shown_once(sagemaker: Any) -> None:
    hub = make(sagemaker, "s3://b/hub", kind="Image")
    leaves = [make(sagemaker, f"s3://b/{number}") for number in range(12)]
    for leaf in leaves:
        link(sagemaker, hub, leaf)
    shown: list[str] = []
    edges: list[str] = []
    request: dict[str, Any] = {"StartArns": [hub], "Direction": "Descendants", "IncludeEdges": True, "MaxResults": 5}
    answer = sagemaker.query_lineage(**request)
    assert len(answer["Vertices"]) == 5
    while True:
        shown += vertices(answer)
        edges += [edge["DestinationArn"] for edge in answer["Edges"]]
        if "NextToken" not in answer:
            break
        answer = sagemaker.query_lineage(**request, NextToken=answer["NextToken"])
    assert shown[0] == hub
    assert sorted(shown[1:]) == sorted(leaves)
    assert sorted(edges) == sorted(leaves)
    assert len(sagemaker.query_lineage(StartArns=[hub])["Vertices"]) == 12


def test_where_a_query_cannot_start(sagemaker: Any) -> None:
    nothing = "arn:aws:sagemaker:us-east-1:123456789012:artifact/" + "0" * 32
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.query_lineage(StartArns=[nothing])
    with pytest.raises(ClientError, match="ValidationException"):
        sagemaker.query_lineage(StartArns=[])


def test_the_lineage_group(sagemaker: Any) -> None:
    (group,) = sagemaker.list_lineage_groups()["LineageGroupSummaries"]
    described = sagemaker.describe_lineage_group(LineageGroupName=group["LineageGroupName"])
    assert described["LineageGroupArn"] == group["LineageGroupArn"]
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_lineage_group(LineageGroupName="another")
    with pytest.raises(sagemaker.exceptions.ResourceNotFound, match="no resource policy"):
        sagemaker.get_lineage_group_policy(LineageGroupName=group["LineageGroupArn"])


def test_how_many_contexts_a_client_can_create(account: Any) -> None:
    """At most 500, those that the account itself makes not counted (developer guide, as above)."""
    sagemaker = account.sagemaker
    sagemaker.create_model_package_group(ModelPackageGroupName="g")
    for number in range(500):
        sagemaker.create_context(ContextName=f"c{number}", Source={"SourceUri": "u"}, ContextType="t")
    with pytest.raises(sagemaker.exceptions.ResourceLimitExceeded, match="is 500"):
        sagemaker.create_context(ContextName="one-more", Source={"SourceUri": "u"}, ContextType="t")
    sagemaker.create_model_package_group(ModelPackageGroupName="h")
    sagemaker.delete_context(ContextName="c7")
    sagemaker.create_context(ContextName="one-more", Source={"SourceUri": "u"}, ContextType="t")
