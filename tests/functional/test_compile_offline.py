"""The real child process: same bytes wherever, whenever and by whomever; no network; what it prints; how it dies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from mlops_sm.compile import Compiled, compile_pipeline, materialize
from mlops_sm.errors import InputError, RefusedError
from mlops_sm.project import load_project

pytestmark = pytest.mark.sdk

CHECKOUT = Path(__file__).parents[2]

# the classes whose plain use puts clocks, random names and paths of the machine into a definition
MODULE = """\
from sagemaker.core.processing import FrameworkProcessor, ScriptProcessor
from sagemaker.core.transformer import Transformer
from sagemaker.core.workflow.conditions import ConditionGreaterThan
from sagemaker.core.workflow.parameters import ParameterFloat
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.model_step import ModelStep
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.steps import ProcessingStep, TrainingStep, TransformStep, TuningStep
from sagemaker.core.parameter import IntegerParameter
from sagemaker.serve import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode
from sagemaker.train.tuner import HyperparameterTuner

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3"


def pipeline(ctx):
    print("said by the module")
    machine = {"instance_count": 1, "instance_type": "ml.m5.large"}
    common = {"role": ctx.role, "image_uri": IMAGE, "sagemaker_session": ctx.session, "command": ["python3"]}
    prepare = ProcessingStep(
        "Prepare", step_args=ScriptProcessor(**common, **machine).run(code=ctx.asset("jobs/prepare.py"))
    )
    framework = ProcessingStep(
        "Framework",
        step_args=FrameworkProcessor(**common, **machine).run(code="prepare.py", source_dir="pipelines/demo/jobs"),
    )

    def trainer():
        return ModelTrainer(
            training_image=IMAGE, role=ctx.role, sagemaker_session=ctx.session,
            source_code=SourceCode(source_dir="pipelines/demo/jobs", entry_script="train.py"),
            compute=Compute(**machine), hyperparameters={"code": ctx.archive("jobs"), "depth": 3},
        )

    channels = [InputData(channel_name="train", data_source="pipelines/demo/rows")]
    train = TrainingStep("Train", step_args=trainer().train(input_data_config=channels))
    tune = TuningStep(
        "Tune",
        step_args=HyperparameterTuner(
            model_trainer=trainer(), objective_metric_name="auc", max_jobs=2,
            metric_definitions=[{"Name": "auc", "Regex": "auc=(.*)"}],
            hyperparameter_ranges={"depth": IntegerParameter(2, 8)},
        ).tune(inputs=channels),
    )
    model = train.properties.ModelArtifacts.S3ModelArtifacts

    def builder(**more):
        return ModelBuilder(
            s3_model_data_url=model, image_uri=IMAGE, sagemaker_session=ctx.session, role_arn=ctx.role, **more
        )

    create = ModelStep("Create", step_args=builder().build())
    code = SourceCode(source_dir="pipelines/demo/jobs", entry_script="train.py")
    repacked = ModelStep("Repacked", step_args=builder(source_code=code).build())
    register = ModelStep(
        "Register",
        step_args=builder().register(
            model_package_group_name="group", content_types=["text/csv"], response_types=["text/csv"],
            inference_instances=["ml.m5.large"], transform_instances=["ml.m5.large"],
        ),
    )
    transformer = Transformer(
        model_name=create.properties.ModelName, output_path="s3://bucket/out", sagemaker_session=ctx.session, **machine
    )
    score = TransformStep("Score", step_args=transformer.transform(data="s3://bucket/in", content_type="text/csv"))
    threshold = ParameterFloat("Threshold", default_value=0.5)
    gate = ConditionStep("Gate", conditions=[ConditionGreaterThan(0.7, threshold)], if_steps=[register], else_steps=[])
    return Pipeline(
        name=ctx.pipeline_name, parameters=[threshold], sagemaker_session=ctx.session,
        steps=[prepare, framework, train, tune, create, repacked, score, gate],
    )
