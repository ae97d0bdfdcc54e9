"""Whatever is asked, the answer is the operation's or a modelled refusal, and what was refused has changed nothing.

Requests are built from botocore's input shapes: valid ones, ones with a flaw, and nonsense. Nothing runs: jobs and
executions are only noted. Every run makes the same requests; more of them come with a greater ``max_examples``.
"""

from __future__ import annotations

import base64
import inspect
import itertools
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mlops_sm.checks.service import sagemaker_model
from mlops_sm.emulator.database import FILE_NAME, Database
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.faults import Faults
from mlops_sm.emulator.fidelity import MEMBERS, Refused
from mlops_sm.emulator.protocol import answer
from mlops_sm.emulator.sagemaker import OPERATIONS
from mlops_sm.emulator.sagemaker.records_table import FAMILIES
from mlops_sm.emulator.sagemaker.records_table import OPERATIONS as RECORDS
from mlops_sm.emulator.service import Call, Service
from mlops_sm.emulator.store import Scope, Store
from mlops_sm.emulator.validation import compiled_pattern, matches, read_request
from mlops_sm.local.site import StoreError

SCOPE: Final = Scope("123456789012", "us-east-1")
COMMON: Final = frozenset({"ValidationException", "SerializationException"})
"""What every operation may answer (API reference, Common Error Types)."""
READS: Final = ("Describe", "List", "Get", "Search", "Query", "BatchDescribe", "BatchGet")
DEFINITION: Final = json.dumps(
    {
        "Version": "2020-12-01",
        "Parameters": [{"Name": "a", "Type": "String", "DefaultValue": "x"}],
        "Steps": [{"Name": "No", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}],
    }
)
ARNS: Final = "arn:aws:sagemaker:us-east-1:123456789012:"
ROLE: Final = "arn:aws:iam::123456789012:role/execution"
TOKEN: Final = "t" * 32
DOMAIN: Final = "d-000000000001"
SEED: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    # The first one gets the first id.
    ("CreateDomain", {"DomainName": "a", "AuthMode": "IAM", "DefaultUserSettings": {}}),
    ("CreateUserProfile", {"DomainId": DOMAIN, "UserProfileName": "a"}),
    ("CreateSpace", {"DomainId": DOMAIN, "SpaceName": "a"}),
    ("CreateMlflowApp", {"Name": "a", "ArtifactStoreUri": "s3://bucket/key", "RoleArn": ROLE}),
    ("CreateModel", {"ModelName": "a", "PrimaryContainer": {"Image": "a"}, "ExecutionRoleArn": ROLE}),
    ("CreateModelPackageGroup", {"ModelPackageGroupName": "a"}),
    ("CreateModelPackage", {"ModelPackageGroupName": "a", "InferenceSpecification": {"Containers": [{"Image": "a"}]}}),
    (
        "CreatePipeline",
        {"PipelineName": "a", "PipelineDefinition": DEFINITION, "RoleArn": ROLE, "ClientRequestToken": TOKEN},
    ),
    ("StartPipelineExecution", {"PipelineName": "a", "ClientRequestToken": TOKEN}),
    ("CreateModelCard", {"ModelCardName": "a", "Content": "{}", "ModelCardStatus": "Draft"}),
    ("CreateHub", {"HubName": "a", "HubDescription": "a"}),
    ("CreateImage", {"ImageName": "a", "RoleArn": ROLE}),
    ("CreateImageVersion", {"ImageName": "a", "BaseImage": "a", "Aliases": ["a"], "ClientToken": "seed"}),
    ("CreateDeviceFleet", {"DeviceFleetName": "a", "OutputConfig": {"S3OutputLocation": "s3://bucket/key"}}),
    ("RegisterDevices", {"DeviceFleetName": "a", "Devices": [{"DeviceName": "a"}]}),
    ("CreateExperiment", {"ExperimentName": "a"}),
    ("CreateTrial", {"TrialName": "a", "ExperimentName": "a"}),
    ("CreateTrialComponent", {"TrialComponentName": "a"}),
    ("CreateAction", {"ActionName": "a", "Source": {"SourceUri": "a"}, "ActionType": "a"}),
    ("CreateContext", {"ContextName": "a", "Source": {"SourceUri": "a"}, "ContextType": "a"}),
    (
        "CreateFeatureGroup",
        {
            "FeatureGroupName": "a",
            "RecordIdentifierFeatureName": "a",
            "EventTimeFeatureName": "at",
            "FeatureDefinitions": [
                {"FeatureName": "a", "FeatureType": "String"},
                {"FeatureName": "at", "FeatureType": "String"},
            ],
            "OnlineStoreConfig": {"EnableOnlineStore": True},
        },
    ),
    (
        "CreateProcessingJob",
        {
            "ProcessingJobName": "a",
            "ProcessingResources": {
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
            },
            "AppSpecification": {"ImageUri": "python:3.11"},
            "RoleArn": ROLE,
        },
    ),
    (
        "CreateTrainingJob",
        {
            "TrainingJobName": "a",
            "AlgorithmSpecification": {"TrainingImage": "python:3.11", "TrainingInputMode": "File"},
            "RoleArn": ROLE,
            "OutputDataConfig": {"S3OutputPath": "s3://bucket/key"},
            "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        },
    ),
    ("CreateWorkforce", {"WorkforceName": "a", "CognitoConfig": {"UserPool": "us-east-1_a", "ClientId": "a"}}),
)
"""What is there before a request comes: one of most things, named a."""
KINDS: Final = (
    "pipeline",
    "model",
    "model-package-group",
    "model-card",
    "hub",
    "feature-group",
    "experiment",
    "action",
)
POOL: Final = (
    "a",
    "b-1",
    "at",
    "1.0.0",
    DOMAIN,
    "text/csv",
    "s3://bucket/key",
    "https://example.com/a",
    ROLE,
    *(f"{ARNS}{kind}/a" for kind in (*KINDS, "context", "experiment-trial", "experiment-trial-component")),
    f"{ARNS}model-package/a/1",
    f"{ARNS}training-job/a",
    f"{ARNS}mlflow-app/app-000000000002",
    f"{ARNS}pipeline/a/execution/000000000003",
    TOKEN,
)
"""Values that requests share, so that one finds what another has made."""
FIXED: Final[dict[str, tuple[Any, ...]]] = {
    "PipelineDefinition": (DEFINITION,),
    "Content": ("{}",),
    "DomainId": (DOMAIN,),
    "EventTimeFeatureName": ("at",),
    "RecordIdentifierFeatureName": ("a",),
    "FeatureDefinitions": (
        [{"FeatureName": "a", "FeatureType": "String"}, {"FeatureName": "at", "FeatureType": "String"}],
    ),
    "PipelineExecutionArn": (f"{ARNS}pipeline/a/execution/000000000003",),
    "ModelPackageArn": (f"{ARNS}model-package/a/1",),
}
"""Members whose values the shapes do not say all about."""


