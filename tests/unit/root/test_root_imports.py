"""What an import costs is counted in modules, not in seconds."""

from __future__ import annotations

import subprocess
import sys

import pytest

COUNT = """
import sys
before = set(sys.modules)
import {module}
print(*sorted(set(sys.modules) - before))
"""


def modules_added_by(module: str) -> set[str]:
    command = [sys.executable, "-c", COUNT.format(module=module)]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_the_package_costs_almost_nothing() -> None:
    added = modules_added_by("mlops_sm")
    assert len(added) <= 100
    assert not added & {"boto3", "botocore", "sagemaker", "pydantic", "rich"}


@pytest.mark.parametrize("module", ["mlops_sm.compile", "mlops_sm.definition", "mlops_sm.engine", "mlops_sm.local"])
def test_heavy_packages_stay_out_of_the_rooms_that_do_not_need_them(module: str) -> None:
    assert not modules_added_by(module) & {"boto3", "botocore", "sagemaker", "moto", "pandas", "sklearn"}
