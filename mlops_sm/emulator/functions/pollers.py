"""Queues that call functions: a thread per event source mapping takes messages and gives them to the function.

As with Lambda, what the function has dealt with is deleted from the queue, and the rest becomes visible again there
and ends, by the queue's own redrive policy, in its dead-letter queue.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.events import patterns
from mlops_sm.emulator.events.targets import ClientOf
from mlops_sm.emulator.functions.calls import FunctionCalls, named
from mlops_sm.emulator.store import Scope

_WAIT: Final = 1
"""Seconds that one request for messages waits; as long a closing account may have to wait."""
_PAGE: Final = 10
_log = logging.getLogger(__name__)

MotoMapping = Any
"""A ``moto.awslambda.models.EventSourceMapping``."""


class Pollers:
    """The threads of every mapping of a queue that is enabled.

    Args:
        calls: Calls functions.
        clients: Of SQS.
    """

    def __init__(self, calls: FunctionCalls, clients: ClientOf) -> None:
        self._calls = calls
        self._clients = clients
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._threads: dict[str, threading.Thread] = {}

    def watch(self, mapping: MotoMapping) -> None:
        """Take the messages of a mapping's queue from now on, as long as it is there and enabled."""
        if not mapping.enabled or mapping.event_source_arn.split(":")[2] != "sqs":
            return
        with self._lock:
            if mapping.uuid in self._threads or self._closed.is_set():
                return
            thread = threading.Thread(
                target=self._poll, args=(mapping.uuid, Scope(mapping.account_id, mapping.region)), name="poller"
            )
            thread.daemon = True
            self._threads[mapping.uuid] = thread
        thread.start()

    def watch_all(self, scopes: Iterable[Scope]) -> None:
        """Watch every mapping that the state holds for some accounts and regions; returns at once."""

        def look() -> None:
            from moto.awslambda.utils import get_backend  # noqa: PLC0415 - only with mappings

            for scope in scopes:
                backend = get_backend(scope.account, scope.region)
                for mapping in list(backend._event_source_mappings.values()):
                    self.watch(mapping)

        threading.Thread(target=look, name="pollers", daemon=True).start()

    def close(self) -> None:
        """Take no more messages; returns when what was taken has been dealt with."""
        self._closed.set()
        with self._lock:
            threads = list(self._threads.values())
        for thread in threads:
            thread.join()

    def _poll(self, identifier: str, scope: Scope) -> None:
        from moto.awslambda.utils import get_backend  # noqa: PLC0415 - only with mappings

        backend = get_backend(scope.account, scope.region)
        try:
            while not self._closed.is_set():
                mapping = backend.get_event_source_mapping(identifier)
                if mapping is None or not mapping.enabled:
                    return
                try:
                    self._round(mapping, scope)
                except (ClientError, BotoCoreError, AwsError) as error:
                    _log.warning(
                        "messages of %s did not reach %s: %s", mapping.event_source_arn, mapping.function_arn, error
                    )
                    self._closed.wait(_WAIT)
        finally:
            with self._lock:
                self._threads.pop(identifier, None)

    def _round(self, mapping: MotoMapping, scope: Scope) -> None:
        queue: str = mapping.event_source_arn
        home = Scope.of(queue)
        sqs = self._clients(home, "sqs")
        url = sqs.get_queue_url(QueueName=queue.rpartition(":")[2], QueueOwnerAWSAccountId=home.account)["QueueUrl"]
        messages = _receive(sqs, url, mapping.batch_size)
        if not messages or self._closed.is_set():
            return
        records = [_record(message, queue) for message in messages]
        wanted = [record for record in records if _meets(mapping, record)]
        failed: set[str] = set()
        if wanted:
            failed = self._call(mapping, scope, wanted)
        done = [message for message in messages if message["MessageId"] not in failed]
        for start in range(0, len(done), _PAGE):
            entries = [
                {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                for number, message in enumerate(done[start : start + _PAGE])
            ]
            sqs.delete_message_batch(QueueUrl=url, Entries=entries)

    def _call(self, mapping: MotoMapping, scope: Scope, records: list[dict[str, Json]]) -> set[str]:
        """Call the function; returns the ids of messages that it has not dealt with."""
        which = named(scope, mapping.function_arn, "")
        called, _ = self._calls.call(which, json.dumps({"Records": records}), str(uuid.uuid4()))
        everything = {record["messageId"] for record in records}
        if called.failed or called.lost:
            return everything
        if "ReportBatchItemFailures" not in (mapping.function_response_types or []):
            return set()
        return _reported(called.payload, everything)


def _receive(sqs: Any, url: str, size: int) -> list[dict[str, Json]]:  # noqa: ANN401 - a client
    """Up to so many messages; waits for the first."""
    messages: list[dict[str, Json]] = []
    while len(messages) < size:
        page = min(_PAGE, size - len(messages))
        found = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=page,
            WaitTimeSeconds=0 if messages else _WAIT,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        messages.extend(found)
        if len(found) < page:
            break
    return messages


def _record(message: Mapping[str, Json], queue: str) -> dict[str, Json]:
    """Source: "Using Lambda with Amazon SQS", the example of a message event, Lambda developer guide."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes") or {},
        "messageAttributes": {
            name: {
                "stringValue": value.get("StringValue"),
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": value["DataType"],
            }
            for name, value in (message.get("MessageAttributes") or {}).items()
        },
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue,
        "awsRegion": Scope.of(queue).region,
    }


def _meets(mapping: MotoMapping, record: Mapping[str, Json]) -> bool:
    """Whether a message meets one of the mapping's filters; one that does not is deleted."""
    filters = (mapping.filter_criteria or {}).get("Filters") or []
    if not filters:
        return True
    try:
        body: Json = json.loads(record["body"])
    except ValueError:
        body = record["body"]
    seen = {**record, "body": body}
    return any(patterns.matches(json.loads(item.get("Pattern") or "{}"), seen) for item in filters)


def _reported(answer: str, everything: Iterable[str]) -> set[str]:
    """The messages that an answer names as failed; all of them when it names one wrongly.

    Source: "Implementing partial batch responses" of the Lambda developer guide.
    """
    try:
        told = json.loads(answer) or {}
        named_ones = {item["itemIdentifier"] for item in told.get("batchItemFailures") or []}
    except (ValueError, TypeError, KeyError, AttributeError):
        return set(everything)
    known = set(everything)
    return named_ones if named_ones <= known else known