MISFITS: Final[dict[str, set[str]]] = {
    # Of a version of a group AWS shows the group and the number instead.
    "DescribeModelPackage": {"modelPackageName"},
    # There are none before the job has ended.
    "DescribeTrainingJob": {"modelArtifacts"},
    # The model's patterns have no digits in a region, and IAM where SageMaker is.
    "DescribeDevice": {"deviceArn"},
    "ListDevices": {"deviceArn"},
    "DescribeDeviceFleet": {"deviceFleetArn"},
    "ListDeviceFleets": {"deviceFleetArn"},
    "GetDeviceFleetReport": {"deviceFleetArn"},
    # Required also where a batch transform's data is read, which has no endpoint.
    "ListDataQualityJobDefinitions": {"endpointName"},
    "ListModelBiasJobDefinitions": {"endpointName"},
    "ListModelExplainabilityJobDefinitions": {"endpointName"},
    "ListModelQualityJobDefinitions": {"endpointName"},
}
"""Members of answers that are as AWS has them and not as the model does."""


WAYS: Final[dict[str, dict[str, Any]]] = {
    "CreateModelPackage": {"ModelPackageGroupName": "a"},
}
"""What requests of some operations need so that they are not refused for something else."""


class Quiet:
    """Stands for jobs, executions and callbacks: notes what it is asked for and does nothing."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_arguments, **_options: self.asked.append(name)


class Nothing:
    """An S3 without buckets."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def refuse(*_arguments: Any, **_options: Any) -> Any:
            raise StoreError("NoSuchBucket", "The specified bucket does not exist")

        return refuse


