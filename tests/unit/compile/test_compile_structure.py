"""Structures survive the way through a file, and nothing else is taken for one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.compile.structure import Dependency, PlannedAsset, SourceForm, Structure, dump, load

STRUCTURES = st.builds(
    Structure,
    pipeline_name=st.text(max_size=10),
    definition=st.text(),
    planned=st.lists(
        st.builds(PlannedAsset, st.text(), st.text() | st.binary(), st.sampled_from(SourceForm)), max_size=3
    ).map(tuple),
    dependencies=st.lists(
        st.builds(Dependency, st.sampled_from(["project", "package"]), st.text(), st.none() | st.text(), st.booleans()),
        max_size=3,
    ).map(tuple),
    repeatable=st.booleans(),
    warnings=st.lists(st.text(), max_size=2).map(tuple),
)


@given(STRUCTURES)
def test_load_reads_what_dump_wrote(structure: Structure) -> None:
    assert load(dump(structure)) == structure
    assert dump(load(dump(structure))) == dump(structure)


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"format": 1}', '{"format": 99}', "{", "7", '"format"'])
def test_anything_else_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        load(text)


@given(st.sampled_from(["pipeline_name", "definition", "planned", "dependencies", "repeatable", "warnings", "format"]))
def test_a_structure_without_a_member_is_a_value_error(member: str) -> None:
    document = json.loads(dump(Structure("p", "{}", (), ())))
    del document[member]
    with pytest.raises(ValueError, match=r"."):
        load(json.dumps(document))
