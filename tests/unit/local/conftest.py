"""What the tests of jobs share: a site with real isolation, one warm worker for all of them, and a way to be nobody."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.local.environment import job_environment
from mlops_sm.local.images import ImageTable
from mlops_sm.local.isolation.layer import Launch, Process
from mlops_sm.local.isolation.linux import NamespaceIsolation
from mlops_sm.local.jobs import JobOutcome, log_path, run_processing, run_training
from mlops_sm.local.site import Site
from mlops_sm.local.warm import WarmWorkers
from mlops_sm.testing.stores import MemoryStore

SCIKIT_LEARN = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
TIMEOUT = 60.0


@pytest.fixture(scope="session")
def isolation() -> Iterator[NamespaceIsolation]:
    """The namespace layer; skips where it does not work."""
    layer = NamespaceIsolation()
    fact = layer.probe()
    if not fact.ok:
        layer.close()
        pytest.skip(f"NO ISOLATION HERE, JOBS ARE NOT TESTED: {fact.detail}. {fact.fix}")
    yield layer
    layer.close()


@pytest.fixture(scope="session")
def warm() -> Iterator[WarmWorkers]:
    """One warm worker for every test that does not break it."""
    workers = WarmWorkers()
    workers.prewarm()
    yield workers
    workers.close()


@pytest.fixture
def cold() -> WarmWorkers:
    """Workers that refuse every job, so that it starts cold."""
    return WarmWorkers(enabled=False)


@pytest.fixture
def store() -> MemoryStore:
    """An empty S3 with one bucket."""
    return MemoryStore("bucket")


@pytest.fixture
def site(tmp_path: Path, isolation: NamespaceIsolation, cold: WarmWorkers, store: MemoryStore) -> Site:
    """A site whose jobs start cold."""
    return Site(
        jobs=tmp_path / "jobs",
        store=store,
        isolation=isolation,
        warm=cold,
        images=ImageTable(),
        clock=lambda: datetime.now(UTC),
        account_id="123456789012",
        region="us-east-1",
        grace_seconds=20.0,
    )


@pytest.fixture(params=["cold", "warm"])
def either_site(request: pytest.FixtureRequest, site: Site) -> Site:
    """The site twice: its jobs start cold, and as forks of a warm worker."""
    return site if request.param == "cold" else replace(site, warm=request.getfixturevalue("warm"))


@dataclass
class Bench:
    """Runs jobs with little to write down."""

    site: Site
    store: MemoryStore

    def __post_init__(self) -> None:
        self.statuses: list[tuple[str, str]] = []
        self.stop = threading.Event()

    def process(self, script: str, *, name: str = "job", command: tuple[str, ...] = (), **members: Any) -> JobOutcome:
        """Run a script as a processing job; `members` replace members of the request."""
        self.store.put("s3://bucket/code/script.py", script)
        code = s3_input("code", "s3://bucket/code/script.py", "/opt/ml/processing/input/code")
        request: dict[str, Any] = {
            "RoleArn": "arn:aws:iam::123456789012:role/job",
            "AppSpecification": {
                "ImageUri": SCIKIT_LEARN,
                "ContainerEntrypoint": list(command) or ["python3", "/opt/ml/processing/input/code/script.py"],
                "ContainerArguments": members.pop("arguments", []),
            },
            "ProcessingInputs": [code, *members.pop("inputs", [])],
            "ProcessingOutputConfig": {"Outputs": members.pop("outputs", [])},
            **members,
        }
        return run_processing(request, **self._around(name))

    def train(self, files: Mapping[str, str], *, name: str = "job", **members: Any) -> JobOutcome:
        """Run ``train.py`` of `files` in script mode; `members` replace members of the request."""
        self.store.put("s3://bucket/source/sourcedir.tar.gz", archive(files))
        algorithm = {"TrainingImage": SCIKIT_LEARN, "TrainingInputMode": "File", **members.pop("algorithm", {})}
        request: dict[str, Any] = {
            "RoleArn": "arn:aws:iam::123456789012:role/job",
            "AlgorithmSpecification": algorithm,
            "HyperParameters": {
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": "s3://bucket/source/sourcedir.tar.gz",
                **members.pop("hyperparameters", {}),
            },
            "InputDataConfig": members.pop("channels", []),
            "OutputDataConfig": {"S3OutputPath": "s3://bucket/models"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            **members,
        }
        return run_training(request, **self._around(name))

    def log(self, name: str = "job") -> str:
        """The job's log."""
        return log_path(self.site.jobs, name).read_text(errors="replace")

    def _around(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "arn": f"arn:aws:sagemaker:us-east-1:123456789012:job/{name}",
            "site": self.site,
            "stop": self.stop,
            "on_status": lambda status, message: self.statuses.append((status, message)),
        }