class Plane:
    """SageMaker's operations over a store of their own.

    Args:
        file: The store's file.
        first: The first id that is given.
    """

    def __init__(self, file: Path, first: int = 1) -> None:
        self._database = Database(file)
        numbers, moments = itertools.count(first), itertools.count(first)
        start = datetime(2026, 11, 24, tzinfo=UTC)
        quiet = Quiet()
        self._service = Service(
            store=Store(self._database),
            objects=lambda _scope: cast("Any", Nothing()),
            jobs=cast("Any", quiet),
            executions=cast("Any", quiet),
            callbacks=cast("Any", quiet),
            hosting=cast("Any", quiet),
            components=cast("Any", quiet),
            observation=cast("Any", quiet),
            faults=Faults(),
            preflight=lambda _definition, _values: [],
            clock=lambda: start + timedelta(seconds=next(moments)),
            new_id=lambda length: f"{next(numbers):0{length}d}",
        )

    def close(self) -> None:
        self._database.close()

    def state(self) -> list[Any]:
        """All that is kept, but for tokens, which only repeat answers."""
        tables = self._database.query("SELECT name FROM sqlite_master WHERE type='table' AND name <> 'tokens'")
        return [
            (table, sorted(map(repr, self._database.query(f"SELECT * FROM {table}"))))  # noqa: S608 - names of our own
            for (table,) in sorted(tables)
        ]

    def ask(self, operation: str, request: Any) -> tuple[int, Any]:
        """The status and the parsed body of an answer."""
        status, headers, body = answer(
            sagemaker_model(),
            operation,
            json.dumps(request).encode(),
            lambda members: OPERATIONS[operation](
                Call(service=self._service, scope=SCOPE, operation=operation, request=members)
            ),
        )
        assert headers["Content-Type"] == "application/x-amz-json-1.1"
        return status, json.loads(body) if body else None


