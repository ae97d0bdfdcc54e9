from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sm import naming
from mlops_sm.errors import InputError, Problem
from mlops_sm.project import Environment, LocalSettings, load_project, standalone_project


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def problems_of(folder: Path, text: str, **variables: str) -> tuple[Problem, ...]:
    with pytest.raises(InputError) as caught:
        load_project(write(folder, text), variables=variables)
    return caught.value.problems


PROJECT = '[tool.mlops_sm]\nname = "churn"\n'
DEV = PROJECT + '[tool.mlops_sm.environments.dev]\naccount = "111111111111"\nregion = "eu-central-1"\n'


def test_local_is_built_in(tmp_path: Path) -> None:
    local = load_project(write(tmp_path, PROJECT), variables={}).environment("local")
    assert (local.account, local.region) == (naming.LOCAL_ACCOUNT_ID, "us-east-1")
    assert local.provenance["account"] == "built in"
    assert local.artifact_bucket == "churn-local-artifacts-123456789012-us-east-1"
    assert local.role_arn == "arn:aws:iam::123456789012:role/churn-local-pipeline"
    assert local.provenance["artifact_bucket"] == "computed by naming.bucket_name"


def test_local_takes_settings_from_the_file(tmp_path: Path) -> None:
    text = PROJECT + '[tool.mlops_sm.environments.local]\nregion = "eu-west-1"\nnetwork_isolation = true\n'
    local = load_project(write(tmp_path, text), variables={}).environment("local")
    assert local.region == "eu-west-1"
    assert local.network_isolation
    assert local.artifact_bucket.endswith("-eu-west-1")
    assert local.provenance["region"] == "pyproject.toml [tool.mlops_sm.environments.local]"


def test_project_is_found_from_a_folder_below_past_other_pyprojects(tmp_path: Path) -> None:
    write(tmp_path, PROJECT)
    below = write(tmp_path / "packages" / "one", '[project]\nname = "one"\n')
    assert load_project(below, variables={}).root == tmp_path.resolve()


def test_variable_goes_before_the_file_and_says_so(tmp_path: Path) -> None:
    variables = {"MLOPS_SM_DEV_ROLE_ARN": "arn:aws:iam::111111111111:role/ci", "MLOPS_SM_DEV_ACCOUNT": "111111111111"}
    text = PROJECT + '[tool.mlops_sm.environments.dev]\naccount = "222222222222"\nregion = "eu-central-1"\n'
    dev = load_project(write(tmp_path, text), variables=variables).environment("dev")
    assert dev.role_arn == "arn:aws:iam::111111111111:role/ci"
    assert dev.account == "111111111111"
    assert dev.provenance["account"] == "environment variable MLOPS_SM_DEV_ACCOUNT"


def test_everything_given(tmp_path: Path) -> None:
    text = DEV + (
        'role_arn = "arn:aws:iam::111111111111:role/service/ml"\nartifact_bucket = "my-artifacts"\n'
        'data_bucket = "my.data"\nmodel_bucket = "my-models"\n'
        'kms_key_arn = "arn:aws:kms:eu-central-1:999999999999:key/0-1"\n'
        'subnets = ["subnet-0a1b2c3d"]\nsecurity_group_ids = ["sg-0a1b2c3d"]\nprofile = "work"\nprotected = true\n'
        'tags = { team = "risk" }\n[tool.mlops_sm.local.images]\n"my/image:1" = "python"\n'
    )
    project = load_project(write(tmp_path, text), variables={})
    dev = project.environment("dev")
    assert dev.subnets == ("subnet-0a1b2c3d",)
    assert dev.protected
    assert dev.tags == {"team": "risk", "mlops-sm:owner": "churn", "mlops-sm:environment": "dev"}
    assert dev.provenance["tags.mlops-sm:owner"] == "built in"
    assert project.local == LocalSettings(images={"my/image:1": "python"})


def test_environment_survives_json(tmp_path: Path) -> None:
    dev = load_project(write(tmp_path, DEV), variables={}).environment("dev")
    assert Environment.model_validate_json(dev.model_dump_json()) == dev


def test_every_problem_at_once(tmp_path: Path) -> None:
    text = (
        '[tool.mlops_sm]\nname = "Churn Model"\nenviroments = {}\n'
        "[tool.mlops_sm.environments.dev]\naccount = 111111111111\n"
        'region = "mars"\nsubnet = ["subnet-1"]\nsubnets = ["subnet-xyz"]\n'
        "[tool.mlops_sm.environments.Prod]\n"
        'account = "1"\nregion = "us-east-1"\nartifact_bucket = "No_Bucket"\n'
        "[tool.mlops_sm.local]\nimage = {}\n"
    )
    found = {(p.code, p.where.split("] ")[-1]) for p in problems_of(tmp_path, text)}
    assert found == {
        ("E105", "name"),
        ("E103", "enviroments"),
        ("E105", "account"),
        ("E105", "region"),
        ("E103", "subnet"),
        ("E105", "subnets[0]"),
        ("E105", "artifact_bucket"),
        ("E103", "image"),
    }
    where = [p.where for p in problems_of(tmp_path, text)]
    assert sum(w.endswith("[tool.mlops_sm.environments.Prod] name") for w in where) == 1


def test_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, DEV + 'artefact_bucket = "x"\n')
    assert problem.code == "E103"
    assert "artifact_bucket" in problem.fix


