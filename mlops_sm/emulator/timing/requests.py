"""Requests about schedules and alarms, checked against botocore's models before moto reads them: it checks little."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from mlops_sm.checks.service import service_model
from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.errors import AwsError
from mlops_sm.emulator.protocol import Answer, read_json
from mlops_sm.emulator.refusals import refusal
from mlops_sm.emulator.service_names import folder_of
from mlops_sm.emulator.validation import read_request

_CHECKED: Final[Mapping[str, frozenset[str]]] = {
    "cloudwatch": frozenset(
        {
            "DeleteAlarms",
            "DescribeAlarmHistory",
            "DescribeAlarms",
            "DescribeAlarmsForMetric",
            "DisableAlarmActions",
            "EnableAlarmActions",
            "PutCompositeAlarm",
            "PutMetricAlarm",
            "SetAlarmState",
        }
    ),
    "eventbridge": frozenset({"PutRule"}),
    "scheduler": frozenset({"CreateSchedule", "CreateScheduleGroup", "UpdateSchedule"}),
}
"""What is checked, by botocore's id of the service."""


def check(arrival: Arrival) -> Answer | None:
    """The refusal of a request that is not what its service takes; None for one that is, and for those not checked."""
    if arrival.operation not in _CHECKED.get(arrival.service, ()) or not _is_json(arrival):
        return None
    shape = service_model(folder_of(arrival.service)).operation_model(arrival.operation).input_shape
    in_path = {"Name": unquote(arrival.path.split("?")[0].rsplit("/", 1)[-1])} if arrival.service == "scheduler" else {}
    try:
        body = read_json(arrival.read())
        read_request({**body, **in_path} if isinstance(body, dict) else body, shape)
    except RecursionError:
        return refusal(arrival, AwsError("SerializationException", "The request's body is nested too deeply"))
    except AwsError as error:
        if arrival.service == "cloudwatch" and error.code == "ValidationException":
            # CloudWatch's word for it.
            error = AwsError("ValidationError", error.message)
        return refusal(arrival, error)
    return None


def _is_json(arrival: Arrival) -> bool:
    """Whether the body is JSON; CloudWatch takes forms, too, whose every member is text."""
    return arrival.service != "cloudwatch" or arrival.headers.get("content-type", "").startswith(
        "application/x-amz-json"
    )
