"""Studio's images: their versions and the aliases of those."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlops_sm import naming
from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import invalid
from mlops_sm.emulator.pages import keyed_page
from mlops_sm.emulator.sagemaker.records import (
    IN_USE,
    NOT_FOUND,
    Family,
    describe_record,
    find_record,
    members_given,
    new_record,
    records_below,
)
from mlops_sm.emulator.sagemaker.records_lists import PAGE, every, list_records
from mlops_sm.emulator.service import Call, Operation, modelled, once
from mlops_sm.emulator.store import Entity

_VERSIONS: Final = "ImageVersion"
_EDITED: Final = ("VendorGuidance", "JobType", "MLFramework", "ProgrammingLang", "Processor", "Horovod", "ReleaseNotes")


def _changes(call: Call, entity: Entity) -> dict[str, Json]:
    """The request's members, and those of DeleteProperties taken out."""
    gone = call.request.get("DeleteProperties") or []
    return {**call.members("ImageName", "DeleteProperties"), **dict.fromkeys(gone)}


def _free(call: Call, entity: Entity) -> None:
    """Deleting an image deletes its versions (API reference, DeleteImage)."""
    for version in _versions(call, entity):
        call.store.delete(version)


IMAGES: Final = Family(
    name="Image",
    resource="image",
    what="A record: nothing is pulled or converted, and there is no Studio here to start it",
    members={"ImageStatus": "CREATED"},
    changes=_changes,
    free=_free,
    descending=True,
)
_VERSION: Final = Family(name=_VERSIONS, resource="image-version", what="")


def create_image_version(call: Call) -> dict[str, Json]:
    """Keep the next version of an image."""

    def add() -> dict[str, Json]:
        image = find_record(call, IMAGES)
        name = image.body["ImageName"]
        number = image.body.get("LastVersion", 0) + 1
        _refuse_taken(call, image, call.request.get("Aliases") or [])
        body = {
            **call.members("ImageName"),
            "ImageArn": image.arn,
            "ContainerImage": call.request["BaseImage"],
            "ImageVersionStatus": "CREATED",
            "Version": number,
        }
        # Lower case, as the pattern of the ARN has it.
        arn = naming.sagemaker_arn(call.scope.region, call.scope.account, "image-version", f"{name.lower()}/{number}")
        # Padded, so that names sort as versions do.
        version = new_record(call, _VERSION, f"{name}/{number:09d}", body, arn=arn)
        call.store.save(image.with_body({"LastVersion": number}, modified=image.modified))
        return {"ImageVersionArn": version.arn}

    return once(call, add)


def describe_image_version(call: Call) -> dict[str, Json]:
    """A version by number or alias; the latest when the request names none."""
    return describe_record(_VERSION, _version(call))


def update_image_version(call: Call) -> dict[str, Json]:
    """Change what a version says of itself, and its aliases."""
    with call.store.transaction():
        version = _version(call)
        gone = set(call.request.get("AliasesToDelete") or [])
        more = call.request.get("AliasesToAdd") or []
        aliases = [alias for alias in version.body.get("Aliases") or [] if alias not in gone]
        _refuse_taken(call, find_record(call, IMAGES), [alias for alias in more if alias not in aliases])
        changes: dict[str, Json] = dict(members_given(call, *_EDITED))
        changes["Aliases"] = [*aliases, *(alias for alias in more if alias not in aliases)]
        call.store.save(version.with_body(changes, modified=call.now()))
    return {"ImageVersionArn": version.arn}


def delete_image_version(call: Call) -> dict[str, Json]:
    """Forget a version; its number is not given again."""
    with call.store.transaction():
        if "Version" not in call.request and "Alias" not in call.request:
            raise invalid("Either Version or Alias is needed to delete an image version.")
        call.store.delete(_version(call))
    return {}


def list_image_versions(call: Call) -> dict[str, Json]:
    """One page of an image's versions."""
    image = find_record(call, IMAGES)
    rows = ((version, describe_record(_VERSION, version)) for version in _versions(call, image))
    return list_records(call, rows, {"ImageName": every}, descending=True)


def list_aliases(call: Call) -> dict[str, Json]:
    """One page of an image's aliases: all, or those of a version or of the version of an alias."""
    image = find_record(call, IMAGES)
    named = {"Version", "Alias"} & call.request.keys()
    versions = [_version(call)] if named else _versions(call, image)
    aliases = (([alias], alias) for version in versions for alias in version.body.get("Aliases") or [])
    page, more = keyed_page(call, aliases, size=call.request.get("MaxResults") or PAGE)
    return {"SageMakerImageVersionAliases": page, **more}


def _versions(call: Call, image: Entity) -> list[Entity]:
    return records_below(call, _VERSIONS, image.body["ImageName"])


def _version(call: Call) -> Entity:
    image = find_record(call, IMAGES)
    number, alias = call.request.get("Version"), call.request.get("Alias")
    if number is not None and alias is not None:
        raise invalid("Version and Alias cannot be given together.")
    versions = _versions(call, image)
    if number is None and alias is None and versions:
        return max(versions, key=lambda version: version.name)
    for version in versions:
        if version.body["Version"] == number or (alias is not None and alias in (version.body.get("Aliases") or [])):
            return version
    named = f"alias {alias}" if alias is not None else f"version {number}" if number is not None else "any version"
    raise modelled(call, NOT_FOUND, f"Image {image.arn} does not have {named}.")


def _refuse_taken(call: Call, image: Entity, aliases: list[str]) -> None:
    """An alias points to one version of an image."""
    taken = {alias for version in _versions(call, image) for alias in version.body.get("Aliases") or []}
    for alias in aliases:
        if alias in taken:
            raise modelled(call, IN_USE, f"The alias {alias} is already used by a version of {image.arn}.")


OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateImageVersion": create_image_version,
    "DescribeImageVersion": describe_image_version,
    "UpdateImageVersion": update_image_version,
    "DeleteImageVersion": delete_image_version,
    "ListImageVersions": list_image_versions,
    "ListAliases": list_aliases,
}
