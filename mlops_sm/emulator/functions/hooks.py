"""What moto's Lambda does otherwise than Lambda: it runs nothing, drops dead letters and calls within requests."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mlops_sm.emulator.events.letters import Invocation, Letter
from mlops_sm.emulator.replacing import Method, Replaced
from mlops_sm.emulator.store import Scope

DEAD_LETTERS: Final = "DeadLetterConfig"

MotoObject = Any
"""A function, mapping or backend of moto, which has no types that mypy sees."""


class FunctionHooks:
    """The hooks on moto's Lambda.

    Args:
        send: Takes asynchronous calls.
        now: Epoch seconds.
        watch: Takes the messages of a queue that is to call a function.
    """

    def __init__(
        self, send: Callable[[Sequence[Letter]], None], now: Callable[[], float], watch: Callable[[MotoObject], None]
    ) -> None:
        self._send = send
        self._now = now
        self._watch = watch

    def install(self, replaced: Replaced) -> None:
        """Replace what is replaced."""
        from moto.awslambda.models import LambdaBackend, LambdaFunction  # noqa: PLC0415 - 0.3 s that others do without
        from moto.awslambda_simple.models import LambdaSimpleBackend  # noqa: PLC0415 - likewise

        for name in ("create_event_source_mapping", "update_event_source_mapping"):
            replaced.method(LambdaBackend, name, self._map)
        replaced.method(LambdaFunction, "__init__", _made)
        replaced.method(LambdaFunction, "update_configuration", _changed)
        replaced.method(LambdaFunction, "get_configuration", _described)
        replaced.method(LambdaFunction, "invoke", lambda _: as_method(self._invoke))
        replaced.method(LambdaSimpleBackend, "invoke", lambda _: as_method(self._invoke_named))

    def _map(self, original: Method) -> Method:
        from moto.sqs.models import sqs_backends  # noqa: PLC0415 - loaded with Lambda

        def mapped(backend: MotoObject, *arguments: Any) -> MotoObject:  # noqa: ANN401 - moto's own
            mapping = original(backend, *arguments)
            if mapping is not None:
                # moto would call the function within the request that sends a message.
                for queue in sqs_backends[backend.account_id][backend.region_name].queues.values():
                    queue.lambda_event_source_mappings.pop(mapping.function_arn, None)
                self._watch(mapping)
            return mapping

        return mapped

    def _invoke(self, function: MotoObject, body: str, _request: object, _response: object) -> bytes:
        """Other services of moto call a function: they are answered at once, as by an asynchronous call."""
        self._send(
            [
                Invocation(
                    scope=Scope(function.account_id, function.region),
                    function=function.function_name,
                    qualifier="" if function.version == "$LATEST" else str(function.version),
                    payload=body or "{}",
                    request_id=str(uuid.uuid4()),
                    created=self._now(),
                )
            ]
        )
        return b""

    def _invoke_named(
        self, backend: MotoObject, function_name: str, qualifier: str | None, body: str, headers: object, _: object
    ) -> bytes:
        return self._invoke(backend.get_function(function_name, qualifier), body, headers, None)


def _made(original: Method) -> Method:
    def made(function: MotoObject, account_id: str, spec: Mapping[str, Any], *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - moto's own
        function.dead_letter_config = spec.get(DEAD_LETTERS) or {}
        original(function, account_id, spec, *arguments, **named)

    return made


def _changed(original: Method) -> Method:
    def changed(function: MotoObject, config_updates: Mapping[str, Any]) -> dict[str, Any]:
        if DEAD_LETTERS in config_updates:
            function.dead_letter_config = config_updates[DEAD_LETTERS]
        described: dict[str, Any] = original(function, config_updates)
        return described

    return changed


def _described(original: Method) -> Method:
    def described(function: MotoObject, *arguments: Any, **named: Any) -> dict[str, Any]:  # noqa: ANN401 - moto's own
        config: dict[str, Any] = original(function, *arguments, **named)
        dead_letters = getattr(function, "dead_letter_config", None)
        return {**config, DEAD_LETTERS: dead_letters} if dead_letters else config

    return described


def as_method(function: Method) -> Method:
    """A function that, found in a class, gets the instance first."""

    def method(instance: MotoObject, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - moto's own
        return function(instance, *arguments, **named)

    return method
