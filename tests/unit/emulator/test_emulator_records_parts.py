"""What single families of records do beyond being kept: versions, aliases, features, devices, dependents, lists."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::123456789012:role/execution"
Operations = Any


def card(operations: Operations, name: str = "card", **members: Any) -> None:
    operations(
        "CreateModelCard", **{"ModelCardName": name, "Content": '{"a": 1}', "ModelCardStatus": "Draft", **members}
    )


def domain(operations: Operations, name: str = "studio") -> str:
    answer = operations("CreateDomain", DomainName=name, AuthMode="IAM", DefaultUserSettings={})
    identity: str = answer["DomainId"]
    return identity


class TestModelCards:
    """API reference, UpdateModelCard, DescribeModelCard, ListModelCardVersions."""

    def test_new_content_is_a_new_version_and_a_new_status_is_not(self, operations: Operations) -> None:
        card(operations)
        operations("UpdateModelCard", ModelCardName="card", ModelCardStatus="PendingReview")
        assert operations("DescribeModelCard", ModelCardName="card")["ModelCardVersion"] == 1
        operations("UpdateModelCard", ModelCardName="card", Content='{"a": 2}')
        latest = operations("DescribeModelCard", ModelCardName="card")
        assert (latest["ModelCardVersion"], latest["Content"]) == (2, '{"a": 2}')
        first = operations("DescribeModelCard", ModelCardName="card", ModelCardVersion=1)
        assert (first["Content"], first["ModelCardStatus"]) == ('{"a": 1}', "PendingReview")
        versions = operations("ListModelCardVersions", ModelCardName="card")["ModelCardVersionSummaryList"]
        assert [version["ModelCardVersion"] for version in versions] == [2, 1]
        assert {version["ModelCardArn"] for version in versions} == {latest["ModelCardArn"]}

    def test_status_and_content_do_not_change_together(self, operations: Operations) -> None:
        card(operations)
        code, message = operations.refused(
            "UpdateModelCard", ModelCardName="card", Content="{}", ModelCardStatus="Approved"
        )
        assert (code, "both model card content and model card status" in message) == ("ValidationException", True)

    def test_an_archived_card_keeps_its_content(self, operations: Operations) -> None:
        card(operations)
        operations("UpdateModelCard", ModelCardName="card", ModelCardStatus="Archived")
        refused = operations.refused("UpdateModelCard", ModelCardName="card", Content="{}")
        assert refused == ("ConflictException", "Model Card is Archived")

    @pytest.mark.parametrize("content", ["not json", "[]", "1"])
    def test_content_that_is_not_an_object(self, operations: Operations, content: str) -> None:
        with pytest.raises(ClientError, match=r"ValidationException.*content is not"):
            card(operations, Content=content)
        assert operations("ListModelCards")["ModelCardSummaries"] == []

    def test_an_arn_names_it_too_and_only_metadata_is_shown_when_asked(self, operations: Operations) -> None:
        card(operations)
        arn = operations("ListModelCards")["ModelCardSummaries"][0]["ModelCardArn"]
        shown = operations("DescribeModelCard", ModelCardName=arn, IncludedData="MetadataOnly")
        assert (shown["ModelCardName"], shown["Content"]) == ("card", "{}")

    def test_versions_go_with_the_card(self, operations: Operations) -> None:
        card(operations)
        operations("DeleteModelCard", ModelCardName="card")
        card(operations)
        assert operations("DescribeModelCard", ModelCardName="card")["ModelCardVersion"] == 1
        assert (
            operations.refused("DescribeModelCard", ModelCardName="card", ModelCardVersion=2)[0] == "ResourceNotFound"
        )


class TestImages:
    """API reference, CreateImageVersion, DescribeImageVersion, ListAliases, DeleteImage."""

    @pytest.fixture(autouse=True)
    def image(self, operations: Operations) -> None:
        operations("CreateImage", ImageName="Kernel", RoleArn=ROLE, Description="old", DisplayName="shown")

    def version(self, operations: Operations, **members: Any) -> str:
        answer = operations(
            "CreateImageVersion",
            ImageName="Kernel",
            BaseImage="123456789012.dkr.ecr.us-east-1.amazonaws.com/k:1",
            **members,
        )
        arn: str = answer["ImageVersionArn"]
        return arn

    def test_versions_are_counted(self, operations: Operations) -> None:
        assert self.version(operations).endswith(":image-version/kernel/1")
        assert self.version(operations).endswith(":image-version/kernel/2")
        operations("DeleteImageVersion", ImageName="Kernel", Version=2)
        assert self.version(operations).endswith("/3")
        assert operations("DescribeImageVersion", ImageName="Kernel")["Version"] == 3
        listed = operations("ListImageVersions", ImageName="Kernel", SortBy="VERSION", SortOrder="ASCENDING")
        assert [version["Version"] for version in listed["ImageVersions"]] == [1, 3]

    def test_the_same_token_makes_one_version(self, operations: Operations) -> None:
        token = "t" * 36
        assert self.version(operations, ClientToken=token) == self.version(operations, ClientToken=token)

    def test_aliases_point_to_one_version(self, operations: Operations) -> None:
        self.version(operations, Aliases=["blue"])
        self.version(operations, Aliases=["green"])
        assert operations("DescribeImageVersion", ImageName="Kernel", Alias="blue")["Version"] == 1
        code, _ = operations.refused("UpdateImageVersion", ImageName="Kernel", Version=1, AliasesToAdd=["green"])
        assert code == "ResourceInUse"
        operations("UpdateImageVersion", ImageName="Kernel", Alias="green", AliasesToDelete=["green"])
        operations("UpdateImageVersion", ImageName="Kernel", Version=1, AliasesToAdd=["green"], JobType="TRAINING")
        listed = operations("ListAliases", ImageName="Kernel")["SageMakerImageVersionAliases"]
        assert listed == ["blue", "green"]
        assert operations("DescribeImageVersion", ImageName="Kernel", Alias="green")["JobType"] == "TRAINING"
        assert operations.refused("ListAliases", ImageName="Kernel", Alias="red")[0] == "ResourceNotFound"
        page = operations("ListAliases", ImageName="Kernel", MaxResults=1)
        rest = operations("ListAliases", ImageName="Kernel", MaxResults=1, NextToken=page["NextToken"])
        assert (page["SageMakerImageVersionAliases"], rest) == (["blue"], {"SageMakerImageVersionAliases": ["green"]})

    def test_an_image_goes_with_its_versions(self, operations: Operations) -> None:
        self.version(operations)
        operations("DeleteImage", ImageName="Kernel")
        assert operations.refused("DescribeImageVersion", ImageName="Kernel")[0] == "ResourceNotFound"
        operations("CreateImage", ImageName="Kernel", RoleArn=ROLE)
        assert operations("ListImageVersions", ImageName="Kernel")["ImageVersions"] == []

    def test_properties_can_be_deleted(self, operations: Operations) -> None:
        operations("UpdateImage", ImageName="Kernel", DeleteProperties=["Description"])
        described = operations("DescribeImage", ImageName="Kernel")
        assert ("Description" in described, described["DisplayName"]) == (False, "shown")


class TestHubs:
    """API reference, ImportHubContent, ListHubContents, ListHubContentVersions, DeleteHub."""

    @pytest.fixture(autouse=True)
    def hub(self, operations: Operations) -> None:
        operations("CreateHub", HubName="hub", HubDescription="ours")

    def content(self, operations: Operations, name: str = "llm", **members: Any) -> str:
        answer = operations(
            "ImportHubContent",
            **{
                "HubName": "hub",
                "HubContentName": name,
                "HubContentType": "Model",
                "DocumentSchemaVersion": "2.0.0",
                "HubContentDocument": json.dumps({}),
                **members,
            },
        )
        arn: str = answer["HubContentArn"]
        return arn

    def test_versions(self, operations: Operations) -> None:
        assert self.content(operations).endswith(":hub-content/hub/Model/llm/1.0.0")
        assert self.content(operations).endswith("/1.0.1")
        self.content(operations, HubContentVersion="10.0.0")
        self.content(operations, HubContentVersion="9.0.0")
        about = {"HubName": "hub", "HubContentType": "Model", "HubContentName": "llm"}
        assert operations("DescribeHubContent", **about)["HubContentVersion"] == "10.0.0"
        listed = operations("ListHubContents", HubName="hub", HubContentType="Model")["HubContentSummaries"]
        assert [content["HubContentVersion"] for content in listed] == ["10.0.0"]
        versions = operations("ListHubContentVersions", **about, MinVersion="9.0.0")["HubContentSummaries"]
        assert {content["HubContentVersion"] for content in versions} == {"9.0.0", "10.0.0"}
        assert operations.refused("ImportHubContent", **self.request(HubContentVersion="9.0.0"))[0] == "ResourceInUse"
        operations("UpdateHubContent", **about, HubContentVersion="9.0.0", SupportStatus="Deprecated")
        described = operations("DescribeHubContent", **about, HubContentVersion="9.0.0")
        assert described["SupportStatus"] == "Deprecated"

    def request(self, **members: Any) -> dict[str, Any]:
        return {
            "HubName": "hub",
            "HubContentName": "llm",
            "HubContentType": "Model",
            "DocumentSchemaVersion": "2.0.0",
            "HubContentDocument": "{}",
            **members,
        }

    def test_a_hub_goes_after_its_contents(self, operations: Operations) -> None:
        self.content(operations)
        assert operations.refused("DeleteHub", HubName="hub")[0] == "ResourceInUse"
        about = {"HubName": "hub", "HubContentType": "Model", "HubContentName": "llm"}
        operations("DeleteHubContent", **about, HubContentVersion="1.0.0")
        assert operations.refused("DescribeHubContent", **about)[0] == "ResourceNotFound"
        assert operations.refused("ListHubContentVersions", **about)[0] == "ResourceNotFound"
        operations("DeleteHub", HubName="hub")


class TestFeatureGroups:
    """API reference, CreateFeatureGroup, UpdateFeatureGroup, UpdateFeatureMetadata."""

    def request(self, **members: Any) -> dict[str, Any]:
        return {
            "FeatureGroupName": "customers",
            "RecordIdentifierFeatureName": "id",
            "EventTimeFeatureName": "at",
            "FeatureDefinitions": [
                {"FeatureName": "id", "FeatureType": "Integral"},
                {"FeatureName": "at", "FeatureType": "String"},
            ],
            "OnlineStoreConfig": {"EnableOnlineStore": True},
            **members,
        }

    @pytest.mark.parametrize(
        ("members", "words"),
        [
            ({"RecordIdentifierFeatureName": "other"}, "record identifier"),
            ({"EventTimeFeatureName": "id"}, "event time"),
            ({"EventTimeFeatureName": "other"}, "event time"),
            ({"OnlineStoreConfig": {"EnableOnlineStore": False}}, "At least one"),
            ({"OfflineStoreConfig": {"S3StorageConfig": {"S3Uri": "s3://b/f"}}}, "RoleArn is required"),
            ({"FeatureDefinitions": [{"FeatureName": "id", "FeatureType": "String"}] * 2}, "unique"),
            ({"FeatureDefinitions": [{"FeatureName": "is_deleted", "FeatureType": "String"}]}, "reserved"),
        ],
    )
    def test_what_is_refused(self, operations: Operations, members: dict[str, Any], words: str) -> None:
        code, message = operations.refused("CreateFeatureGroup", **self.request(**members))
        assert (code, words in message) == ("ValidationException", True)
        missing = operations.refused("DescribeFeatureGroup", FeatureGroupName="customers")
        assert missing == (
            "ResourceNotFound",
            "Resource Not Found: Amazon SageMaker can't find a FeatureGroup with name customers",
        )

    def test_features_are_added_and_described(self, operations: Operations) -> None:
        offline = {"S3StorageConfig": {"S3Uri": "s3://b/f/"}}
        operations("CreateFeatureGroup", **self.request(OfflineStoreConfig=offline, RoleArn=ROLE))
        operations(
            "UpdateFeatureGroup",
            FeatureGroupName="customers",
            FeatureAdditions=[{"FeatureName": "age", "FeatureType": "Integral"}],
            OnlineStoreConfig={"TtlDuration": {"Unit": "Days", "Value": 1}},
        )
        described = operations("DescribeFeatureGroup", FeatureGroupName="customers")
        assert [feature["FeatureName"] for feature in described["FeatureDefinitions"]] == ["id", "at", "age"]
        assert described["OnlineStoreConfig"] == {
            "EnableOnlineStore": True,
            "TtlDuration": {"Unit": "Days", "Value": 1},
        }
        assert described["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"] == (
            "s3://b/f/123456789012/sagemaker/us-east-1/offline-store/customers/data"
        )
        about = {"FeatureGroupName": "customers", "FeatureName": "age"}
        parameter = {"Key": "unit", "Value": "years"}
        operations("UpdateFeatureMetadata", **about, Description="in years", ParameterAdditions=[parameter])
        told = operations("DescribeFeatureMetadata", **about)
        assert (told["FeatureType"], told["Description"], told["Parameters"]) == ("Integral", "in years", [parameter])
        operations("UpdateFeatureMetadata", **about, ParameterRemovals=["unit"])
        assert operations("DescribeFeatureMetadata", **about)["Parameters"] == []
        missing = operations.refused("DescribeFeatureMetadata", FeatureGroupName="customers", FeatureName="no")
        assert missing[0] == "ResourceNotFound"
        listed = operations("ListFeatureGroups", OfflineStoreStatusEquals="Active")["FeatureGroupSummaries"]
        assert len(listed) == 1
        assert operations("ListFeatureGroups", OfflineStoreStatusEquals="Blocked")["FeatureGroupSummaries"] == []


class TestDevices:
    """API reference, RegisterDevices, UpdateDevices, DeregisterDevices, GetDeviceFleetReport."""

    def test_a_register(self, operations: Operations) -> None:
        operations("CreateDeviceFleet", DeviceFleetName="fleet", OutputConfig={"S3OutputLocation": "s3://b/f"})
        devices = [{"DeviceName": "one"}, {"DeviceName": "two", "Description": "second"}]
        operations("RegisterDevices", DeviceFleetName="fleet", Devices=devices)
        again = operations.refused(
            "RegisterDevices", DeviceFleetName="fleet", Devices=[{"DeviceName": "three"}, devices[0]]
        )
        assert (again[0], "already exists" in again[1]) == ("ValidationException", True)
        assert [d["DeviceName"] for d in operations("ListDevices")["DeviceSummaries"]] == ["one", "two"]
        operations("UpdateDevices", DeviceFleetName="fleet", Devices=[{"DeviceName": "one", "Description": "first"}])
        about = {"DeviceFleetName": "fleet", "DeviceName": "one"}
        assert operations("DescribeDevice", **about)["Description"] == "first"
        report = operations("GetDeviceFleetReport", DeviceFleetName="fleet")
        assert report["DeviceStats"] == {"ConnectedDeviceCount": 0, "RegisteredDeviceCount": 2}
        assert operations.refused("DeleteDeviceFleet", DeviceFleetName="fleet")[0] == "ResourceInUse"
        operations("DeregisterDevices", DeviceFleetName="fleet", DeviceNames=["one", "two"])
        assert operations.refused("DescribeDevice", **about)[0] == "ValidationException"
        operations("DeleteDeviceFleet", DeviceFleetName="fleet")


class TestDependents:
    def test_a_domain_goes_after_its_profiles_and_spaces(self, operations: Operations) -> None:
        identity = domain(operations)
        assert identity.startswith("d-")
        operations("CreateUserProfile", DomainId=identity, UserProfileName="me")
        shared = {
            "OwnershipSettings": {"OwnerUserProfileName": "me"},
            "SpaceSharingSettings": {"SharingType": "Private"},
        }
        operations("CreateSpace", DomainId=identity, SpaceName="mine", **shared)
        assert operations.refused("DeleteDomain", DomainId=identity)[0] == "ResourceInUse"
        operations("DeleteSpace", DomainId=identity, SpaceName="mine")
        assert operations.refused("DeleteDomain", DomainId=identity)[0] == "ResourceInUse"
        operations("DeleteUserProfile", DomainId=identity, UserProfileName="me")
        operations("DeleteDomain", DomainId=identity)

    def test_a_name_is_unique_in_its_domain_only(self, operations: Operations) -> None:
        first, second = domain(operations, "one"), domain(operations, "two")
        for identity in (first, second):
            operations("CreateUserProfile", DomainId=identity, UserProfileName="me")
        assert operations.refused("CreateUserProfile", DomainId=first, UserProfileName="me")[0] == "ResourceInUse"
        assert len(operations("ListUserProfiles", DomainIdEquals=first)["UserProfiles"]) == 1
        assert operations.refused("CreateSpace", DomainId="d-none", SpaceName="s")[0] == "ValidationException"
        refused = operations.refused("CreateDomain", DomainName="one", AuthMode="IAM", DefaultUserSettings={})
        assert refused[0] == "ResourceInUse"

    def test_a_workforce_goes_after_its_teams(self, operations: Operations) -> None:
        pool = {"UserPool": "us-east-1_a", "ClientId": "c"}
        operations("CreateWorkforce", WorkforceName="people", CognitoConfig=pool)
        refused = operations.refused("CreateWorkforce", WorkforceName="others", CognitoConfig=pool)
        assert (refused[0], "already" in refused[1]) == ("ValidationException", True)
        team = {"CognitoMemberDefinition": {**pool, "UserGroup": "g"}}
        operations(
            "CreateWorkteam", WorkteamName="t", WorkforceName="people", MemberDefinitions=[team], Description="d"
        )
        assert operations.refused("DeleteWorkforce", WorkforceName="people")[0] == "ValidationException"
        assert operations("DeleteWorkteam", WorkteamName="t") == {"Success": True}
        operations("DeleteWorkforce", WorkforceName="people")

    def test_an_endpoint_configuration_needs_its_models(self, operations: Operations) -> None:
        variant = {"VariantName": "v", "ModelName": "none", "InstanceType": "ml.m6i.large", "InitialInstanceCount": 1}
        refused = operations.refused("CreateEndpointConfig", EndpointConfigName="c", ProductionVariants=[variant])
        assert refused == (
            "ValidationException",
            'Could not find model "arn:aws:sagemaker:us-east-1:123456789012:model/none".',
        )
        described = operations.refused("DescribeEndpointConfig", EndpointConfigName="c")
        assert described == (
            "ValidationException",
            'Could not find endpoint configuration "arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/c".',
        )

    def test_a_project_with_a_template_is_refused(self, operations: Operations) -> None:
        code, message = operations.refused(
            "CreateProject", ProjectName="p", ServiceCatalogProvisioningDetails={"ProductId": "prod-1"}
        )
        assert code == "ValidationException"
        assert message == ("ServiceCatalogProvisioningDetails: not available in the local account for CreateProject.")


class TestLists:
    @pytest.fixture
    def cards(self, open_account: Callable[..., Any], clock: Any) -> Any:
        account = open_account(clock=clock)
        for name in ("b-one", "a-two", "c-one"):
            account.sagemaker.create_model_card(ModelCardName=name, Content="{}", ModelCardStatus="Draft")
        account.sagemaker.update_model_card(ModelCardName="b-one", ModelCardStatus="Approved")
        return account.sagemaker

    def names(self, client: Any, **request: Any) -> list[str]:
        answer = client.list_model_cards(**request)
        return [card["ModelCardName"] for card in answer["ModelCardSummaries"]]

    def test_filters_and_order(self, cards: Any) -> None:
        assert self.names(cards) == ["c-one", "a-two", "b-one"]
        assert self.names(cards, SortOrder="Ascending") == ["b-one", "a-two", "c-one"]
        assert self.names(cards, SortBy="Name", SortOrder="Ascending") == ["a-two", "b-one", "c-one"]
        assert self.names(cards, NameContains="one") == ["c-one", "b-one"]
        assert self.names(cards, NameContains="Model") == []
        assert self.names(cards, ModelCardStatus="Approved") == ["b-one"]
        middle = cards.describe_model_card(ModelCardName="a-two")["CreationTime"]
        assert self.names(cards, CreationTimeAfter=middle) == ["c-one"]
        assert self.names(cards, CreationTimeBefore=middle) == ["b-one"]

    @pytest.mark.parametrize("order", ["Ascending", "Descending"])
    @pytest.mark.parametrize("by", ["Name", "CreationTime"])
    def test_pages_are_the_whole_list(self, cards: Any, by: str, order: str) -> None:
        whole = self.names(cards, SortBy=by, SortOrder=order)
        pages = cards.get_paginator("list_model_cards") if cards.can_paginate("list_model_cards") else None
        assert pages is not None
        read = [
            card["ModelCardName"]
            for page in pages.paginate(SortBy=by, SortOrder=order, PaginationConfig={"PageSize": 1})
            for card in page["ModelCardSummaries"]
        ]
        assert read == whole

    def test_a_token_of_another_request_is_refused(self, cards: Any) -> None:
        token = cards.list_model_cards(MaxResults=1)["NextToken"]
        with pytest.raises(ClientError, match="Invalid NextToken"):
            cards.list_model_cards(MaxResults=1, SortBy="Name", NextToken=token)
        with pytest.raises(ClientError, match="Invalid NextToken"):
            cards.list_model_cards(NextToken="nonsense")


def test_records_are_there_after_a_restart(open_account: Callable[..., Any]) -> None:
    open_account().sagemaker.create_hub(HubName="hub", HubDescription="ours")
    again = open_account().sagemaker
    assert again.describe_hub(HubName="hub")["HubStatus"] == "InService"


def test_records_of_a_region_are_not_those_of_another(account: Any) -> None:
    account.sagemaker.create_hub(HubName="hub", HubDescription="ours")
    other = account.local.client("sagemaker", region="eu-west-1")
    assert other.list_hubs()["HubSummaries"] == []
    arn = other.create_hub(HubName="hub", HubDescription="theirs")["HubArn"]
    assert arn == "arn:aws:sagemaker:eu-west-1:123456789012:hub/hub"
    with pytest.raises(ClientError, match="ResourceNotFound"):
        account.sagemaker.describe_hub(HubName=arn)
