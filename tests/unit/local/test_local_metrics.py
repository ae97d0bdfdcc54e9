"""Metrics are found however the log is cut into chunks, and memory stays flat."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm.local.jobs.folder import JobFailureError
from mlops_sm.local.jobs.metrics import FoundMetrics, MetricScanner

NOW = datetime(2026, 11, 24, tzinfo=UTC)
DEFINITIONS = [{"Name": "loss", "Regex": r"loss=([-0-9.e]+)"}, {"Name": "epoch", "Regex": r"epoch \d+"}]


def scan(*chunks: bytes, definitions: list[dict[str, str]] = DEFINITIONS) -> list[tuple[str, float]]:
    metrics = FoundMetrics()
    scanner = MetricScanner(definitions, lambda: NOW, metrics.add)
    for chunk in chunks:
        scanner.feed(chunk)
    scanner.finish()
    assert all(metric.timestamp is NOW for metric in metrics.found)
    return [(metric.name, metric.value) for metric in metrics.found]


@pytest.mark.parametrize(
    ("log", "found"),
    [
        (b"loss=1 loss=2\n", [("loss", 1.0), ("loss", 2.0)]),
        (b"loss=0.5", [("loss", 0.5)]),
        (b"loss=1e-3\r\n", [("loss", 0.001)]),
        (b"loss=..\nloss=3\n", [("loss", 3.0)]),
        (b"loss=1e400 loss=1e109 loss=-1e400\n", []),
        (b"\xff\xfeloss=4\x00\n", [("loss", 4.0)]),
        (b"lo\nss=5\n", []),
        (b"", []),
    ],
)
def test_values(log: bytes, found: list[tuple[str, float]]) -> None:
    assert scan(log) == found


def test_an_expression_without_group_is_the_value_itself() -> None:
    assert scan(b"acc 0.5\n0.75\n", definitions=[{"Name": "n", "Regex": r"^[\d.]+$"}]) == [("n", 0.75)]


@given(st.lists(st.integers(0, 999)), st.data())
def test_chunks_do_not_matter(values: list[int], data: st.DataObject) -> None:
    log = b"".join(b"noise loss=%d end\n" % value for value in values)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=8)))
    chunks = [log[start:end] for start, end in zip([0, *cuts], [*cuts, len(log)], strict=True)]
    assert scan(*chunks) == [("loss", float(value)) for value in values]


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    metrics = FoundMetrics()
    scanner = MetricScanner(DEFINITIONS, lambda: NOW, metrics.add)
    for _ in range(100):
        scanner.feed(b"x" * 65536)
        assert len(scanner._tail) <= 65536
    scanner.feed(b"\nloss=1\n")
    assert [metric.value for metric in metrics.found] == [1.0]


def test_an_invalid_expression_is_named() -> None:
    with pytest.raises(JobFailureError, match="the regex of broken is invalid"):
        MetricScanner([{"Name": "broken", "Regex": "["}], lambda: NOW)
