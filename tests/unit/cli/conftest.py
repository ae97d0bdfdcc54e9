from __future__ import annotations

import fcntl
import io
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.cli.accounts import Account
from mlops_sm.cli.main import main
from mlops_sm.cli.outside import Outside
from mlops_sm.cli.ui import Ui
from mlops_sm.compile import Compiled
from mlops_sm.definition import canonical_json, digest
from mlops_sm.errors import InputError, Problem
from mlops_sm.local.warm import WarmWorkers
from mlops_sm.operations import servers
from mlops_sm.operations.clients import Clients
from mlops_sm.operations.runs import Pace
from mlops_sm.project import Environment, Project
from mlops_sm.testing.aws import FakeAws

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"


class Terminal(io.StringIO):
    """A stream that may claim to be a terminal."""

    def __init__(self, *, tty: bool = False) -> None:
        super().__init__()
        self.tty = tty

    def isatty(self) -> bool:
        return self.tty


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class ClosedWorkers(WarmWorkers):
    """Starts nothing, and remembers that it was closed."""

    def __init__(self) -> None:
        super().__init__(enabled=False)
        self.closed = False

    def close(self) -> None:
        super().close()
        self.closed = True


@dataclass
class World:
    """Fakes for everything outside, and what happened to them."""

    cwd: Path
    aws: FakeAws = field(default_factory=lambda: FakeAws(account="111111111111"))
    local: FakeAws = field(default_factory=lambda: FakeAws(account="123456789012"))
    variables: dict[str, str] = field(default_factory=dict)
    definitions: dict[str, object] = field(default_factory=dict)
    tty: bool = False
    different: list[Problem] = field(default_factory=list)
    states: list[Path] = field(default_factory=list)
    closed: int = 0
    killed: int = 0
    served: bool = False
    warm: ClosedWorkers | None = None
    sleep: Callable[[float], None] = lambda _: None
    clock: datetime = NOW

    def run(self, *arguments: str) -> Result:
        out, err = Terminal(tty=self.tty), Terminal(tty=self.tty)
        outside = Outside(
            cwd=self.cwd,
            variables=self.variables,
            ui=Ui(out, err, self.variables),
            prewarm=self.prewarm,
            open_local=self.open_local,
            connect=lambda _environment: Clients(self.aws.client),
            compile=self.compile,
            sleep=self.sleep,
            now=self.now,
        )
        self.warm = None
        code = main(arguments, outside)
        return Result(code, out.getvalue(), err.getvalue())

    def now(self) -> datetime:
        self.clock += timedelta(seconds=1)
        return self.clock

    @contextmanager
    def open_local(
        self, state: Path, project: Project, environment: Environment, warm: WarmWorkers | None
    ) -> Iterator[Account]:
        assert warm is self.warm
        self.states.append(state)
        assert environment.account == self.local.account
        try:
            yield Account(
                environment=environment,
                clients=Clients(self.local.client),
                pace=Pace(0.0, 0.0),
                prefix="",
                log_place=lambda job: f"{state}/jobs/{job.name}/log",
                prepare=lambda: self.local.buckets.add(environment.artifact_bucket),
                kill=None if self.served else self.kill,
                lasting=self.served,
                preflight=lambda _definition, _parameters: self.different,
            )
        finally:
            self.closed += 1

    def write(self, name: str, *steps: Mapping[str, Any], parameters: Sequence[Mapping[str, Any]] = ()) -> Path:
        """A definition in a file."""
        path = self.cwd / name
        path.write_text(json.dumps(definition(*steps, parameters=parameters)))
        return path

    @staticmethod
    def processing(name: str, **more: object) -> dict[str, Any]:
        return processing(name, **more)

    @staticmethod
    def ran(name: str, status: str, seconds: int | None = None, **more: object) -> Mapping[str, Any]:
        """A step as ListPipelineExecutionSteps answers it."""
        ended = {} if seconds is None else {"EndTime": NOW + timedelta(seconds=seconds)}
        arn = f"arn:aws:sagemaker:us-east-1:1:processing-job/pipelines-exec00000001-{name}-x"
        metadata = {"Metadata": {"ProcessingJob": {"Arn": arn}}}
        return {"StepName": name, "StepStatus": status, "StartTime": NOW, **metadata, **ended, **more}

    def prewarm(self, _state: Path | None) -> WarmWorkers:
        assert self.warm is None
        self.warm = ClosedWorkers()
        return self.warm

    def kill(self) -> None:
        self.killed += 1

    def compile(self, project: Project, environment: Environment, reference: str, cache: Path) -> Compiled:
        assert cache == project.root / ".mlops_sm" / "cache"
        if reference not in self.definitions:
            raise InputError(Problem("E301", reference, f'there is no pipeline "{reference}"', "Name another."))
        text = canonical_json(self.definitions[reference])
        return Compiled(
            reference=reference,
            pipeline_name=reference.replace(".", "-"),
            source=project.root / "pipelines" / f"{reference}.py",
            definition=text,
            digest=digest(text),
            assets=(),
            from_cache=True,
            warnings=("the module says something",),
        )


