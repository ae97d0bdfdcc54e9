"""An endpoint as one HTML file without anything outside it: what serves, traffic and latency over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from typing import Final

from mlops_sm.operations.endpoint_metrics import Series
from mlops_sm.operations.endpoints import Endpoint

_WIDTH: Final = 860
_HEIGHT: Final = 240
_LEFT: Final = 64
_RIGHT: Final = 12
_TOP: Final = 14
_BOTTOM: Final = 30
_TICKS: Final = 4
_LABELS: Final = 6
_GAP: Final = 1.5
"""Periods between two values that are still joined by a line."""
_DAY: Final = timedelta(days=1)

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6979; --line: #d9dee6; --page: #fff; --panel: #f6f8fa;
  --blue: #2f6fd0; --amber: #c77700; --red: #c8323c; --violet: #7a4fc9; --green: #1f8a4c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa6b6; --line: #343c48; --page: #14181e;
  --panel: #1c222a; --blue: #6ea3ff; --amber: #f0a83c; --red: #ff6b73; --violet: #b094ff; --green: #55c98a; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); margin: 0 auto; padding: 24px;
  max-width: 900px; }
h1 { font-size: 24px; margin: 0 0 4px; overflow-wrap: anywhere; } h2 { font-size: 17px; margin: 28px 0 8px; }
p.note { color: var(--soft); margin: 0 0 16px; overflow-wrap: anywhere; }
.status { font-size: 14px; font-weight: 600; border-radius: 999px; padding: 2px 10px; vertical-align: middle;
  border: 1px solid currentColor; color: var(--amber); } .good { color: var(--green); } .bad { color: var(--red); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: 5px 12px 5px 0;
  border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 500; white-space: nowrap; } td.number, th.number { text-align: right; }
svg { display: block; width: 100%; height: auto; background: var(--panel); border-radius: 8px; }
svg text { fill: var(--soft); font-size: 12px; } .grid { stroke: var(--line); stroke-width: 1; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 6px 0 0; color: var(--soft); font-size: 13px; }
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 6px; }
details { margin-top: 10px; } summary { cursor: pointer; color: var(--soft); }
"""


@dataclass(frozen=True, slots=True)
class _Line:
    """One series of a plot: its label, its colour, and values by the start of their period."""

    label: str
    colour: str
    values: Mapping[datetime, float]


def page(
    endpoint: Endpoint, series: Sequence[Series], *, environment: str, start: datetime, end: datetime, now: datetime
) -> str:
    """The page.

    Args:
        endpoint: The endpoint.
        series: What was measured of its variants.
        environment: Where it is.
        start: Where the plots start.
        end: Where they end.
        now: When the page was made.
    """
    good = {"InService": "good", "Failed": "bad"}.get(endpoint.status, "")
    parts = [
        f'<h1>{escape(endpoint.name)} <span class="status {good}">{escape(endpoint.status)}</span></h1>',
        f'<p class="note">{escape(endpoint.arn)} &middot; environment {escape(environment)} &middot; '
        f"{now:%Y-%m-%d %H:%M:%S} {escape(now.tzname() or '')}</p>",
        _facts(endpoint),
        "<h2>What serves</h2>",
        _table(
            ["Variant", "Model", "Approval", "Weight", "Runs on"],
            [[v.name, v.version or v.model, v.approval, f"{v.weight:g}", v.size] for v in endpoint.variants],
        ),
    ]
    for each in series:
        parts += _measured(each, start, end)
    title = escape(f"{endpoint.name} - endpoint")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def _facts(endpoint: Endpoint) -> str:
    capture = endpoint.capture
    facts = [
        ("Configuration", endpoint.config),
        ("Before", endpoint.previous_config),
        ("Deploying", " ".join(each for each in (endpoint.pending_config, endpoint.stage) if each)),
        ("Reason", endpoint.failure_reason),
        ("Captured data", "" if capture is None else f"{capture[0]}% to {capture[1]}"),
        ("Created", _time(endpoint.created)),
        ("Changed", _time(endpoint.modified)),
    ]
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts if value)
    return f"<table>{rows}</table>"


def _measured(series: Series, start: datetime, end: datetime) -> Iterator[str]:
    period = timedelta(seconds=series.period_seconds)
    values = series.values
    failed = _sum(values.get("errors_4xx", {}), values.get("errors_5xx", {}))
    answered = {at: max(0.0, count - failed.get(at, 0.0)) for at, count in values.get("invocations", {}).items()}
    traffic = [
        _Line("answered", "blue", answered),
        _Line("4xx", "amber", values.get("errors_4xx", {})),
        _Line("5xx", "red", values.get("errors_5xx", {})),
    ]
    latency = [
        _Line("model p50", "blue", values.get("latency_p50", {})),
        _Line("model p90", "violet", values.get("latency_p90", {})),
        _Line("model p99", "red", values.get("latency_p99", {})),
        _Line("overhead p50", "green", values.get("overhead_p50", {})),
    ]
    every = f"{series.period_seconds // 60} min" if series.period_seconds >= 60 else f"{series.period_seconds} s"  # noqa: PLR2004 - a minute
    name = escape(series.variant)
    if not any(values.values()):
        yield f"<h2>{name}</h2>"
        yield f'<p class="note">No requests from {_time(start)} to {_time(end)}.</p>'
        return
    plot = _Plot(start, end, period)
    yield f"<h2>{name}: requests per {every}</h2>"
    yield plot.bars(traffic, f"Requests of {series.variant}")
    yield _legend(traffic, lambda line: f"{sum(line.values.values()):.0f}")
    yield f"<h2>{name}: latency, ms</h2>"
    yield plot.lines(latency, f"Latency of {series.variant} in milliseconds")
    yield _legend(latency, lambda line: f"at most {_number(max(line.values.values()))}" if line.values else "none")
    moments = sorted({at for each in (*traffic, *latency) for at in each.values})
    rows = [
        [_time(at), *("" if at not in line.values else _number(line.values[at]) for line in (*traffic, *latency))]
        for at in moments
    ]
    headers = ["Time", *(line.label for line in (*traffic, *latency))]
    yield f"<details><summary>The values</summary>{_table(headers, rows, numbers=True)}</details>"


