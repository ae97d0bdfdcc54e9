"""What events, notifications and functions replace in moto and read of it; a release that changes it fails here."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
from moto.awslambda import models as lambda_models
from moto.awslambda.models import LambdaBackend, LambdaFunction
from moto.awslambda.utils import get_backend
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.events.models import EventsBackend, Replay, Rule, events_backends
from moto.s3 import models as s3_models
from moto.s3 import notifications
from moto.sns.models import Subscription, Topic

from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.events.hooks import DeliveryHooks
from mlops_sm.emulator.events.letters import Letter
from mlops_sm.emulator.functions.hooks import FunctionHooks


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_rules_are_sent_by_one_method() -> None:
    assert parameters(Rule.send_to_targets) == ["self", "original_event", "transform_input"]
    for sender in (EventsBackend.put_events, Replay.replay_events):
        assert "send_to_targets(" in inspect.getsource(sender)


def test_what_is_read_of_a_rule() -> None:
    backend = EventsBackend("us-east-1", "123456789012")
    rule = backend.put_rule("r", event_bus_arn="default", event_pattern=json.dumps({"source": ["a"]}), state="DISABLED")
    assert backend.event_buses["default"].rules == {"r": rule}
    assert (rule.account_id, rule.region_name, rule.event_bus_name) == ("123456789012", "us-east-1", "default")
    assert (rule.state, rule.arn) == ("DISABLED", "arn:aws:events:us-east-1:123456789012:rule/r")
    assert rule.targets == []
    assert rule.event_pattern.dump() == json.dumps({"source": ["a"]})
    assert (
        backend.put_rule("timed", event_bus_arn="default", scheduled_expression="rate(1 day)").event_pattern.dump()
        is None
    )
    assert backend.archives == {}
    assert events_backends.service_name == "events"


def test_an_archive_is_a_rule_whose_target_names_it() -> None:
    backend = EventsBackend("us-east-1", "123456789012")
    archive = backend.create_archive("kept", "default", "", "", "")
    (target,) = archive.rule.targets
    assert target["Arn"] == "arn:aws:events:us-east-1:::"
    assert f'"archive-arn": "{archive.arn}:' in target["InputTransformer"]["InputTemplate"]
    assert archive.arn.endswith(":archive/kept")
    assert archive.events == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_get_s3_event", ["event_name", "bucket", "key", "notification_id"]),
        ("_send_sqs_message", ["account_id", "event_body", "queue_name", "region_name"]),
        ("_send_sns_message", ["account_id", "event_body", "topic_arn", "region_name"]),
        ("_invoke_awslambda", ["account_id", "event_body", "fn_arn", "region_name"]),
        ("_send_event_bridge_message", ["account_id", "bucket", "event_name", "key"]),
        ("_detail_type", ["event_name"]),
    ],
)
def test_notifications_of_s3_go_through_functions_of_one_module(name: str, expected: list[str]) -> None:
    assert parameters(getattr(notifications, name)) == expected
    users = inspect.getsource(notifications.send_event) + inspect.getsource(notifications.send_test_event)
    assert name == "_detail_type" or f"{name}(" in users
    assert parameters(notifications.send_event) == ["account_id", "event_name", "bucket", "key"]
    assert "notifications.send_event(" in inspect.getsource(s3_models)


def test_objects_are_deleted_by_one_method() -> None:
    backend = s3_models.S3Backend
    assert parameters(backend.delete_object) == ["self", "bucket_name", "key_name", "version_id", "bypass"]
    assert "self.delete_object(" in inspect.getsource(backend.delete_objects)
    kinds = notifications.S3NotificationEvent
    assert kinds.OBJECT_REMOVED_DELETE_MARKER_CREATED_EVENT.value == "s3:ObjectRemoved:DeleteMarkerCreated"
    assert kinds.OBJECT_REMOVED_DELETE_EVENT.value == "s3:ObjectRemoved:Delete"
    assert kinds.OBJECT_TAGGING_PUT_EVENT.value == "s3:ObjectTagging:Put"
    assert kinds.OBJECT_ACL_UPDATE_EVENT.value == "s3:ObjectAcl:Put"


def test_subscriptions_of_sns_are_sent_by_one_method() -> None:
    assert parameters(Subscription.publish) == [
        *("self", "message", "message_id", "subject", "message_attributes"),
        *("group_id", "deduplication_id", "message_structure"),
    ]
    assert "subscription.publish(" in inspect.getsource(Topic.publish)
    assert parameters(Subscription._parse_message_structure) == ["self", "message", "protocol"]
    assert {"endpoint", "protocol", "arn", "attributes", "_filter_policy_matcher"} <= set(
        vars(Subscription("1", _Topic(), "e", "lambda"))  # type: ignore[arg-type] # as much of a topic as it looks at
    )


class _Topic:
    arn = "arn:aws:sns:us-east-1:123456789012:t"


def test_functions_are_run_by_two_methods() -> None:
    assert parameters(LambdaFunction.invoke) == ["self", "body", "request_headers", "response_headers"]
    assert parameters(LambdaSimpleBackend.invoke) == [
        *("self", "function_name", "qualifier", "body", "headers", "response_headers"),
    ]
    assert parameters(LambdaBackend.get_function) == ["self", "function_name_or_arn", "qualifier"]
    assert '.get("use_docker", True) is False' in inspect.getsource(get_backend)


def test_what_is_read_of_a_function() -> None:
    """Attributes that its constructor and its setters give; made without moto's account around it."""
    source = inspect.getsource(lambda_models.LambdaFunction)
    for name in (
        *("function_name", "function_arn", "account_id", "region", "version", "handler", "run_time", "package_type"),
        *("code_bytes", "environment_vars", "timeout", "memory_size", "layers", "reserved_concurrency"),
        "event_invoke_config",
    ):
        assert f"self.{name}" in source
    assert "code_bytes" in inspect.getsource(lambda_models.LayerVersion)
    assert parameters(LambdaFunction.__init__)[:3] == ["self", "account_id", "spec"]
    assert parameters(LambdaFunction.update_configuration) == ["self", "config_updates"]
    assert parameters(LambdaFunction.get_configuration) == ["self", "on_create"]
    # What moto would drop if it were not for us.
    assert "DeadLetterConfig" not in source
    assert "routing_config" in inspect.getsource(lambda_models.LambdaAlias)