def s3_input(name: str, uri: str, local_path: str, **members: Any) -> dict[str, Any]:
    """A processing input."""
    return {"InputName": name, "S3Input": {"S3Uri": uri, "LocalPath": local_path, "S3DataType": "S3Prefix", **members}}


def archive(files: Mapping[str, str]) -> bytes:
    """A tar.gz of texts."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


@pytest.fixture
def bench(site: Site, store: MemoryStore) -> Bench:
    """Runs jobs that start cold."""
    return Bench(site, store)


class WatchingStore(MemoryStore):
    """An S3 that puts a file before the running job as soon as an object is there."""

    def __init__(self, bucket: str, wanted: str, sign: Path) -> None:
        super().__init__(bucket)
        self._wanted = wanted
        self._sign = sign

    def store(self, source: Path, bucket: str, key: str) -> None:
        """Make a file the content of an object."""
        super().store(source, bucket, key)
        if key == self._wanted:
            self._sign.touch()


@pytest.fixture
def watching(site: Site) -> Callable[[str, str], tuple[Bench, WatchingStore]]:
    """Makes a bench that puts a file before the running job, below /opt/ml, as soon as a key is in its bucket."""

    def make(wanted: str, sign: str) -> tuple[Bench, WatchingStore]:
        store = WatchingStore("bucket", wanted, site.jobs / "job/ml" / sign)
        return Bench(replace(site, store=store), store), store

    return make


@pytest.fixture
def make_bench() -> type[Bench]:
    """Makes what runs jobs at another site."""
    return Bench


@pytest.fixture
def either_bench(either_site: Site, store: MemoryStore) -> Bench:
    """Runs jobs, once cold and once warm."""
    return Bench(either_site, store)


@pytest.fixture
def make_archive() -> Callable[[Mapping[str, str]], bytes]:
    """Makes a tar.gz of texts."""
    return archive


@pytest.fixture
def make_input() -> Callable[..., dict[str, Any]]:
    """Makes a processing input."""
    return s3_input


@dataclass
class Cell:
    """A folder with what a launch needs, and the output of what was launched in it."""

    root: Path

    def __post_init__(self) -> None:
        for name in ("ml/code", "scratch/tmp"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / "hosts").write_text("127.0.0.1 localhost algo-1\n")
        self.output, self._write_end = os.pipe()

    def launch(self, *argv: str, environment: Mapping[str, str] | None = None, network: bool = True) -> Launch:
        """A launch of a command in this cell."""
        return Launch(
            argv=argv,
            ml=self.root / "ml",
            scratch=self.root / "scratch",
            hosts=self.root / "hosts",
            environment=job_environment(environment or {}, region="us-east-1", endpoint_url=None),
            log=self._write_end,
            cwd="/opt/ml/code",
            network=network,
        )

    def script(self, text: str, *arguments: str, **options: Any) -> Launch:
        """A launch of a Python script."""
        (self.root / "ml/code/script.py").write_text(text)
        return self.launch("python3", "script.py", *arguments, **options)

    def read_line(self) -> str:
        """The next line of output; waits for it."""
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(self.output, 1)
            assert byte, f"the output ended after {line!r}"
            line += byte
        return line.decode().strip()

    def finish(self, process: Process | None) -> tuple[int, str]:
        """The exit code and the rest of the output."""
        assert process is not None, "the job was to start warm"
        os.close(self._write_end)
        self._write_end = -1
        chunks = []
        while chunk := os.read(self.output, 65536):
            chunks.append(chunk)
        ended = process.wait(TIMEOUT)
        process.close()
        assert ended is not None
        return ended.code, b"".join(chunks).decode(errors="replace")

    def close(self) -> None:
        """Close the pipe."""
        os.close(self.output)
        if self._write_end != -1:
            os.close(self._write_end)


@pytest.fixture
def make_cell() -> Iterator[Callable[[Path], Cell]]:
    """Makes places to launch in."""
    made: list[Cell] = []

    def make(root: Path) -> Cell:
        made.append(Cell(root))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def cell(tmp_path: Path, make_cell: Callable[[Path], Cell]) -> Cell:
    """A place to launch in."""
    return make_cell(tmp_path / "cell")


@pytest.fixture(params=["cold", "warm"])
def start(request: pytest.FixtureRequest, isolation: NamespaceIsolation) -> Callable[[Launch], Process | None]:
    """Starts a launch, once cold and once warm."""
    if request.param == "cold":
        return isolation.run
    workers: WarmWorkers = request.getfixturevalue("warm")
    return workers.start


_BECOME_NOBODY = """
import ctypes, os, sys
from pathlib import Path

