"""The page about fidelity says what is so: every operation has one class, every member named is one of the model's."""

from __future__ import annotations

import botocore.session
import pytest

from docs.fidelity_page import fidelity
from mlops_sm.checks.service import sagemaker_model
from mlops_sm.emulator.absent import ABSENT, why_absent
from mlops_sm.emulator.fidelity import MEMBERS, NEIGHBOURS, Standing, reasons, standing
from mlops_sm.emulator.sagemaker import OPERATIONS
from mlops_sm.emulator.sagemaker.records_table import BY_FAMILY
from mlops_sm.emulator.sagemaker.records_table import OPERATIONS as RECORDS

NAMES = tuple(sagemaker_model().operation_names)


def test_every_operation_of_the_model_is_performed_or_refused_with_a_reason() -> None:
    performed, absent = set(OPERATIONS), set(ABSENT)
    assert performed & absent == set(), "an operation that is performed loses its line in absent.py"
    assert set(NAMES) - performed - absent == set(), "new operations: perform them or say in absent.py why not"
    assert (performed | absent) - set(NAMES) == set()


def test_an_operation_is_of_one_class() -> None:
    assert set(RECORDS) <= set(OPERATIONS)
    assert {name: standing(name) for name in ("CreatePipeline", "CreateModelCard", "CreateApp")} == {
        "CreatePipeline": Standing.BY_HAND,
        "CreateModelCard": Standing.RECORD,
        "CreateApp": Standing.REFUSED,
    }
    families = [name for operations in BY_FAMILY.values() for name in operations]
    assert len(families) == len(set(families)) == len(RECORDS)


def test_an_operation_that_is_newer_than_this_version_is_refused_too() -> None:
    assert standing("CreateTimeMachine") is Standing.REFUSED
    assert why_absent("CreateTimeMachine") == "this version does not know it"
    assert reasons(["CreateTimeMachine", "CreatePipeline"]) == {"this version does not know it": ["CreateTimeMachine"]}


@pytest.mark.parametrize("operation", sorted(MEMBERS))
def test_members_named_are_the_model_s(operation: str) -> None:
    assert operation in OPERATIONS
    assert MEMBERS[operation].keys() <= sagemaker_model().operation_model(operation).input_shape.members.keys()


def test_services_named_are_botocore_s() -> None:
    known = {
        str(model.service_id.hyphenize())
        for model in (
            botocore.session.get_session().get_service_model(name)
            for name in botocore.session.get_session().get_available_services()
            if name.startswith(("sagemaker", "s3", "logs", "iam", "sts", "kms", "events", "scheduler"))
            or name in {"sns", "sqs", "lambda", "cloudwatch"}
        )
    }
    assert {service for neighbour in NEIGHBOURS for service in neighbour.services} <= known


def test_the_page_names_every_operation_once_where_it_belongs() -> None:
    page = fidelity()
    sections = dict(part.split("\n", 1) for part in page.split("\n## ")[1:])
    for name in NAMES:
        places = {
            Standing.BY_HAND: "Operations by hand",
            Standing.RECORD: "Records",
            Standing.REFUSED: "Refused operations",
        }
        for one, title in places.items():
            assert (f"`{name}`" in sections[title]) is (standing(name) is one), name


def test_operations_by_hand_are_described() -> None:
    page = fidelity()
    for name, operation in OPERATIONS.items():
        if standing(name) is Standing.BY_HAND:
            assert operation.__doc__, name
            assert f"| `{name}` |" in page
