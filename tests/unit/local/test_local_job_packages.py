"""Packages that a job asks for: installed for it alone, kept, and told clearly when they cannot be had."""

from __future__ import annotations

import base64
import hashlib
import io
import sysconfig
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.local.isolation.layer import Capabilities
from mlops_sm.local.jobs import JobStatus
from mlops_sm.local.jobs.folder import JobFolder
from mlops_sm.local.serving.model import ModelSource, ServedModel
from mlops_sm.local.serving.start import Settings, start_container
from mlops_sm.local.warm import WarmWorkers
from mlops_sm.testing.stores import MemoryStore

SITE = Path(sysconfig.get_paths()["purelib"])
USE = "import of_a_test; print(of_a_test.VERSION, of_a_test.__file__)"


def wheel(folder: Path, version: str, *, name: str = "of_a_test", needs: str = "", program: str = "") -> Path:
    """A wheel as pip takes it, made without building."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + (
        f"Requires-Dist: {needs}\n" if needs else ""
    )
    files = {
        f"{name}.py": f"VERSION = {version!r}\ndef main():\n    print('program', VERSION)\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if program:
        files[f"{info}/entry_points.txt"] = f"[console_scripts]\n{program} = {name}:main\n"
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(text.encode())}\n")
    files[f"{info}/RECORD"] = "".join(lines) + f"{info}/RECORD,,\n"
    folder.mkdir(exist_ok=True)
    made = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return made


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip is configured to take packages from, and nowhere else."""
    folder = tmp_path / "wheels"
    wheel(folder, "1.0", program="of-a-test")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def installed() -> set[str]:
    return {path.name for name in ("purelib", "scripts") for path in Path(sysconfig.get_paths()[name]).iterdir()}


@pytest.mark.usefixtures("wheels")
def test_a_script_gets_what_it_requires_and_nobody_else_does(bench: Any, warm: WarmWorkers) -> None:
    bench.site = replace(bench.site, warm=warm)
    before = installed()
    script = USE + "\nimport numpy, subprocess, sys; sys.stdout.flush(); subprocess.run(['of-a-test'], check=True)"
    files = {"train.py": script, "requirements.txt": "# ours\nof-a-test>=1\nnumpy\n"}
    outcome = bench.train(files)
    assert outcome.status is JobStatus.COMPLETED, bench.log()
    assert "1.0 /opt/mlops-sm/packages/0/of_a_test.py\nprogram 1.0" in bench.log()
    assert installed() == before


def test_what_was_installed_once_is_there_without_any_source(
    bench: Any, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"train.py": USE, "requirements.txt": "of-a-test\n"}
    assert bench.train(files, name="first").status is JobStatus.COMPLETED
    for path in wheels.iterdir():
        path.unlink()
    # Not even pip is asked again.
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    assert bench.train(files, name="second").status is JobStatus.COMPLETED
    assert bench.log("second") == "1.0 /opt/mlops-sm/packages/0/of_a_test.py\n"
    other = {"train.py": USE, "requirements.txt": "of-a-test\n# other content\n"}
    assert bench.train(other, name="third").status is JobStatus.FAILED


def test_only_what_is_missing_is_installed(bench: Any, wheels: Path) -> None:
    wheel(wheels, "2.0", needs="numpy>=1.20")
    outcome = bench.train({"train.py": USE + "; import numpy", "requirements.txt": "of-a-test==2.0\npandas\n"})
    assert outcome.status is JobStatus.COMPLETED, bench.log()
    (kept,) = (path for path in bench.site.package_folder.iterdir() if path.is_dir())
    assert sorted(path.name for path in kept.iterdir()) == ["__pycache__", "of_a_test-2.0.dist-info", "of_a_test.py"]


