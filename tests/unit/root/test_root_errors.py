"""One shape for every problem, bounded text, all problems on the exception."""

from __future__ import annotations

from mlops_sm.errors import MAX_RENDERED, InputError, MlopsSmError, Problem, RefusedError, did_you_mean


def test_a_problem_says_what_where_and_how_to_fix_it() -> None:
    text = Problem("E201", "Steps[0]", "it is wrong", "Mend it.").render()
    assert text == "error[E201]: it is wrong\n  where: Steps[0]\n  fix:   Mend it."


def test_a_warning_stops_nothing() -> None:
    problem = Problem("W401", "Steps[0]", "it has no effect here", "Leave it.")
    assert not problem.is_error
    assert problem.render().startswith("warning[W401]")


def test_the_text_is_bounded_and_the_exception_holds_all() -> None:
    error = InputError(*(Problem("E201", str(i), "w", "f") for i in range(MAX_RENDERED + 7)))
    assert len(error.problems) == MAX_RENDERED + 7
    assert str(error).count("error[E201]") == MAX_RENDERED
    assert str(error).endswith("... and 7 more")


def test_exit_codes_tell_who_is_at_fault() -> None:
    assert (InputError.exit_code, RefusedError.exit_code, MlopsSmError.exit_code) == (2, 3, 70)


def test_did_you_mean_names_the_closest_or_all_or_nothing() -> None:
    assert did_you_mean("trian", ["train", "test", "validation"]) == 'Did you mean "train"?'
    assert did_you_mean("zzz", ["b", "a"]) == "Known: a, b."
    assert did_you_mean("zzz", [f"name{i}" for i in range(40)]) == ""
