"""Alarms at work: evaluated when data come in and when periods end, and acted on when their state changes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from mlops_sm.definition.document import Json
from mlops_sm.emulator.alarms import messages, rules
from mlops_sm.emulator.alarms.evaluation import State, Verdict, judge, reason
from mlops_sm.emulator.alarms.history import History, Item
from mlops_sm.emulator.alarms.messages import Situation
from mlops_sm.emulator.alarms.plans import Measure, Measured, Plan, plan_of
from mlops_sm.emulator.alarms.records import MotoAlarm, MotoBackend, kind_of, naive, scope_of
from mlops_sm.emulator.alarms.samples import enough_for
from mlops_sm.emulator.clock import Clock
from mlops_sm.emulator.database import Database
from mlops_sm.emulator.events.delivery import Deliveries
from mlops_sm.emulator.store import Scope

_NEW: Final = "Unchecked: Initial alarm creation"
_ACTIONS: Final = {
    State.OK: "ok_actions",
    State.ALARM: "alarm_actions",
    State.INSUFFICIENT_DATA: "insufficient_data_actions",
}
_PUBLISH: Final = "arn:aws:scheduler:::aws-sdk:sns:publish"
_REGION: Final = 3
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Watched:
    """A metric alarm: its period, and when that ends next; None while nothing can change without new data."""

    period: int
    next: float | None


class Alarms:
    """The alarms of every account and region. Safe to use from several threads.

    Args:
        database: Keeps which alarms there are, and their history.
        clock: The account's; its `advance` goes from the end of a period to the next.
        sender: Takes what alarms send.
        changing: Around changes of moto's records that no request makes.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        sender: Deliveries,
        changing: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.history = History(database)
        self._database = database
        self._clock = clock
        self._sender = sender
        self._changing = changing
        self._measured: dict[Scope, Measured] = {}
        self._evaluating = threading.RLock()
        # Not the lock of evaluations: the clock asks from wherever something has changed.
        self._lock = threading.Lock()
        now = clock().timestamp()
        rows = database.query("SELECT account, region, name, period FROM alarms")
        self._watched = {
            (Scope(account, region), name): _Watched(period, _end(now, period))
            for account, region, name, period in rows
        }

    # ------------------------------------------------------------------ what the clock asks

    def due(self) -> datetime | None:
        """When the next period ends."""
        with self._lock:
            first = min((each.next for each in self._watched.values() if each.next is not None), default=None)
        return None if first is None else datetime.fromtimestamp(first, UTC)

    def fire(self, moment: datetime) -> None:
        """Evaluate the alarms whose period has ended."""
        now = moment.timestamp()
        with self._lock:
            due = sorted(key for key, each in self._watched.items() if each.next is not None and each.next <= now)
            for key in due:
                self._watched[key].next = _end(now, self._watched[key].period)
        if not due:
            return
        from moto.cloudwatch.models import cloudwatch_backends  # noqa: PLC0415 - only accounts with alarms need it

        # In this order, as when a request changes something.
        with self._changing(), self._evaluating:
            for scope, name in due:
                try:
                    self._evaluate_named(cloudwatch_backends[scope.account][scope.region], name, moment)
                except Exception:
                    _log.exception("the alarm %s could not be evaluated", name)

    # ------------------------------------------------------------------ what requests do

    def put(self, backend: MotoBackend, alarm: MotoAlarm, before: MotoAlarm | None, plan: Plan | None) -> None:
        """An alarm was made or changed; `plan` is None for a composite alarm.

        "When you update an existing alarm, its state is left unchanged" (API reference of PutMetricAlarm).
        """
        scope, now = scope_of(backend), self._clock()
        with self._evaluating:
            alarm.configuration_updated_timestamp = naive(now)
            if before is None:
                self._set(alarm, Situation(State.INSUFFICIENT_DATA, _NEW, None, now))
            else:
                self._set(alarm, Situation.of(before))
            alarm.alarm_rule = alarm.rule
            # An alarm on one metric is described without the member.
            alarm.metric_data_queries = alarm.metric_data_queries or None
            kind, operation = ("Create", "create") if before is None else ("Update", "update")
            self._configured(scope, alarm, kind, now)
            self._sender.event(scope, messages.configuration_event(alarm, operation, scope, now))
            if plan is None:
                self._unwatch(scope, alarm.name)
                verb = "created and its alarm rule" if before is None else "updated and its new alarm rule"
                self._judge_composite(backend, alarm, now, f"{alarm.alarm_arn} was {verb} evaluates to", None)
                return
            self._watch(scope, alarm.name, plan.period)
            self._evaluate(backend, alarm, now, data_only=True)

    def data(self, backend: MotoBackend, new: Sequence[Any]) -> None:
        """Data came in: evaluate the alarms that look at them."""
        scope, now = scope_of(backend), self._clock()
        with self._evaluating:
            touched = self._measures(scope).add(new, now.timestamp())
            for alarm in [each for each in list(backend.alarms.values()) if each.rule is None]:
                if touched & plan_of(alarm).keys:
                    self._wake(scope, alarm.name, now.timestamp())
                    self._evaluate(backend, alarm, now, data_only=True)

    def set_state(self, backend: MotoBackend, alarm: MotoAlarm, before: Situation) -> None:
        """SetAlarmState was called: act on it; the next evaluation may change it back."""
        scope, now = scope_of(backend), self._clock()
        with self._evaluating:
            after = Situation(State(alarm.state_value), alarm.state_reason, alarm.state_reason_data, now)
            self._change(backend, alarm, before, after)
            self._wake(scope, alarm.name, now.timestamp())

    def deleted(self, backend: MotoBackend, alarm: MotoAlarm) -> None:
        """An alarm was deleted."""
        scope, now = scope_of(backend), self._clock()
        with self._evaluating:
            self._unwatch(scope, alarm.name)
            self._measures(scope).forget()
            self._configured(scope, alarm, "Delete", now)
            self._sender.event(scope, messages.configuration_event(alarm, "delete", scope, now))

    # ------------------------------------------------------------------ evaluation

    def _evaluate_named(self, backend: MotoBackend, name: str, moment: datetime) -> None:
        alarm = backend.alarms.get(name)
        if alarm is None:
            self._unwatch(scope_of(backend), name)
        else:
            self._evaluate(backend, alarm, moment)

    def _evaluate(self, backend: MotoBackend, alarm: MotoAlarm, now: datetime, *, data_only: bool = False) -> None:
        """Evaluate a metric alarm; `data_only`: not when it has no data at all."""
        scope, plan = scope_of(backend), plan_of(alarm)
        measured = self._measures(scope)
        measured.hold(plan.keys, backend)
        points = plan.points(now.timestamp(), measured.between)
        if data_only and not any(points):
            return
        verdict = judge(points, plan.settings)
        before = Situation.of(alarm)
        state = verdict.state
        if plan.significant is not None and any(
            point.number < enough_for(plan.significant) for point in verdict.points
        ):
            state = None
        if state is None or state is before.value:
            if not any(points):
                self._sleep(scope, alarm.name)
            return
        why = reason(verdict, plan.settings, state, before.value)
        data = messages.compact(_reason_data(plan, verdict, now))
        self._change(backend, alarm, before, Situation(state, why, data, now))

    def _judge_composite(
        self, backend: MotoBackend, alarm: MotoAlarm, now: datetime, why: str, child: MotoAlarm | None
    ) -> None:
        rule = rules.parse_rule(alarm.rule)
        alarms = backend.alarms

        def state_of(name: str) -> State:
            return State(alarms[name].state_value) if name in alarms else State.INSUFFICIENT_DATA

        before = Situation.of(alarm)
        state = State.ALARM if rules.holds(rule, state_of) else State.OK
        if state is before.value:
            return
        named = [alarms[name] for name in rules.children(rule) if name in alarms] if child is None else [child]
        triggering = [
            {
                "arn": each.alarm_arn,
                "state": {"value": each.state_value, "timestamp": messages.precise(Situation.of(each).time)},
            }
            for each in named
        ]
        text = f"{why} {state}" if child is None else why
        after = Situation(state, text, messages.compact({"triggeringAlarms": triggering}), now)
        self._change(backend, alarm, before, after)

    # ------------------------------------------------------------------ changes of state

    def _set(self, alarm: MotoAlarm, situation: Situation) -> None:
        alarm.state_value = situation.value.value
        alarm.state_reason = situation.reason
        alarm.state_reason_data = situation.data
        alarm.state_updated_timestamp = naive(situation.time)
        alarm.state_transitioned_timestamp = naive(situation.time)

    def _change(self, backend: MotoBackend, alarm: MotoAlarm, before: Situation, after: Situation) -> None:
        scope = scope_of(backend)
        self._set(alarm, after)
        if before.value is after.value:
            return
        self.history.add(
            scope,
            alarm.name,
            kind_of(alarm),
            Item.STATE_UPDATE,
            time=after.time,
            summary=f"Alarm updated from {before.value} to {after.value}",
            data=messages.history_of_state(before, after),
        )
        self._sender.event(scope, messages.state_event(alarm, before, after, scope))
        if alarm.actions_enabled:
            for action in getattr(alarm, _ACTIONS[after.value]) or []:
                self._act(scope, alarm, action, before, after)
        for parent in list(backend.alarms.values()):
            if parent.rule is not None and alarm.name in rules.children(rules.parse_rule(parent.rule)):
                when = after.time.astimezone(UTC).strftime("%A %d %B, %Y %H:%M:%S UTC")
                why = f"{alarm.alarm_arn} transitioned to {after.value} at {when}"
                self._judge_composite(backend, parent, after.time, why, alarm)

    def _act(self, scope: Scope, alarm: MotoAlarm, action: str, before: Situation, after: Situation) -> None:
        """Send what an action asks for: to a topic or a function; others are told in the history as failed."""
        service, *_ = action.split(":")[2:] or [""]
        message: Mapping[str, Json]
        match service:
            case "sns":
                message = messages.notification(alarm, before, after, scope)
                # The topic's region is the alarm's; a target that names the operation can have a subject.
                request = {
                    "TopicArn": action,
                    "Message": messages.compact(message),
                    "Subject": messages.subject(alarm, after.value, scope),
                }
                there = Scope(scope.account, action.split(":")[_REGION] or scope.region)
                self._sender.target(there, {"Arn": _PUBLISH}, messages.compact(request), origin=alarm.alarm_arn)
            case "lambda":
                message = messages.function_event(alarm, before, after, scope)
                self._sender.target(scope, {"Arn": action}, messages.compact(message), origin=alarm.alarm_arn)
            case _:
                message = {}
        done = bool(message)
        if not done:
            _log.warning("the action %s of the alarm %s is not available in the local account", action, alarm.name)
        told = "Successfully executed action" if done else "Failed to execute action"
        data: dict[str, Json] = {
            "actionState": "Succeeded" if done else "Failed",
            "stateUpdateTimestamp": round(after.time.timestamp() * 1000),
            "notificationResource": action,
            "publishedMessage": {"default": messages.compact(message)} if service == "sns" else None,
            "error": None if done else "Actions of this kind are not available in the local account.",
        }
        self.history.add(
            scope,
            alarm.name,
            kind_of(alarm),
            Item.ACTION,
            time=after.time,
            summary=f"{told} {action}",
            data={name: value for name, value in data.items() if value is not None},
        )

    def _configured(self, scope: Scope, alarm: MotoAlarm, kind: str, now: datetime) -> None:
        self.history.add(
            scope,
            alarm.name,
            kind_of(alarm),
            Item.CONFIGURATION_UPDATE,
            time=now,
            summary=f'Alarm "{alarm.name}" {kind.lower().rstrip("e")}ed',
            data=messages.history_of_configuration(alarm, kind, now),
        )

    # ------------------------------------------------------------------ what is watched

    def _measures(self, scope: Scope) -> Measured:
        return self._measured.setdefault(scope, Measured())

    def _watch(self, scope: Scope, name: str, period: int) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO alarms (account, region, name, period) VALUES (?,?,?,?)", (*scope, name, period)
        )
        with self._lock:
            self._watched[scope, name] = _Watched(period, _end(self._clock().timestamp(), period))
        self._clock.changed()

    def _unwatch(self, scope: Scope, name: str) -> None:
        with self._lock:
            known = self._watched.pop((scope, name), None)
        if known is not None:
            self._database.execute("DELETE FROM alarms WHERE account=? AND region=? AND name=?", (*scope, name))

    def _wake(self, scope: Scope, name: str, now: float) -> None:
        with self._lock:
            watched = self._watched.get((scope, name))
            if watched is None or watched.next is not None:
                return
            watched.next = _end(now, watched.period)
        self._clock.changed()

    def _sleep(self, scope: Scope, name: str) -> None:
        with self._lock:
            watched = self._watched.get((scope, name))
            if watched is not None:
                watched.next = None


def _reason_data(plan: Plan, verdict: Verdict, now: datetime) -> dict[str, Any]:
    """StateReasonData; the evaluated data points come latest first."""

    def at(seconds: float) -> str:
        return messages.precise(datetime.fromtimestamp(seconds, UTC))

    query = plan.queries[plan.returned]
    told: dict[str, Any] = {"version": "1.0", "queryDate": messages.precise(now)}
    if verdict.points:
        told["startDate"] = at(verdict.points[0].start)
    if isinstance(query, Measure):
        told |= {} if query.unit is None else {"unit": query.unit}
        told["statistic"] = query.statistic
    return told | {
        "period": plan.period,
        "recentDatapoints": [point.value for point in verdict.points],
        "threshold": plan.settings.threshold,
        "evaluatedDatapoints": [
            {"timestamp": at(point.start), "sampleCount": point.number, "value": point.value}
            for point in reversed(verdict.points)
        ],
    }


def _end(now: float, period: int) -> float:
    """The end of the current period."""
    return now // period * period + period