class _Plot:
    """Draws series over time.

    Args:
        start: The left end.
        end: The right end.
        period: What each value is about.
    """

    def __init__(self, start: datetime, end: datetime, period: timedelta) -> None:
        self._start = start
        self._end = end
        self._period = period

    def bars(self, lines: Sequence[_Line], title: str) -> str:
        """Counts, stacked."""
        top = _ceiling(max(_sum(*(line.values for line in lines)).values(), default=0.0))
        marks = []
        width = max(1.0, self._x(self._start + self._period) - self._x(self._start) - 1)
        for at in sorted({moment for line in lines for moment in line.values}):
            floor = 0.0
            told = ", ".join(f"{line.label} {_number(line.values.get(at, 0.0))}" for line in lines)
            for line in lines:
                value = line.values.get(at, 0.0)
                if value > 0:
                    y, below = self._y(floor + value, top), self._y(floor, top)
                    marks.append(
                        f'<rect x="{self._x(at):.1f}" y="{y:.1f}" width="{width:.1f}" height="{below - y:.1f}" '
                        f'fill="var(--{line.colour})"><title>{_time(at)}: {escape(told)}</title></rect>'
                    )
                    floor += value
        return self._svg(top, marks, title)

    def lines(self, lines: Sequence[_Line], title: str) -> str:
        """Measures, each with a line of its own; where there were no requests there is none."""
        top = _ceiling(max((value for line in lines for value in line.values.values()), default=0.0))
        marks = []
        for line in lines:
            points = sorted(line.values.items())
            colour = f"var(--{line.colour})"
            for run in self._runs(points):
                path = " ".join(f"{self._middle(at):.1f},{self._y(value, top):.1f}" for at, value in run)
                marks.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
            for at, value in points:
                marks.append(
                    f'<circle cx="{self._middle(at):.1f}" cy="{self._y(value, top):.1f}" r="2.5" fill="{colour}">'
                    f"<title>{_time(at)}: {escape(line.label)} {_number(value)} ms</title></circle>"
                )
        return self._svg(top, marks, title)

    def _runs(self, points: Sequence[tuple[datetime, float]]) -> Iterator[list[tuple[datetime, float]]]:
        """Points that follow each other without a gap."""
        run: list[tuple[datetime, float]] = []
        for point in points:
            if run and point[0] - run[-1][0] > _GAP * self._period:
                yield run
                run = []
            run.append(point)
        if run:
            yield run

    def _svg(self, top: float, marks: Iterable[str], title: str) -> str:
        grid = []
        for step in range(_TICKS + 1):
            value = top * step / _TICKS
            y = self._y(value, top)
            grid.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            grid.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>')
        pattern = "%H:%M" if self._end - self._start <= _DAY else "%m-%d %H:%M"
        for step in range(_LABELS + 1):
            moment = self._start + (self._end - self._start) * step / _LABELS
            anchor = "start" if step == 0 else "end" if step == _LABELS else "middle"
            grid.append(
                f'<text x="{self._x(moment):.1f}" y="{_HEIGHT - 10}" text-anchor="{anchor}">{moment:{pattern}}</text>'
            )
        inside = "".join((*grid, *marks))
        return (
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
            f"<title>{escape(title)}</title>{inside}</svg>"
        )

    def _x(self, moment: datetime) -> float:
        part = (moment - self._start) / (self._end - self._start)
        return _LEFT + min(max(part, 0.0), 1.0) * (_WIDTH - _LEFT - _RIGHT)

    def _middle(self, moment: datetime) -> float:
        return self._x(moment + self._period / 2)

    @staticmethod
    def _y(value: float, top: float) -> float:
        return _HEIGHT - _BOTTOM - value / top * (_HEIGHT - _TOP - _BOTTOM)


def _legend(lines: Sequence[_Line], told: Callable[[_Line], str]) -> str:
    items = (
        f'<span><i style="background: var(--{line.colour})"></i>{escape(line.label)} ({escape(told(line))})</span>'
        for line in lines
    )
    return f'<div class="legend">{"".join(items)}</div>'


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False) -> str:
    def cell(tag: str, text: str, column: int) -> str:
        kind = ' class="number"' if numbers and column else ""
        return f"<{tag}{kind}>{escape(text)}</{tag}>"

    head = "".join(cell("th", text, column) for column, text in enumerate(headers))
    body = "".join(f"<tr>{''.join(cell('td', text, column) for column, text in enumerate(row))}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _sum(*values: Mapping[datetime, float]) -> dict[datetime, float]:
    found: dict[datetime, float] = {}
    for each in values:
        for at, value in each.items():
            found[at] = found.get(at, 0.0) + value
    return found


def _ceiling(value: float) -> float:
    """The next of 1, 2, 4, 10, 20, ... that is not below a value, so that a quarter of it is a round number."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return float(next(power * step for step in (1, 2, 4, 10) if power * step >= value))


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"  # noqa: PLR2004 - where %g would write an exponent


def _time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
