"""ForEach: the same steps once for every item of a list, some of them at the same time."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Self, TypeAlias, Unpack

from sagemaker.core.helper.pipeline_variable import PipelineVariable
from sagemaker.core.workflow.functions import Join
from sagemaker.mlops.workflow.for_each_step import CurrentItem, ForEachSelector, ForEachStep
from sagemaker.mlops.workflow.steps import ProcessingStep, Step, StepTypeEnum

from mlops_sm.builders.context import Context
from mlops_sm.builders.problems import location, refuse
from mlops_sm.builders.settings import StepOptions, step_option_problems
from mlops_sm.builders.values import is_variable
from mlops_sm.errors import InputError, Problem, did_you_mean

# SDK 3.27, mlops/workflow/for_each_step.py.
MAX_ITEMS: Final = 100
MAX_CONCURRENCY: Final = 50
_NOT_IN_BODY: Final = frozenset({StepTypeEnum.CONDITION, StepTypeEnum.FAIL, StepTypeEnum.FOR_EACH})

Item: TypeAlias = "str | int | float | bool | Mapping[str, Any] | PipelineVariable"
Body: TypeAlias = "Callable[[Context, CurrentItem], Step | Sequence[Step]]"


class SharedForEachStep(ForEachStep):  # type: ignore[misc] # the SDK has no types
    """A ForEach whose results a processing job can read: the SDK copies a job's inputs with all that they refer to."""

    def __deepcopy__(self, memo: object) -> Self:
        return self


def for_each(
    ctx: Context,
    name: str,
    *,
    items: Sequence[Item] | PipelineVariable,
    body: Body,
    key: str | None = None,
    max_concurrency: int = 4,
    selector: ForEachSelector | None = None,
    **options: Unpack[StepOptions],
) -> ForEachStep:
    """A step that runs the steps of its body once for every item.

    The body is a function: it is called once, with a context of its own and a reference to the current item, and
    returns the steps. Builders that are given that context write every iteration's outputs to a place of its own,
    ``.../<step>/<key>/...``; `collected` is where all of them are.

    Later steps read ``step.properties.IterationOutputs[0].<body step>.<property>``, ``SucceededStepCount`` and, with a
    selector, ``Selected.<property>``. Names of body steps must differ from those of all other steps.

    Args:
        ctx: The context of the pipeline.
        name: The step's name.
        items: 1 to 100 of them, or a parameter or output whose text is a JSON list. An object (here, a mapping) is
            written as JSON text; the body reads its fields: ``item.name``.
        body: ``body(ctx, item)`` returns the steps of one iteration. A gate, a `fail` and another `for_each` cannot be
            among them: the service runs none in an iteration.
        key: The field of each item that tells the iterations apart. Needed for objects; other items are their own keys.
            No two items may have the same.
        max_concurrency: How many steps of the body run at the same time, 1 to 50.
        selector: Picks the iteration with the largest or smallest value:
            ``ForEachSelector("MaxBy", IterationOutput("Train").FinalMetricDataList["auc"].Value)``.
        **options: See `StepOptions`; the steps of the body are retried, not this one.

    Raises:
        InputError: Items that are none, too many, of a wrong type or not told apart (E437); a wrong number of steps at
            once, body or selector (E438); a wrong name or option (E330, E331).
    """
    where = location(ctx, name)
    problems = list(step_option_problems(where, name, options))
    if "retry_policies" in options:
        problems.append(Problem("E331", where, "a ForEach has nothing to retry", "give them to the steps of its body"))
    problems += _item_problems(where, items, key)
    if isinstance(max_concurrency, bool) or not isinstance(max_concurrency, int):
        shown = getattr(max_concurrency, "name", None) or repr(max_concurrency)
        problems.append(Problem("E438", where, f"max_concurrency is {shown}", "give a whole number from 1 to 50"))
    elif not 1 <= max_concurrency <= MAX_CONCURRENCY:
        problems.append(Problem("E438", where, f"max_concurrency is {max_concurrency}", "give a number from 1 to 50"))
    refuse(problems)
    item = CurrentItem()
    made = body(dataclasses.replace(ctx, iteration=item if key is None else _field(item, key)), item)
    steps = [made] if isinstance(made, Step) else made
    refuse([*_body_problems(where, steps), *_selector_problems(where, selector, steps)])
    return SharedForEachStep(
        name=name,
        iterable_items=items if is_variable(items) else [_written(each) for each in items],
        max_concurrency=max_concurrency,
        for_each_body=list(steps),
        selector=selector,
        display_name=options.get("display_name"),
        description=options.get("description"),
        depends_on=list(options.get("depends_on", ())) or None,
    )


