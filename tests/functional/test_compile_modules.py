"""Pipeline modules, good and broken, compiled by the real SDK.

One process imports the SDK and forks for every module: what a fork does is what the worker does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mlops_sm.compile import Compiled, Request, compile_pipeline, materialize
from mlops_sm.compile.child import question, read_answer, worker_environment
from mlops_sm.compile.structure import Structure
from mlops_sm.errors import InputError, Problem
from mlops_sm.project import load_project

pytestmark = pytest.mark.sdk

FORKING = """
import json, os, sys
from mlops_sm.compile.sdk import prepare_sdk
from mlops_sm.compile.worker import answer
prepare_sdk()
import mlops_sm.compile.build
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        request = json.loads(line)
        os.chdir(request["project_root"])
        answer(request)
        os._exit(0)
    os.waitpid(child, 0)
    print("done", flush=True)
"""

HEAD = """\
from sagemaker.core.processing import ScriptProcessor
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.steps import ProcessingStep


def step(ctx, code, name="Prepare", **more):
    processor = ScriptProcessor(
        role=ctx.role, image_uri="123456789012.dkr.ecr.us-east-1.amazonaws.com/x:1", command=["python3"],
        instance_count=1, instance_type="ml.m5.large", sagemaker_session=ctx.session,
    )
    return ProcessingStep(name, step_args=processor.run(code=code, **more))


def made_of(ctx, *steps, name=None):
    return Pipeline(name=name or ctx.pipeline_name, steps=list(steps), sagemaker_session=ctx.session)


