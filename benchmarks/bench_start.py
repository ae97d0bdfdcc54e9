"""What it costs to start: the import, the help page, an unchanged compile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.measure import Row, ratio_row, run

COUNT = """
import sys
before = set(sys.modules)
import mlops_sm
print(len(set(sys.modules) - before), *(m for m in ("boto3", "sagemaker", "pydantic") if m in sys.modules))
"""


def rows() -> list[Row]:
    """Import budget, help page, cached compile."""
    command = Path(sys.executable).with_name("mlops-sm")
    found = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True).stdout.split()
    report = [
        Row(
            "modules that `import mlops_sm` adds",
            " ".join(found),
            "<= 100, no boto3, sagemaker, pydantic",
            int(found[0]) <= 100 and len(found) == 1,
        )
    ]
    report.append(
        ratio_row(
            "mlops-sm --help / python -c 'import click'",
            lambda: run([command, "--help"]).wall,
            lambda: run([sys.executable, "-c", "import click"]).wall,
            bound=1.5,
            pairs=15,
        )
    )
    sdk = "import os; os.environ['AWS_DEFAULT_REGION'] = 'us-east-1'; import sagemaker.mlops.workflow"
    report.append(
        ratio_row(
            "unchanged compile / import sagemaker.mlops.workflow",
            lambda: run([command, "compile", "lending.build"]).wall,
            lambda: run([sys.executable, "-c", sdk]).wall,
            bound=0.2,
            pairs=5,
        )
    )
    return report