NOBODY = 65534
libc = ctypes.CDLL(None, use_errno=True)

def call(result):
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

def mount(source, target, kind, flags, data=None):
    call(libc.mount(source.encode(), str(target).encode(), kind, ctypes.c_ulong(flags), data))

# In a mount namespace of our own the interpreter and this checkout become reachable, as they are for a user who
# installed them: a closed folder on the way (root's home) is covered by an open one that holds only the next part.
call(libc.unshare(0x20000))
mount("none", "/", None, 0x4000 | 1 << 18)
for goal in sys.argv[1].split(":"):
    for folder in reversed(Path(goal).parents):
        if not folder.stat().st_mode & 0o001:
            inner = folder / Path(goal).relative_to(folder).parts[0]
            pin = os.open(inner, os.O_PATH)
            mount("tmpfs", folder, b"tmpfs", 0, b"mode=755")
            inner.mkdir()
            mount(f"/proc/self/fd/{pin}", inner, None, 0x1000 | 0x4000)
            os.close(pin)
exec(sys.argv[4])
os.setgroups([])
os.setresgid(NOBODY, NOBODY, NOBODY)
os.setresuid(NOBODY, NOBODY, NOBODY)
os.chdir(sys.argv[2])
os.execv(sys.executable, [sys.executable, "-W", "error", "-c", sys.argv[3]])
"""


@pytest.fixture
def as_nobody(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Runs a program as an unprivileged user in a folder of its own and returns the JSON it prints.

    What is to be prepared by root before is done in a mount namespace of the program's own.
    """

    def run(program: str, prepare: str = "") -> Any:
        root = Path(__file__).parents[3]
        preamble = f"import sys; sys.path.insert(0, {str(root)!r})\n"
        if os.geteuid() != 0:
            if prepare:
                pytest.skip("A MACHINE THAT ROOT PREPARED IS NOT TESTED HERE: that takes root")
            command = [sys.executable, "-W", "error", "-c", preamble + program]
            folder = tmp_path_factory.mktemp("user")
        else:
            # pytest's own temporary folders are closed to others.
            folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
            os.chown(folder, 65534, 65534)
            goals = ":".join(str(path) for path in (Path(sys.executable), Path(sys.executable).resolve(), root / "x"))
            command = [sys.executable, "-c", _BECOME_NOBODY, goals, str(folder), preamble + program, prepare]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=folder)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