def test_mappings_are_made_by_two_methods_and_called_from_the_queue() -> None:
    assert parameters(LambdaBackend.create_event_source_mapping) == ["self", "spec"]
    assert parameters(LambdaBackend.update_event_source_mapping) == ["self", "uuid", "spec"]
    assert "queue.lambda_event_source_mappings[esm.function_arn] = esm" in inspect.getsource(
        LambdaBackend.create_event_source_mapping
    )
    source = inspect.getsource(lambda_models.EventSourceMapping)
    for name in (
        "uuid",
        "enabled",
        "account_id",
        "region",
        "function_arn",
        "filter_criteria",
        "function_response_types",
    ):
        assert f"self.{name}" in source
    assert "self._event_source_mappings" in inspect.getsource(LambdaBackend)


def test_everything_is_given_back() -> None:
    places: list[tuple[Any, str]] = [
        *((Rule, "send_to_targets"), (Subscription, "publish"), (LambdaFunction, "invoke")),
        *((LambdaSimpleBackend, "invoke"), (notifications, "_send_sqs_message"), (notifications, "_get_s3_event")),
        *((LambdaBackend, "create_event_source_mapping"), (LambdaBackend, "update_event_source_mapping")),
        *((notifications, "send_event"), (s3_models.S3Backend, "delete_object")),
        *((notifications, "_invoke_awslambda"), (notifications, "_send_event_bridge_message")),
    ]
    before = [getattr(owner, name) for owner, name in places]
    sent: list[Letter] = []
    functions = FunctionHooks(sent.extend, lambda: 0.0, lambda _: None)
    hooks = DeliveryHooks(sent.extend, lambda _rule, _letter: [], lambda: 0.0, functions)
    hooks(Arrival("lambda", "Invoke", "1", "r", "POST", "/", {}, bytes))
    assert all(getattr(owner, name) is not was for (owner, name), was in zip(places, before, strict=True))
    hooks.remove()
    assert [getattr(owner, name) for owner, name in places] == before
    assert sent == []
