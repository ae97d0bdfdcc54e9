"""Words for messages: bounded, printable, helpful."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.definition.wording import item, member, shown, step_place, suggestion, type_word


def test_places() -> None:
    assert member("", "Steps") == "Steps"
    assert member("Steps[0]", "Std:Join") == "Steps[0].Std:Join"
    assert member("a", "odd key") == "a['odd key']"
    assert item("Steps", 3) == "Steps[3]"
    assert step_place("Train", "Steps[3]") == 'step "Train", Steps[3]'


@given(st.text() | st.integers() | st.lists(st.text()) | st.none() | st.booleans())
def test_shown_values_are_short_and_printable(value: Any) -> None:
    text = shown(value)
    assert text.isprintable()
    assert len(text) <= 80 * len("\\U0010ffff")


def test_json_words_for_json_values() -> None:
    assert [shown(value) for value in (None, True, 1.5, "x")] == ["null", "true", "1.5", "x"]
    assert shown("x" * 100) == "x" * 77 + "..."
    values = [None, True, 1, 1.5, "x", [], {}, b""]
    words = ["null", "a boolean", "an integer", "a number", "a string", "a list", "an object", "a bytes"]
    assert [type_word(value) for value in values] == words


@pytest.mark.parametrize("count", [3, 100])
def test_the_closest_word_is_suggested(count: int) -> None:
    known = [f"ml.m{i}.large" for i in range(count)] + ["ml.c5.xlarge"]
    assert "ml.c5.xlarge" in suggestion("ml.c5.xlarg", known)


def test_no_suggestion_where_comparing_would_take_too_long() -> None:
    assert suggestion("a", [f"a{i}" for i in range(501)]) == ""
