"""JSON text: strict reading, canonical writing."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.definition import canonical_json, digest
from mlops_sm.definition.jsontext import MAX_DEPTH, load_json

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_what_is_written_is_read_back(value: Any) -> None:
    read, problems = load_json(canonical_json(value))
    assert problems == []
    assert read == value


@given(JSON)
def test_canonical_text_does_not_depend_on_the_order_of_keys_or_on_spaces(value: Any) -> None:
    def turned(inner: Any) -> Any:
        if isinstance(inner, dict):
            return {key: turned(inner[key]) for key in reversed(inner)}
        return [turned(entry) for entry in inner] if isinstance(inner, list) else inner

    text = canonical_json(value)
    assert canonical_json(json.loads(json.dumps(turned(value), indent=2))) == text
    assert digest(canonical_json(turned(value))) == digest(text)


def test_canonical_text_is_compact_sorted_and_unescaped() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "ü/\n"}) == '{"a":"ü/\\n","b":[1,2.5,null]}'


def test_canonical_text_refuses_what_is_no_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_the_digest_is_sha256_of_utf8() -> None:
    assert digest("ü") == hashlib.sha256(b"\xc3\xbc").hexdigest()
    assert digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    ("text", "code", "where", "what", "fix"),
    [
        (b'{"a": "\xff"}', "E200", "the definition", "byte 7 is 0xff", "UTF-8"),
        ("", "E201", "line 1, column 1", "Expecting value", "empty"),
        ('{"a": 1,\n "b" 2}', "E201", "line 2, column 6", "':' delimiter", '"b" 2}'),
        ('{"a": [1, 2', "E201", "line 1, column 12", "',' delimiter", "[1, 2"),
        ("{'a': 1}", "E201", "line 1, column 2", "double quotes", "'a'"),
        ('{"a": 1} x', "E201", "line 1, column 10", "Extra data", "x"),
        ('{"a": {"b": 1, "b": 2}}', "E202", "a.b", '"b" is written twice', "Keep one"),
        ('{"a": [{"x y": 1, "x y": 2}]}', "E202", "a[0]['x y']", "twice", "Keep one"),
        ('{"a": NaN}', "E208", "a", "NaN", "finite"),
        ('{"a": [1, -Infinity]}', "E208", "a[1]", "infinite", "finite"),
        ('{"a": 1e999}', "E208", "a", "too large", "finite"),
        ('{"a": 9223372036854775808}', "E208", "a", "64 bits", "64-bit"),
        ('{"a": 1' + "0" * 5000 + "}", "E208", "a", "too large", "64-bit"),
        ('{"a": "\\ud800"}', "E208", "a", "surrogate", "\\u escapes"),
        ('{"\\udfff": 1}', "E208", "the definition", "surrogate", "\\u escapes"),
        ("[" * 100_000, "E207", "the definition", "nested deeper", "Flatten"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "E207", "[0]" * MAX_DEPTH, "nested deeper", "Flatten"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(
    text: str | bytes, code: str, where: str, what: str, fix: str
) -> None:
    _, problems = load_json(text)
    assert [(p.code, p.where) for p in problems] == [(code, where)]
    assert what in problems[0].what
    assert fix in problems[0].fix


def test_everything_odd_in_one_text_is_named() -> None:
    _, problems = load_json('{"a": NaN, "b": {"c": 1, "c": 1e999}, "d": ["\\ud800"]}')
    assert [(p.code, p.where) for p in problems] == [
        ("E208", "a"),
        ("E202", "b.c"),
        ("E208", "b.c"),
        ("E208", "d[0]"),
    ]


def test_the_deepest_allowed_nesting_is_read() -> None:
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    value, problems = load_json(text)
    assert problems == []
    assert canonical_json(value) == text


def test_a_null_document_is_a_value() -> None:
    assert load_json("null") == (None, [])
