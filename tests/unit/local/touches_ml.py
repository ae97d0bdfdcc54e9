"""The ways a job touches /opt/ml; prints one line per way, ``ok``, ``absent`` (library not installed) or ``FAIL``."""

# Every way counts here, not only the recommended ones.
# ruff: noqa: ANN001, ANN201, PTH103, PTH110, PTH112, PTH123, PTH202, PTH207, PLC0415, S602, S605, T201
import glob
import importlib.util
import logging
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import traceback
import zipfile

import joblib
import numpy as np
import pandas as pd

BASE = "/opt/ml/model"
FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})


def way(name, action, needs=()):
    if any(importlib.util.find_spec(module) is None for module in needs):
        print(name, "absent")
        return
    try:
        done = action()
        print(name, "ok" if done is not False else "FAIL")
    except BaseException:
        print(name, "FAIL")
        traceback.print_exc()


def opened():
    with open(BASE + "/opened.txt", "w") as file:
        file.write("x")
    with open(BASE + "/opened.txt") as file:
        return file.read() == "x"


def imported():
    pathlib.Path(BASE, "module_x.py").write_text("X = 1\n")
    sys.path.insert(0, BASE)
    return __import__("module_x").X == 1


def trained_by_xgboost():
    import xgboost

    data = xgboost.DMatrix(np.random.rand(20, 2), label=np.ones(20))
    xgboost.train({"objective": "reg:squarederror"}, data, 2).save_model(BASE + "/x.json")


def read_by_xgboost():
    import xgboost

    pathlib.Path(BASE, "l.csv").write_text("1,2\n0,3\n")
    xgboost.DMatrix(BASE + "/l.csv?format=csv")


def zipped():
    with zipfile.ZipFile(BASE + "/z.zip", "w") as archive:
        archive.writestr("a", "a")
    return zipfile.is_zipfile(BASE + "/z.zip")


def tarred():
    with tarfile.open(BASE + "/t.tar.gz", "w:gz") as archive:
        archive.add(BASE + "/opened.txt")
    return tarfile.is_tarfile(BASE + "/t.tar.gz")


def logged():
    handler = logging.FileHandler(BASE + "/l.log")
    logging.getLogger().addHandler(handler)
    logging.getLogger().warning("hello")
    handler.close()
    return os.path.getsize(BASE + "/l.log") > 0


def in_memory_map():
    mapped = np.memmap(BASE + "/m.dat", mode="w+", shape=(3,), dtype="f4")
    mapped[:] = 1
    mapped.flush()
    return os.path.getsize(BASE + "/m.dat") == 12


def in_sqlite():
    connection = sqlite3.connect(BASE + "/s.db")
    connection.execute("create table t (x)")
    connection.commit()
    connection.close()
    return os.path.getsize(BASE + "/s.db") > 0


way("open", opened)
way("os.makedirs", lambda: os.makedirs(BASE + "/d/e") or os.path.isdir(BASE + "/d/e"))
way("pathlib", lambda: pathlib.Path(BASE, "p.txt").write_text("x") and pathlib.Path(BASE, "p.txt").read_text() == "x")
way("pathlib-glob", lambda: bool(list(pathlib.Path(BASE).glob("*.txt"))))
way("os.walk", lambda: len(list(os.walk(BASE))) > 1)
way("glob", lambda: bool(glob.glob(BASE + "/*")))
way("os.path.exists", lambda: os.path.exists(BASE + "/p.txt"))
way("pandas-csv", lambda: FRAME.to_csv(BASE + "/a.csv") or len(pd.read_csv(BASE + "/a.csv")) == 2)
way("numpy-save", lambda: np.save(BASE + "/a.npy", np.ones(3)) or np.load(BASE + "/a.npy").sum() == 3)
way("numpy-memmap", in_memory_map)
way("joblib", lambda: joblib.dump({1: 2}, BASE + "/j.joblib") and joblib.load(BASE + "/j.joblib") == {1: 2})
way("tarfile", tarred)
way("zipfile", zipped)
way("copytree", lambda: shutil.copytree(BASE + "/d", BASE + "/d2") and os.path.isdir(BASE + "/d2/e"))
way("tempfile", lambda: tempfile.NamedTemporaryFile(dir=BASE).close())
way("logging", logged)
way("subprocess-argv", lambda: b"p.txt" in subprocess.check_output(["ls", BASE]))
way("subprocess-shell", lambda: b"p.txt" in subprocess.check_output(f"ls {BASE}/*.txt", shell=True))
way("os.system", lambda: os.system(f"echo s > {BASE}/system.txt") == 0 and os.path.exists(BASE + "/system.txt"))
way("sqlite", in_sqlite)
way("import", imported)
way(
    "parquet",
    lambda: FRAME.to_parquet(BASE + "/a.parquet") or len(pd.read_parquet(BASE + "/a.parquet")) == 2,
    needs=("pyarrow",),
)
way("xgboost-save", trained_by_xgboost, needs=("xgboost",))
way("xgboost-read", read_by_xgboost, needs=("xgboost",))
