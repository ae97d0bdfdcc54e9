"""Batch transform without a model: payloads out of objects, JSONPath, filters and joins."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.local.batch.association import Association, AssociationError, Format, format_of
from mlops_sm.local.batch.paths import JsonPath, PathError
from mlops_sm.local.batch.records import PayloadError, payloads

RECORD = {"id": "x", "features": [1, 2, {"deep": [3]}], "more": {"a": 1, "b": 2, "c d": 3}}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", RECORD),
        ("$.id", "x"),
        ("$['id']", "x"),
        ('$["id"]', "x"),
        ("$.features[0]", 1),
        ("$.features[-1].deep[0]", 3),
        ("$.features[0,1]", [1, 2]),
        ("$.features[:2]", [1, 2]),
        ("$.features[1:]", [2, {"deep": [3]}]),
        ("$.features[0,1:]", [1, 2, {"deep": [3]}]),
        ("$.features[2:].deep", [[3]]),
        ("$.more['a','c d']", {"a": 1, "c d": 3}),
        ("$.more.['a','b']", {"a": 1, "b": 2}),
        ("$['id','more']", {"id": "x", "more": RECORD["more"]}),
        ("$.more.*", [1, 2, 3]),
        ("$.more[*]", [1, 2, 3]),
        ("$.features[*].deep", [[3]]),
    ],
)
def test_paths_of_the_documentation(path: str, found: Any) -> None:
    """Source: "Associate Prediction Results with Input Records", "Supported JSONPath Operators"."""
    assert JsonPath.parse(path).select(RECORD) == found


@pytest.mark.parametrize(
    "path", ["", "id", "$..id", "$[?(@.a)]", "$.more['a','b'].c", "$[", "$.a[x]", "$.", "$[0,]", "$ .a", "$[-]"]
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(PathError):
        JsonPath.parse(path)


@pytest.mark.parametrize("path", ["$.nothing", "$.id.x", "$[0]", "$.features[3]", "$.features[-4]", "$.more['a','z']"])
def test_a_path_to_nothing_says_so(path: str) -> None:
    with pytest.raises(PathError, match="JSONPath"):
        JsonPath.parse(path).select(RECORD)


@given(st.text(alphabet="$.*[]'\"0123456789,:-ab ", max_size=20))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        path = JsonPath.parse(text)
    except PathError:
        return
    try:
        path.select({"a": [1, {"b": 2}]})
    except PathError:
        return


@given(
    st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), max_size=30),
    st.booleans(),
    st.booleans(),
)
def test_lines_are_neither_lost_nor_cut(lines: list[bytes], ended: bool, single: bool) -> None:
    content = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    made = list(payloads(io.BytesIO(content), lines=True, single=single, limit=16))
    assert all(len(payload) <= 16 for payload in made)
    assert b"".join(made).split() == content.split()
    assert all(payload.endswith(b"\n") for payload in made[:-1])
    if single:
        assert all(payload.count(b"\n") <= 1 for payload in made)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(2, 20))
def test_as_many_lines_as_fit(numbers: list[int], limit: int) -> None:
    content = "".join(f"{number}\n" for number in numbers).encode()
    made = list(payloads(io.BytesIO(content), lines=True, single=False, limit=limit))
    assert b"".join(made) == content
    assert all(len(payload) > limit - 2 for payload in made[:-1])


def test_without_a_limit_an_object_is_one_payload() -> None:
    assert list(payloads(io.BytesIO(b"1\n2\n"), lines=True, single=False, limit=None)) == [b"1\n2\n"]
    assert list(payloads(io.BytesIO(b"1\n2\n"), lines=False, single=False, limit=None)) == [b"1\n2\n"]
    assert list(payloads(io.BytesIO(b"1\n\n2"), lines=True, single=True, limit=None)) == [b"1\n", b"2"]
    assert not list(payloads(io.BytesIO(b""), lines=False, single=False, limit=None))


@pytest.mark.parametrize("lines", [True, False])
@pytest.mark.parametrize("single", [True, False])
def test_a_record_that_does_not_fit(lines: bool, single: bool) -> None:
    with pytest.raises(PayloadError, match="Too much data for max payload size"):
        list(payloads(io.BytesIO(b"12345\n"), lines=lines, single=single, limit=5))


def association(**members: Any) -> Association:
    chosen: dict[str, Any] = {"format": Format.CSV, "lines": True, "join": False, "input_filter": "$", **members}
    paths = {name: JsonPath.parse(chosen.get(name) or "$") for name in ("input_filter", "output_filter")}
    return Association(**{**chosen, **paths})


def test_what_asks_for_nothing_touches_nothing() -> None:
    nothing = association(format=None)
    assert nothing.request(b"\xff") == b"\xff"
    assert nothing.result(b"a", b"\xff") == b"\xff"


def test_csv_keeps_quotes_where_they_are_needed() -> None:
    joined = association(join=True, output_filter="$[0,-1]")
    assert joined.result(b'"a,b",1\n"c ""d""",2\n', b"5\n6\n") == b'"a,b",5\n"c ""d""",6\n'


def test_a_whole_document_is_one_record() -> None:
    whole = association(format=Format.JSON, lines=False, input_filter="$.instances", join=True)
    body = json.dumps({"instances": [1, 2], "k": "v"}).encode()
    assert whole.request(body) == b"[1,2]"
    assert json.loads(whole.result(body, b"[3]")) == {"instances": [1, 2], "k": "v", "SageMakerOutput": [3]}


@pytest.mark.parametrize("bad", [b"{", b"\xff\xfe"])
def test_what_cannot_be_read_is_said(bad: bytes) -> None:
    with pytest.raises(AssociationError, match="Fail to parse data"):
        association(format=Format.JSON, join=True).result(b"1\n", bad)


def test_ids_of_inferences_join_records_of_json() -> None:
    identified = association(format=Format.JSON, inference=lambda: ("i", "t"))
    assert identified.result(b"", b'{"p": 1}\n2\n') == (
        b'{"p":1,"SageMakerInferenceId":"i","SageMakerInferenceTime":"t"}\n'
        b'{"SageMakerOutput":2,"SageMakerInferenceId":"i","SageMakerInferenceTime":"t"}\n'
    )


def test_formats() -> None:
    assert format_of("text/csv; charset=utf-8") is Format.CSV
    assert format_of("application/jsonlines") is format_of("application/json") is Format.JSON
    assert format_of("image/png") is None
    assert format_of(None) is None
