"""Calls a target, as any client of the account would: queue, topic, function, pipeline, log group, bus and so on."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode, urlsplit

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError

from mlops_sm.checks.service import sagemaker_model
from mlops_sm.definition.document import Json
from mlops_sm.emulator.events.delivery import UndeliveredError
from mlops_sm.emulator.events.inputs import MISSING, look_up, parameters
from mlops_sm.emulator.events.letters import BusEvent, Letter, Post, TargetCall
from mlops_sm.emulator.events.posts import post
from mlops_sm.emulator.events.rules import archive
from mlops_sm.emulator.service_names import folder_of
from mlops_sm.emulator.store import Scope
from mlops_sm.local.handlers import ServiceError

Client = Any
"""A boto3 client."""
ClientOf = Callable[[Scope, str], Client]
"""A client of a service, by endpoint name, that acts for an account in a region."""
CallSageMaker = Callable[[Scope, str, Mapping[str, Json]], Mapping[str, Json]]
"""Calls an operation of SageMaker; raises ServiceError."""

MAX_HOPS: Final = 3
"""Buses that may pass an event on before it is taken for one that goes in a circle."""
_LATER: Final = frozenset({"ThrottlingException", "InternalFailure", "ServiceUnavailable", "InsufficientStorage"})
_MISSING: Final = ("NotFound", "NoSuch", "NonExistent", "DoesNotExist")
_ARN_PARTS: Final = 6


class Arn(NamedTuple):
    """The parts of an ARN that say what it is."""

    service: str
    scope: Scope
    resource: str

    @classmethod
    def of(cls, text: str, home: Scope) -> Arn:
        """The parts; account and region that the ARN leaves out are those of `home`.

        Raises:
            UndeliveredError: It is no ARN.
        """
        parts = text.split(":", 5)
        if len(parts) < _ARN_PARTS or parts[0] != "arn":
            raise UndeliveredError("INVALID_PARAMETER", f"{text} is not an ARN.")
        return cls(parts[2], Scope(parts[4] or home.account, parts[3] or home.region), parts[5])


class Targets:
    """Calls targets.

    Args:
        clients: Of every service but SageMaker.
        sagemaker: Performs SageMaker's operations.
        changing: Around changes of moto's state that no request makes.
    """

    def __init__(
        self,
        clients: ClientOf,
        sagemaker: CallSageMaker,
        changing: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._clients = clients
        self._sagemaker = sagemaker
        self._changing = changing

    def call(self, number: int, call: TargetCall) -> list[Letter]:
        """Call a target once; returns what else has to be delivered for it.

        Raises:
            UndeliveredError: It refused, or cannot be called here.
        """
        arn = Arn.of(call.target["Arn"], call.scope)
        try:
            return self._call(number, call, arn)
        except ClientError as error:
            raise _undelivered(error.response["Error"]["Code"], str(error)) from error
        except ServiceError as error:
            raise _undelivered(error.code, str(error)) from error
        except BotoCoreError as error:
            raise UndeliveredError("SDK_CLIENT_ERROR", str(error)) from error

    def _call(self, number: int, call: TargetCall, arn: Arn) -> list[Letter]:
        kind = arn.resource.partition("/")[0].partition(":")[0]
        match arn.service, kind:
            case "sqs", _:
                self._send_message(call, arn)
            case "sns", _:
                self._clients(arn.scope, "sns").publish(
                    TopicArn=call.target["Arn"],
                    Message=call.payload,
                    MessageAttributes=call.target.get("MessageAttributes") or {},
                )
            case "lambda", _:
                self._clients(arn.scope, "lambda").invoke(
                    FunctionName=call.target["Arn"], InvocationType="Event", Payload=call.payload
                )
            case "sagemaker", "pipeline":
                self._start_pipeline(number, call, arn)
            case "logs", "log-group":
                self._log(call, arn)
            case "events", "event-bus":
                return [_passed_on(call, arn)]
            case "events", "api-destination":
                self._request(call, arn)
            case "events", "":
                name = json.loads(call.payload)["archive-arn"].split(":archive/", 1)[1].split(":")[0]
                with self._changing():
                    archive(call.scope, name, call.event or {})
            case "states", "stateMachine":
                self._clients(arn.scope, "stepfunctions").start_execution(
                    stateMachineArn=call.target["Arn"], name=_token(number, call)[:32], input=call.payload
                )
            case "kinesis", "stream":
                self._put_record(number, call, arn)
            case "scheduler", "aws-sdk":
                self._universal(number, call, arn)
            case service, _:
                raise UndeliveredError(
                    "INVALID_PARAMETER",
                    f"Targets like {call.target['Arn']} ({service}) are not available in the local account.",
                )
        return []

    def _send_message(self, call: TargetCall, arn: Arn) -> None:
        url = f"https://sqs.{arn.scope.region}.amazonaws.com/{arn.scope.account}/{arn.resource}"
        group = (call.target.get("SqsParameters") or {}).get("MessageGroupId")
        more = {"MessageGroupId": group} if group else {}
        if call.target.get("MessageAttributes"):
            more["MessageAttributes"] = call.target["MessageAttributes"]
        self._clients(arn.scope, "sqs").send_message(QueueUrl=url, MessageBody=call.payload, **more)

    def _start_pipeline(self, number: int, call: TargetCall, arn: Arn) -> None:
        given = (call.target.get("SageMakerPipelineParameters") or {}).get("PipelineParameterList") or []
        self._sagemaker(
            arn.scope,
            "StartPipelineExecution",
            {
                "PipelineName": call.target["Arn"],
                "PipelineParameters": parameters(given, call.event),
                # A letter that is delivered twice starts one execution.
                "ClientRequestToken": _token(number, call),
            },
        )

    def _put_record(self, number: int, call: TargetCall, arn: Arn) -> None:
        path = (call.target.get("KinesisParameters") or {}).get("PartitionKeyPath", "$.id")
        key = look_up(path, call.event or {})
        self._clients(arn.scope, "kinesis").put_record(
            StreamName=arn.resource.partition("/")[2],
            Data=call.payload.encode(),
            PartitionKey=_token(number, call) if key is MISSING else str(key),
        )

    def _log(self, call: TargetCall, arn: Arn) -> None:
        group = arn.resource.split(":")[1]
        logs, stream = self._clients(arn.scope, "logs"), str(uuid.uuid4())
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        # CloudWatch Logs refuses times that are not near the machine's.
        entry = {"timestamp": round(time.time() * 1000), "message": call.payload}
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[entry])

    def _request(self, call: TargetCall, arn: Arn) -> None:
        name = arn.resource.split("/")[1]
        found = self._clients(arn.scope, "events").describe_api_destination(Name=name)
        http = call.target.get("HttpParameters") or {}
        url = found["InvocationEndpoint"]
        for value in http.get("PathParameterValues") or []:
            url = url.replace("*", value, 1)
        if http.get("QueryStringParameters"):
            url += ("&" if urlsplit(url).query else "?") + urlencode(http["QueryStringParameters"])
        headers = {"Content-Type": "application/json; charset=utf-8", **(http.get("HeaderParameters") or {})}
        method, payload = found["HttpMethod"], call.payload
        post(Post(scope=call.scope, url=url, method=method, payload=payload, headers=headers, created=call.created))

    def _universal(self, number: int, call: TargetCall, arn: Arn) -> None:
        """A target of the scheduler that names any operation: ``aws-sdk:service:operation``, its Input the request."""
        _, service, operation = arn.resource.split(":", 2)
        name = operation[:1].upper() + operation[1:]
        request = json.loads(call.payload or "{}")
        if service == "sagemaker":
            # As the SDKs do: a letter that is delivered twice starts one execution.
            model = sagemaker_model()
            tokens = model.operation_model(name).idempotent_members if name in model.operation_names else ()
            self._sagemaker(arn.scope, name, {**dict.fromkeys(tokens, _token(number, call)), **request})
            return
        client = self._clients(arn.scope, folder_of(service))
        perform = getattr(client, xform_name(name), None)
        if perform is None:
            raise UndeliveredError("INVALID_PARAMETER", f"The service {service} has no operation {name}.")
        perform(**request)


def _passed_on(call: TargetCall, arn: Arn) -> BusEvent:
    """The event on the next bus; a schedule's EventBridgeParameters make an event of its payload."""
    if call.hops >= MAX_HOPS:
        raise UndeliveredError("THIRD_REGION_HOP_DETECTED", "The event has been passed on by too many buses.")
    event = dict(call.event or {})
    made = call.target.get("EventBridgeParameters")
    if made:
        event = {
            **event,
            "source": made["Source"],
            "detail-type": made["DetailType"],
            "detail": json.loads(call.payload or "{}"),
        }
    return BusEvent(scope=arn.scope, event=event, bus=arn.resource.split("/", 1)[1], hops=call.hops + 1)


def _undelivered(code: str, message: str) -> UndeliveredError:
    if code in _LATER or code.startswith("Throttl"):
        return UndeliveredError("THROTTLING" if "Throttl" in code else "INTERNAL_ERROR", message, retry=True)
    if any(word in code for word in _MISSING):
        return UndeliveredError("NO_RESOURCE", message)
    return UndeliveredError("ERROR_FROM_TARGET", message)


def _token(number: int, call: TargetCall) -> str:
    """The same for the same letter, whenever it is delivered."""
    return hashlib.sha256(f"{number} {call.created} {call.target['Arn']} {call.payload}".encode()).hexdigest()