def test_options_and_other_files_of_the_requirements_hold(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    elsewhere = tmp_path / "elsewhere"
    for version in ("1.0", "1.5", "2.0"):
        wheel(elsewhere, version)
    files = {
        "train.py": USE,
        "requirements.txt": f"--no-index\n--find-links {elsewhere}\n-c limits.txt\n-r more.txt\n",
        "limits.txt": "of-a-test<2\n",
        "more.txt": "of-a-test\n",
    }
    outcome = bench.train(files)
    assert outcome.status is JobStatus.COMPLETED, bench.log()
    assert "1.5 /opt" in bench.log()


@pytest.mark.parametrize("options", ["", "--require-hashes\n"])
def test_hashes_of_the_requirements_hold(bench: Any, wheels: Path, options: str) -> None:
    digest = hashlib.sha256(next(wheels.iterdir()).read_bytes()).hexdigest()
    files = {"train.py": USE, "requirements.txt": f"{options}of-a-test==1.0 \\\n    --hash=sha256:{digest}\n"}
    assert bench.train(files, name="same").status is JobStatus.COMPLETED, bench.log()
    files["requirements.txt"] = files["requirements.txt"].replace(digest, "0" * 64)
    reason = bench.train(files, name="another").failure_reason
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in reason


@pytest.mark.usefixtures("wheels")
def test_a_package_that_cannot_be_had_fails_the_job_with_its_name(bench: Any) -> None:
    outcome = bench.train({"train.py": "print('ran')", "requirements.txt": "of-a-test\nno-such-package==1.0\n"})
    assert outcome.status is JobStatus.FAILED
    reason = outcome.failure_reason
    assert reason.startswith(
        'AlgorithmError: InstallRequirementsError: "no-such-package==1.0" of requirements.txt cannot'
    )
    assert "PIP_FIND_LINKS" in reason
    assert "No matching distribution found for no-such-package==1.0" in bench.log()
    assert "ran" not in bench.log()
    assert not [path for path in bench.site.package_folder.iterdir() if path.is_dir()], "nothing is kept of a failure"


def test_a_newer_version_than_the_installed_one_is_seen(bench: Any, wheels: Path) -> None:
    wheel(wheels, "9999.0", name="jmespath")
    script = "import jmespath, importlib.metadata; print(jmespath.VERSION, importlib.metadata.version('jmespath'))"
    outcome = bench.train({"train.py": script, "requirements.txt": "jmespath>=9999\n"})
    assert outcome.status is JobStatus.COMPLETED, bench.log()
    assert bench.log().splitlines()[-1] == "9999.0 9999.0"


@pytest.mark.usefixtures("wheels")
def test_a_trainer_of_the_sdk_finds_its_requirements_satisfied(bench: Any, store: MemoryStore) -> None:
    store.put(
        "s3://bucket/drivers/sm_train.sh", "cd /opt/ml/input/data/code; python3 x/install_requirements.py needs.txt"
    )
    store.put("s3://bucket/code/needs.txt", "of-a-test\n")
    store.put("s3://bucket/code/train.py", USE)
    channels = [
        {
            "ChannelName": name,
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://bucket/{uri}/"}},
        }
        for name, uri in (("code", "code"), ("sm_drivers", "drivers"))
    ]
    again = "cd /opt/ml/input/data/code && pip install -r needs.txt && python3 train.py"
    algorithm = {"ContainerEntrypoint": ["/bin/bash"], "ContainerArguments": ["-c", again]}
    outcome = bench.train({}, channels=channels, algorithm=algorithm)
    assert outcome.status is JobStatus.COMPLETED, bench.log()
    assert "Requirement already satisfied: of-a-test" in bench.log()
    assert "1.0 /opt/mlops-sm/packages/0/of_a_test.py" in bench.log()


@pytest.mark.usefixtures("wheels")
def test_a_processor_of_the_sdk_finds_its_requirements_satisfied(bench: Any, store: MemoryStore) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("requirements.txt")
        member.size = len(b"of-a-test\n")
        archive.addfile(member, io.BytesIO(b"of-a-test\n"))
    store.put("s3://bucket/payload/sourcedir.tar.gz", buffer.getvalue())
    store.put("s3://bucket/payload/runproc.sh", "pip install -r requirements.txt\n")
    source = {"S3Uri": "s3://bucket/payload/", "LocalPath": "/opt/ml/processing/input/code/", "S3DataType": "S3Prefix"}
    store.put("s3://bucket/own/script.py", USE)
    script = {"S3Uri": "s3://bucket/own/", "LocalPath": "/opt/ml/processing/input/own/", "S3DataType": "S3Prefix"}
    inputs = [{"InputName": "payload", "S3Input": source}, {"InputName": "own", "S3Input": script}]
    outcome = bench.process("", command=("python3", "/opt/ml/processing/input/own/script.py"), inputs=inputs)
    assert outcome.status is JobStatus.COMPLETED, bench.log()
    assert "1.0 /opt/mlops-sm/packages/0/of_a_test.py" in bench.log()


@pytest.mark.usefixtures("wheels")
def test_what_a_job_installs_itself_is_its_own_and_follows_the_callers_configuration(bench: Any) -> None:
    before = installed()
    outcome = bench.process("", command=("/bin/sh", "-c", f"pip install of-a-test && of-a-test && python3 -c '{USE}'"))
    assert outcome.status is JobStatus.COMPLETED, bench.log()
    assert "program 1.0" in bench.log()
    assert installed() == before


@pytest.mark.usefixtures("wheels")
def test_several_jobs_at_once_install_once(bench: Any) -> None:
    files = {"train.py": USE, "requirements.txt": "of-a-test\n"}
    site = replace(bench.site, packages=bench.site.jobs.parent / "kept")
    bench.site = site
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda name: bench.train(files, name=name), ["one", "two"]))
    assert [outcome.status for outcome in outcomes] == [JobStatus.COMPLETED] * 2
    assert len([path for path in site.package_folder.iterdir() if path.is_dir()]) == 1