"""
LINES = HEAD.count("\n")


@dataclass
class ForkingSdk:
    """A structure stage that forks from a process which has the SDK."""

    process: subprocess.Popen[str]
    folder: Path
    calls: list[Request] = field(default_factory=list)

    def __call__(self, request: Request) -> Structure:
        self.calls.append(request)
        result = self.folder / f"{len(self.calls)}.json"
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(question(request, result) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"
        return read_answer(result)


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkingSdk]:
    folder = tmp_path_factory.mktemp("answers")
    home = tmp_path_factory.mktemp("home")
    with subprocess.Popen(
        [sys.executable, "-P", "-c", FORKING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=worker_environment({}, region="us-east-1", home=home),
    ) as process:
        yield ForkingSdk(process, folder)
        process.communicate()


@dataclass
class Workshop:
    """A project whose pipeline module a test writes."""

    root: Path
    cache: Path
    sdk: ForkingSdk

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def compile(self, body: str | None = None, *, head: str = HEAD) -> Compiled:
        if body is not None:
            self.write("pipelines/demo/build.py", head + body)
        project = load_project(self.root)
        return compile_pipeline(
            project, project.environment("local"), "demo.build", cache_dir=self.cache, spawn=self.sdk
        )

    def problem(self, body: str, *, head: str = HEAD) -> Problem:
        with pytest.raises(InputError) as wrong:
            self.compile(body, head=head)
        (problem,) = wrong.value.problems
        assert problem.fix
        assert str(self.root) not in problem.where
        return problem


@pytest.fixture
def workshop(tmp_path: Path, sdk: ForkingSdk) -> Workshop:
    made = Workshop(tmp_path / "project", tmp_path / "cache", sdk)
    made.write("pyproject.toml", '[tool.mlops_sm]\nname = "demo"\n')
    made.write("pipelines/demo/jobs/prepare.py", "print('prepare')\n")
    return made


def steps_of(compiled: Compiled) -> dict[str, dict[str, object]]:
    return {step["Name"]: step["Arguments"] for step in json.loads(compiled.definition)["Steps"]}


# ------------------------------------------------------------------------------------------------ what compiles


def test_an_asset_and_a_local_path_of_the_sdk_are_the_same_object(workshop: Workshop, tmp_path: Path) -> None:
    compiled = workshop.compile(
        "def pipeline(ctx):\n"
        "    local = 'pipelines/demo/jobs/prepare.py'\n"
        "    return made_of(ctx, step(ctx, ctx.asset('jobs/prepare.py'), 'One'), step(ctx, local, 'Two'))\n"
    )
    (asset,) = compiled.assets
    one, two = steps_of(compiled).values()
    assert one == two
    assert asset.uri in json.dumps(one)
    assert compiled.pipeline_name == "demo-build"
    materialize(asset, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "print('prepare')\n"


def test_a_link_keeps_its_name(workshop: Workshop) -> None:
    (workshop.root / "pipelines/demo/jobs/link.py").symlink_to("prepare.py")
    compiled = workshop.compile(
        "def pipeline(ctx):\n"
        "    local = 'pipelines/demo/jobs/link.py'\n"
        "    return made_of(ctx, step(ctx, ctx.asset('jobs/link.py'), 'One'), step(ctx, local, 'Two'))\n"
    )
    assert {asset.uri.rpartition("/")[2] for asset in compiled.assets} == {"link.py"}
    one, two = steps_of(compiled).values()
    assert one == two


def test_other_modules_and_files_the_pipeline_reads_are_its_dependencies(workshop: Workshop) -> None:
    workshop.write("pipelines/demo/names.py", "NAME = 'First'\n")
    workshop.write("pipelines/demo/settings.json", '{"arguments": ["1"]}')
    body = (
        "import json\nfrom pathlib import Path\nfrom pipelines.demo.names import NAME\n"
        "def pipeline(ctx):\n"
        "    settings = json.loads((ctx.root / 'settings.json').read_text())\n"
        "    return made_of(ctx, step(ctx, ctx.asset('jobs/prepare.py'), NAME, arguments=settings['arguments']))\n"
    )
    first = workshop.compile(body)
    assert workshop.compile().from_cache
    workshop.write("pipelines/demo/names.py", "NAME = 'Second'\n")
    second = workshop.compile()
    workshop.write("pipelines/demo/settings.json", '{"arguments": ["2"]}')
    third = workshop.compile()
    assert [c.from_cache for c in (first, second, third)] == [False, False, False]
    assert [list(steps_of(c)) for c in (first, second)] == [["First"], ["Second"]]
    assert steps_of(third)["Second"] != steps_of(second)["Second"]


def test_a_changed_script_is_linked_without_the_sdk(workshop: Workshop) -> None:
    body = "def pipeline(ctx):\n    return made_of(ctx, step(ctx, ctx.asset('jobs/prepare.py')))\n"
    first = workshop.compile(body)
    calls = len(workshop.sdk.calls)
    workshop.write("pipelines/demo/jobs/prepare.py", "print('other')\n")
    second = workshop.compile()
    assert len(workshop.sdk.calls) == calls
    assert second.from_cache
    assert second.digest != first.digest


def test_a_script_given_as_a_local_path_is_no_dependency_either(workshop: Workshop) -> None:
    first = workshop.compile(
        "def pipeline(ctx):\n    return made_of(ctx, step(ctx, 'pipelines/demo/jobs/prepare.py'))\n"
    )
    workshop.write("pipelines/demo/jobs/prepare.py", "print('other')\n")
    second = workshop.compile()
    assert second.from_cache
    assert second.digest != first.digest


def test_a_script_that_the_module_itself_reads_is_a_dependency(workshop: Workshop) -> None:
    workshop.compile(
        "def pipeline(ctx):\n"
        "    text = (ctx.root / 'jobs/prepare.py').read_text()\n"
        "    return made_of(ctx, step(ctx, ctx.asset('jobs/prepare.py'), arguments=[str(len(text))]))\n"
    )
    workshop.write("pipelines/demo/jobs/prepare.py", "print('longer than before')\n")
    assert not workshop.compile().from_cache


def test_a_folder_that_the_module_lists_is_a_dependency(workshop: Workshop) -> None:
    body = (
        "def pipeline(ctx):\n"
        "    scripts = sorted((ctx.root / 'jobs').glob('*.py'))\n"
        "    return made_of(ctx, *(step(ctx, ctx.asset(s), s.stem) for s in scripts))\n"
    )
    assert list(steps_of(workshop.compile(body))) == ["prepare"]
    workshop.write("pipelines/demo/jobs/another.py", "")
    assert list(steps_of(workshop.compile())) == ["another", "prepare"]


def test_running_a_program_is_allowed_and_said(workshop: Workshop) -> None:
    body = (
        "import subprocess\n"
        "def pipeline(ctx):\n"
        "    said = subprocess.run(['echo', 'hello'], capture_output=True, text=True).stdout.strip()\n"
        "    return made_of(ctx, step(ctx, ctx.asset('jobs/prepare.py'), arguments=[said]))\n"
    )
    compiled = workshop.compile(body)
    assert "echo" in compiled.warnings[0]
    assert not workshop.compile().from_cache


def test_nothing_is_written_into_the_project(workshop: Workshop) -> None:
    workshop.write("pipelines/demo/names.py", "NAME = 'First'\n")
    workshop.compile(
        "from pipelines.demo.names import NAME\n"
        "def pipeline(ctx):\n    return made_of(ctx, step(ctx, ctx.asset('jobs/prepare.py'), NAME))\n"
    )
    assert sorted(p.name for p in workshop.root.rglob("*") if p.is_file()) == [
        "build.py",
        "names.py",
        "prepare.py",
        "pyproject.toml",
    ]


def test_the_worker_is_nobody_and_finds_no_configuration(workshop: Workshop) -> None:
    compiled = workshop.compile(
        "import os, uuid\nfrom pathlib import Path\n"
        "def pipeline(ctx):\n"
        "    assert not list(Path.home().iterdir()), 'home has files'\n"
        "    assert ctx.session.boto_session.get_credentials() is None, 'credentials'\n"
        "    seen = [ctx.session.account_id(), ctx.session.default_bucket(), str(uuid.uuid4()), os.environ['TZ']]\n"
        "    return made_of(ctx, step(ctx, ctx.asset('jobs/prepare.py'), arguments=seen))\n"
    )
    arguments = json.dumps(steps_of(compiled))
    assert '"123456789012", "demo-local-artifacts-123456789012-us-east-1"' in arguments


def test_names_the_sdk_draws_are_the_same_every_time(workshop: Workshop) -> None:
    compiled = workshop.compile(
        "from sagemaker.core.common_utils import name_from_base, unique_name_from_base\n"
        "def pipeline(ctx):\n"
        "    names = [name_from_base('a'), name_from_base('b', short=True)]\n"
        "    assert unique_name_from_base('c').startswith('c-946684800-')\n"
        "    return made_of(ctx, step(ctx, ctx.asset('jobs/prepare.py'), arguments=names))\n"
    )
    assert '["a-2000-01-01-00-00-00-001", "b-000101-0000"]' in json.dumps(steps_of(compiled))


# ------------------------------------------------------------------------------------------------ what does not


def test_a_syntax_error_names_its_line(workshop: Workshop) -> None:
    problem = workshop.problem("def pipeline(ctx):\n    return made_of(ctx\n")
    assert (problem.code, problem.where) == ("E302", f"pipelines/demo/build.py:{LINES + 2}")
    assert "SyntaxError" in problem.what


def test_a_syntax_error_in_an_imported_module_names_that_module(workshop: Workshop) -> None:
    workshop.write("pipelines/demo/names.py", "\n\nNAME = = 1\n")
    problem = workshop.problem("from pipelines.demo.names import NAME\n")
    assert (problem.code, problem.where) == ("E302", "pipelines/demo/names.py:3")


def test_an_exception_while_importing_names_its_line(workshop: Workshop) -> None:
    problem = workshop.problem("VALUE = {}['nothing']\n")
    assert (problem.code, problem.where) == ("E302", f"pipelines/demo/build.py:{LINES + 1}")
    assert "KeyError: 'nothing'" in problem.what


def test_a_module_that_is_not_installed_says_where_imports_start(workshop: Workshop) -> None:
    problem = workshop.problem("import not_installed_anywhere\n")
    assert problem.code == "E302"
    assert "not_installed_anywhere" in problem.what
    assert "install" in problem.fix


def test_an_exception_in_the_function_shows_the_way_there(workshop: Workshop) -> None:
    workshop.write("pipelines/demo/parts.py", "def part(n):\n    return 1 / n\n")
    problem = workshop.problem("from pipelines.demo.parts import part\ndef pipeline(ctx):\n    return part(0)\n")
    assert (problem.code, problem.where) == ("E306", "pipelines/demo/parts.py:2")
    assert "ZeroDivisionError" in problem.what
    assert f"pipelines/demo/build.py:{LINES + 3}: return part(0)" in problem.what


def test_what_the_sdk_raises_names_the_line_that_called_it(workshop: Workshop) -> None:
    problem = workshop.problem("def pipeline(ctx):\n    return made_of(ctx, step(ctx, 'no/such/script.py'))\n")
    assert problem.code == "E306"
    assert problem.where.startswith("pipelines/demo/build.py")
    assert "no/such/script.py" in problem.what


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("def pipelines(ctx): ...\n", "E303", 'Did you mean "pipelines"?'),
        ("pipeline = 3\n", "E303", "not a function"),
        ("def pipeline(): ...\n", "E304", "one argument"),
        ("def pipeline(ctx, more): ...\n", "E304", "more"),
        ("def pipeline(ctx): ...\n", "E305", "None"),
        ("def pipeline(ctx):\n    return {}\n", "E305", "a dict"),
        ("def pipeline(ctx):\n    return [made_of(ctx)]\n", "E305", "a list"),
        ("async def pipeline(ctx):\n    return made_of(ctx)\n", "E305", "coroutine"),
        ("def pipeline(ctx):\n    return made_of(ctx, name='no spaces')\n", "E316", "no spaces"),
        ("def pipeline(ctx):\n    raise SystemExit(3)\n", "E306", "SystemExit"),
        ("import sys\nsys.exit()\n", "E302", "SystemExit"),
        ("def pipeline(ctx):\n    return pipeline(ctx)\n", "E306", "RecursionError"),
        ("def pipeline(ctx):\n    raise ValueError('x' * 100_000)\n", "E306", "xxx"),
    ],
)
def test_a_module_that_is_no_pipeline_module(body: str, code: str, said: str, workshop: Workshop) -> None:
    problem = workshop.problem(body)
    assert problem.code == code
    assert said in problem.what + problem.fix
    assert problem.where.startswith("pipelines/demo/build.py:") or code in {"E302", "E303"}
    assert len(problem.what) < 2000


def test_a_missing_script_names_the_line_and_the_nearest_name(workshop: Workshop) -> None:
    problem = workshop.problem("def pipeline(ctx):\n    return made_of(ctx, step(ctx, ctx.asset('jobs/prepaer.py')))\n")
    assert (problem.code, problem.where) == ("E307", f"pipelines/demo/build.py:{LINES + 2}")
    assert 'no file "pipelines/demo/jobs/prepaer.py"' in problem.what
    assert 'Did you mean "prepare.py"?' in problem.fix


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("ctx.asset('jobs')", "E307"),
        ("ctx.archive('jobs/prepare.py')", "E307"),
        ("ctx.archive('nothing')", "E307"),
        ("ctx.asset('/etc/hostname')", "E308"),
        ("ctx.asset('../../../outside.py')", "E308"),
    ],
)
def test_what_cannot_be_an_asset(expression: str, code: str, workshop: Workshop) -> None:
    (workshop.root.parent / "outside.py").write_text("")
    problem = workshop.problem(f"def pipeline(ctx):\n    return made_of(ctx, step(ctx, {expression}))\n")
    assert (problem.code, problem.where) == (code, f"pipelines/demo/build.py:{LINES + 2}")


@pytest.mark.parametrize(
    "call",
    [
        "ctx.session.sagemaker_client.list_models()",
        "ctx.session.boto_session.client('s3').list_buckets()",
        "__import__('boto3').client('s3').list_buckets()",
        "__import__('boto3').Session(region_name='eu-west-1').client('s3').list_buckets()",
    ],
)
def test_a_call_of_aws_is_refused_by_name(call: str, workshop: Workshop) -> None:
    problem = workshop.problem(f"def pipeline(ctx):\n    {call}\n")
    assert (problem.code, problem.where) == ("E309", f"pipelines/demo/build.py:{LINES + 2}")
    assert "AWS" in problem.what


def test_the_operation_is_named(workshop: Workshop) -> None:
    problem = workshop.problem("def pipeline(ctx):\n    ctx.session.sagemaker_client.list_models()\n")
    assert "sagemaker:ListModels" in problem.what


def test_the_network_is_refused_with_the_line(workshop: Workshop) -> None:
    problem = workshop.problem(
        "import urllib.request\ndef pipeline(ctx):\n    urllib.request.urlopen('http://127.0.0.1:9/')\n"
    )
    assert (problem.code, problem.where) == ("E310", f"pipelines/demo/build.py:{LINES + 3}")
    assert "127.0.0.1:9" in problem.what


def test_paths_of_this_machine_are_found_in_the_definition(workshop: Workshop) -> None:
    body = (
        "def pipeline(ctx):\n"
        "    return made_of(ctx, step(ctx, ctx.asset('jobs/prepare.py'), arguments=[str(ctx.root), '/opt/ml/x']))\n"
    )
    problem = workshop.problem(body)
    assert problem.code == "E311"
    assert problem.where == "$.Steps[0].Arguments.AppSpecification.ContainerArguments[0]"


def test_a_number_that_is_none_is_refused(workshop: Workshop) -> None:
    problem = workshop.problem(
        "from sagemaker.core.workflow.parameters import ParameterFloat\n"
        "def pipeline(ctx):\n"
        "    made = made_of(ctx)\n"
        "    made.parameters = [ParameterFloat('X', default_value=float('nan'))]\n"
        "    return made\n"
    )
    assert (problem.code, "NaN" in problem.what) == ("E318", True)
