"""A processing job under the container contract."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_sm.local.isolation.linux import NamespaceIsolation
from mlops_sm.local.jobs import JobStatus, log_path
from mlops_sm.local.site import Site

OUT = "/opt/ml/processing/output"


def output(
    uri: str = "s3://bucket/out", local_path: str = OUT, mode: str = "EndOfJob", **members: Any
) -> dict[str, Any]:
    destination = {"S3Uri": uri, "LocalPath": local_path, "S3UploadMode": mode}
    return {"OutputName": "out", "S3Output": destination, **members}


def test_a_job_reads_its_inputs_and_leaves_its_outputs(either_bench: Any, store: Any, make_input: Any) -> None:
    store.put("s3://bucket/data/a.csv", "1,2\n")
    store.put("s3://bucket/data/more/b.csv", "3,4\n")
    script = f"""
import os, pandas, sys
from pathlib import Path
total = sum(pandas.read_csv(p, header=None).sum().sum() for p in Path("/opt/ml/processing/data").rglob("*.csv"))
Path("{OUT}/nested").mkdir()
Path("{OUT}/nested/total.txt").write_text(str(total))
os.symlink("/etc/passwd", "{OUT}/link")
os.symlink("{OUT}/nested", "{OUT}/linked-folder")
os.mkfifo("{OUT}/pipe")
print(sys.argv[1:], os.environ["MARK"])
"""
    outcome = either_bench.process(
        script,
        inputs=[make_input("data", "s3://bucket/data", "/opt/ml/processing/data")],
        outputs=[output()],
        arguments=["--rate", "0.2"],
        Environment={"MARK": "seen"},
    )
    assert (outcome.status, outcome.failure_reason, outcome.exit_code) == (JobStatus.COMPLETED, None, 0)
    assert store.get("s3://bucket/out/nested/total.txt") == b"10"
    assert [key for key in store.keys("bucket") if key.startswith("out/")] == ["out/nested/total.txt"]
    assert either_bench.log() == "['--rate', '0.2'] seen\n"
    assert [status for status, _ in either_bench.statuses] == ["Downloading", "Processing", "Uploading", "Completed"]
    assert outcome.started <= outcome.ended
    assert [path.name for path in (either_bench.site.jobs / "job").iterdir()] == ["log"]


def test_a_job_finds_its_configuration(bench: Any) -> None:
    outcome = bench.process(
        "import json; print(json.dumps([json.load(open(f'/opt/ml/config/{n}.json')) for n in "
        "('processingjobconfig', 'resourceconfig')]))",
        Environment={"A": "b"},
    )
    assert outcome.status is JobStatus.COMPLETED
    job, resources = json.loads(bench.log())
    assert job["ProcessingJobName"] == "job"
    assert job["ProcessingJobArn"].endswith(":job/job")
    assert job["Environment"] == {"A": "b"}
    assert resources == {"current_host": "algo-1", "hosts": ["algo-1"]}


def test_a_single_object_keeps_its_name(bench: Any, store: Any, make_input: Any) -> None:
    store.put("s3://bucket/deep/model.tar.gz", "model")
    store.put("s3://bucket/deep/model.tar.gz.sha", "digest")
    outcome = bench.process(
        "import os; print(sorted(os.listdir('/opt/ml/processing/model')))",
        inputs=[make_input("model", "s3://bucket/deep/model.tar.gz", "/opt/ml/processing/model")],
    )
    assert outcome.status is JobStatus.COMPLETED
    assert bench.log() == "['model.tar.gz', 'model.tar.gz.sha']\n"


@pytest.mark.parametrize("uri", ["s3://bucket/nothing/here", "s3://bucket/code/script.pyc"])
def test_an_input_without_objects_fails_the_job(bench: Any, make_input: Any, uri: str) -> None:
    outcome = bench.process("print('never')", inputs=[make_input("data", uri, "/opt/ml/processing/data")])
    assert outcome.status is JobStatus.FAILED
    assert outcome.exit_code is None
    assert outcome.failure_reason.startswith(
        f'ClientError: Data download failed: No S3 objects found under S3 URL "{uri}" given in input data source.'
    )
    assert "in the selected region (us-east-1)" in outcome.failure_reason
    assert bench.log() == ""


def test_a_missing_bucket_fails_the_job(bench: Any, make_input: Any) -> None:
    outcome = bench.process("", inputs=[make_input("data", "s3://no-such/data", "/opt/ml/processing/data")])
    assert outcome.failure_reason == (
        "ClientError: Data download failed: NoSuchBucket: The specified bucket does not exist"
    )
    outcome = bench.process("", outputs=[output("s3://no-such/data")])
    assert outcome.failure_reason is None, "an empty output needs no bucket"
    outcome = bench.process(f"open('{OUT}/a', 'w')", outputs=[output("s3://no-such/data")])
    assert outcome.status is JobStatus.FAILED
    assert outcome.failure_reason.startswith("ClientError: Artifact upload failed: NoSuchBucket")


@pytest.mark.parametrize("path", ["/data", "/opt/ml/processing/../model", "/opt/ml/model", "relative"])
def test_local_paths_stay_below_the_processing_folder(bench: Any, make_input: Any, path: str) -> None:
    reason = f"ClientError: LocalPath {path} must be a folder in /opt/ml/processing/"
    assert bench.process("", inputs=[make_input("data", "s3://bucket/code", path)]).failure_reason == reason
    assert bench.process("", outputs=[output(local_path=path)]).failure_reason == reason


def test_data_needs_a_local_path(bench: Any) -> None:
    source = {"InputName": "data", "S3Input": {"S3Uri": "s3://bucket/code", "S3DataType": "S3Prefix"}}
    reason = "ClientError: s3://bucket/code has no LocalPath; only app-managed data may lack it"
    assert bench.process("", inputs=[source]).failure_reason == reason


def test_app_managed_data_is_left_to_the_container(bench: Any, store: Any) -> None:
    managed = {"InputName": "query", "AppManaged": True, "DatasetDefinition": {"LocalPath": "/x"}}
    script = "import os; print(os.path.exists('/opt/ml/processing/output'))"
    outcome = bench.process(script, inputs=[managed], outputs=[output("s3://no-such/x", AppManaged=True)])
    assert outcome.status is JobStatus.COMPLETED
    assert bench.log() == "False\n"


_UNTIL_SEEN = f"""
import os, sys, time
open('{OUT}/a', 'w').write('x')
give_up = time.monotonic() + 60
while not os.path.exists('/opt/ml/processing/sign') and time.monotonic() < give_up:
    time.sleep(0.05)
