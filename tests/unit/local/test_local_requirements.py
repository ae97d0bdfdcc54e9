"""A requirements.txt is compared with what is installed."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from mlops_sm.local.jobs.requirements import _meets, unsatisfied

NUMPY = version("numpy")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "# numpy==0",
        "numpy",
        "NumPy",
        f"numpy=={NUMPY}",
        "numpy>=1.0,<1000",
        "numpy >= 1.0  # why",
        "numpy!=1.0",
        "numpy~=2.0",
        "numpy (>=1.0)",
        "scikit_learn",
    ],
)
def test_satisfied(tmp_path: Path, line: str) -> None:
    (tmp_path / "requirements.txt").write_text(line + "\n")
    assert unsatisfied(tmp_path / "requirements.txt") == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("no-such-package", "not installed"),
        ("numpy==0.1", f"installed is {NUMPY}"),
        ("numpy>1,<2", f"installed is {NUMPY}"),
        ("numpy===2.4", "only NAME and version bounds"),
        ("-r other.txt", "only NAME and version bounds"),
        ("https://example.com/x.zip", "not installed"),
        ("./local", "only NAME and version bounds"),
        ('numpy; python_version < "3"', "only NAME and version bounds"),
    ],
)
def test_unsatisfied(tmp_path: Path, line: str, why: str) -> None:
    (tmp_path / "requirements.txt").write_text(f"pandas\n{line}\n")
    (found,) = unsatisfied(tmp_path / "requirements.txt")
    assert line in found
    assert why in found


releases = st.lists(st.integers(0, 3), min_size=1, max_size=3).map(lambda parts: ".".join(map(str, parts)))


@given(releases, st.sampled_from(["==", "!=", "<=", ">=", "<", ">"]), releases)
def test_bounds_mean_what_they_mean_elsewhere(installed: str, operator: str, wanted: str) -> None:
    assert _meets(installed, operator, wanted) is SpecifierSet(f"{operator}{wanted}").contains(installed)


@given(releases, st.sampled_from(["==", "!="]), releases)
def test_wildcards_mean_what_they_mean_elsewhere(installed: str, operator: str, wanted: str) -> None:
    padded = installed + ".0.0.0"
    assert _meets(padded, operator, wanted + ".*") is SpecifierSet(f"{operator}{wanted}.*").contains(padded)


@given(releases, releases.filter(lambda text: "." in text))
def test_compatible_releases_mean_what_they_mean_elsewhere(installed: str, wanted: str) -> None:
    padded = installed + ".0.0.0"
    assert _meets(padded, "~=", wanted) is SpecifierSet(f"~={wanted}").contains(padded)