def collected(step: ForEachStep, body_step: str) -> Join:
    """The S3 URI below which a processing step of the body leaves the outputs of all iterations.

    An input with this URI holds ``<key>/<output>/<file>``. It is no reference to the step: who reads it also says
    ``depends_on=[step]``. Give the body step ``cache_expire_after=None``: what an earlier execution left is not there.

    Args:
        step: The step that `for_each` made.
        body_step: The name of the processing step.

    Raises:
        InputError: There is no such processing step, or its outputs go to places of its own (E439).
    """
    where = f'step "{step.name}"'
    found = {each.name: each for each in step.for_each_body if isinstance(each, ProcessingStep)}
    if body_step not in found:
        fix = did_you_mean(body_step, found) or "Name one that `processing` or `evaluation` made."
        raise InputError(Problem("E439", where, f'there is no processing step "{body_step}" in its body', fix))
    for output in found[body_step].step_args.func_kwargs.get("outputs") or ():
        values = getattr(output.s3_output.s3_uri, "values", ())
        if body_step in values:
            return Join(on="/", values=[*values[: values.index(body_step) + 1], ""])
    raise InputError(
        Problem(
            "E439",
            where,
            f'no output of "{body_step}" goes to a place below which those of the other iterations are',
            "give it outputs by name only, then they do",
        )
    )


def _item_problems(where: str, items: object, key: str | None) -> Iterator[Problem]:
    if is_variable(items):
        return
    if isinstance(items, str) or not isinstance(items, Sequence):
        fix = "give a list of items, or a parameter or output whose text is a JSON list"
        yield Problem("E437", where, f"items is {items!r}", fix)
        return
    if not 1 <= len(items) <= MAX_ITEMS:
        fix = "give 1 to 100 of them; a longer list comes as a parameter or output whose text is a JSON list"
        yield Problem("E437", where, f"there are {len(items)} items", fix)
    seen: set[str] = set()
    for index, item in enumerate(items):
        if is_variable(item):
            continue
        if not isinstance(item, str | int | float | bool | Mapping):
            fix = "items are text, numbers, booleans, and mappings with text as keys"
            yield Problem("E437", where, f"item {index} is {item!r}", fix)
        elif isinstance(item, Mapping) and key is None:
            fix = f"give the field that tells the items apart, e.g. key={next(iter(item), 'name')!r}"
            yield Problem("E437", where, f"item {index} is an object and there is no key", fix)
        elif isinstance(item, Mapping) and not isinstance(item.get(str(key)), str | int | float):
            fix = f"every item needs it as text or a number; it has {', '.join(map(str, item)) or 'nothing'}"
            yield Problem("E437", where, f'item {index} has no "{key}"', fix)
        elif not isinstance(item, Mapping) and key is not None and not isinstance(item, str):
            yield Problem("E437", where, f'item {index} is {item!r}, which has no "{key}"', "leave key out")
        else:
            value = item[str(key)] if isinstance(item, Mapping) else item
            place = value if isinstance(value, str) else json.dumps(value)
            if place in seen:
                fix = "remove one: their outputs would go to the same place"
                yield Problem("E437", where, f"there are two items {value!r}", fix)
            seen.add(place)


def _body_problems(where: str, steps: object) -> Iterator[Problem]:
    if not isinstance(steps, Sequence) or not steps:
        yield Problem("E438", where, f"its body returned {steps!r}", "return the steps of one iteration, in a list")
        return
    for step in steps:
        if not isinstance(step, Step):
            fix = "return steps only, those of a step collection one by one"
            yield Problem("E438", where, f"its body returned a {type(step).__name__} among the steps", fix)
        elif step.step_type in _NOT_IN_BODY:
            fix = "decide after it: a gate can read the results of the iterations"
            yield Problem("E438", where, f'"{step.name}" is a {step.step_type.value} step', fix)


def _selector_problems(where: str, selector: ForEachSelector | None, steps: object) -> Iterator[Problem]:
    """The SDK refuses such a selector too, without the place."""
    if selector is None or not isinstance(steps, Sequence):
        return
    path = selector.field.expr.get("Get") if is_variable(selector.field) else None
    names = [step.name for step in steps if isinstance(step, Step)]
    space, _, rest = str(path).partition(".")
    body_step, _, member = rest.partition(".")
    if space != "IterationOutput" or body_step not in names or not member:
        fix = f"{did_you_mean(body_step, names)} Write IterationOutput(step).<property>; steps: {', '.join(names)}."
        yield Problem("E438", where, f"the selector compares {path}", fix.lstrip())


def _field(item: CurrentItem, key: str) -> PipelineVariable:
    return getattr(item, key) if key.isidentifier() and not key.startswith("_") else item[key]


def _written(item: Item) -> str | int | float | bool | PipelineVariable:
    return json.dumps(dict(item), separators=(",", ":"), sort_keys=True) if isinstance(item, Mapping) else item
