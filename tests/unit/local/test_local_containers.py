"""Images that run as they are: what the engine is told, and that a job in a real one is a job like any other.

A real engine is used when docker or podman works here and MLOPS_SM_TEST_IMAGE names an image of it that has python3 and
sh, e.g. of a Debian root file system (mmdebstrap --variant=minbase --include=python3 bookworm root.tar; podman import).
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.errors import InputError, RefusedError
from mlops_sm.local.images import ImageTable
from mlops_sm.local.isolation.choice import ChosenIsolation
from mlops_sm.local.isolation.containers import ENGINES, ContainerIsolation
from mlops_sm.local.isolation.layer import Container
from mlops_sm.local.isolation.linux import NamespaceIsolation

FAKE = """#!/bin/sh
printf '%s\\n' "$*" >> {folder}/calls
case "$1 $2" in
  "info "*) exit 0 ;;
  "image inspect") [ -e {folder}/pulled ] ;;
  "pull "*) case "$2" in gone*) echo "working" >&2; echo "no such image" >&2; exit 1 ;; esac; touch {folder}/pulled ;;
  "run "*) trap 'echo asked; exit 7' TERM
    [ -e {folder}/short ] || sleep 300 &
    echo up; [ -e {folder}/short ] || while :; do wait; done ;;