"""


@pytest.fixture(scope="module")
def project_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("here") / "project"
    for path, text in {
        "pyproject.toml": '[tool.mlops_sm]\nname = "demo"\n',
        "pipelines/demo/build.py": MODULE,
        "pipelines/demo/jobs/prepare.py": "print('prepare')\n",
        "pipelines/demo/jobs/train.py": "print('train')\n",
        "pipelines/demo/rows/1.csv": "1,2\n",
        "pipelines/demo/rows/more/2.csv": "3,4\n",
    }.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def compiled(root: Path, cache: Path, reference: str = "demo.build") -> Compiled:
    project = load_project(root)
    return compile_pipeline(project, project.environment("local"), reference, cache_dir=cache)


@pytest.fixture(scope="module")
def first(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return compiled(project_root, tmp_path_factory.mktemp("cache"))


COMPILE = """
import json, sys
from pathlib import Path
from mlops_sm.compile import compile_pipeline
from mlops_sm.project import load_project
project = load_project(Path(sys.argv[1]))
made = compile_pipeline(project, project.environment("local"), "demo.build", cache_dir=Path(sys.argv[2]))
json.dump({"definition": made.definition, "assets": [[a.uri, a.digest] for a in made.assets]}, sys.stdout)
"""


def in_another_process(root: Path, cache: Path, *prefix: str, **environment: str) -> tuple[dict[str, object], str]:
    ran = subprocess.run(
        [*prefix, sys.executable, "-c", COMPILE, str(root), str(cache)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(CHECKOUT), **environment},
        check=True,
    )
    return json.loads(ran.stdout), ran.stderr


def as_dict(made: Compiled) -> dict[str, object]:
    return {"definition": made.definition, "assets": [[a.uri, a.digest] for a in made.assets]}


def test_another_folder_process_hash_seed_home_and_zone_give_the_same_bytes(
    project_root: Path, first: Compiled, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "quite" / "another" / "folder"
    shutil.copytree(project_root, elsewhere)
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    (home / ".aws/config").write_text("[default]\nregion = eu-central-1\n")
    (home / ".config/sagemaker").mkdir(parents=True)
    (home / ".config/sagemaker/config.yaml").write_text("this would be refused by the SDK: [\n")
    made, stderr = in_another_process(
        elsewhere,
        tmp_path / "cache",
        PYTHONHASHSEED="4711",
        HOME=str(home),
        TZ="Asia/Tokyo",
        AWS_PROFILE="missing",
        AWS_REGION="eu-west-1",
        SAGEMAKER_USER_CONFIG_OVERRIDE="/nowhere",
        USER="somebody",
    )
    assert made == as_dict(first)
    assert "said by the module" in stderr


def test_nothing_but_the_module_speaks(project_root: Path, tmp_path: Path) -> None:
    _, stderr = in_another_process(project_root, tmp_path / "cache")
    assert stderr == "said by the module\n"


def test_no_network_is_needed(project_root: Path, first: Compiled, tmp_path: Path) -> None:
    alone = ("unshare", "--user", "--map-root-user", "--net")
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("COMPILING WITHOUT A NETWORK IS NOT TESTED HERE: this machine gives no network namespace")
    made, _ = in_another_process(project_root, tmp_path / "cache", *alone)
    assert made == as_dict(first)


def test_neither_clocks_nor_paths_of_the_machine_reach_what_is_uploaded(
    project_root: Path, first: Compiled, tmp_path: Path
) -> None:
    for number, asset in enumerate(first.assets):
        target = tmp_path / str(number)
        materialize(asset, target)
        contents = [target.read_bytes()]
        if tarfile.is_tarfile(target):
            with tarfile.open(target) as tar:
                assert {m.mtime for m in tar.getmembers()} == {0}
                contents = [stream.read() for m in tar.getmembers() if (stream := tar.extractfile(m))]
        assert not any(str(project_root).encode() in content for content in contents), asset.uri


def test_local_data_and_the_sdks_own_files_are_assets(first: Compiled) -> None:
    names = {asset.uri.split("/assets/")[1].partition("/")[2] for asset in first.assets}
    assert {"rows/1.csv", "rows/more/2.csv", "prepare.py", "sourcedir.tar.gz", "runproc.sh"} <= names
    uris = [asset.uri for asset in first.assets]
    assert len(uris) == len(set(uris))
    assert all("/demo-build/assets/" in uri for uri in uris)


def test_every_asset_uri_in_the_definition_is_uploaded(first: Compiled) -> None:
    uploaded = {asset.uri for asset in first.assets}
    used = {text for text in first.definition.split('"') if "/assets/" in text and text.startswith("s3://")}
    assert used
    for uri in used:
        assert uri in uploaded or any(u.startswith(uri.rstrip("/") + "/") for u in uploaded), uri


def test_a_second_compile_starts_no_process(project_root: Path, first: Compiled) -> None:
    cache = next(a.path for a in first.assets if not a.path.is_relative_to(project_root)).parents[2]
    project = load_project(project_root)

    def no_process(request: object) -> object:
        raise AssertionError(f"a process for {request}")

    again = compile_pipeline(
        project,
        project.environment("local"),
        "demo.build",
        cache_dir=cache,
        spawn=no_process,  # type: ignore[arg-type] # it never returns
    )
    assert again.from_cache
    assert as_dict(again) == as_dict(first)


def test_a_folder_the_sdk_packs_itself_is_a_dependency(project_root: Path, first: Compiled, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(project_root, root)
    before = compiled(root, tmp_path / "cache")
    (root / "pipelines/demo/jobs/new.py").write_text("print('new')\n")
    after = compiled(root, tmp_path / "cache")
    assert before.definition == first.definition
    assert after.definition != before.definition
    assert not after.from_cache


@pytest.mark.parametrize(
    ("death", "said"),
    [("os._exit(7)", "exit code 7"), ("os.kill(os.getpid(), 9)", "SIGKILL"), ("os.abort()", "SIGABRT")],
)
def test_a_process_that_dies_is_told_from_a_wrong_module(
    death: str, said: str, project_root: Path, tmp_path: Path
) -> None:
    (project_root / "pipelines/demo/dying.py").write_text(f"import os\ndef pipeline(ctx):\n    {death}\n")
    with pytest.raises(RefusedError) as refused:
        compiled(project_root, tmp_path / "cache", "demo.dying")
    assert refused.value.problems[0].code == "E314"
    assert said in refused.value.problems[0].what
    assert not (tmp_path / "cache").exists()


def test_a_wrong_module_leaves_nothing_in_the_cache(project_root: Path, tmp_path: Path) -> None:
    (project_root / "pipelines/demo/wrong.py").write_text("def pipeline(ctx):\n    return ctx.nothing\n")
    with pytest.raises(InputError, match="nothing"):
        compiled(project_root, tmp_path / "cache", "demo.wrong")
    assert not (tmp_path / "cache").exists()


def test_without_the_sdk_the_message_says_what_to_install(project_root: Path, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    (hidden / "sagemaker").mkdir(parents=True)
    (hidden / "sagemaker/__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'sagemaker'\")\n")
    (project_root / "pipelines/demo/small.py").write_text("def pipeline(ctx): ...\n")
    ran = subprocess.run(
        [sys.executable, "-c", COMPILE.replace("demo.build", "demo.small"), str(project_root), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(hidden)])},
        check=False,
    )
    assert "E312" in ran.stderr
    assert "mlops-sm-kit[sdk]" in ran.stderr
