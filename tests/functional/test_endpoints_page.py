"""The program of docs/endpoints.md, as it stands, as a client in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from command import REPOSITORY
from hosting import DOUBLE, IMAGE, packed

from mlops_sm.emulator import LocalAccount
from mlops_sm.local.warm import WarmWorkers


def test_the_program_of_the_page(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "endpoints.md").read_text(), re.DOTALL)
    with LocalAccount.open(tmp_path / "state", warm=WarmWorkers(enabled=False)) as account:
        account.ensure_bucket("endpoints-page")
        archive = packed({"code/inference.py": DOUBLE, "factor.json": "2"})
        account.client("s3").put_object(Bucket="endpoints-page", Key="model.tar.gz", Body=archive)
        account.client("sagemaker").create_model(
            ModelName="lending",
            ExecutionRoleArn="arn:aws:iam::123456789012:role/execution",
            PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "s3://endpoints-page/model.tar.gz"},
        )
        variables = {
            "AWS_ENDPOINT_URL": account.endpoint_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": account.region,
        }
        ran = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **variables}, capture_output=True, text=True, check=False
        )
    assert (ran.returncode, ran.stdout.strip()) == (0, "b'[10024.62]'"), ran.stderr
