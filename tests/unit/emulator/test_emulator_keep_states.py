"""States of an earlier version are migrated; damaged, foreign, read-only and full ones are refused and left alone."""

from __future__ import annotations

import os
import pickle
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mlops_sm.emulator import LocalAccount
from mlops_sm.emulator.database import Database
from mlops_sm.errors import RefusedError

Open = Callable[..., Any]

VERSION_1 = """
CREATE TABLE entities (
  account TEXT NOT NULL, region TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
  parent TEXT NOT NULL, arn TEXT NOT NULL, status TEXT NOT NULL,
  created REAL NOT NULL, modified REAL NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (account, region, kind, name)
);
CREATE UNIQUE INDEX entities_arn ON entities (arn);
CREATE INDEX entities_created ON entities (account, region, kind, parent, created, name);
CREATE INDEX entities_status ON entities (kind, status);
CREATE TABLE steps (
  execution TEXT NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (execution, position)
) WITHOUT ROWID;
CREATE TABLE tags (
  arn TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (arn, key)
);
CREATE TABLE tokens (
  account TEXT NOT NULL, region TEXT NOT NULL, operation TEXT NOT NULL, token TEXT NOT NULL,
  request TEXT NOT NULL, answer TEXT NOT NULL,
  PRIMARY KEY (account, region, operation, token)
) WITHOUT ROWID;
CREATE TABLE buckets (
  account TEXT NOT NULL, partition TEXT NOT NULL, name TEXT NOT NULL PRIMARY KEY, state BLOB NOT NULL
);
CREATE TABLE objects (
  bucket TEXT NOT NULL, key TEXT NOT NULL, contents TEXT NOT NULL, state BLOB NOT NULL,
  PRIMARY KEY (bucket, key)
);
CREATE TABLE uploads (
  bucket TEXT NOT NULL, id TEXT NOT NULL, state BLOB NOT NULL,
  PRIMARY KEY (bucket, id)
);
CREATE TABLE parts (
  bucket TEXT NOT NULL, upload TEXT NOT NULL, number INTEGER NOT NULL, contents TEXT NOT NULL, state BLOB NOT NULL,
  PRIMARY KEY (bucket, upload, number)
);
PRAGMA application_id = 1835823981;
PRAGMA user_version = 1;
"""
"""The schema of the first release, with what it wrote into the file's header."""
TABLES = ("entities", "steps", "tags", "tokens", "buckets", "objects", "uploads", "parts")


def bytes_of(state: Path) -> bytes:
    return (state / "account.db").read_bytes()


def as_version_1(state: Path) -> None:
    """Turn a state into what the first release would have written."""
    now, then = state / "account.db", state / "version1.db"
    with sqlite3.connect(then) as database:
        database.executescript(VERSION_1)
        database.execute("ATTACH ? AS now", (str(now),))
        for table in TABLES:
            database.execute(f"INSERT INTO {table} SELECT * FROM now.{table}")  # noqa: S608 - names of this module
    database.close()
    then.rename(now)


