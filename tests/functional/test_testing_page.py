"""The page for users who test their pipelines: its blocks are a test suite, run as theirs is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "testing.md"


def run_pytest(folder: Path, *arguments: str, code: int = 0, **variables: str) -> str:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "MLOPS_SM_", "PYTEST_", "COV_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "mlops_sm.testing.plugin", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(REPOSITORY)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.mark.sdk
def test_the_page_is_a_test_suite_that_passes_on_two_workers(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == PAGE.read_text().count("```python")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    for name, code in blocks:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    out = run_pytest(tmp_path, "-n", "2", AWS_PROFILE="mine", AWS_REGION="eu-west-3", HTTP_PROXY="http://127.0.0.1:9")
    assert re.search(r"^10 passed", out, re.MULTILINE), out


def test_every_test_has_an_account_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_apart.py").write_text(
        "import boto3, os, pytest\n"
        "@pytest.mark.parametrize('number', range(4))\n"
        "def test_apart(local_account, number):\n"
        "    s3 = boto3.client('s3')\n"
        "    assert s3.list_buckets()['Buckets'] == []\n"
        "    s3.create_bucket(Bucket='mine')\n"
        "def test_no_account_is_open():\n"
        "    assert 'AWS_ENDPOINT_URL' not in os.environ\n"
    )
    assert "5 passed" in run_pytest(tmp_path)


def test_the_plugin_imports_nothing_until_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "test_light.py").write_text(
        "import sys\n"
        "def test_light():\n"
        "    heavy = {'boto3', 'botocore', 'moto', 'pydantic', 'mlops_sm.emulator', 'pandas'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    assert "1 passed" in run_pytest(tmp_path)


def test_without_the_extra_the_fixture_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("import sys\nsys.modules['moto'] = None\n")
    (tmp_path / "test_it.py").write_text("def test_it(local_account): pass\ndef test_other(): pass\n")
    out = run_pytest(tmp_path, code=1)
    assert "1 passed, 1 error" in out
    assert 'pip install "mlops-sm-kit[local]"' in out


@pytest.mark.parametrize("arguments", [(), ("-n", "2")])
def test_a_run_that_dies_leaves_no_server(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "test_it.py").write_text(
        "import os, signal\n"
        "def test_it(local_account_session):\n"
        "    open('state', 'w').write(str(local_account_session.state))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    # where what a killed process could not take away goes with the test's folder
    run_pytest(tmp_path, *arguments, code=-9 if not arguments else 1, TMPDIR=str(tmp_path))
    state = Path((tmp_path / "state").read_text())
    gone = subprocess.run(
        [sys.executable, "-m", "mlops_sm", "local", "down", "--state", str(state)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert gone.returncode == 0, gone.stderr
    assert not (state / "server.json").exists()
