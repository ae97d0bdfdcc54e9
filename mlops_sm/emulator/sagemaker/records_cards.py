"""Model cards and their versions; exporting one as a PDF is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import invalid
from mlops_sm.emulator.sagemaker.records import (
    CONFLICT,
    NOT_FOUND,
    Family,
    describe_record,
    members_given,
    named_record,
    new_record,
    operations_of,
    record_of,
    records_below,
)
from mlops_sm.emulator.sagemaker.records_lists import every, list_records
from mlops_sm.emulator.service import Call, Operation, modelled
from mlops_sm.emulator.store import Entity

_VERSIONS: Final = "ModelCardVersion"
_ARCHIVED: Final = "Archived"
_WHAT: Final = "Model card content"


def _made(call: Call) -> dict[str, Json]:
    check_content(call.request["Content"], _WHAT)
    return {"ModelCardVersion": 1, "CreatedBy": {}, "LastModifiedBy": {}}


def _free(call: Call, card: Entity) -> None:
    for version in records_below(call, _VERSIONS, card.body["ModelCardName"]):
        call.store.delete(version)


CARDS: Final = Family(
    name="ModelCard",
    resource="model-card",
    what="Kept with its versions; its content must be a JSON object, which is not compared with AWS's schema of cards",
    made=_made,
    free=_free,
    duplicate=(CONFLICT, "Model Card with name {name} already exists."),
    missing=(NOT_FOUND, "Model Card {arn} does not exist."),
    descending=True,
)
_VERSION: Final = Family(name=_VERSIONS, resource="model-card", what="")
_BASE: Final = operations_of(CARDS)


def create_model_card(call: Call) -> Mapping[str, Json]:
    """Keep a card and its first version."""
    with call.store.transaction():
        answer = _BASE["CreateModelCard"](call)
        _keep_version(call, _card(call))
    return answer


def update_model_card(call: Call) -> dict[str, Json]:
    """Change a card's status, or its content, which becomes a new version.

    "You cannot update both model card content and model card status in a single call" (API reference,
    UpdateModelCard); "any edit other than an approval status update" makes a version (developer guide, Model cards).
    """
    given = dict(members_given(call, "Content", "ModelCardStatus"))
    if len(given) == 2:  # noqa: PLR2004 - both of them
        raise invalid("You cannot update both model card content and model card status in a single call.")
    if "Content" in given:
        check_content(given["Content"], _WHAT)
    with call.store.transaction():
        card, now = _card(call), call.now()
        if "Content" in given:
            if card.body["ModelCardStatus"] == _ARCHIVED:
                raise modelled(call, CONFLICT, "Model Card is Archived")
            given["ModelCardVersion"] = card.body["ModelCardVersion"] + 1
            card = card.with_body(given, modified=now)
            _keep_version(call, card)
        else:
            card = card.with_body(given, modified=now)
            version = _version(call, card, card.body["ModelCardVersion"])
            call.store.save(version.with_body(given, modified=now))
        call.store.save(card)
    return {"ModelCardArn": card.arn}


def describe_model_card(call: Call) -> dict[str, Json]:
    """A card's latest version or the one that is asked for; without content when only metadata is asked for."""
    card = _card(call)
    number = call.request.get("ModelCardVersion")
    version = card if number is None else _version(call, card, number)
    described = {**describe_record(CARDS, version), "ModelCardArn": card.arn, "CreationTime": card.created}
    if call.request.get("IncludedData") == "MetadataOnly":
        # The content is required in the answer: what is left of it is nothing.
        described["Content"] = "{}"
    return described


def list_model_card_versions(call: Call) -> dict[str, Json]:
    """One page of a card's versions."""
    card = _card(call)
    rows = (
        (version, {**describe_record(CARDS, version), "ModelCardArn": card.arn})
        for version in records_below(call, _VERSIONS, card.body["ModelCardName"])
    )
    return list_records(call, rows, {"ModelCardName": every}, sort="Version", descending=True)


def _card(call: Call) -> Entity:
    return named_record(call, CARDS, call.request["ModelCardName"])


def _version(call: Call, card: Entity, number: int) -> Entity:
    version = record_of(call.store, card.scope, _VERSIONS, f"{card.body['ModelCardName']}/{number:09d}")
    if version is None:
        raise modelled(call, NOT_FOUND, f"Model Card {card.arn} does not have version {number}.")
    return version


def _keep_version(call: Call, card: Entity) -> None:
    number = card.body["ModelCardVersion"]
    # Padded, so that names sort as versions do.
    name = f"{card.body['ModelCardName']}/{number:09d}"
    new_record(call, _VERSION, name, card.body, arn=f"{card.arn}/version/{number}", tagged=False)


def check_content(content: str, what: str) -> None:
    """Refuse a model card's content that is no JSON object.

    Raises:
        AwsError: ValidationException; it calls the content `what`.
    """
    try:
        card = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise invalid(f"{what} is not JSON: {error}") from None
    if not isinstance(card, dict):
        raise invalid(f"{what} is not a JSON object.")


OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateModelCard": create_model_card,
    "DescribeModelCard": describe_model_card,
    "UpdateModelCard": update_model_card,
    "ListModelCardVersions": list_model_card_versions,
}
