"""Functions as AWS Lambda runs them: their own code in a process of its own, kept warm for the next call.

Only Python runs, whatever version its runtime names, with this machine's interpreter. MemorySize is shown to the
function and in its log; it limits nothing.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.local.functions_process import Call, Called, Function, FunctionProcess

_IDLE: Final = 4
"""Processes that wait for a next call, all functions together."""


class Functions:
    """Runs functions. Safe to use from several threads.

    Args:
        folder: Where code is unpacked; kept between openings.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._idle: OrderedDict[int, tuple[tuple[Json, ...], FunctionProcess]] = OrderedDict()
        self._running: set[FunctionProcess] = set()
        self._closed = False

    def call(self, function: Function, payload: str, request_id: str, *, context: str | None = None) -> Called:
        """Call a function and wait for its end, which its timeout brings at the latest.

        Args:
            function: What to call.
            payload: The event, as JSON text.
            request_id: The call's id.
            context: ClientContext as it came, base64.

        Raises:
            BadCodeError: Its archive cannot be unpacked.
            OSError: The disk refused, or no process can be started.
        """
        process, cold = self._process(function)
        try:
            return Call(function, process, request_id, cold=cold).run(payload, context)
        finally:
            self._give_back(function, process)

    def close(self) -> None:
        """End every process; calls that were running end with `lost`."""
        with self._lock:
            self._closed = True
            idle = [process for _, process in self._idle.values()]
            self._idle.clear()
            running = list(self._running)
        for process in idle:
            process.end()
        for process in running:
            process.lose()

    def _process(self, function: Function) -> tuple[FunctionProcess, bool]:
        key = _key(function)
        with self._lock:
            for number, (kept, process) in reversed(self._idle.items()):
                if kept == key and process.alive:
                    del self._idle[number]
                    self._running.add(process)
                    return process, False
        process = FunctionProcess(self._folder, function)
        with self._lock:
            self._running.add(process)
            if self._closed:
                process.lose()
        return process, True

    def _give_back(self, function: Function, process: FunctionProcess) -> None:
        leaving = [process]
        with self._lock:
            self._running.discard(process)
            if process.usable and not self._closed:
                self._idle[id(process)] = (_key(function), process)
                leaving = []
                while len(self._idle) > _IDLE:
                    leaving.append(self._idle.popitem(last=False)[1][1])
        for old in leaving:
            old.end()


def _key(function: Function) -> tuple[Json, ...]:
    """What a process was started with; another call may use it when all of it is the same."""
    return (
        function.name,
        function.version,
        function.handler,
        hash(function.code),
        tuple(hash(layer) for layer in function.layers),
        tuple(sorted(function.variables.items())),
        function.timeout,
        function.memory,
        function.account,
        function.region,
    )
