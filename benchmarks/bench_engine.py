"""What the engine alone costs: an execution of 1,000 steps that do nothing."""

from __future__ import annotations

import json
import statistics
import time
from typing import Any, NoReturn

from benchmarks.measure import Row
from mlops_sm.definition import Definition, parse
from mlops_sm.engine import Run, Succeeded

STEPS = 1000
BOUND = 0.5


def definition(*, chain: bool) -> Definition:
    """A chain, or one step that all others wait for; each edge is a reference."""
    steps = [step(i, None if i == 0 else i - 1 if chain else 0) for i in range(STEPS)]
    return parse(json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": steps}))


def step(number: int, upstream: int | None) -> dict[str, Any]:
    """One Processing step with one input."""
    source = "s3://bucket/raw" if upstream is None else {"Get": f"Steps.S{upstream}.ProcessingJobArn"}
    return {"Name": f"S{number}", "Type": "Processing", "Arguments": {"ProcessingInputs": [{"S3Uri": source}]}}


def execute(found: Definition) -> float:
    """CPU seconds from the parsed definition to the end of its execution; every step's arguments are resolved."""
    started = time.process_time()
    run = Run(found, parameters={}, variables={})
    while not run.finished:
        for ready in run.take_ready():
            run.resolve(ready, no_file)
            run.complete(ready.name, Succeeded({"ProcessingJobArn": "arn"}))
    return time.process_time() - started


def no_file(uri: str) -> NoReturn:
    """No step of these definitions reads a file."""
    raise AssertionError(uri)


def row(name: str, *, chain: bool) -> Row:
    """The median of several executions."""
    found = definition(chain=chain)
    seconds = statistics.median(execute(found) for _ in range(5))
    measured = f"{seconds:.3f} s CPU  ({seconds / STEPS * 1e6:.0f} us a step)"
    return Row(name, measured, f"< {BOUND} s CPU", seconds < BOUND)


def rows() -> list[Row]:
    """A chain and a fan."""
    return [
        row(f"engine, {STEPS} no-op steps in a chain", chain=True),
        row(f"engine, {STEPS} no-op steps in a fan", chain=False),
    ]


if __name__ == "__main__":
    for line in rows():
        print(f"{line.name:<44}  {line.measured:<32}  {line.bound}")
