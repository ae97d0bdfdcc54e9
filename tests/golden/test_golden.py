"""Golden documents: what each case compiles to, byte for byte.

A case is a folder of `cases/`: ``pipeline.py`` (or, in ``case.json``, the ``reference`` of a pipeline of this
repository), the files it uses, and ``expected.json``. ``case.json`` may change the ``environment`` it is compiled for,
and give a ``policy``.
"""

from __future__ import annotations

import difflib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_sm import checks
from mlops_sm.compile import Compiled, Request, compile_pipeline
from mlops_sm.compile.structure import Structure
from mlops_sm.definition import canonical_json
from mlops_sm.project import Environment, Policy, Project

REPOSITORY = Path(__file__).parents[2]
CASES = sorted(p for p in (Path(__file__).parent / "cases").iterdir() if p.is_dir())
ENVIRONMENT: dict[str, Any] = {
    "name": "golden",
    "account": "111122223333",
    "region": "us-east-1",
    "role_arn": "arn:aws:iam::111122223333:role/golden-pipeline",
    "artifact_bucket": "golden-artifacts",
    "data_bucket": "golden-data",
    "model_bucket": "golden-models",
    "tags": {"team": "credit-risk"},
}

CompileCase = Callable[[Path], Compiled]


@pytest.fixture
def compile_case(sdk_spawn: Callable[[Request], Structure], tmp_path: Path) -> CompileCase:
    """Compiles a case in a folder of its own, in a fresh one each time, and without the cache."""
    folders = (tmp_path / str(n) for n in range(9))

    def compile_it(case: Path) -> Compiled:
        settings_file = case / "case.json"
        settings = json.loads(settings_file.read_text()) if settings_file.exists() else {}
        root = next(folders)
        if "reference" in settings:
            shutil.copytree(REPOSITORY / "pipelines", root / "pipelines")
        else:
            shutil.copytree(case, root / "pipelines" / case.name)
        environment = Environment(**ENVIRONMENT | settings.get("environment", {}))
        return compile_pipeline(
            Project(
                name="golden",
                root=root,
                environments={"golden": environment},
                policy=Policy(**settings.get("policy", {})),
            ),
            environment,
            settings.get("reference", f"{case.name}.pipeline"),
            cache_dir=root / "cache",
            spawn=sdk_spawn,
        )

    return compile_it


def pretty(document: str) -> str:
    return json.dumps(json.loads(document), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


@pytest.mark.sdk
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_compiles_to_the_expected_document_in_any_folder(
    case: Path, compile_case: CompileCase, pytestconfig: pytest.Config
) -> None:
    compiled, again = compile_case(case), compile_case(case)
    assert not again.from_cache
    assert again.definition.encode() == compiled.definition.encode()
    assert [a.uri for a in again.assets] == [a.uri for a in compiled.assets]
    expected = case / "expected.json"
    if pytestconfig.getoption("--regenerate", default=False):
        expected.write_text(pretty(compiled.definition), encoding="utf-8")
    assert expected.exists(), "pytest tests/golden --regenerate"
    if canonical_json(json.loads(expected.read_text(encoding="utf-8"))) != compiled.definition:
        ours = pretty(compiled.definition).splitlines()
        difference = difflib.unified_diff(
            expected.read_text(encoding="utf-8").splitlines(), ours, "expected", "compiled", lineterm="", n=5
        )
        pytest.fail("\n".join(difference))


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_the_expected_document_is_clean(case: Path) -> None:
    assert [p.render() for p in checks.check((case / "expected.json").read_bytes())] == []
