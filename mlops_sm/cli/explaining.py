"""Which steps a run would take from earlier ones: what ``mlops-sm run --explain-cache`` does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from botocore import xform_name

from mlops_sm import naming
from mlops_sm.cli.accounts import Account, Opening, open_account
from mlops_sm.cli.outside import Outside
from mlops_sm.cli.running import refuse_unrunnable, refuse_values, warn
from mlops_sm.cli.target import Loaded, Target, find_target, load, parse_parameters
from mlops_sm.definition import Scalar, Step, bind_parameters
from mlops_sm.definition.document import Json
from mlops_sm.definition.wording import shown
from mlops_sm.engine import ResolveError, Succeeded
from mlops_sm.errors import InputError, Problem
from mlops_sm.local.handlers import ServiceError, recall
from mlops_sm.local.handlers.request import as_request
from mlops_sm.operations import servers
from mlops_sm.operations.cache_comparison import Question
from mlops_sm.operations.cache_outlook import Change, FileChange, Object, Outlook, Verdict
from mlops_sm.operations.cache_prediction import foretell
from mlops_sm.operations.clients import Clients
from mlops_sm.operations.earlier_runs import LOOKED_AT, EarlierRuns
from mlops_sm.operations.object_bytes import Contents
from mlops_sm.operations.refusals import AwsError
from mlops_sm.project import LOCAL

if TYPE_CHECKING:
    from mlops_sm.cli.running import Wish

_DATABASE: Final = "account.db"
"""In a state directory that holds an account."""
_DIGITS: Final = 12
"""Of a digest, for people."""


def explain_cache(outside: Outside, wish: Wish) -> int:
    """Compile, check, foretell each step and print that; the exit code. Nothing is run, published or uploaded.

    Raises:
        InputError: Options do not go together (E144), or something about the pipeline is wrong.
        RefusedError: The account refused, or a step cannot run there.
    """
    _refuse_options(wish)
    parameters = parse_parameters(wish.given)
    target = find_target(outside, wish.label, wish.environment)
    with ExitStack() as closing:
        state = _state(outside, target, wish, closing)
        opening = closing.enter_context(Opening(open_account(outside, target.project, target.environment, state)))
        loaded = load(outside, target)
        bound = bind_parameters(loaded.definition, parameters)
        doubtful = refuse_values(loaded.definition, bound)
        account = opening.account()
        different = refuse_unrunnable(account, loaded.definition, bound)
        warn(outside, loaded, different)
        outside.ui.report(doubtful)
        earlier = _earlier(account, loaded)
        found = foretell(_question(account, loaded, bound, earlier))
        if not earlier.complete:
            what = f"only the newest {LOOKED_AT} executions were looked at; a run may find an older one to use"
            outside.ui.say(f"warning[E145]: {what}")
        _show(outside, loaded, found)
        outside.ui.data(_data(loaded, found, complete=earlier.complete))
    return 0


def _refuse_options(wish: Wish) -> None:
    others = {"--only": wish.only is not None, "--execution": wish.execution is not None, "--detach": wish.detach}
    given = [name for name, there in others.items() if there]
    if given:
        what = f"it runs nothing, and {given[0]} says how to run"
        if wish.only is not None:
            what = "a step that is run alone does run: it is never taken from an earlier run"
        raise InputError(Problem("E144", f"--explain-cache {given[0]}", what, f"Leave {given[0]} out."))


def _state(outside: Outside, target: Target, wish: Wish, closing: ExitStack) -> Path | None:
    """The state directory to open; where there is no account yet, an empty one that is removed afterwards."""
    if target.environment.name != LOCAL:
        return wish.state
    state = outside.state_directory(target.project, wish.state)
    if (state / _DATABASE).exists() or servers.find(state) is not None:
        return wish.state
    return Path(closing.enter_context(TemporaryDirectory(prefix="mlops-sm-")))


# ------------------------------------------------------------------ what is asked


def _earlier(account: Account, loaded: Loaded) -> EarlierRuns:
    clients = account.clients
    return EarlierRuns(
        clients, loaded.compiled.pipeline_name, partial(_recalled, clients), partial(_read_json, clients)
    )


def _question(account: Account, loaded: Loaded, bound: Mapping[str, Scalar], earlier: EarlierRuns) -> Question:
    clients, environment = account.clients, account.environment
    name = loaded.compiled.pipeline_name
    return Question(
        definition=loaded.definition,
        parameters=bound,
        pipeline_arn=naming.sagemaker_arn(environment.region, environment.account, "pipeline", name),
        earlier=earlier,
        recall=partial(_recalled, clients),
        read_json=partial(_read_json, clients),
        contents=Contents(clients.s3, {asset.uri: asset for asset in loaded.compiled.assets}),
        as_request=as_request,
        now=account.now(),
    )


class _Described:
    """SageMaker through its API, as `recall` asks it."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def call(self, operation: str, request: Mapping[str, Json]) -> dict[str, Json]:
        """Call an operation. Raises ServiceError."""
        try:
            answer = getattr(self._clients.sagemaker, xform_name(operation))(**request)
        except AwsError as err:
            if err.is_not_found:
                raise ServiceError(err.code, err.message) from err
            raise
        plain: dict[str, Json] = _without_times({k: v for k, v in answer.items() if k != "ResponseMetadata"})
        return plain


