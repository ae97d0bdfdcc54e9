"""What a local run costs beside the same scripts run by hand, one after another."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, peak_mb, ratio_row, run

COMMAND = Path(sys.executable).with_name("mlops-sm")
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
IMPORTS = "import pandas, sklearn.linear_model, sklearn.ensemble, sklearn.metrics"
PIPELINES = Path(__file__).parent.parent / "pipelines"


def processing(name: str, program: list[str], after: str | None) -> dict[str, Any]:
    """One hand-written Processing step that runs a program and moves no data."""
    return {
        "Name": name,
        "Type": "Processing",
        **({"DependsOn": [after]} if after else {}),
        "Arguments": {
            "AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": program},
            "ProcessingResources": {
                "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}
            },
            "RoleArn": "arn:aws:iam::123456789012:role/service",
        },
    }


def definition(folder: Path, name: str, program: list[str], steps: int, *, chain: bool) -> Path:
    """Write a definition of equal steps, in a chain or side by side."""
    body = [processing(f"S{i}", program, f"S{i - 1}" if chain and i else None) for i in range(steps)]
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": body}))
    return path


def by_hand(script: Path, times: int) -> float:
    """Wall seconds of a script run `times` times, one after another."""
    return sum(run([sys.executable, script]).wall for _ in range(times))


def local_run(target: str | Path, *options: str) -> float:
    """Wall seconds of `mlops-sm run` in a new state directory, interpreter start to exit."""
    with tempfile.TemporaryDirectory() as state:
        return run([COMMAND, "run", target, "--state", state, *options]).wall


def scripts_rows(folder: Path) -> list[Row]:
    """Steps whose scripts import pandas and scikit-learn and do nothing else."""
    script = folder / "imports.py"
    script.write_text(IMPORTS + "\n")
    program = ["python3", str(script)]
    four = definition(folder, "four", program, 4, chain=False)
    eight = definition(folder, "eight", program, 8, chain=True)
    return [
        ratio_row(
            "four importing steps side by side / by hand",
            lambda: local_run(four),
            lambda: by_hand(script, 4),
            bound=0.5,
            pairs=3,
        ),
        ratio_row(
            "eight importing steps in a chain / by hand",
            lambda: local_run(eight),
            lambda: by_hand(script, 8),
            bound=0.6,
            pairs=3,
        ),
    ]


def no_op_row(folder: Path) -> Row:
    """A chain of no-op steps: seconds for each step more, beyond a bare fork and exec of the same program.

    The difference between two chains leaves out what a run costs once; the longer one is long enough to outweigh noise.
    """
    program = ["/bin/true"]
    short = definition(folder, "noop8", program, 8, chain=True)
    long = definition(folder, "noop72", program, 72, chain=True)
    local_run(short)
    each = statistics.median((local_run(long) - local_run(short)) / 64 for _ in range(5))
    bare = statistics.median(run(program).wall for _ in range(20))
    extra = (each - bare) * 1000
    return Row(
        "no-op step in a chain, beyond fork+exec", f"{extra:.1f} ms  (bare {bare * 1000:.1f} ms)", "< 60 ms", extra < 60
    )


def lending_by_hand() -> float:
    """The lending build's own scripts, one after another, in a scratch folder."""
    with tempfile.TemporaryDirectory() as scratch:
        started = time.perf_counter()
        for command in hand_commands(Path(scratch)):
            run(command)
        return time.perf_counter() - started


def hand_commands(scratch: Path) -> list[list[str | Path]]:
    """The commands a person would type to do what `lending.build` does."""
    jobs = PIPELINES / "lending" / "jobs"
    raw = PIPELINES / "lending" / "data" / "loanapp.csv"
    split, features, model, report = (scratch / name for name in ("split", "features", "model", "report"))
    archive = scratch / "model.tar.gz"
    return [
        [sys.executable, jobs / "prepare.py", "--raw", raw, "--output", split],
        [sys.executable, jobs / "features.py", "--input", split, "--output", features],
        *(
            [
                *(sys.executable, jobs / "training" / "train.py", "--model-dir", model),
                *("--inverse-regularization", regularization),
                *("--train", features / "train", "--validation", features / "validation"),
            ]
            for regularization in ("0.02", "0.1", "0.7", "5")
        ),
        ["tar", "-czf", archive, "-C", model, "."],
        [sys.executable, jobs / "evaluate.py", "--model", archive, "--test", features / "test", "--output", report],
    ]


def lending_rows() -> list[Row]:
    """The lending build pipeline against its scripts by hand, and the memory of the process that runs it."""
    with tempfile.TemporaryDirectory() as state:
        peak = peak_mb([COMMAND, "run", "lending.build", "--state", state])
    return [
        ratio_row(
            "lending.build / its scripts by hand",
            lambda: local_run("lending.build"),
            lending_by_hand,
            bound=1.0,
            pairs=3,
        ),
        Row("peak memory of the run process", f"{peak:.0f} MB", "< 200 MB", peak < 200),
    ]


def rows() -> list[Row]:
    """All comparisons of local runs."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        return [*scripts_rows(folder), no_op_row(folder), *lending_rows()]
