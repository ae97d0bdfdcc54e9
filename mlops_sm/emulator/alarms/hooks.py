"""moto's CloudWatch, told to keep alarms as the service does: their states, rules, history and lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from mlops_sm.emulator.alarms import rules
from mlops_sm.emulator.alarms.incoming import DataError, prepared
from mlops_sm.emulator.alarms.messages import Situation
from mlops_sm.emulator.alarms.plans import PlanError, plan_of
from mlops_sm.emulator.alarms.reading import (
    ReadError,
    Request,
    make_token,
    read_data,
    read_number,
    read_statistics,
    read_token,
)
from mlops_sm.emulator.alarms.records import (
    COMPOSITE,
    METRIC,
    MotoAlarm,
    MotoBackend,
    aware,
    kind_of,
    naive,
    scope_of,
)
from mlops_sm.emulator.alarms.watch import Alarms
from mlops_sm.emulator.replacing import Hooks, Method, Replaced

_HISTORY_PAGE: Final = 100
_PAGE: Final = 50
"""Items of the history, and alarms, that a page has when MaxRecords is absent."""

MotoResponse = Any
"""A ``moto.cloudwatch.responses.CloudWatchResponse``."""
Read = TypeVar("Read")


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
            now = naive(self._clock())
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
        from moto.core.responses import ActionResult  # noqa: PLC0415 - see _install

        def reading(response: MotoResponse) -> Any:  # noqa: ANN401 - moto's own
            data = response.cloudwatch_backend.get_all_metrics()
            return ActionResult(_told(read, response._get_params(), data, self._clock()))

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
            kinds = set(get("AlarmTypes") or [METRIC])
            if get("ChildrenOfAlarmName") or get("ParentsOfAlarmName"):
                kinds = {METRIC, COMPOSITE}
            page, token = _page([alarm for alarm in found if kind_of(alarm) in kinds], get)
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
            most = int(get("MaxRecords") or _HISTORY_PAGE)
            after = get("NextToken")
            entries = self._alarms.history.select(
                scope_of(backend),
                name=get("AlarmName"),
                kinds=get("AlarmTypes") or [METRIC],
                item=get("HistoryItemType"),
                start=_seconds(get("StartDate")),
                end=_seconds(get("EndDate")),
                descending=get("ScanBy") != "TimestampAscending",
                after=None if after is None else _told(read_number, after),
                limit=most + 1,
            )
            page = entries[:most]
            items = [
                {
                    "AlarmName": entry.name,
                    "AlarmType": entry.type,
                    "Timestamp": naive(datetime.fromtimestamp(entry.time, UTC)),
                    "HistoryItemType": entry.item,
                    "HistorySummary": entry.summary,
                    "HistoryData": entry.data,
                }
                for entry in page
            ]
            token = make_token(str(page[-1].number)) if len(entries) > most else None
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


def _page(found: list[MotoAlarm], get: Callable[[str], Any]) -> tuple[list[MotoAlarm], str | None]:
    """A page of alarms in order of their names."""
    token = get("NextToken")
    if token is not None:
        last = _told(read_token, token)
        found = [alarm for alarm in found if alarm.name > last]
    most = int(get("MaxRecords") or _PAGE)
    page = found[:most]
    return page, make_token(page[-1].name) if len(found) > most else None


def _told(read: Callable[..., Read], *given: Any) -> Read:  # noqa: ANN401 - whatever is read
    """What reading comes to; a refusal in moto's form of an error."""
    from moto.cloudwatch.exceptions import ValidationError  # noqa: PLC0415 - see AlarmHooks

    try:
        return read(*given)
    except ReadError as error:
        refused = ValidationError(str(error))
        refused.code = error.code
        raise refused from error


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else aware(time).timestamp()