def _without_times(value: Json) -> Json:
    match value:
        case datetime():
            return value.timestamp()
        case Mapping():
            return {key: _without_times(inner) for key, inner in value.items()}
        case list():
            return [_without_times(inner) for inner in value]
        case _:
            return value


def _recalled(clients: Clients, step: Step, metadata: Mapping[str, Json]) -> Succeeded:
    try:
        return recall(step, metadata, _Described(clients))
    except (ServiceError, ValueError) as gone:
        raise LookupError(str(gone)) from gone


def _read_json(clients: Clients, uri: str) -> Json:
    try:
        place = naming.parse_s3_uri(uri)
        return json.loads(clients.s3.get_object(Bucket=place.bucket, Key=place.key)["Body"].read())
    except AwsError as err:
        raise ResolveError(f"cannot read {uri}: {err.problems[0].what}") from err
    except (ValueError, RecursionError) as err:
        raise ResolveError(f"{uri} does not hold JSON: {err}") from err


# ------------------------------------------------------------------ what is said


def _show(outside: Outside, loaded: Loaded, found: list[Outlook]) -> None:
    rows = [[outlook.name, outlook.kind, str(outlook.verdict), _reason(outlook)] for outlook in found]
    outside.ui.table(["step", "kind", "prediction", "why"], rows)
    for outlook in found:
        lines = [line for change in outlook.changes for line in _change(change)]
        lines += [f"note: {note}" for note in outlook.notes]
        if lines:
            outside.ui.result(f"\n{outlook.name}")
            for line in lines:
                outside.ui.result(f"  {line}")
    for fix in dict.fromkeys(outlook.fix for outlook in found if outlook.fix):
        outside.ui.result(f"\nto turn caching on: {fix}")
    counted = ", ".join(f"{number} {word}" for word, number in _counts(found).items() if number)
    outside.ui.result(f"\n{loaded.compiled.pipeline_name}: {counted or 'no steps'}; nothing was run")


def _reason(outlook: Outlook) -> str:
    return f"if {outlook.only_if} lets it run: {outlook.reason}" if outlook.only_if else outlook.reason


def _counts(found: list[Outlook]) -> dict[str, int]:
    return {str(verdict): sum(outlook.verdict is verdict for outlook in found) for verdict in Verdict}


def _change(change: Change) -> Iterator[str]:
    after = change.because or _text(change.after)
    if change.files is None:
        yield f"{change.path}: {_text(change.before)} -> {after}"
        return
    yield change.path
    yield f"  was {_text(change.before)}"
    yield f"  is  {after}"
    for file in change.files:
        yield f"  {_file(file)}"
    if not change.files:
        yield "  the same bytes at another place: the key holds the place"


def _text(value: Json) -> str:
    return (
        "nothing" if value is None else value if isinstance(value, str) and value.startswith("s3://") else shown(value)
    )


def _file(file: FileChange) -> str:
    match file:
        case FileChange(before=None, after=Object() as after):
            return f"{file.name}: added, {_object(after)}"
        case FileChange(before=Object() as before, after=None):
            return f"{file.name}: removed, was {_object(before)}"
        case FileChange(before=Object() as before, after=Object() as after):
            return f"{file.name}: {_object(before)} -> {_object(after)}"
        case _:
            return file.name


def _object(content: Object) -> str:
    digest = f"sha256 {content.digest[:_DIGITS]}" if content.digest else "not read"
    return f"{digest}, {content.size:,} bytes"


def _data(loaded: Loaded, found: list[Outlook], *, complete: bool) -> dict[str, Any]:
    return {
        "pipeline_name": loaded.compiled.pipeline_name,
        "digest": loaded.compiled.digest,
        "steps": [_step(outlook) for outlook in found],
        "counts": _counts(found),
        "all_executions_looked_at": complete,
        "warnings": [problem._asdict() for problem in loaded.warnings],
    }


def _step(outlook: Outlook) -> dict[str, Any]:
    files = [
        None
        if change.files is None
        else [
            {
                "name": file.name,
                "before": file.before._asdict() if file.before else None,
                "after": file.after._asdict() if file.after else None,
            }
            for file in change.files
        ]
        for change in outlook.changes
    ]
    changes = [{**asdict(change), "files": found} for change, found in zip(outlook.changes, files, strict=True)]
    return {
        "name": outlook.name,
        "kind": outlook.kind,
        "prediction": str(outlook.verdict),
        "cause": str(outlook.cause),
        "reason": outlook.reason,
        "fix": outlook.fix,
        "execution_arn": outlook.execution,
        "changes": changes,
        "notes": list(outlook.notes),
        "only_if": outlook.only_if,
    }
