"""What the keeper of moto's backends counts on: two dictionaries, and how the collections that grow are used.

When one of these fails after an upgrade of moto, `emulator/backends` needs a look before the pin in pyproject.toml
moves.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections import Counter
from collections.abc import Iterator
from typing import Any

import boto3
import moto
import pytest
from moto import mock_aws
from moto.cloudwatch.models import CloudWatchBackend
from moto.core.base_backend import AccountSpecificBackend, BackendDict, BaseBackend, backend_lock
from moto.core.responses import BaseResponse
from moto.events.models import Archive
from moto.iam import models as iam
from moto.logs.models import LogStream
from moto.s3.models import FakeBucket
from moto.sns.models import Topic
from moto.sqs.models import Message, Queue, SQSBackend, sqs_backends

from mlops_sm.emulator.backends.pickling import Resolver, pickled, service_of, unpickled

ACCOUNT = "123456789012"
KEPT = [
    "acm",
    "acmpca",
    "apigateway",
    "applicationautoscaling",
    "athena",
    "autoscaling",
    "awslambda",
    "awslambda_simple",
    "batch",
    "budgets",
    "cloudformation",
    "cloudtrail",
    "cloudwatch",
    "codebuild",
    "codepipeline",
    "cognitoidp",
    "config",
    "dynamodb",
    "ec2",
    "ecr",
    "ecs",
    "efs",
    "elbv2",
    "emr",
    "events",
    "firehose",
    "glue",
    "iam",
    "iot",
    "kinesis",
    "kms",
    "lakeformation",
    "logs",
    "organizations",
    "rds",
    "redshift",
    "resourcegroups",
    "resourcegroupstaggingapi",
    "route53",
    "s3control",
    "scheduler",
    "secretsmanager",
    "servicediscovery",
    "ses",
    "sns",
    "sqs",
    "ssm",
    "stepfunctions",
    "sts",
]


@pytest.fixture(autouse=True)
def mocked() -> Iterator[None]:
    with mock_aws():
        yield


def client(service: str) -> Any:
    return boto3.client(service, region_name="us-east-1")


def source(function: Any) -> str:
    return inspect.getsource(function)


def test_every_backend_is_reached_through_two_dictionaries() -> None:
    assert isinstance(sqs_backends, BackendDict)
    assert isinstance(sqs_backends[ACCOUNT], AccountSpecificBackend)
    backend = sqs_backends[ACCOUNT]["us-east-1"]
    assert isinstance(backend, BaseBackend)
    assert (backend.account_id, backend.region_name) == (ACCOUNT, "us-east-1")
    assert (sqs_backends.backend, sqs_backends[ACCOUNT].backend, sqs_backends[ACCOUNT].account_id) == (
        SQSBackend,
        SQSBackend,
        ACCOUNT,
    )
    assert sqs_backends in BackendDict._instances
    assert list(sqs_backends.iter_backends()) == [(ACCOUNT, "us-east-1", backend)]
    assert type(backend_lock).__name__ == "RLock"


def test_names_of_regions_come_from_one_session(monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        def get_available_partitions(self) -> list[str]:
            return ["aws"]

        def get_available_regions(self, _service: str, *, partition_name: str) -> list[str]:
            return [f"{partition_name}-nowhere-1"]

    monkeypatch.setattr(AccountSpecificBackend, "get_session", staticmethod(Session))
    assert AccountSpecificBackend("sqs", ACCOUNT, SQSBackend, True, ["more"]).regions == ["aws-nowhere-1", "more"]


def test_global_is_another_name_of_the_partition() -> None:
    assert '"global"' in source(AccountSpecificBackend.__getitem__)
    assert iam.iam_backends[ACCOUNT]["global"] is iam.iam_backends[ACCOUNT]["aws"]


def test_resetting_a_backend_makes_it_new() -> None:
    client("sqs").create_queue(QueueName="q")
    backend = sqs_backends[ACCOUNT]["us-east-1"]
    backend.reset()
    assert sqs_backends[ACCOUNT]["us-east-1"] is backend
    assert not backend.queues


def test_a_module_has_one_dictionary_of_backends() -> None:
    """The keeper names a backend by its module."""
    found: Counter[str] = Counter()
    for module in pkgutil.iter_modules(moto.__path__):
        if module.ispkg and module.name in {
            "sqs",
            "iam",
            "kms",
            "sts",
            "events",
            "logs",
            "awslambda",
            "awslambda_simple",
        }:
            models = importlib.import_module(f"moto.{module.name}.models")
            found.update(
                module.name
                for value in vars(models).values()
                if isinstance(value, BackendDict) and value.backend.__module__.split(".")[1] == module.name
            )
    assert set(found.values()) == {1}
    assert len(found) == 8


@pytest.mark.slow
@pytest.mark.parametrize("service", KEPT)
def test_a_backend_of_moto_can_be_kept(service: str) -> None:
    """A fresh one; what a service makes of requests is for the tests of the emulator."""
    for backends in vars(importlib.import_module(f"moto.{service}.models")).values():
        if isinstance(backends, BackendDict) and service_of(backends.backend) == service:
            there = backends[ACCOUNT]
            backend = there["us-east-1" if "us-east-1" in there else "aws"]
            state = pickled(vars(backend))
            assert unpickled(state, Resolver(str, lambda kind, label: [])).keys() == vars(backend).keys()


def test_every_request_visits_iam_through_two_functions() -> None:
    assert "mark_account_as_visited" in source(BaseResponse.setup_class)
    assert "from moto.iam.models import mark_account_as_visited" in source(BaseResponse.setup_class)
    assert "from moto.iam.models import get_account_id_from" in source(BaseResponse.get_current_account)
    assert callable(iam.mark_account_as_visited)
    assert callable(iam.get_account_id_from)


def test_messages_are_appended_removed_or_their_list_replaced() -> None:
    assert source(Queue).count("self._messages.append(") == 1
    assert "self._messages = new_messages" in source(Queue.delete_message)
    assert "queue._messages = []" in source(SQSBackend.purge_queue)
    assert "queue._messages.remove(message)" in source(SQSBackend.receive_message)
    queue = Queue("q", "us-east-1", ACCOUNT)
    assert (type(queue._messages), type(queue._pending_messages), type(queue.deleted_messages)) == (list, set, set)
    assert "self.deleted_messages.update(" in source(Queue.delete_message)
    assert hasattr(queue._messages_lock, "notify_all")


def test_a_message_changes_by_its_attributes_only() -> None:
    """`_old_receipt_handles` is changed in place, and an attribute is set in the same breath."""
    text = source(Message)
    assert text.count(".append(") == 1
    assert "self._old_receipt_handles.append(self.receipt_handle)" in text
    assert "self.receipt_handle = generate_receipt_handle()" in source(Message.mark_received)
    message = Message("id", "body")
    assert (message.visible_at, message.delayed_until) == (0.0, 0.0)
    assert "current_time > self.visible_at" in source(Message.visible.fget)
    assert "current_time < self.delayed_until" in source(Message.delayed.fget)


def test_a_queue_counts_its_messages_in_three_properties() -> None:
    for name in ("", "_delayed", "_not_visible"):
        assert isinstance(getattr(Queue, f"approximate_number_of_messages{name}"), property)


def test_metric_data_log_events_and_archived_events_only_grow() -> None:
    backend = CloudWatchBackend("us-east-1", ACCOUNT)
    assert backend.metric_data == []
    assert source(CloudWatchBackend).count("self.metric_data = ") == 0
    assert source(CloudWatchBackend.__init__).count("self.metric_data:") == 1
    assert source(LogStream).count("self.events += events") == 1
    assert "self.events = " not in source(LogStream)
    assert "self.events: list" in source(Archive)


def test_what_a_topic_has_sent_is_shown_by_no_operation() -> None:
    assert "self.sent_notifications.append(" in source(Topic.publish)
    responses = importlib.import_module("moto.sns.responses")
    assert "sent_notifications" not in source(responses)


def test_whether_a_bucket_is_versioned_is_a_property_of_its_status() -> None:
    assert isinstance(FakeBucket.is_versioned, property)
    assert 'self.versioning_status == "Enabled"' in source(FakeBucket.is_versioned.fget)