def test_a_number_is_told_to_be_quoted(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, DEV.replace('"111111111111"', "111111111111"))
    assert (problem.code, problem.fix) == ("E105", 'Put it in quotes: account = "111111111111".')


def test_missing_account_and_region_are_two_problems(tmp_path: Path) -> None:
    found = problems_of(tmp_path, PROJECT + "[tool.mlops_sm.environments.dev]\n")
    assert [(p.code, p.what) for p in found] == [("E104", '"account" is missing'), ("E104", '"region" is missing')]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('subnets = ["subnet-0a1b2c3d"]', "subnets without security_group_ids"),
        ('security_group_ids = ["sg-0a1b2c3d"]', "security_group_ids without subnets"),
        ('role_arn = "arn:aws:iam::222222222222:role/x"', "another account"),
        ('kms_key_arn = "arn:aws:kms:us-east-1:111111111111:key/1"', "another region"),
        ('role_arn = "role/x"', "is not a role's ARN"),
        ('kms_key_arn = "alias/x"', "is not a KMS key's ARN"),
        ('data_bucket = "192.168.0.1"', "IP address"),
        ('data_bucket = "a..b"', "two dots"),
        ('model_bucket = "xn--models"', "reserved"),
        ('tags = { "aws:x" = "1" }', "starts with aws:"),
        ('tags = { "a{b" = "1" }', "no tag key"),
        ('tags = { a = "{}" }', "a value AWS refuses"),
        ("tags = { a = 1 }", "tags"),
        ('tags = "a"', "must be a table"),
        ('subnets = "subnet-0a1b2c3d"', "must be a list"),
        ('network_isolation = "yes"', "network_isolation"),
        ('profile = ""', "profile"),
    ],
)
def test_one_wrong_value_is_one_problem(tmp_path: Path, line: str, what: str) -> None:
    (problem,) = problems_of(tmp_path, DEV + line + "\n")
    assert problem.code == "E105"
    assert what in problem.what
    assert problem.fix


def test_wrong_variable_is_where_the_problem_is(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, DEV, MLOPS_SM_DEV_MODEL_BUCKET="X")
    assert problem.where == "environment variable MLOPS_SM_DEV_MODEL_BUCKET"


def test_no_project(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, '[project]\nname = "x"\n')
    assert (problem.code, problem.where) == ("E101", str(tmp_path))


def test_no_toml(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "[tool.mlops_sm\n")
    assert problem.code == "E102"
    assert "line 1" in problem.what


@pytest.mark.parametrize(
    "text",
    [
        "[tool]\nmlops_sm = 1\n",
        PROJECT + "environments = 1\n",
        PROJECT + "local = 1\n",
        PROJECT + "[tool.mlops_sm.environments]\ndev = 1\n",
        PROJECT + "[tool.mlops_sm.local]\nimages = 1\n",
        PROJECT + "[tool.mlops_sm.local.images]\nx = 1\n",
        PROJECT + "[tool.mlops_sm.local.images]\nx = { program = 1 }\n",
    ],
)
def test_wrong_shapes(tmp_path: Path, text: str) -> None:
    assert [p.code for p in problems_of(tmp_path, text)] == ["E105"]


def test_what_an_image_stands_for_is_a_name_or_a_folder_beside_the_file(tmp_path: Path) -> None:
    text = PROJECT + '[tool.mlops_sm.local.images]\nx = "python"\ny = "containers/y"\nz = "/srv/z"\n'
    text += 't = { program = "entry", interpreter = "venv/bin/python", requirements = "needs.txt" }\n'
    text += 'u = { interpreter = "python3.9" }\nv = { engine = "docker" }\n'
    images = load_project(write(tmp_path, text), variables={}).local.images
    assert images == {
        "x": "python",
        "y": str(tmp_path / "containers" / "y"),
        "z": "/srv/z",
        "t": {
            "program": str(tmp_path / "entry"),
            "interpreter": str(tmp_path / "venv/bin/python"),
            "requirements": str(tmp_path / "needs.txt"),
        },
        "u": {"interpreter": "python3.9"},
        "v": {"engine": "docker"},
    }


def test_no_name(tmp_path: Path) -> None:
    assert [p.code for p in problems_of(tmp_path, "[tool.mlops_sm]\n")] == ["E104"]


def test_unknown_environment_names_the_nearest(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, DEV), variables={})
    with pytest.raises(InputError) as caught:
        project.environment("devel")
    (problem,) = caught.value.problems
    assert problem.code == "E106"
    assert 'Did you mean "dev"?' in problem.fix


def test_standalone_project_has_the_local_environment(tmp_path: Path) -> None:
    project = standalone_project(tmp_path)
    assert list(project.environments) == ["local"]
    assert project.environment("local").account == naming.LOCAL_ACCOUNT_ID


_NAMES = st.from_regex(r"[a-z](-?[a-z0-9]){0,9}", fullmatch=True)


@given(project=_NAMES, environment=_NAMES, region=st.sampled_from(["us-east-1", "ap-southeast-2", "us-gov-west-1"]))
def test_computed_names_pass_their_own_rules(
    project: str, environment: str, region: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = (
        f'[tool.mlops_sm]\nname = "{project}"\n[tool.mlops_sm.environments.{environment}]\n'
        f'account = "111111111111"\nregion = "{region}"\n'
    )
    loaded = load_project(write(tmp_path_factory.mktemp("p"), text), variables={})
    assert len(loaded.environment(environment).artifact_bucket) <= naming.MAX_BUCKET_NAME