open('{OUT}/b', 'w').write(str(os.path.exists('/opt/ml/processing/sign')))
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize(("code", "status"), [("0", JobStatus.COMPLETED), ("1", JobStatus.FAILED)])
def test_continuous_outputs_are_uploaded_while_the_job_runs_and_however_it_ends(
    watching: Any, code: str, status: JobStatus
) -> None:
    bench, store = watching("out/a", "processing/sign")
    outcome = bench.process(_UNTIL_SEEN, arguments=[code], outputs=[output(mode="Continuous")])
    assert outcome.status is status
    assert store.get("s3://bucket/out/a") == b"x"
    assert store.get("s3://bucket/out/b") == b"True", "the job saw its first output in S3"


def test_continuous_outputs_of_a_job_that_fails_do_not_hide_why(bench: Any) -> None:
    script = f"import sys\nopen('{OUT}/a', 'w')\nsys.exit(3)"
    outcome = bench.process(script, outputs=[output("s3://no-such/data", mode="Continuous")])
    assert outcome.failure_reason == "AlgorithmError: See job logs for more information, exit code: 3"
    outcome = bench.process(f"open('{OUT}/a', 'w')", outputs=[output("s3://no-such/data", mode="Continuous")])
    assert outcome.failure_reason.startswith("ClientError: Artifact upload failed: NoSuchBucket")


def test_a_job_that_exits_3(either_bench: Any, store: Any) -> None:
    outcome = either_bench.process(f"import sys\nopen('{OUT}/a', 'w')\nsys.exit(3)", outputs=[output()])
    assert outcome.status is JobStatus.FAILED
    assert outcome.exit_code == 3
    assert outcome.failure_reason == "AlgorithmError: See job logs for more information, exit code: 3"
    assert "out/a" not in store.keys("bucket")
    assert either_bench.statuses[-1] == ("Failed", outcome.failure_reason)


def test_what_a_job_writes_to_the_message_file_is_its_exit_message(bench: Any) -> None:
    script = "import sys\nopen('/opt/ml/output/message', 'w').write('m' * 2000)\nsys.exit(int(sys.argv[1]))"
    good = bench.process(script, arguments=["0"])
    assert good.status is JobStatus.COMPLETED
    assert good.exit_message == "m" * 1024
    bad = bench.process(script, arguments=["4"])
    assert bad.exit_message == "m" * 1024
    assert bad.failure_reason.startswith("AlgorithmError: mmm")
    assert bad.failure_reason.endswith("mmm, exit code: 4")
    assert len(bad.failure_reason) == 1024


