"""What moto delivers by itself, at once and inside the request, is delivered by us instead: later, and really.

Four of moto's modules send something: rules of EventBridge, notifications of S3, subscriptions of SNS, and Lambda,
which others call. Each is hooked when it is about to be used; `tests/contract` pins what is replaced.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.events.letters import BusEvent, Letter, Post, TargetCall
from mlops_sm.emulator.events.notifications import NotificationHooks
from mlops_sm.emulator.events.times import iso, precise
from mlops_sm.emulator.functions.hooks import FunctionHooks, as_method
from mlops_sm.emulator.replacing import Method, Replaced
from mlops_sm.emulator.store import Scope

_MODULES: Final[Mapping[str, str]] = {
    "eventbridge": "moto.events.models",
    "s3": "moto.s3.notifications",
    "sns": "moto.sns.models",
    "lambda": "moto.awslambda.models",
}
"""What is hooked, by botocore's id of the service that needs it first."""
MotoObject = Any
"""A rule, bucket, key, subscription or function of moto, which has no types that mypy sees."""


class DeliveryHooks:
    """The hooks of one open account.

    Args:
        send: Takes what is to be delivered.
        replay: What a rule sends for an event; nothing when its pattern does not match.
        now: Epoch seconds.
        functions: The hooks of Lambda.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Letter]], None],
        replay: Callable[[MotoObject, BusEvent], list[TargetCall]],
        now: Callable[[], float],
        functions: FunctionHooks,
    ) -> None:
        self._send = send
        self._replay = replay
        self._now = now
        self._notifications = NotificationHooks(send, now)
        self._lock = threading.Lock()
        self._hooked: set[str] = set()
        self._replaced = Replaced()
        self._install: Mapping[str, Callable[[], None]] = {
            "eventbridge": self._hook_rules,
            "s3": lambda: self._notifications.install(self._replaced),
            "sns": self._hook_subscriptions,
            "lambda": lambda: functions.install(self._replaced),
        }

    def __call__(self, arrival: Arrival) -> None:
        """Be there when moto answers a request."""
        self._notifications.begins(arrival)
        for service, module in _MODULES.items():
            if service not in self._hooked and (arrival.service == service or module in sys.modules):
                self._hook(service)

    def storage(self) -> None:
        """Be there when jobs, which send no request, change objects."""
        self._hook("s3")

    def _hook(self, service: str) -> None:
        with self._lock:
            if service not in self._hooked:
                self._install[service]()
                self._hooked.add(service)

    def remove(self) -> None:
        """Give moto its own methods back."""
        with self._lock:
            self._replaced.restore()
            self._hooked.clear()

    # ------------------------------------------------------------------ EventBridge

    def _hook_rules(self) -> None:
        from moto.events.models import Rule  # noqa: PLC0415 - 20 ms that other requests do without

        self._replaced.method(Rule, "send_to_targets", lambda _: as_method(self._send_to_targets))

    def _send_to_targets(
        self, rule: MotoObject, original_event: Mapping[str, Any], transform_input: bool = True
    ) -> None:
        """What a replay sends, which is all that moto sends by itself now."""
        event = {name: value for name, value in original_event.items() if name != "ingestion-time"}
        if isinstance(event.get("time"), int | float):
            event["time"] = iso(event["time"])
        letter = BusEvent(scope=Scope(rule.account_id, rule.region_name), event=event, bus=rule.event_bus_name)
        self._send(self._replay(rule, letter))

    # ------------------------------------------------------------------ SNS

    def _hook_subscriptions(self) -> None:
        from moto.sns.models import Subscription  # noqa: PLC0415 - 0.1 s that other requests do without

        self._replaced.method(Subscription, "publish", self._publish)

    def _publish(self, original: Method) -> Method:
        def publish(
            subscription: MotoObject,
            message: str,
            message_id: str,
            subject: str | None = None,
            message_attributes: Mapping[str, Any] | None = None,
            **more: Any,  # noqa: ANN401 - moto's own
        ) -> None:
            if subscription.protocol not in {"lambda", "http", "https"}:
                original(subscription, message, message_id, subject, message_attributes, **more)
                return
            matcher = subscription._filter_policy_matcher
            if matcher is not None and not matcher.matches(message_attributes, message):
                return
            if more.get("message_structure") == "json":
                message = subscription._parse_message_structure(message, subscription.protocol)
            notification = self._notification(subscription, message, message_id, subject, message_attributes)
            if subscription.protocol == "lambda":
                self._notify_function(subscription, notification)
            else:
                self._post(subscription, notification)

        return publish

    def _notification(
        self,
        subscription: MotoObject,
        message: str,
        message_id: str,
        subject: str | None,
        attributes: Mapping[str, Any] | None,
    ) -> dict[str, Json]:
        return {
            "Type": "Notification",
            "MessageId": message_id,
            "TopicArn": subscription.topic_arn,
            "Subject": subject,
            "Message": message,
            "Timestamp": precise(self._now()),
            "SignatureVersion": "1",
            "Signature": "",
            "MessageAttributes": {
                name: {"Type": value["Type"], "Value": _text(value["Value"])}
                for name, value in (attributes or {}).items()
            },
        }

    def _notify_function(self, subscription: MotoObject, notification: dict[str, Json]) -> None:
        """Source: "Invoking Lambda functions with Amazon SNS notifications", Lambda developer guide."""
        record = {
            "EventVersion": "1.0",
            "EventSubscriptionArn": subscription.arn,
            "EventSource": "aws:sns",
            "Sns": {**notification, "SigningCertUrl": "", "UnsubscribeUrl": ""},
        }
        self._send([self._call(subscription, json.dumps({"Records": [record]}))])

    def _post(self, subscription: MotoObject, notification: dict[str, Json]) -> None:
        raw = str(subscription.attributes.get("RawMessageDelivery", "")).lower() == "true"
        headers = {
            "Content-Type": "text/plain; charset=UTF-8",
            "x-amz-sns-message-type": "Notification",
            "x-amz-sns-message-id": notification["MessageId"],
            "x-amz-sns-topic-arn": subscription.topic_arn,
            "x-amz-sns-subscription-arn": subscription.arn,
            **({"x-amz-sns-rawdelivery": "true"} if raw else {}),
        }
        body = {name: value for name, value in notification.items() if value not in (None, {})}
        letter = Post(
            scope=Scope.of(subscription.topic_arn),
            url=subscription.endpoint,
            method="POST",
            payload=notification["Message"] if raw else json.dumps(body),
            headers=headers,
            dead_letter_queue=_dead_letter_queue(subscription),
            created=self._now(),
        )
        self._send([letter])

    def _call(self, subscription: MotoObject, payload: str) -> TargetCall:
        target: dict[str, Json] = {"Arn": subscription.endpoint}
        if queue := _dead_letter_queue(subscription):
            target["DeadLetterConfig"] = {"Arn": queue}
        return TargetCall(
            scope=Scope.of(subscription.topic_arn),
            target=target,
            payload=payload,
            origin=subscription.arn,
            created=self._now(),
        )


def _dead_letter_queue(subscription: MotoObject) -> str:
    policy = subscription.attributes.get("RedrivePolicy")
    return str(json.loads(policy)["deadLetterTargetArn"]) if policy else ""


def _text(value: Json) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