@cache
def seeded() -> bytes:
    """The file of a store that holds what `SEED` makes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / FILE_NAME
        with closing(Plane(file)) as plane:
            for operation, request in SEED:
                status, body = plane.ask(operation, request)
                assert status == 200, f"{operation}: {body}"
        return file.read_bytes()


@contextmanager
def new_plane() -> Iterator[Plane]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / FILE_NAME
        file.write_bytes(seeded())
        with closing(Plane(file, first=1000)) as plane:
            yield plane


@cache
def texts(pattern: str | None, low: int, high: int) -> st.SearchStrategy[str]:
    """Texts that a shape takes, those of the pool first."""
    known = [text for text in POOL if low <= len(text) <= high and (pattern is None or matches(pattern, text))]
    if known:
        return st.sampled_from(known)
    compiled = compiled_pattern(pattern) if pattern is not None else None
    if compiled is None:
        return st.text(st.characters(codec="utf-8"), min_size=low, max_size=min(high, low + 5))
    free = st.from_regex(re.compile(compiled.pattern, re.ASCII), fullmatch=True)
    return free.filter(lambda text: low <= len(text) <= high)


def scalars(shape: Any) -> st.SearchStrategy[Any]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    match shape.type_name:
        case "string":
            if getattr(shape, "enum", None):
                return st.sampled_from(shape.enum)
            return texts(shape.metadata.get("pattern"), low or 0, high or 2000)
        case "blob":
            return st.binary(max_size=5).map(lambda content: base64.b64encode(content).decode())
        case "integer" | "long":
            return st.integers(max(low or 0, 0), min(high or 1000, (low or 0) + 1000))
        case "float" | "double":
            return st.floats(low or 0, high or 1, allow_nan=False)
        case "boolean":
            return st.booleans()
        case "timestamp":
            return st.integers(1_700_000_000, 1_900_000_000)
        case _:
            raise AssertionError(f"no values for {shape.type_name}")


@st.composite
def values(draw: st.DrawFn, shape: Any, depth: int = 0) -> Any:
    """A value that a shape takes; the deeper, the fewer members that nobody needs."""
    match shape.type_name:
        case "structure":
            if getattr(shape, "is_tagged_union", False):
                chosen = {draw(st.sampled_from(list(shape.members)))}
            else:
                optional = [name for name in shape.members if name not in shape.required_members]
                free = bool(optional) and depth < 3
                chosen = {
                    *shape.required_members,
                    *(draw(st.lists(st.sampled_from(optional), max_size=4, unique=True)) if free else []),
                }
            return {
                name: draw(st.sampled_from(FIXED[name]) if name in FIXED else values(member, depth + 1))
                for name, member in shape.members.items()
                if name in chosen
            }
        case "list":
            low = shape.metadata.get("min", 0)
            size = draw(st.integers(low, min(shape.metadata.get("max", low + 1), low + 1)))
            return [draw(values(shape.member, depth + 1)) for _ in range(size)]
        case "map":
            low = shape.metadata.get("min", 0)
            return {draw(scalars(shape.key)): draw(values(shape.value, depth + 1)) for _ in range(low + 1)}
        case _:
            return draw(scalars(shape))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
EDGES = st.sampled_from(
    ["", " ", "x" * 300, "\u00e9\U0001f600", "a\nb", "../a", "'; DROP", 0, -1, 2**31 - 1, 1e300, [], {}, None]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a request something stands."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@st.composite
def flawed(draw: st.DrawFn, shape: Any) -> Any:
    """A valid request with one thing taken out or replaced."""
    request = draw(values(shape))
    found = list(places(request))
    if not found:
        return {"Unknown": draw(JSON)}
    *way, last = draw(st.sampled_from(found))
    holder = request
    for key in way:
        holder = holder[key]
    if isinstance(holder, dict) and draw(st.booleans()):
        del holder[last]
    else:
        holder[last] = draw(EDGES | JSON)
    return request


@st.composite
def nonsense(draw: st.DrawFn, shape: Any) -> Any:
    return draw(JSON | st.dictionaries(st.sampled_from([*shape.members, "Unknown"]), JSON | EDGES, max_size=4))


def input_shape(operation: str) -> Any:
    return sagemaker_model().operation_model(operation).input_shape


NOUN: Final = re.compile(r"^(BatchDescribe|[A-Z][a-z]+)")


@cache
def makers(operation: str) -> tuple[str, ...]:
    """Operations that make what an operation is about, and what that belongs to."""
    noun = NOUN.sub("", operation)
    creates = [name for name in OPERATIONS if name.startswith(("Create", "Import", "Register", "Add", "Put"))]
    return tuple(name for name in creates if NOUN.sub("", name) in noun or noun.startswith(NOUN.sub("", name)))


def misfits(body: Any, shape: Any) -> set[str]:
    """Members of an answer that are missing, of the wrong type, or not as an enum or a pattern has them.

    Lengths are not looked at: the model has shorter ones for members of lists than for the requests they come from.
    """
    try:
        read_request(body, shape)
    except AwsError as error:
        if error.code == "SerializationException":
            return {error.message}
        told = re.findall(r"at '([^']+)' failed to satisfy constraint: (Member must \w+ \w+)", error.message)
        return {path.rsplit(".", 1)[-1] for path, constraint in told if constraint != "Member must have length"}
    return set()


def check(plane: Plane, operation: str, request: Any) -> None:
    """One request: its answer, and what it leaves behind."""
    before = plane.state()
    status, body = plane.ask(operation, request)
    shapes = sagemaker_model().operation_model(operation)
    if status == 200:
        if shapes.output_shape is not None:
            found = misfits(body, shapes.output_shape)
            assert found <= MISFITS.get(operation, set()), f"{operation} {request}: {found} of {body}"
    else:
        assert status == 400, f"{operation} {request}: {status} {body}"
        assert body["__type"] in COMMON | {error.name for error in shapes.error_shapes}, (
            f"{operation} {request}: {body}"
        )
        assert body["message"]
    if status != 200 or operation.startswith(READS):
        assert plane.state() == before, f"{operation} {request}: {status} {body} changed something"


def any_request(operation: str, data: st.DataObject) -> None:
    """A request of any kind, after valid ones that make what it may be about."""
    with new_plane() as plane:
        for maker in makers(operation):
            check(plane, maker, data.draw(values(input_shape(maker)), label=maker))
        shape = input_shape(operation)
        request = data.draw(st.one_of(values(shape), flawed(shape), nonsense(shape)), label=operation)
        check(plane, operation, request)


SLOW: Final = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)


@pytest.mark.parametrize("operation", sorted(set(OPERATIONS) - set(RECORDS)))
@given(data=st.data())
@settings(max_examples=12, derandomize=True, deadline=None, suppress_health_check=SLOW)
def test_any_request_has_a_modelled_answer(operation: str, data: st.DataObject) -> None:
    any_request(operation, data)


@pytest.mark.parametrize("operation", sorted(RECORDS))
@given(data=st.data())
@settings(max_examples=6, derandomize=True, deadline=None, suppress_health_check=SLOW)
def test_any_request_about_records_has_a_modelled_answer(operation: str, data: st.DataObject) -> None:
    any_request(operation, data)


def refused_members(operation: str) -> tuple[str, ...]:
    return tuple(name for name, how in MEMBERS.get(operation, {}).items() if isinstance(how, Refused))


REFUSED: Final = [(operation, name) for operation in MEMBERS for name in refused_members(operation)]


@pytest.mark.parametrize(("operation", "name"), REFUSED)
@given(data=st.data())
@settings(max_examples=5, derandomize=True, deadline=None)
def test_a_member_that_the_table_calls_refused_is_refused(operation: str, name: str, data: st.DataObject) -> None:
    shape = input_shape(operation)
    request = {member: data.draw(values(shape.members[member])) for member in shape.required_members}
    value = True if shape.members[name].type_name == "boolean" else data.draw(values(shape.members[name]))
    assume(value not in ({}, []) and (name != "ValidationSpecification" or value["ValidationProfiles"]))
    with new_plane() as plane:
        status, body = plane.ask(operation, {**request, **WAYS.get(operation, {}), name: value})
    assert (status, body["__type"]) == (400, "ValidationException")
    assert "not available in the local account" in body["message"], body
    assert name in body["message"]


def test_members_that_operations_refuse_are_in_the_table() -> None:
    """Read from the source: a refusal that the page does not tell of would be a surprise."""
    for module in {operation.__module__ for operation in OPERATIONS.values()}:
        source = inspect.getsource(sys.modules[module])
        told = {
            name
            for operation, performed in OPERATIONS.items()
            if performed.__module__ == module
            for name in refused_members(operation)
        }
        for arguments in re.findall(r"refuse_members\(([^)]*)\)", source):
            assert set(re.findall(r'"(\w+)"', arguments)) <= told, module
    for name, family in FAMILIES.items():
        told = {*refused_members(f"Create{name}"), *refused_members(f"Update{name}")}
        assert set(family.refused) == told, name
