"""Which layer isolates jobs: the first that works, or the one that was asked for, and why not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from mlops_sm.errors import InputError, RefusedError
from mlops_sm.local.isolation.choice import AUTO, LAYERS, VARIABLE, ChosenIsolation, choose
from mlops_sm.local.isolation.direct import NoPlace, Place, find_place
from mlops_sm.local.isolation.layer import Capabilities, Fact, Forks, Isolation, Launch, Process
from mlops_sm.local.isolation.rewriting import Rewriting
from mlops_sm.local.isolation.starting import Layer

LAUNCH = Launch(argv=("true",), ml=Path("m"), scratch=Path("s"), environment={}, log=1)


class Pretended(Layer):
    """A layer that works or not, and counts how often it was asked."""

    def __init__(self, name: str, *, works: bool) -> None:
        super().__init__()
        self._name, self._works = name, works
        self.probed = 0

    @property
    def name(self) -> str:
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(parallel=1)

    def _try(self) -> Fact:
        self.probed += 1
        return Fact(self._name, ok=self._works, detail=f"{self._name} says so", fix=f"Repair {self._name}.")

    def _begin(self, launch: Launch, forks: Forks | None) -> Process:
        raise AssertionError("no job is run here")


def pretend(**works: bool) -> dict[str, Pretended]:
    return {name: Pretended(name, works=each) for name, each in works.items()}


def chosen(layers: Mapping[str, Pretended], setting: str = AUTO, platform: str = "linux") -> ChosenIsolation:
    makers = {name: (lambda layer=layer: layer) for name, layer in layers.items()}
    return ChosenIsolation(setting, layers=makers, platform=platform)


def test_the_first_that_works_is_taken_and_no_more_are_tried() -> None:
    layers = pretend(namespace=False, sudo=True, direct=True)
    isolation = chosen(layers)
    assert (isolation.name, isolation.refusal(), isolation.capabilities.parallel) == ("sudo", None, 1)
    assert [(fact.name, fact.ok) for fact in isolation.facts()] == [("layer namespace", False), ("layer sudo", True)]
    isolation.probe()
    assert [layer.probed for layer in layers.values()] == [1, 1, 0]


def test_where_none_works_every_one_says_why() -> None:
    refusal = chosen(pretend(namespace=False, sudo=False, direct=False, preload=False)).refusal()
    assert refusal is not None
    assert refusal.code == "E401"
    assert "namespace: namespace says so; sudo: sudo says so; direct: direct says so" in refusal.what


def test_what_was_asked_for_is_not_replaced_by_another() -> None:
    layers = pretend(namespace=True, direct=False)
    isolation = chosen(layers, "direct")
    refusal = isolation.refusal()
    assert refusal is not None
    assert (refusal.code, layers["namespace"].probed) == ("E432", 0)
    assert '"direct"' in refusal.what and "direct says so" in refusal.what and "Repair direct." in refusal.fix
    with pytest.raises(RefusedError, match="E432"):
        isolation.run(LAUNCH)


def test_a_system_without_any_is_told() -> None:
    refusal = chosen({}, platform="win32").refusal()
    assert refusal is not None
    assert refusal.code == "E401" and "WSL" in refusal.fix


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"E433.*\n.*MLOPS_SM_ISOLATION\n.*namespace, .*Did you mean \"namespace\""):
        choose("auto", {VARIABLE: "namespaces"})
    with pytest.raises(InputError, match=r"E433.*\n.*\[tool.mlops_sm.local\] -> isolation"):
        choose("docker-compose", {})


@pytest.mark.parametrize("name", [AUTO, *LAYERS])
def test_every_layer_can_be_named_by_setting_and_variable(name: str) -> None:
    for isolation in (choose(name, {}), choose("namespace", {VARIABLE: name})):
        assert isinstance(isolation, ChosenIsolation)
        assert isolation._setting == name


def test_every_layer_keeps_to_the_seam() -> None:
    layers: list[Isolation] = [make() for make in LAYERS.values()]
    assert [layer.name for layer in layers] == list(LAYERS)


class TestWhereTheLinkIsSwapped:
    """`find_place` takes nothing away that is not ours."""

    def found(self, root: Path) -> Place | NoPlace:
        return find_place(root / "opt/ml", root / "home/ml")

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        for name in ("opt", "home", "elsewhere"):
            (tmp_path / name).mkdir()
        return tmp_path

    def test_at_the_path_itself_where_nothing_is(self, root: Path) -> None:
        assert self.found(root) == Place(root / "opt/ml")

    def test_at_what_a_prepared_link_leads_to(self, root: Path) -> None:
        (root / "opt/ml").symlink_to(root / "home/ml")
        assert self.found(root) == Place(root / "home/ml")

    def test_in_place_of_a_link_that_is_ours(self, root: Path) -> None:
        (root / "opt/ml").symlink_to(root / "mlops-sm-direct-x/1/ml")
        assert self.found(root) == Place(root / "opt/ml")

    def test_never_in_place_of_a_folder(self, root: Path) -> None:
        (root / "opt/ml").mkdir()
        found = self.found(root)
        assert isinstance(found, NoPlace)
        assert "not touched" in found.reason and "sudo ln -s" in found.fix

    def test_never_where_a_link_leads_to_something(self, root: Path) -> None:
        (root / "opt/ml").symlink_to(root / "elsewhere")
        found = self.found(root)
        assert isinstance(found, NoPlace)
        assert "holds something" in found.reason

    def test_never_in_place_of_a_link_of_somebody_else(self, root: Path) -> None:
        (root / "opt/ml").symlink_to(root / "home/ml")
        (root / "home/ml").symlink_to(root / "nowhere")
        found = self.found(root)
        assert isinstance(found, NoPlace)
        assert "not ours" in found.reason

    def test_a_link_into_a_missing_folder_says_what_to_make(self, root: Path) -> None:
        (root / "opt/ml").symlink_to(root / "missing/ml")
        found = self.found(root)
        assert isinstance(found, NoPlace)
        assert found.fix == f"Make it: mkdir -p {root / 'missing'}"


@pytest.mark.parametrize(
    ("text", "rewritten"),
    [
        ("/opt/ml", "/j/ml"),
        ("/opt/ml/model", "/j/ml/model"),
        ("--out=/opt/ml/model --in '/opt/ml/x'", "--out=/j/ml/model --in '/j/ml/x'"),
        ("a:/opt/ml/code:/opt/mlops-sm/tmp", "a:/j/ml/code:/j/s/tmp"),
        ("file:///opt/ml/x", "file:///j/ml/x"),
        ('{"a": "/opt/ml/x"}', '{"a": "/j/ml/x"}'),
        ("s3://bucket/opt/ml/x", "s3://bucket/opt/ml/x"),
        ("/opt/mlflow /opt/ml.txt /opt/ml-x", "/opt/mlflow /opt/ml.txt /opt/ml-x"),
        ("/home/opt/ml ./opt/ml", "/home/opt/ml ./opt/ml"),
    ],
)
def test_paths_of_a_job_are_rewritten_where_they_are_paths(text: str, rewritten: str) -> None:
    assert Rewriting.of(ml="/j/ml", scratch="/j/s").text(text) == rewritten