def schema(state: Path) -> set[str]:
    with sqlite3.connect(state / "account.db") as database:
        found = {sql for (sql,) in database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    database.close()
    return found


def test_a_state_of_the_first_version_becomes_one_of_this(open_account: Open, state: Path, tmp_path: Path) -> None:
    account = open_account()
    account.put("k", b"content")
    account.sagemaker.create_model_package_group(ModelPackageGroupName="g", Tags=[{"Key": "a", "Value": "b"}])
    upload = account.s3.create_multipart_upload(Bucket=account.bucket, Key="u")["UploadId"]
    account.s3.upload_part(Bucket=account.bucket, Key="u", UploadId=upload, PartNumber=1, Body=b"part")
    account.local.close()
    as_version_1(state)
    account = open_account()
    assert account.body("k") == b"content"
    arn = account.sagemaker.describe_model_package_group(ModelPackageGroupName="g")["ModelPackageGroupArn"]
    assert account.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    assert account.s3.list_parts(Bucket=account.bucket, Key="u", UploadId=upload)["Parts"][0]["Size"] == 4
    account.client("sqs").create_queue(QueueName="new")
    account.local.close()
    fresh = tmp_path / "fresh"
    LocalAccount.open(fresh).close()
    assert schema(state) == schema(fresh)
    assert len(open_account().client("sqs").list_queues()["QueueUrls"]) == 1


@pytest.mark.parametrize("version", [0, 99])
def test_a_version_that_nobody_knows_is_refused(open_account: Open, state: Path, version: int) -> None:
    open_account().local.close()
    with sqlite3.connect(state / "account.db") as database:
        database.execute(f"PRAGMA user_version = {version}")
    database.close()
    before = bytes_of(state)
    with pytest.raises(RefusedError, match=rf"E543[\s\S]*schema {version}"):
        LocalAccount.open(state)
    assert bytes_of(state) == before


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def zeroed(content: bytes) -> bytes:
    return content[:4096] + bytes(len(content) - 4096)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (half, "E542"),
        (zeroed, "E542"),
        (lambda _: b"this is no database, but a text that is long enough to be taken for one" * 20, "E542"),
        (lambda content: b"\0" * len(content), "E542"),
    ],
    ids=["truncated", "zeroed", "text", "nothing but zeros"],
)
def test_a_damaged_database_is_refused_and_kept(
    open_account: Open, state: Path, damage: Callable[[bytes], bytes], code: str
) -> None:
    account = open_account()
    for number in range(50):
        account.sagemaker.create_model_package_group(ModelPackageGroupName=f"g{number}")
    account.local.close()
    damaged = damage(bytes_of(state))
    (state / "account.db").write_bytes(damaged)
    with pytest.raises(RefusedError, match=rf"{code}[\s\S]*left as it is[\s\S]*mv "):
        LocalAccount.open(state)
    assert bytes_of(state) == damaged


def test_damage_that_shows_only_when_it_is_read(open_account: Open, state: Path) -> None:
    """The slices of a queue that its state names, but that are something else."""
    account = open_account()
    url = account.client("sqs").create_queue(QueueName="q")["QueueUrl"]
    account.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    account.local.close()
    with sqlite3.connect(state / "account.db") as database:
        database.execute("UPDATE slices SET state = x'00'")
    database.close()
    account = open_account()
    with pytest.raises(account.client("sqs").exceptions.ClientError, match="E550"):
        account.client("sqs").send_message(QueueUrl=url, MessageBody="y")
    account.local.close()
    with sqlite3.connect(state / "account.db") as database:
        assert {row for (row,) in database.execute("SELECT hex(state) FROM slices")} == {"00"}
    database.close()


def called(module: str, name: str, *arguments: str) -> bytes:
    """A pickle whose reader calls what a module has under a name, which may lead on into what it imports."""
    texts = [b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name, *arguments)]
    return b"\x80\x04" + texts[0] + texts[1] + pickle.STACK_GLOBAL + pickle.MARK + b"".join(texts[2:]) + b"tR."


@pytest.mark.parametrize(
    ("table", "module", "name", "mode"),
    [
        ("objects", "moto.s3.models", "os.mkdir", ()),
        ("objects", "moto.s3.models", "codecs.open", ("w",)),
        ("backends", "moto.awslambda.models", "zipfile.ZipFile", ("w",)),
    ],
)
def test_a_state_runs_nothing_that_it_brings_along(
    open_account: Open, state: Path, tmp_path: Path, *, table: str, module: str, name: str, mode: tuple[str, ...]
) -> None:
    account = open_account()
    account.put("k", b"content")
    url = account.client("sqs").create_queue(QueueName="q")["QueueUrl"]
    account.local.close()
    made = tmp_path / "made"
    with sqlite3.connect(state / "account.db") as database:
        database.execute(f"UPDATE {table} SET state = ?", (called(module, name, str(made), *mode),))  # noqa: S608 - a name of this test's
    database.close()
    with pytest.raises((RefusedError, ClientError), match=rf"E5\d+[\s\S]*{name} does not belong"):
        account = open_account()
        account.body("k")
        account.client("sqs").send_message(QueueUrl=url, MessageBody="y")
    assert not made.exists()


