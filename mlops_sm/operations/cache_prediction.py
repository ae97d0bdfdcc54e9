"""Whether a run would take each step from an earlier one: the engine is driven through it, and nothing is run.

A step that would run leaves what its Arguments say and, for the rest, stand-ins that nobody knows the value of. Whether
a later step is taken from an earlier run may depend on them; where it does, that is said. A Condition that depends on
one is gone through both ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mlops_sm.definition import Definition, Scalar, Step
from mlops_sm.definition.document import Json
from mlops_sm.definition.graph import referenced_steps
from mlops_sm.definition.kinds import SERVICE_CALLS, StepKind
from mlops_sm.engine import Failed, ResolveError, Run, Succeeded
from mlops_sm.engine.cache import cache_key, uses_cache
from mlops_sm.engine.loops import LoopEnd
from mlops_sm.engine.unknown import Gap, Planned, Unknown
from mlops_sm.operations.cache_comparison import Comparison, Question, gaps_in, overlap
from mlops_sm.operations.cache_outlook import Cause, Outlook, Verdict, because, uncached
from mlops_sm.operations.earlier_runs import place_of


def foretell(question: Question) -> list[Outlook]:
    """What would become of each step, in document order, the steps of iterations after their ForEach."""
    rehearsals = [_Rehearsal(question, verdict=True)]
    found = rehearsals[0].play()
    if rehearsals[0].undecided:
        rehearsals.append(_Rehearsal(question, verdict=False))
        found = _both_ways(question.definition, rehearsals[0], rehearsals[1], found, rehearsals[1].play())
    for step in question.definition.walk():
        in_loop = step.branch is not None and step.branch.member == "ForEachBody"
        if step.name not in found and not in_loop:
            found[step.name] = _never_reached(step, found)
    order = {step.name: position for position, step in enumerate(question.definition.walk())}

    def position(name: str) -> tuple[int, int]:
        place = place_of(question.definition, name)
        if place is None or place.iteration is None:
            return order[name], 0
        return order[place.step.name], place.iteration

    return [found[name] for name in sorted(found, key=position)]


def _both_ways(
    definition: Definition,
    one: _Rehearsal,
    other: _Rehearsal,
    found: dict[str, Outlook],
    otherwise: dict[str, Outlook],
) -> dict[str, Outlook]:
    undecided = [*one.undecided, *(name for name in other.undecided if name not in one.undecided)]
    merged: dict[str, Outlook] = {}
    for name in [*found, *(name for name in otherwise if name not in found)]:
        here, there = found.get(name), otherwise.get(name)
        outlook = here or there
        if outlook is None:
            continue
        if here is None or there is None:
            merged[name] = replace(outlook, only_if=_condition_above(definition, name, undecided))
        elif here.verdict is there.verdict:
            merged[name] = here
        else:
            reason = f"it depends on the verdict of {undecided[0]}, which is not known yet"
            merged[name] = replace(here, verdict=Verdict.UNKNOWN, cause=Cause.CONDITION, reason=reason, changes=())
    return merged


def _condition_above(definition: Definition, name: str, undecided: list[str]) -> str:
    place = place_of(definition, name)
    step = None if place is None else place.loop or place.step
    while step is not None and step.branch is not None:
        if step.branch.step in undecided:
            return step.branch.step
        step = definition.step(step.branch.step)
    return undecided[0]


def _never_reached(step: Step, found: Mapping[str, Outlook]) -> Outlook:
    above = found.get(step.branch.step) if step.branch is not None else None
    reason = "a step that it needs is skipped or fails"
    if step.branch is not None and above is not None and above.verdict is Verdict.DECIDED:
        reason = f"it does not run: of {step.branch.step} {above.reason}"
    return Outlook(name=step.name, kind=str(step.kind), verdict=Verdict.SKIPPED, cause=Cause.CONDITION, reason=reason)


class _Rehearsal:
    """One way through the definition; `verdict` is that of every Condition that cannot be decided yet."""

    def __init__(self, question: Question, *, verdict: bool) -> None:
        arn = question.pipeline_arn
        variables: dict[str, Scalar] = {
            name: Unknown([Gap(None, name)])
            for name in ("StartDateTime", "CurrentDateTime", "PipelineExecutionId", "PipelineExecutionArn")
        }
        variables |= {"PipelineName": arn.rpartition("/")[2], "PipelineArn": arn}
        self.undecided: list[str] = []
        self._question = question
        self._verdict = verdict
        self._run = Run(question.definition, parameters=question.parameters, variables=variables)
        self._outlooks: dict[str, Outlook] = {}
        self._running: dict[str, StepKind] = {}
        self._unsure: set[str] = set()
        self._writes: dict[str, str] = {}
        self._failing: list[tuple[str, Failed]] = []
        self._comparison = Comparison(question, self._running, self._writes)

    def play(self) -> dict[str, Outlook]:
        """Go to the end. Steps that fail do so last: what runs beside them is shown, too."""
        while True:
            ends = self._run.ended_loops()
            for end in ends:
                self._run.complete(end.name, self._end_of(end))
            ready = self._run.take_ready()
            for step in ready:
                self._meet(step)
            if not ends and not ready:
                if not self._failing:
                    return self._outlooks
                self._run.complete(*self._failing.pop(0))

    def _end_of(self, end: LoopEnd) -> Succeeded | Failed:
        match end.outcome:
            case Succeeded():
                return end.outcome
            case Failed(_, properties) if not self._has_failed(end.name):
                # Its Selector compares what is not known.
                return Succeeded(Planned(end.name, {k: v for k, v in properties.items() if k != "Selected"}))
            case Failed():
                return end.outcome
            case _:
                return Failed("")

    def _has_failed(self, loop: str) -> bool:
        return any(
            outlook.cause is Cause.FAILS and (iteration := self._run.iteration(name)) and iteration.parent == loop
            for name, outlook in self._outlooks.items()
        )

    # ------------------------------------------------------------------ one step

    def _meet(self, step: Step) -> None:
        try:
            match step.kind:
                case StepKind.CONDITION:
                    self._decide(step)
                case StepKind.FAIL:
                    message = self._run.resolve(step, self._read).get("ErrorMessage", "")
                    said = f": {message}" if message and not gaps_in(message) else ""
                    self._fail(step, f"it ends the execution{said}", str(message))
                case StepKind.FOR_EACH:
                    self._repeat(step)
                case _:
                    arguments = self._run.resolve(step, self._read)
                    self._job(step, arguments, self._run.resolve_members(step, self._read))
        except ResolveError as error:
            used = referenced_steps(step)
            unsure = [name for name in (*self._running, *self._unsure) if {name, name.rpartition("-")[0]} & used]
            if not unsure:
                self._fail(step, f"it cannot start: {error}", str(error))
                return
            self._leave_open(step, f"what it uses is unknown until {unsure[0]} has run")

    def _say(self, step: Step, verdict: Verdict, cause: Cause, reason: str, **more: Json) -> None:
        self._outlooks[step.name] = Outlook(
            name=step.name, kind=str(step.kind), verdict=verdict, cause=cause, reason=reason, **more
        )

    def _fail(self, step: Step, reason: str, message: str) -> None:
        verdict = Verdict.DECIDED if step.kind is StepKind.FAIL else Verdict.MISS
        self._say(step, verdict, Cause.FAILS, reason)
        self._failing.append((step.name, Failed(message)))

    def _leave_open(self, step: Step, reason: str) -> None:
        """A step of which nothing can be said, and of what it leaves neither."""
        self._say(step, Verdict.UNKNOWN, Cause.PENDING, reason)
        self._unsure.add(step.name)
        if step.kind is StepKind.CONDITION:
            self.undecided.append(step.name)
            self._run.complete(step.name, Succeeded({}, self._verdict))
        else:
            self._run.complete(step.name, Succeeded(Planned(step.name, {})))

    def _decide(self, step: Step) -> None:
        gaps = gaps_in(self._run.resolve(step, self._read))
        if gaps:
            self._leave_open(step, because(gaps, self._running))
            return
        verdict = self._run.evaluate(step, self._read)
        self._say(step, Verdict.DECIDED, Cause.CONDITION, f"the condition is {str(verdict).lower()}")
        self._run.complete(step.name, Succeeded({"Outcome": str(verdict)}, verdict))

    def _repeat(self, step: Step) -> None:
        arguments = self._run.resolve(step, self._read)
        gaps = [gap for value in arguments.values() if isinstance(value, Unknown) for gap in value.gaps]
        if gaps:
            self._leave_open(step, f"its items: {because(gaps, self._running)}")
            return
        self._run.repeat(step, self._read)
        self._say(step, Verdict.DECIDED, Cause.LOOP, "its steps are looked at for each item")

    def _job(self, step: Step, arguments: Mapping[str, Json], members: Mapping[str, Json]) -> None:
        key = cache_key(step, arguments, members)
        if key is None or not uses_cache(step):
            cause, reason, fix = uncached(step)
            self._say(step, Verdict.MISS, cause, reason, fix=fix)
            self._let_run(step, arguments)
            return
        outlook, left = self._comparison.of(step, key)
        self._outlooks[step.name] = outlook
        if left is not None:
            self._run.complete(step.name, left)
        elif outlook.verdict is Verdict.UNKNOWN:
            self._unsure.add(step.name)
            self._note_writes(step, arguments)
            self._run.complete(step.name, Succeeded(Planned(step.name, {})))
        else:
            self._let_run(step, arguments)

    def _let_run(self, step: Step, arguments: Mapping[str, Json]) -> None:
        self._running[step.name] = step.kind
        self._note_writes(step, arguments)
        calls = SERVICE_CALLS.get(step.kind)
        known = self._question.as_request(calls.create, arguments) if calls is not None and calls.describe else {}
        self._run.complete(step.name, Succeeded(Planned(step.name, known)))

    # ------------------------------------------------------------------ S3

    def _read(self, uri: str) -> Json:
        for written, name in self._writes.items():
            if overlap(uri, written):
                return Unknown([Gap(name, uri, content=True)])
        return self._question.read_json(uri)

    def _note_writes(self, step: Step, arguments: Mapping[str, Json]) -> None:
        """Where the step writes as the definition says; below a job's name nobody has read yet."""
        outputs = (arguments.get("ProcessingOutputConfig") or {}).get("Outputs") or []
        places = [(output.get("S3Output") or {}).get("S3Uri") for output in outputs]
        places.append((arguments.get("TransformOutput") or {}).get("S3OutputPath"))
        places.append((arguments.get("CheckpointConfig") or {}).get("S3Uri"))
        self._writes.update({uri: step.name for uri in places if isinstance(uri, str) and not isinstance(uri, Unknown)})
