"""What follows an asynchronous call: a destination hears of its result, a dead-letter queue of its failure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from mlops_sm.definition.document import Json
from mlops_sm.emulator.events.envelope import envelope
from mlops_sm.emulator.events.letters import Invocation, Letter, TargetCall
from mlops_sm.emulator.events.times import precise


@dataclass(frozen=True, slots=True)
class Result:
    """The last word on an asynchronous call.

    Attributes:
        letter: The call.
        arn: The function's, with version or alias.
        version: Which ran.
        answer: What it answered, as JSON text.
        condition: Why it is the last word.
        error: What went wrong; empty for a success.
    """

    letter: Invocation
    arn: str
    version: str
    answer: str
    condition: str = "Success"
    error: str = ""

    def reported(self, config: Mapping[str, Json], now: float) -> list[Letter]:
        """What the destination of the function's event configuration gets, at an epoch second.

        Source: "Capturing records of Lambda asynchronous invocations" of the Lambda developer guide.
        """
        destinations = config.get("DestinationConfig") or {}
        arn = (destinations.get("OnFailure" if self.error else "OnSuccess") or {}).get("Destination")
        if not arn:
            return []
        if ":event-bus/" not in arn:
            return [self._sent({"Arn": arn}, json.dumps(self._record(now)), now)]
        detail_type = f"Lambda Function Invocation Result - {'Failure' if self.error else 'Success'}"
        record = self._record(now)
        event = envelope(
            self.letter.scope, "lambda", detail_type, resources=[arn, self.arn], detail=record, seconds=now
        )
        return [self._sent({"Arn": arn}, json.dumps(record), now, event)]

    def dead_letter(self, config: Mapping[str, Json], message: str, now: float) -> list[Letter]:
        """What the queue or topic of the function's DeadLetterConfig gets, at an epoch second.

        Source: "Adding a dead-letter queue" of the Lambda developer guide: the event, and three attributes.
        """
        if not config.get("TargetArn"):
            return []
        facts = {"RequestID": self.letter.request_id, "ErrorCode": "200", "ErrorMessage": message[:1024]}
        attributes: dict[str, Json] = {
            name: {"DataType": "Number" if name == "ErrorCode" else "String", "StringValue": value}
            for name, value in facts.items()
        }
        return [self._sent({"Arn": config["TargetArn"], "MessageAttributes": attributes}, self.letter.payload, now)]

    def _record(self, now: float) -> dict[str, Json]:
        return {
            "version": "1.0",
            "timestamp": precise(now),
            "requestContext": {
                "requestId": self.letter.request_id,
                "functionArn": self.arn,
                "condition": self.condition,
                "approximateInvokeCount": self.letter.attempts + 1,
            },
            "requestPayload": json.loads(self.letter.payload),
            "responseContext": {
                "statusCode": 200,
                "executedVersion": self.version,
                **({"functionError": self.error} if self.error else {}),
            },
            "responsePayload": json.loads(self.answer),
        }

    def _sent(
        self, target: Mapping[str, Json], payload: str, now: float, event: Mapping[str, Json] | None = None
    ) -> TargetCall:
        return TargetCall(
            scope=self.letter.scope, target=target, payload=payload, origin=self.arn, event=event, created=now
        )