def processing(name: str, **more: object) -> dict[str, Any]:
    return {
        "Name": name,
        "Type": "Processing",
        "Arguments": {
            "AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": ["true"]},
            "ProcessingResources": {
                "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}
            },
            "RoleArn": "arn:aws:iam::123456789012:role/service",
        },
        **more,
    }


def definition(*steps: Mapping[str, Any], parameters: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    return {"Version": "2020-12-01", "Metadata": {}, "Parameters": list(parameters), "Steps": list(steps)}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A project with an AWS environment and one pipeline, ``churn.build``."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.mlops_sm]\nname = "churn"\n'
        '[tool.mlops_sm.environments.dev]\naccount = "111111111111"\nregion = "us-east-1"\n'
        '[tool.mlops_sm.environments.prod]\naccount = "111111111111"\nregion = "us-east-1"\nprotected = true\n'
    )
    parameters = [{"Name": "MinAuc", "Type": "Float", "DefaultValue": 0.5}]
    document = definition(processing("Prepare"), processing("Train", DependsOn=["Prepare"]), parameters=parameters)
    return World(tmp_path, definitions={"churn.build": document})


@pytest.fixture
def bare(tmp_path: Path) -> World:
    """A folder without a project."""
    return World(tmp_path)


class FakeServer:
    """Answers as a server's status endpoint does, and holds the lock as its owner does."""

    def __init__(self, state: Path, *, command: str = "mlops-sm local up", **said: object) -> None:
        state.mkdir(parents=True, exist_ok=True)
        self.state = state
        self.pid = os.getpid()
        self.said: dict[str, object] = {
            "pid": self.pid,
            "state": str(state),
            "running": {"executions": 1, "jobs": 2},
            **said,
        }
        self._lock = (state / "lock").open("w")
        self._lock.write(f"{self.pid} {command}")
        self._lock.flush()
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        said_now = self.said

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(said_now).encode()
                self.send_response(200 if self.path == "/_mlops_sm/status" else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self.announced = servers.Server(
            url=self.url, pid=self.pid, started=NOW, version="1", account="123456789012", region="us-east-1"
        )
        servers.announce(state, self.announced)

    def stop_answering(self) -> None:
        if not self._lock.closed:
            self._http.shutdown()
            self._http.server_close()

    def die(self) -> None:
        """Leave everything as a killed server does."""
        self.stop_answering()
        self._lock.close()


@pytest.fixture
def fake_server() -> Iterator[Callable[..., FakeServer]]:
    made: list[FakeServer] = []

    def make(state: Path, **said: object) -> FakeServer:
        made.append(FakeServer(state, **said))
        return made[-1]

    yield make
    for server in made:
        server.die()
