"""One model per segment through the real command: as many segments as the split finds, each with outputs of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import mlops

BUILD = """
from sagemaker.mlops.workflow.pipeline import Pipeline

from mlops_sm.builders import Context, framework_image, model_per_segment


def pipeline(ctx: Context) -> Pipeline:
    steps = model_per_segment(
        ctx,
        "Regions",
        image=framework_image(ctx, "sklearn", "1.2-1"),
        data=ctx.asset("data/sales.csv"),
        split="jobs/split.py",
        code="jobs/training",
        entry_point="train.py",
        evaluate="jobs/evaluate.py",
        collect="jobs/collect.py",
        model="sales",
        hyperparameters={"scale": 2},
        max_concurrency=2,
    )
    return Pipeline(name=ctx.pipeline_name, steps=steps, sagemaker_session=ctx.session)
"""
SPLIT = """
import csv, json, pathlib

source = next(pathlib.Path("/opt/ml/processing/input/data").glob("*.csv"))
found = {}
for region, value in csv.reader(source.open()):
    found.setdefault(region, []).append(value)
for region, values in found.items():
    for part in ("train", "test"):
        folder = pathlib.Path("/opt/ml/processing/output", part, region)
        folder.mkdir(parents=True)
        (folder / "values.csv").write_text("\\n".join(values))
listed = pathlib.Path("/opt/ml/processing/output/segments/segments.json")
listed.write_text(json.dumps({"segments": json.dumps(sorted(found))}))
"""
TRAIN = """
import argparse, json, pathlib

parser = argparse.ArgumentParser()
parser.add_argument("--scale", type=float)
scale = parser.parse_args().scale
files = list(pathlib.Path("/opt/ml/input/data/train").rglob("*.csv"))
values = [float(line) for file in files for line in file.read_text().split()]
model = {"files": len(files), "mean": scale * sum(values) / len(values)}
pathlib.Path("/opt/ml/model/model.json").write_text(json.dumps(model))
"""
EVALUATE = """
import json, pathlib, tarfile

archive = next(pathlib.Path("/opt/ml/processing/input/model").glob("*.tar.gz"))
model = json.load(tarfile.open(archive).extractfile("model.json"))
values = pathlib.Path("/opt/ml/processing/input/test/values.csv").read_text().split()
report = {"regression_metrics": {"mean": {"value": model["mean"]}, "files": {"value": model["files"]}}}
pathlib.Path("/opt/ml/processing/output/evaluation/evaluation.json").write_text(json.dumps(report))
"""
COLLECT = """
import json, pathlib

reports = sorted(pathlib.Path("/opt/ml/processing/input/reports").glob("*/evaluation/evaluation.json"))
means = {path.parts[-3]: json.loads(path.read_text())["regression_metrics"]["mean"]["value"] for path in reports}
pathlib.Path("/opt/ml/processing/output/report/means.json").write_text(json.dumps(means))
print("means", json.dumps(means))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "pyproject.toml": '[tool.mlops_sm]\nname = "shop"\n',
        "pipelines/__init__.py": "",
        "pipelines/shop/__init__.py": "",
        "pipelines/shop/build.py": BUILD,
        # One region's name begins like another's: a prefix must not find both.
        "pipelines/shop/data/sales.csv": "north,1\nnorth-east,10\nnorth,3\nsouth,5\n",
        "pipelines/shop/jobs/split.py": SPLIT,
        "pipelines/shop/jobs/training/train.py": TRAIN,
        "pipelines/shop/jobs/evaluate.py": EVALUATE,
        "pipelines/shop/jobs/collect.py": COLLECT,
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path


def steps(project: Path) -> dict[str, str]:
    run = json.loads(mlops(project, "run", "shop.build", "--json").stdout)
    return {step["name"]: step["status"] for step in run["steps"]}


@pytest.mark.sdk
def test_each_segment_has_its_own_model_and_report(project: Path) -> None:
    iterations = {f"Regions{step}-{index}" for step in ("Train", "Evaluate", "Register") for index in range(3)}
    expected = dict.fromkeys({"RegionsSplit", "Regions", "RegionsCollect", *iterations}, "Succeeded")
    assert steps(project) == expected
    means = {"north": 4.0, "north-east": 20.0, "south": 10.0}
    told = mlops(project, "logs", "latest", "RegionsCollect").stdout
    assert json.loads(told.removeprefix("means ")) == means

    listed = json.loads(mlops(project, "models", "list", "--json").stdout)
    groups = {package["group"]: package for package in listed}
    assert set(groups) == {f"shop-sales-{region}" for region in means}

    # The trainings come from the cache now, the reports are this execution's all the same.
    assert steps(project) == expected
    again = mlops(project, "logs", "latest", "RegionsCollect").stdout
    assert json.loads(again.removeprefix("means ")) == means
