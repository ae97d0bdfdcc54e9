"""What single families of records refuse, and what the service adds to them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import invalid
from mlops_sm.emulator.sagemaker.records import record_of, records_below
from mlops_sm.emulator.service import Call
from mlops_sm.emulator.store import Entity


def kebab(words: str) -> str:
    """``ModelBias`` as ``model-bias``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", words).lower()


def code_repository_changes(call: Call, entity: Entity) -> dict[str, Json]:
    """Only the secret may change (API reference, UpdateCodeRepository: GitConfigForUpdate)."""
    config = {**entity.body["GitConfig"], **call.request.get("GitConfig", {})}
    return {"GitConfig": config}


def domain_changes(call: Call, entity: Entity) -> dict[str, Json]:
    """The members of the request; those of DomainSettingsForUpdate go into DomainSettings."""
    changes = call.members("DomainId", "DomainSettingsForUpdate")
    settings = call.request.get("DomainSettingsForUpdate")
    if settings is not None:
        changes["DomainSettings"] = {**entity.body.get("DomainSettings", {}), **settings}
    return changes


def job_definition(call: Call) -> dict[str, Json]:
    """A monitoring job reads from an endpoint or from a batch transform's data, not from both."""
    for member, value in call.request.items():
        if member.endswith("JobInput") and ("EndpointInput" in value) == ("BatchTransformInput" in value):
            raise invalid(f"{member}: exactly one of EndpointInput and BatchTransformInput is needed.")
    return {}


def job_definition_summary(job_input: str) -> Callable[[Mapping[str, Json]], dict[str, Json]]:
    """The summary of one of Model Monitor's job definitions.

    Args:
        job_input: The member that says what the job reads.
    """

    def summary(members: Mapping[str, Json]) -> dict[str, Json]:
        return {
            "MonitoringJobDefinitionName": members["JobDefinitionName"],
            "MonitoringJobDefinitionArn": members["JobDefinitionArn"],
            # Required in the answer, and empty for a job that reads what a batch transform captured.
            "EndpointName": members[job_input].get("EndpointInput", {}).get("EndpointName", ""),
        }

    return summary


def human_task_ui(call: Call) -> dict[str, Json]:
    """What the service shows of a template is the digest of its content."""
    template = call.request["UiTemplate"]
    return {"UiTemplate": {**template, "ContentSha256": hashlib.sha256(template["Content"].encode()).hexdigest()}}


def project(call: Call) -> dict[str, Json]:
    """The id that a project gets beside its name."""
    return {"ProjectId": f"p-{call.service.new_id(12)}"}


def project_changes(call: Call, entity: Entity) -> dict[str, Json]:
    """The members of the request; UpdateProject also takes tags, which it adds."""
    call.store.put_tags(entity.arn, call.request.get("Tags") or [])
    return call.members("ProjectName")


def space(call: Call) -> dict[str, Json]:
    """Sharing and ownership are given together or not at all (API reference, CreateSpace)."""
    owner = call.request.get("OwnershipSettings")
    if (owner is None) != ("SpaceSharingSettings" not in call.request):
        raise invalid("OwnershipSettings and SpaceSharingSettings are required together.")
    if owner is not None:
        profile = f"{call.request['DomainId']}/{owner['OwnerUserProfileName']}"
        if record_of(call.store, call.scope, "UserProfile", profile) is None:
            raise invalid(f"UserProfile {profile} does not exist.")
    return {}


def space_summary(members: Mapping[str, Json]) -> dict[str, Json]:
    """What a list shows of a space's settings."""
    settings = members.get("SpaceSettings")
    return {
        "OwnershipSettingsSummary": members.get("OwnershipSettings"),
        "SpaceSharingSettingsSummary": members.get("SpaceSharingSettings"),
        "SpaceSettingsSummary": settings and {"AppType": settings.get("AppType")},
    }


def workforce(call: Call) -> dict[str, Json]:
    """One workforce to a region, of Cognito's or an identity provider's users (API reference, CreateWorkforce)."""
    if ("CognitoConfig" in call.request) == ("OidcConfig" in call.request):
        raise invalid("Exactly one of CognitoConfig and OidcConfig is needed.")
    others = records_below(call, "Workforce")
    if others and others[0].body["WorkforceName"] != call.request["WorkforceName"]:
        raise invalid(f"There is a workforce in this region already: {others[0].arn}")
    return _shown_of_workforce(call)


def workforce_changes(call: Call, _entity: Entity) -> dict[str, Json]:
    """The members of the request as the service shows them."""
    return {**call.members("WorkforceName"), **_shown_of_workforce(call)}


def _shown_of_workforce(call: Call) -> dict[str, Json]:
    made: dict[str, Json] = {}
    if "OidcConfig" in call.request:
        # The service never shows the secret.
        made["OidcConfig"] = {k: v for k, v in call.request["OidcConfig"].items() if k != "ClientSecret"}
    network = call.request.get("WorkforceVpcConfig")
    if network is not None and not {"VpcId", "SecurityGroupIds", "Subnets"} <= network.keys():
        if network:
            raise invalid("WorkforceVpcConfig: VpcId, SecurityGroupIds and Subnets are needed together.")
        # An empty one takes the workforce out of its network.
        made["WorkforceVpcConfig"] = None
    return made


def free_workforce(call: Call, entity: Entity) -> None:
    """Its teams go first (API reference, DeleteWorkforce)."""
    if any(team.body.get("WorkforceArn") == entity.arn for team in records_below(call, "Workteam")):
        raise invalid(f"{entity.arn} still has work teams: delete them first.")


def workteam(call: Call) -> dict[str, Json]:
    """The ARN of the team's workforce."""
    name = call.request.get("WorkforceName")
    found = record_of(call.store, call.scope, "Workforce", name) if name else None
    if name and found is None:
        raise invalid(f"Workforce {name} does not exist.")
    return {"WorkforceArn": found.arn} if found else {}