@pytest.mark.usefixtures("wheels")
def test_a_model_is_served_with_what_it_requires(bench: Any, store: MemoryStore) -> None:
    handlers = "import of_a_test\ndef model_fn(folder): return of_a_test.VERSION\n"
    handlers += "def input_fn(body, kind): return body\ndef predict_fn(data, model): return model\n"
    handlers += "def output_fn(answer, accept): return answer"
    store.put("s3://bucket/model/code/inference.py", handlers)
    store.put("s3://bucket/model/code/requirements.txt", "of-a-test\n")
    model = ServedModel(image="python", source=ModelSource("s3://bucket/model/", packed=False))
    folder = JobFolder.create(bench.site.jobs, "server")
    running = start_container(model, folder, bench.site, Settings(variables={}, overrides={}), log=folder.log)
    try:
        assert running.invoke(b"x", "text/csv", timeout=60).body == b"1.0"
    finally:
        running.stop(5)


@pytest.mark.usefixtures("wheels")
@pytest.mark.parametrize("mounts", [True, False])
def test_without_mounts_pip_installs_beside_the_python(
    bench: Any, monkeypatch: pytest.MonkeyPatch, mounts: bool
) -> None:
    """What a layer without mounts has: here one with mounts says that it has none."""
    monkeypatch.setattr(type(bench.site.isolation), "capabilities", Capabilities(mounts=mounts))
    before = installed()
    command = f"pip install of-a-test && of-a-test && python3 -c '{USE}'; ls {SITE} | grep -c of_a_test.py"
    outcome = bench.process("", command=("/bin/sh", "-c", f"{command}; true"))
    assert outcome.status is JobStatus.COMPLETED, bench.log()
    place = str(SITE) if mounts else "/opt/mlops-sm/installed/lib/python"
    assert f"program 1.0\n1.0 {place}" in bench.log()
    assert bench.log().endswith("1\n" if mounts else "0\n")
    assert installed() == before
