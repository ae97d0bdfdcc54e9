"""moto's EventBridge and Scheduler, told to refuse what the services refuse and to keep the timetable in step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.replacing import Hooks, Method, Replaced
from mlops_sm.emulator.store import Scope
from mlops_sm.emulator.timing.expressions import Dialect, ExpressionError, parse, zone
from mlops_sm.emulator.timing.timetable import Entry, Timetable

_PATIENCE: Final = timedelta(minutes=5)
_LONGEST_WINDOW: Final = 1440
_DEFAULT: Final = "default"

MotoObject = Any
"""A rule, schedule or backend of moto, which has no types that mypy sees."""


class ScheduleHooks(Hooks):
    """The hooks of one open account; installed by the first request that may concern a schedule.

    Args:
        timetable: Kept in step.
        clock: The time.
    """

    def __init__(self, timetable: Timetable, clock: Callable[[], datetime]) -> None:
        super().__init__()
        self._timetable = timetable
        self._clock = clock

    def target(self, entry: Entry) -> Mapping[str, Json] | None:
        """The target of a schedule of EventBridge Scheduler; None, and out of the timetable, when moto has it not."""
        from moto.scheduler.models import scheduler_backends  # noqa: PLC0415 - only accounts with schedules need it

        groups = scheduler_backends[entry.scope.account][entry.scope.region].schedule_groups
        schedule = groups[entry.holder].schedules.get(entry.name) if entry.holder in groups else None
        if schedule is None:
            self._timetable.drop(entry.arn)
            return None
        return dict(schedule.target)

    def _install(self, replaced: Replaced) -> None:
        from moto.events.models import EventsBackend  # noqa: PLC0415 - 20 ms that other requests do without
        from moto.scheduler.models import EventBridgeSchedulerBackend  # noqa: PLC0415 - likewise
        from moto.scheduler.responses import EventBridgeSchedulerResponse  # noqa: PLC0415 - likewise

        replaced.method(EventsBackend, "put_rule", self._put_rule)
        replaced.method(EventsBackend, "delete_rule", self._delete_rule)
        for name in ("enable_rule", "disable_rule"):
            replaced.method(EventsBackend, name, self._switch_rule)
        replaced.method(EventBridgeSchedulerBackend, "create_schedule", self._create_schedule)
        replaced.method(EventBridgeSchedulerBackend, "update_schedule", self._update_schedule)
        replaced.method(EventBridgeSchedulerResponse, "update_schedule", self._updated_schedule)
        replaced.method(EventBridgeSchedulerBackend, "delete_schedule", self._delete_schedule)
        replaced.method(EventBridgeSchedulerBackend, "create_schedule_group", self._create_group)
        replaced.method(EventBridgeSchedulerBackend, "delete_schedule_group", self._delete_group)

    # ------------------------------------------------------------------ EventBridge

    def _put_rule(self, original: Method) -> Method:
        from moto.events.exceptions import ValidationException  # noqa: PLC0415 - see _install

        def put_rule(backend: MotoObject, *args: Any, **options: Any) -> MotoObject:  # noqa: ANN401 - moto's own
            expression = options.get("scheduled_expression")
            on_default = (options.get("event_bus_arn") or _DEFAULT).split("/")[-1] == _DEFAULT
            if expression and on_default:
                try:
                    parse(expression, Dialect.RULE)
                except ExpressionError as error:
                    raise ValidationException("Parameter ScheduleExpression is not valid.") from error
            rule = original(backend, *args, **options)
            self._follow_rule(rule)
            return rule

        return put_rule

    def _switch_rule(self, original: Method) -> Method:
        def switch_rule(backend: MotoObject, name: str, event_bus_arn: str | None) -> bool:
            found = bool(original(backend, name, event_bus_arn))
            if found:
                self._follow_rule(backend.describe_rule(name, event_bus_arn))
            return found

        return switch_rule

    def _delete_rule(self, original: Method) -> Method:
        def delete_rule(backend: MotoObject, name: str, event_bus_arn: str | None) -> None:
            bus = backend.event_buses.get(backend._normalize_event_bus_arn(event_bus_arn))
            rule = None if bus is None else bus.rules.get(name)
            original(backend, name, event_bus_arn)
            if rule is not None:
                self._timetable.drop(rule.arn)

        return delete_rule

    def _follow_rule(self, rule: MotoObject) -> None:
        if not rule.scheduled_expression:
            self._timetable.drop(rule.arn)
            return
        self._timetable.put(
            Entry(
                arn=rule.arn,
                scope=Scope(rule.account_id, rule.region_name),
                dialect=Dialect.RULE,
                holder=rule.event_bus_name,
                name=rule.name,
                expression=rule.scheduled_expression,
                enabled=rule.state != "DISABLED",
            )
        )

    # ------------------------------------------------------------------ EventBridge Scheduler

    def _create_schedule(self, original: Method) -> Method:
        from moto.scheduler.exceptions import ScheduleGroupNotFound  # noqa: PLC0415 - see _install

        def create_schedule(backend: MotoObject, **options: Any) -> MotoObject:  # noqa: ANN401 - moto's own
            group = options.get("group_name") or _DEFAULT
            if group not in backend.schedule_groups:
                raise ScheduleGroupNotFound(group)
            self._check(options, created=True)
            schedule = original(backend, **options)
            # Moto has the machine's time.
            schedule.creation_date = schedule.last_modified_date = self._clock().timestamp()
            self._follow_schedule(backend, schedule)
            return schedule

        return create_schedule

    def _update_schedule(self, original: Method) -> Method:
        def update_schedule(backend: MotoObject, **options: Any) -> MotoObject:  # noqa: ANN401 - moto's own
            self._check(options, created=False)
            return original(backend, **{**options, "state": options.get("state") or "ENABLED"})

        return update_schedule

    def _updated_schedule(self, original: Method) -> Method:
        """Moto does not hand ActionAfterCompletion on; an update sets every member anew."""

        def updated_schedule(response: MotoObject) -> str:
            answer = str(original(response))
            backend = response.scheduler_backend
            name = response.uri.split("?")[0].split("/")[-1]
            schedule = backend.get_schedule(response._get_param("GroupName"), name)
            schedule.action_after_completion = response._get_param("ActionAfterCompletion")
            schedule.last_modified_date = self._clock().timestamp()
            self._follow_schedule(backend, schedule)
            return answer

        return updated_schedule

    def _delete_schedule(self, original: Method) -> Method:
        def delete_schedule(backend: MotoObject, group_name: str | None, name: str) -> None:
            arn = backend.get_schedule(group_name, name).arn
            original(backend, group_name, name)
            self._timetable.drop(arn)

        return delete_schedule

    def _create_group(self, original: Method) -> Method:
        from moto.core.exceptions import JsonRESTError  # noqa: PLC0415 - see _install

        def create_schedule_group(backend: MotoObject, name: str, tags: Any) -> MotoObject:  # noqa: ANN401 - moto's own
            if name in backend.schedule_groups:
                error = JsonRESTError("ConflictException", f"Schedule group {name} already exists.")
                error.code = 409
                raise error
            group = original(backend, name, tags or [])
            group.created_on = group.last_modified = self._clock().timestamp()
            return group

        return create_schedule_group

    def _delete_group(self, original: Method) -> Method:
        from moto.scheduler.exceptions import ScheduleGroupNotFound, ValidationException  # noqa: PLC0415 - see _install

        def delete_schedule_group(backend: MotoObject, name: str | None) -> None:
            if name is None or name == _DEFAULT:
                raise ValidationException("The default schedule group cannot be deleted.")
            if name not in backend.schedule_groups:
                raise ScheduleGroupNotFound(name)
            schedules = list(backend.schedule_groups[name].schedules.values())
            original(backend, name)
            for schedule in schedules:
                self._timetable.drop(schedule.arn)

        return delete_schedule_group

    def _check(self, options: Mapping[str, Any], *, created: bool) -> None:
        """Refuse what the service refuses, in moto's form of an error.

        The words for an expression are recorded from the service; its pages give the other rules:
        https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
        """
        from moto.scheduler.exceptions import ValidationException  # noqa: PLC0415 - see _install

        expression = str(options.get("schedule_expression") or "")
        try:
            parse(expression, Dialect.SCHEDULE)
        except ExpressionError as error:
            raise ValidationException(f"Invalid Schedule Expression {expression}.") from error
        name = str(options.get("schedule_expression_timezone") or "UTC")
        try:
            zone(name)
        except ExpressionError as error:
            raise ValidationException(f"Invalid Schedule Expression Timezone {name}.") from error
        window = options.get("flexible_time_window") or {}
        longest = window.get("MaximumWindowInMinutes")
        if window.get("Mode") == "FLEXIBLE":
            if longest is None or not 1 <= longest <= _LONGEST_WINDOW:
                raise ValidationException(
                    f"A flexible time window needs MaximumWindowInMinutes between 1 and {_LONGEST_WINDOW}."
                )
        elif longest is not None:
            raise ValidationException("MaximumWindowInMinutes is for a flexible time window.")
        start, end = options.get("start_date"), options.get("end_date")
        oldest = (self._clock() - _PATIENCE).timestamp()
        if created and start is not None and float(start) < oldest:
            raise ValidationException("The StartDate you specify cannot be earlier than 5 minutes ago.")
        if start is not None and end is not None and float(end) <= float(start):
            raise ValidationException("The EndDate you specify must be later than the StartDate.")

    def _follow_schedule(self, backend: MotoObject, schedule: MotoObject) -> None:
        self._timetable.put(
            Entry(
                arn=schedule.arn,
                scope=Scope(backend.account_id, backend.region_name),
                dialect=Dialect.SCHEDULE,
                holder=schedule.group_name,
                name=schedule.name,
                expression=schedule.schedule_expression,
                zone=schedule.schedule_expression_timezone,
                enabled=schedule.state != "DISABLED",
                start=None if schedule.start_date is None else float(schedule.start_date),
                end=None if schedule.end_date is None else float(schedule.end_date),
                ends_with_last=schedule.action_after_completion == "DELETE",
            )
        )