def test_a_job_that_is_killed(either_bench: Any) -> None:
    outcome = either_bench.process("import os, pandas, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    assert (outcome.status, outcome.exit_code) == (JobStatus.FAILED, 137)
    assert outcome.failure_reason.endswith("exit code: 137")


def test_a_job_whose_supervisor_is_killed_fails_as_an_internal_error(either_bench: Any) -> None:
    outcome = either_bench.process("import os, pandas, signal\nos.kill(os.getppid(), signal.SIGKILL)\nsignal.pause()")
    assert outcome.status is JobStatus.FAILED
    assert outcome.failure_reason.startswith("InternalServerError: the process that watched the job was killed")


def test_ten_megabytes_of_binary_log_are_kept_as_they_are(either_bench: Any) -> None:
    script = """
import os, pandas, sys
block = bytes(range(256)) * 256
for _ in range(160):
    sys.stdout.buffer.write(block)
os.write(2, b"the end")
"""
    outcome = either_bench.process(script)
    assert outcome.status is JobStatus.COMPLETED
    log = log_path(either_bench.site.jobs, "job").read_bytes()
    assert len(log) == 160 * 65536 + 7
    assert log[:65536] == bytes(range(256)) * 256
    assert log.endswith(b"the end")


def test_a_stop_ends_everything(either_bench: Any) -> None:
    script = """
import pandas, signal, subprocess
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
print("pids", child.pid, flush=True)
signal.pause()
"""
    done: dict[str, Any] = {}
    thread = threading.Thread(target=lambda: done.update(outcome=either_bench.process(script)))
    thread.start()
    pids = await_log(either_bench.site, "pids").split()
    either_bench.stop.set()
    thread.join(60)
    assert done["outcome"].status is JobStatus.STOPPED
    assert done["outcome"].failure_reason is None
    assert done["outcome"].exit_code == 143
    assert not Path(f"/proc/{pids[1]}").exists()


def test_a_job_that_ignores_sigterm_is_killed_after_the_grace_time(bench: Any) -> None:
    bench.site = replace(bench.site, grace_seconds=0.3)
    script = """
import signal
signal.signal(signal.SIGTERM, lambda *_: print("no", flush=True))
print("ready", flush=True)
while True:
    signal.pause()
"""
    done: dict[str, Any] = {}
    thread = threading.Thread(target=lambda: done.update(outcome=bench.process(script)))
    thread.start()
    await_log(bench.site, "ready")
    bench.stop.set()
    thread.join(60)
    assert (done["outcome"].status, done["outcome"].exit_code) == (JobStatus.STOPPED, 137)
    assert bench.log() == "ready\nno\n"


def test_a_job_that_is_stopped_before_it_starts_never_starts(bench: Any) -> None:
    bench.stop.set()
    outcome = bench.process("print('never')")
    assert (outcome.status, outcome.exit_code, bench.log()) == (JobStatus.STOPPED, None, "")


def test_the_runtime_limit_stops_a_job(bench: Any, store: Any) -> None:
    outcome = bench.process(
        f"import signal\nopen('{OUT}/a', 'w')\nsignal.pause()",
        StoppingCondition={"MaxRuntimeInSeconds": 1},
        outputs=[output()],
    )
    assert (outcome.status, outcome.secondary_status) == (JobStatus.STOPPED, "MaxRuntimeExceeded")
    assert "out/a" not in store.keys("bucket")


def test_a_shell_command_runs(bench: Any) -> None:
    outcome = bench.process(
        "print('hi')", command=("/bin/bash", "-c", "python3 /opt/ml/processing/input/code/*.py | tr a-z A-Z")
    )
    assert outcome.status is JobStatus.COMPLETED
    assert bench.log() == "HI\n"


def test_network_isolation_of_the_request_is_kept(bench: Any) -> None:
    outcome = bench.process(
        "import socket; print([n for _, n in socket.if_nameindex()])", NetworkConfig={"EnableNetworkIsolation": True}
    )
    assert outcome.status is JobStatus.COMPLETED
    assert bench.log() == "['lo']\n"


@pytest.mark.parametrize(
    ("application", "words"),
    [
        ({"ImageUri": "mine:1", "ContainerEntrypoint": ["true"]}, 'image "mine:1" stands for nothing'),
        ({"ImageUri": "python:3.12"}, "no ContainerEntrypoint"),
    ],
)
def test_what_cannot_run_fails_with_a_reason(bench: Any, application: dict[str, Any], words: str) -> None:
    outcome = bench.process("", AppSpecification=application)
    assert outcome.status is JobStatus.FAILED
    assert outcome.failure_reason.startswith("ClientError: ")
    assert words in outcome.failure_reason


def test_where_no_isolation_works_the_job_fails_and_nothing_is_written(either_bench: Any) -> None:
    either_bench.site = replace(either_bench.site, isolation=NamespaceIsolation(platform="darwin"))
    outcome = either_bench.process("import pandas\nopen('/opt/ml/x', 'w')")
    assert outcome.status is JobStatus.FAILED
    assert "[E401]" in outcome.failure_reason
    assert not Path("/opt/ml").exists() or not Path("/opt/ml/x").exists()


def test_what_a_job_makes_unreadable_is_removed(bench: Any) -> None:
    outcome = bench.process("import os\nos.makedirs('/opt/ml/closed/inner')\nos.chmod('/opt/ml/closed', 0)")
    assert outcome.status is JobStatus.COMPLETED
    assert [path.name for path in (bench.site.jobs / "job").iterdir()] == ["log"]


def test_a_kept_job_keeps_its_folder(bench: Any) -> None:
    bench.site = replace(bench.site, keep=True)
    bench.process("open('/opt/ml/kept', 'w').write('x')")
    assert (bench.site.jobs / "job/ml/kept").read_text() == "x"


def test_a_name_that_is_used_again_starts_clean(bench: Any) -> None:
    bench.site = replace(bench.site, keep=True)
    bench.process("open('/opt/ml/old', 'w'); print('old')")
    bench.process("import os; print(os.path.exists('/opt/ml/old'))")
    assert bench.log() == "False\n"


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 3 MB."""
    if os.geteuid() != 0:
        pytest.skip("A FULL DISK IS NOT TESTED HERE: mounting a small one takes root")
    folder = Path(tempfile.mkdtemp(prefix="small-disk-"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], check=False)
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip("A FULL DISK IS NOT TESTED HERE: this machine allows no mounts")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
    folder.rmdir()


def on_disk(bench: Any, disk: Path) -> Site:
    bench.site = replace(bench.site, jobs=disk / "jobs")
    return bench.site


def test_a_log_that_fills_the_disk_fails_the_job(bench: Any, small_disk: Path) -> None:
    on_disk(bench, small_disk)
    outcome = bench.process("while True:\n    print('x' * 1000)\n")
    assert outcome.status is JobStatus.FAILED
    assert "No space left on device" in outcome.failure_reason
    assert "log is incomplete" in outcome.failure_reason


def test_a_job_that_fills_the_disk_says_so(bench: Any, small_disk: Path) -> None:
    on_disk(bench, small_disk)
    outcome = bench.process("with open('/opt/ml/big', 'wb') as f:\n    while True:\n        f.write(bytes(65536))\n")
    assert outcome.status is JobStatus.FAILED
    assert "No space left on device" in outcome.failure_reason
    assert str(small_disk) in outcome.failure_reason


def test_an_input_that_fills_the_disk_fails_the_job(
    bench: Any, small_disk: Path, store: Any, make_input: Callable[..., Any]
) -> None:
    on_disk(bench, small_disk)
    store.put("s3://bucket/big", bytes(4 << 20))
    outcome = bench.process("", inputs=[make_input("big", "s3://bucket/big", "/opt/ml/processing/big")])
    assert outcome.failure_reason.startswith("ClientError: Data download failed: No space left on device")
    assert shutil.disk_usage(small_disk).used < 1 << 20, "the failed job is to leave no data behind"


def await_log(site: Site, word: str) -> str:
    """The first whole line of the job's log that starts with a word; waits for it (a job writes a line in pieces)."""
    never = threading.Event()
    for _ in range(3000):
        try:
            lines = log_path(site.jobs, "job").read_text().splitlines(keepends=True)
        except FileNotFoundError:
            lines = []
        for line in lines:
            if line.startswith(word) and line.endswith("\n"):
                return line.rstrip("\n")
        never.wait(0.01)
    raise AssertionError(f"the job never wrote {word!r}")