READ_ONLY = """
import os, sys
from pathlib import Path
from mlops_sm.emulator import LocalAccount
from mlops_sm.errors import RefusedError
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    LocalAccount.open(Path(sys.argv[1]))
except RefusedError as error:
    print(error)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody who may not write")
@pytest.mark.parametrize("what", ["folder", "database"])
def test_a_state_that_may_not_be_written(tmp_path: Path, what: str) -> None:
    state = Path("/tmp") / f"read-only-{os.getpid()}-{what}"  # noqa: S108 - pytest's own folders are closed to others
    LocalAccount.open(state).close()
    try:
        if what == "database":
            for path in (state, state / "lock", state / "objects"):
                if path.exists():
                    path.chmod(0o777)
        run = subprocess.run(
            [sys.executable, "-c", READ_ONLY, str(state)], capture_output=True, text=True, check=True, cwd="/"
        )
        assert "E541" in run.stdout
        assert "--state" in run.stdout
    finally:
        subprocess.run(["rm", "-r", str(state)], check=True)


FULL = """
import resource, signal, sys
from pathlib import Path
from botocore.exceptions import ClientError
from mlops_sm.emulator import LocalAccount

account = LocalAccount.open(Path(sys.argv[1]))
sqs, iam = account.client("sqs"), account.client("iam")
url = sqs.create_queue(QueueName="q")["QueueUrl"]
sqs.send_message(QueueUrl=url, MessageBody="before")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
free = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, free[1]))
sent = 1
try:
    while True:
        sqs.send_message(QueueUrl=url, MessageBody="x" * 50_000)
        sent += 1
except ClientError as error:
    print(error.response["Error"]["Code"])
resource.setrlimit(resource.RLIMIT_FSIZE, free)
sqs.send_message(QueueUrl=url, MessageBody="room again")
print(sent + 1)
account.close()
"""


def test_a_full_disk_refuses_and_the_account_goes_on(open_account: Open, state: Path) -> None:
    """A limit on the size of files stands for the full disk: SQLite's log cannot grow."""
    run = subprocess.run([sys.executable, "-c", FULL, str(state)], capture_output=True, text=True, check=True)
    refused, sent = run.stdout.split()
    assert refused == "InsufficientStorage"
    sqs = open_account().client("sqs")
    url = sqs.get_queue_url(QueueName="q")["QueueUrl"]
    held = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert held["ApproximateNumberOfMessages"] == sent


# ---------------------------------------------------------------- readers


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "account.db")
    opened.execute("INSERT INTO tags (arn, key, value) VALUES ('a', 'k', 'before')")
    yield opened
    opened.close()


def value(database: Database) -> str:
    ((found,),) = database.query("SELECT value FROM tags WHERE arn='a'")
    return str(found)


def test_a_reader_does_not_wait_for_a_writer(database: Database) -> None:
    """Whoever writes reads what he has written; everybody else what was committed."""
    seen: list[str] = []
    with database.transaction():
        database.execute("UPDATE tags SET value='after'")
        reader = threading.Thread(target=lambda: seen.append(value(database)))
        reader.start()
        # Not in vain: a reader that waited for this transaction would wait for ever.
        reader.join(timeout=60)
        assert seen == ["before"]
        assert value(database) == "after"
    assert value(database) == "after"


def test_what_is_rolled_back_was_never_there(database: Database) -> None:
    with pytest.raises(KeyError), database.transaction():
        database.execute("UPDATE tags SET value='after'")
        raise KeyError
    assert value(database) == "before"


def test_readers_leave_no_log_behind(tmp_path: Path) -> None:
    """A log that is there tells the next owner that this one crashed."""
    opened = Database(tmp_path / "account.db")
    threads = [threading.Thread(target=opened.query, args=("SELECT * FROM tags",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    opened.execute("INSERT INTO tags (arn, key, value) VALUES ('a', 'k', 'v')")
    opened.close()
    assert [path.name for path in tmp_path.iterdir()] == ["account.db"]
    with pytest.raises(sqlite3.ProgrammingError):
        opened.query("SELECT 1")