esac
"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[ContainerIsolation]:
    """An engine that only writes down what it is told."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "docker").write_text(FAKE.format(folder=tmp_path))
    (folder / "docker").chmod(0o755)
    layer = ContainerIsolation("docker", {"PATH": f"{folder}:/usr/bin:/bin"})
    yield layer
    layer.close()


def calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "calls").read_text().splitlines()


def contained(launch: Any, image: str = "image:1", *, replaces_entry_point: bool = True) -> Any:
    container = Container(engine="docker", image=image, replaces_entry_point=replaces_entry_point)
    return replace(launch, container=container, read_only=("/opt/ml/model",))


def test_the_engine_is_told_everything_and_nothing_stays(engine: ContainerIsolation, cell: Any, tmp_path: Path) -> None:
    (tmp_path / "short").touch()
    launch = contained(cell.launch("python3", "x.py", environment={"A": "b c"}, network=False))
    assert cell.finish(engine.run(launch)) == (0, "up\n")
    info, inspect, pull, run, rm = calls(tmp_path)
    assert (info, inspect, pull) == ("info", "image inspect image:1", "pull image:1")
    name = rm.removeprefix("rm --force ")
    assert run.startswith(f"run --name={name} ")
    assert run.endswith(" image:1 x.py")
    for option in (
        f"--volume={cell.root}/ml:/opt/ml",
        f"--volume={cell.root}/scratch:/opt/mlops-sm",
        f"--volume={cell.root}/ml/model:/opt/ml/model:ro",
        f"--volume={cell.root}/hosts:/etc/hosts:ro",
        "--network=none",
        "--workdir=/opt/ml/code",
        "--entrypoint=python3",
        "--env=A=b c",
    ):
        assert f" {option} " in run
    assert "--env=PATH" not in run
    assert ("--user=" in run) is (os.geteuid() != 0)


def test_the_images_own_entry_point_gets_the_command_as_its_arguments(
    engine: ContainerIsolation, cell: Any, tmp_path: Path
) -> None:
    for name in ("short", "pulled"):
        (tmp_path / name).touch()
    assert cell.finish(engine.run(contained(cell.launch("train"), replaces_entry_point=False)))[0] == 0
    (run,) = [line for line in calls(tmp_path) if line.startswith("run ")]
    assert run.endswith(" image:1 train")
    assert "--entrypoint" not in run
    assert "--network=host" in run


@pytest.mark.parametrize(("act", "end"), [("terminate", (7, "asked\n")), ("kill", (137, ""))])
def test_signals_reach_the_engine_and_the_container_is_removed(
    engine: ContainerIsolation, cell: Any, tmp_path: Path, act: str, end: tuple[int, str]
) -> None:
    process = engine.run(contained(cell.launch("train")))
    assert cell.read_line() == "up"
    getattr(process, act)()
    assert cell.finish(process) == end
    assert calls(tmp_path)[-1].startswith("rm --force mlops-sm-")


def test_an_image_that_cannot_be_pulled_is_told_with_the_way_to_log_in(engine: ContainerIsolation, cell: Any) -> None:
    with pytest.raises(RefusedError, match=r"E436.*gone:1.*no such image\n(.*\n)*.*login"):
        engine.run(contained(cell.launch("train"), image="gone:1"))


def test_without_an_engine_the_job_is_refused(cell: Any, tmp_path: Path, isolation: NamespaceIsolation) -> None:
    layer = ContainerIsolation("podman", {"PATH": str(tmp_path)})
    with pytest.raises(RefusedError, match=r"E436.*podman is not installed"):
        layer.run(contained(cell.launch("train")))
    with pytest.raises(RefusedError, match=r'E436.*not by "namespace"'):
        isolation.run(contained(cell.launch("train")))


def test_the_table_of_images_names_engines() -> None:
    image = ImageTable.of({"mine*": {"engine": "podman"}}).find("mine:1")
    assert image is not None
    assert (image.warm, image.program("train"), image.entry_point) == (False, ("train",), None)
    assert image.container("mine:1", replaces_entry_point=False) == Container(
        engine="podman", image="mine:1", replaces_entry_point=False
    )
    for wrong in ({"engine": "dockers"}, {"engine": "docker", "interpreter": "python3"}):
        with pytest.raises(InputError, match="E410"):
            ImageTable.of({"mine": wrong})


@pytest.fixture(scope="module")
def real() -> tuple[str, str]:
    """An engine that works here, and an image it has."""
    image = os.environ.get("MLOPS_SM_TEST_IMAGE", "")
    for name in ENGINES if image else ():
        layer = ContainerIsolation(name)
        if layer.probe().ok and layer._call("image", "inspect", image).returncode == 0:
            return name, image
    pytest.skip("NO ENGINE HERE, IMAGES ARE NOT RUN: that takes docker or podman, and MLOPS_SM_TEST_IMAGE")


@pytest.fixture
def image_bench(bench: Any, real: tuple[str, str]) -> Iterator[Any]:
    """Runs jobs in a real image."""
    name, image = real
    isolation = ChosenIsolation()
    bench.site = replace(bench.site, isolation=isolation, images=ImageTable.of({image: {"engine": name}}))
    bench.application = {"ImageUri": image}
    yield bench
    isolation.close()


def process(bench: Any, script: str, **members: Any) -> Any:
    command = ["python3", "-c", script]
    return bench.process("", AppSpecification={**bench.application, "ContainerEntrypoint": command}, **members)


def test_a_job_in_a_real_image_reads_writes_and_is_the_callers(image_bench: Any) -> None:
    output = {"OutputName": "o", "S3Output": {"LocalPath": "/opt/ml/processing/o", "S3Uri": "s3://bucket/o"}}
    output["S3Output"]["S3UploadMode"] = "EndOfJob"
    outcome = process(
        image_bench,
        "import os, json; from pathlib import Path; Path('/opt/ml/processing/o/x').write_text('here'); "
        "print(json.dumps([os.environ['A'], open('/etc/hosts').read().split()[:2], "
        "Path('/opt/ml/config/resourceconfig.json').exists(), os.path.exists('/work'), os.environ['AWS_REGION']]))",
        Environment={"A": "b c"},
        outputs=[output],
    )
    assert (outcome.status.value, outcome.failure_reason) == ("Completed", None), image_bench.log()
    assert json.loads(image_bench.log()) == ["b c", ["127.0.0.1", "localhost"], True, False, "us-east-1"]
    assert image_bench.store.read("bucket", "o/x") == b"here"


def test_a_job_in_a_real_image_without_network_has_none(image_bench: Any) -> None:
    script = "import socket; print([name for _, name in socket.if_nameindex()])"
    outcome = process(image_bench, script, NetworkConfig={"EnableNetworkIsolation": True})
    assert (outcome.status.value, image_bench.log().strip()) == ("Completed", "['lo']")


def test_a_job_in_a_real_image_fails_with_its_own_words(image_bench: Any) -> None:
    outcome = process(image_bench, "import sys; sys.exit('broken on purpose')")
    assert outcome.status.value == "Failed"
    assert "broken on purpose" in image_bench.log()


def test_a_job_in_a_real_image_is_asked_to_stop(image_bench: Any) -> None:
    script = (
        "import signal, sys, time; from pathlib import Path; "
        "signal.signal(signal.SIGTERM, lambda *_: (print('asked'), sys.exit(0))); "
        "print('up', flush=True)\nwhile True: time.sleep(0.01)"
    )
    log = image_bench.site.jobs / "job" / "log"
    stopper = threading.Thread(target=lambda: (_await_text(log, "up"), image_bench.stop.set()))
    stopper.start()
    outcome = process(image_bench, script)
    stopper.join()
    assert (outcome.status.value, image_bench.log().split()) == ("Stopped", ["up", "asked"])


def _await_text(path: Path, text: str) -> None:
    pause = threading.Event()
    while not path.exists() or text not in path.read_text():
        pause.wait(0.01)
