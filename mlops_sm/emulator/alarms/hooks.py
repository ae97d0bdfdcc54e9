"""moto's CloudWatch, told to keep alarms as the service does: their states, rules, history and lists."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from mlops_sm.emulator.alarms import rules
from mlops_sm.emulator.alarms.incoming import DataError, prepared
from mlops_sm.emulator.alarms.messages import Situation
from mlops_sm.emulator.alarms.plans import MotoAlarm, MotoBackend, PlanError, plan_of
from mlops_sm.emulator.alarms.reading import ReadError, Request, read_data, read_statistics
from mlops_sm.emulator.alarms.watch import Alarms
from mlops_sm.emulator.replacing import Hooks, Method, Replaced
from mlops_sm.emulator.store import Scope

_METRIC: Final = "MetricAlarm"
_COMPOSITE: Final = "CompositeAlarm"
_MOST: Final = 100

MotoResponse = Any
"""A ``moto.cloudwatch.responses.CloudWatchResponse``."""
Error = Callable[[str], Exception]


class AlarmHooks(Hooks):
    """The hooks of one open account; installed by the first request that may concern an alarm.

    Args:
        alarms: Told of every change.
        clock: The time; data without a timestamp are of now.
    """

    def __init__(self, alarms: Alarms, clock: Callable[[], datetime]) -> None:
        super().__init__()
        self._alarms = alarms
        self._clock = clock

    def _install(self, replaced: Replaced) -> None:
        from moto.cloudwatch.models import CloudWatchBackend  # noqa: PLC0415 - 20 ms that other requests do without
        from moto.cloudwatch.responses import CloudWatchResponse  # noqa: PLC0415 - likewise

        replaced.method(CloudWatchBackend, "put_metric_alarm", self._put_alarm)
        replaced.method(CloudWatchBackend, "put_metric_data", self._put_data)
        replaced.method(CloudWatchBackend, "set_alarm_state", self._set_state)
        replaced.method(CloudWatchBackend, "delete_alarms", self._delete)
        replaced.method(CloudWatchResponse, "describe_alarms", self._describe)
        replaced.method(CloudWatchResponse, "describe_alarms_for_metric", self._describe_for_metric)
        replaced.method(CloudWatchResponse, "get_metric_statistics", self._read(read_statistics))
        replaced.method(CloudWatchResponse, "get_metric_data", self._read(read_data))
        replaced.addition(CloudWatchResponse, "put_composite_alarm", self._put_composite())
        replaced.addition(CloudWatchResponse, "describe_alarm_history", self._describe_history())

    def _put_alarm(self, original: Method) -> Method:
        from moto.cloudwatch.exceptions import ValidationError  # noqa: PLC0415 - see _install

        def put_metric_alarm(backend: MotoBackend, **options: Any) -> MotoAlarm:  # noqa: ANN401 - moto's own
            if not options["name"]:
                raise ValidationError("The parameter AlarmName is required.")
            before = backend.alarms.get(options["name"])
            alarm = original(backend, **options)
            try:
                if alarm.rule is None:
                    plan = plan_of(alarm)
                else:
                    plan = None
                    _check_children(alarm, backend)
            except (PlanError, rules.RuleError) as error:
                # Moto's record is made by checking it; a refused one must not stay.
                if before is None:
                    del backend.alarms[alarm.name]
                else:
                    backend.alarms[alarm.name] = before
                raise ValidationError(str(error)) from error
            self._alarms.put(backend, alarm, before, plan)
            return alarm

        return put_metric_alarm

    def _put_data(self, original: Method) -> Method:
        from moto.cloudwatch.exceptions import InvalidParameterValue  # noqa: PLC0415 - see _install

        def put_metric_data(backend: MotoBackend, namespace: str, metric_data: list[dict[str, Any]]) -> None:
            now = self._clock().astimezone(UTC).replace(tzinfo=None)
            try:
                data = prepared(metric_data, now)
            except DataError as error:
                raise InvalidParameterValue(str(error)) from error
            known = len(backend.metric_data)
            original(backend, namespace, data)
            if backend.alarms:
                self._alarms.data(backend, backend.metric_data[known:])

        return put_metric_data

    def _read(self, read: Callable[[Request, Iterable[Any], datetime], dict[str, Any]]) -> Callable[[Method], Method]:
        from moto.cloudwatch.exceptions import ValidationError  # noqa: PLC0415 - see _install
        from moto.core.responses import ActionResult  # noqa: PLC0415 - likewise

        def reading(response: MotoResponse) -> Any:  # noqa: ANN401 - moto's own
            data = response.cloudwatch_backend.get_all_metrics()
            try:
                return ActionResult(read(response._get_params(), data, self._clock()))
            except ReadError as error:
                refused = ValidationError(str(error))
                refused.code = error.code
                raise refused from error

        return lambda original: reading

    def _set_state(self, original: Method) -> Method:
        def set_alarm_state(
            backend: MotoBackend, alarm_name: str, reason: str, reason_data: str | None, state_value: str
        ) -> None:
            alarm = backend.alarms.get(alarm_name)
            before = None if alarm is None else Situation.of(alarm)
            original(backend, alarm_name, reason, reason_data, state_value)
            if before is not None:
                self._alarms.set_state(backend, alarm, before)

        return set_alarm_state

    def _delete(self, original: Method) -> Method:
        from moto.cloudwatch.exceptions import ValidationError  # noqa: PLC0415 - see _install

        def delete_alarms(backend: MotoBackend, alarm_names: list[str]) -> None:
            going = [backend.alarms[name] for name in dict.fromkeys(alarm_names) if name in backend.alarms]
            names = {alarm.name for alarm in going}
            held = sorted(
                {
                    child
                    for alarm in backend.alarms.values()
                    if alarm.rule is not None and alarm.name not in names
                    for child in rules.children(rules.parse_rule(alarm.rule))
                    if child in names
                }
            )
            if held:
                raise ValidationError(
                    f"Cannot delete {', '.join(held)} as there are composite alarm(s) depending on it."
                )
            original(backend, alarm_names)
            for alarm in going:
                self._alarms.deleted(backend, alarm)

        return delete_alarms

    # ------------------------------------------------------------------ operations that moto has not, or otherwise

    def _put_composite(self) -> Method:
        from moto.cloudwatch.exceptions import ValidationError  # noqa: PLC0415 - see _install
        from moto.core.responses import EmptyResult  # noqa: PLC0415 - likewise

        def put_composite_alarm(response: MotoResponse) -> Any:  # noqa: ANN401 - moto's own
            get = response._get_param
            for name in ("ActionsSuppressor", "ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod"):
                if get(name) is not None:
                    raise ValidationError(f"The parameter {name} is not available in the local account.")
            enabled = get("ActionsEnabled")
            unused = ("namespace", "metric_name", "comparison_operator", "evaluation_periods", "period", "threshold")
            response.cloudwatch_backend.put_metric_alarm(
                name=get("AlarmName"),
                **dict.fromkeys((*unused, "statistic")),
                description=get("AlarmDescription"),
                dimensions=[],
                alarm_actions=get("AlarmActions", []),
                ok_actions=get("OKActions", []),
                insufficient_data_actions=get("InsufficientDataActions", []),
                actions_enabled=True if enabled is None else bool(enabled),
                rule=get("AlarmRule") or "",
                tags=get("Tags", []),
            )
            return EmptyResult()

        return put_composite_alarm

    def _describe(self, original: Method) -> Method:
        """Every filter narrows; composite alarms are told only when asked for; pages.

        Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
        """
        from moto.core.responses import ActionResult  # noqa: PLC0415 - see _install

        def describe_alarms(response: MotoResponse) -> Any:  # noqa: ANN401 - moto's own
            get = response._get_param
            alarms = response.cloudwatch_backend.alarms
            found = _narrowed(alarms, get)
            kinds = set(get("AlarmTypes") or [_METRIC])
            if get("ChildrenOfAlarmName") or get("ParentsOfAlarmName"):
                kinds = {_METRIC, _COMPOSITE}
            page, token = _page(
                [alarm for alarm in found if _kind(alarm) in kinds], lambda alarm: str(alarm.name), get, 50
            )
            return ActionResult(
                {
                    "MetricAlarms": [alarm for alarm in page if alarm.rule is None],
                    "CompositeAlarms": [alarm for alarm in page if alarm.rule is not None],
                    "NextToken": token,
                }
            )

        return describe_alarms

    def _describe_for_metric(self, original: Method) -> Method:
        from moto.core.responses import ActionResult  # noqa: PLC0415 - see _install

        def describe_alarms_for_metric(response: MotoResponse) -> Any:  # noqa: ANN401 - moto's own
            get = response._get_param
            asked = {
                "namespace": get("Namespace"),
                "metric_name": get("MetricName"),
                "statistic": get("Statistic"),
                "extended_statistic": get("ExtendedStatistic"),
                "period": get("Period"),
                "unit": get("Unit"),
            }
            dimensions = {(each["Name"], each["Value"]) for each in get("Dimensions") or []}
            found = [
                alarm
                for alarm in response.cloudwatch_backend.alarms.values()
                if alarm.rule is None
                and all(value is None or getattr(alarm, name) == value for name, value in asked.items())
                and {(each.name, each.value) for each in alarm.dimensions} == dimensions
            ]
            return ActionResult({"MetricAlarms": found})

        return describe_alarms_for_metric

    def _describe_history(self) -> Method:
        from moto.core.responses import ActionResult  # noqa: PLC0415 - see _install

        def describe_alarm_history(response: MotoResponse) -> Any:  # noqa: ANN401 - moto's own
            get = response._get_param
            backend = response.cloudwatch_backend
            most = int(get("MaxRecords") or _MOST)
            after = get("NextToken")
            entries = self._alarms.history.select(
                Scope(backend.account_id, backend.region_name),
                name=get("AlarmName"),
                kinds=get("AlarmTypes") or [_METRIC],
                item=get("HistoryItemType"),
                start=_seconds(get("StartDate")),
                end=_seconds(get("EndDate")),
                descending=get("ScanBy") != "TimestampAscending",
                after=None if after is None else _read_number(after),
                limit=most + 1,
            )
            page = entries[:most]
            items = [
                {
                    "AlarmName": entry.name,
                    "AlarmType": entry.type,
                    "Timestamp": datetime.fromtimestamp(entry.time, UTC).replace(tzinfo=None),
                    "HistoryItemType": entry.item,
                    "HistorySummary": entry.summary,
                    "HistoryData": entry.data,
                }
                for entry in page
            ]
            token = _token(str(page[-1].number)) if len(entries) > most else None
            return ActionResult({"AlarmHistoryItems": items, "NextToken": token})

        return describe_alarm_history


def _check_children(alarm: MotoAlarm, backend: MotoBackend) -> None:
    """Refuse a rule that cannot be read, names alarms that are not there, or leads back to itself."""
    try:
        children = rules.children(rules.parse_rule(alarm.rule))
    except rules.RuleError as error:
        raise rules.RuleError(f"AlarmRule must be valid: {error}.") from error
    missing = [name for name in children if name not in backend.alarms]
    if missing:
        raise rules.RuleError(
            f"Could not save the composite alarm as alarms [{', '.join(missing)}] in the alarm rule do not exist"
        )
    seen: set[str] = set()
    open_names = list(children)
    while open_names:
        name = open_names.pop()
        if name == alarm.name:
            raise rules.RuleError(f"Could not save the composite alarm as its alarm rule leads back to {name}")
        child = backend.alarms.get(name)
        if name not in seen and child is not None and child.rule is not None:
            open_names.extend(rules.children(rules.parse_rule(child.rule)))
        seen.add(name)


def _narrowed(alarms: Mapping[str, MotoAlarm], get: Callable[[str], Any]) -> list[MotoAlarm]:
    found: Iterable[MotoAlarm] = sorted(alarms.values(), key=lambda alarm: str(alarm.name))
    names, prefix, state, action = get("AlarmNames"), get("AlarmNamePrefix"), get("StateValue"), get("ActionPrefix")
    children, parents = get("ChildrenOfAlarmName"), get("ParentsOfAlarmName")
    if names:
        found = [alarm for alarm in found if alarm.name in names]
    if prefix:
        found = [alarm for alarm in found if alarm.name.startswith(prefix)]
    if state:
        found = [alarm for alarm in found if alarm.state_value == state]
    if action:
        found = [alarm for alarm in found if any(each.startswith(action) for each in _actions(alarm))]
    if children:
        named = _children(alarms.get(children))
        found = [alarm for alarm in found if alarm.name in named]
    if parents:
        found = [alarm for alarm in found if parents in _children(alarm)]
    return list(found)


def _actions(alarm: MotoAlarm) -> list[str]:
    return [*(alarm.alarm_actions or []), *(alarm.ok_actions or []), *(alarm.insufficient_data_actions or [])]


def _children(alarm: MotoAlarm | None) -> tuple[str, ...]:
    return () if alarm is None or alarm.rule is None else rules.children(rules.parse_rule(alarm.rule))


def _kind(alarm: MotoAlarm) -> str:
    return _METRIC if alarm.rule is None else _COMPOSITE


def _page(
    found: list[MotoAlarm], key: Callable[[MotoAlarm], str], get: Callable[[str], Any], default: int
) -> tuple[list[MotoAlarm], str | None]:
    token = get("NextToken")
    if token is not None:
        last = _read_token(token)
        found = [each for each in found if key(each) > last]
    most = int(get("MaxRecords") or default)
    page = found[:most]
    return page, _token(key(page[-1])) if len(found) > most else None


def _token(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode()


def _read_token(token: str) -> str:
    from moto.cloudwatch.exceptions import InvalidParameterValue  # noqa: PLC0415 - see AlarmHooks

    try:
        return base64.b64decode(token.encode(), b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        refused = InvalidParameterValue("The specified next token is invalid.")
        refused.code = "InvalidNextToken"
        raise refused from error


def _read_number(token: str) -> int:
    text = _read_token(token)
    return int(text) if text.isdecimal() else 0


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
