"""Print every measurement: `make bench`."""

from __future__ import annotations

import sys

from benchmarks import (
    bench_engine,
    bench_executions,
    bench_foreach,
    bench_keep,
    bench_run,
    bench_server,
    bench_start,
    bench_transform,
    bench_tuning,
    bench_warm,
)
from benchmarks.measure import Row


def main() -> int:
    """Measure and print; always 0: a bound that does not hold on a busy machine is for a person to judge."""
    for module in (
        bench_start,
        bench_engine,
        bench_run,
        bench_warm,
        bench_executions,
        bench_server,
        bench_keep,
        bench_transform,
        bench_tuning,
        bench_foreach,
    ):
        for row in module.rows():
            show(Row(*row))
    return 0


def show(row: Row) -> None:
    """One line per measurement, as soon as it is there."""
    print(f"{'ok  ' if row.within else 'OVER'}  {row.name:<58}  {row.measured:<34}  bound {row.bound}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
