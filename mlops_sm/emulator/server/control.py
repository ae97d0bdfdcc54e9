"""What the account says about itself over HTTP, its clock and its faults: ``/_mlops_sm/``, for this machine only."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from mlops_sm import __version__
from mlops_sm.definition.document import Json
from mlops_sm.emulator import jobs, runner
from mlops_sm.emulator.clock import Clock
from mlops_sm.emulator.faults import Fault, Faults
from mlops_sm.emulator.protocol import Answer
from mlops_sm.emulator.store import Kind, Scope, Store

PREFIX: Final = "/_mlops_sm/"
_BAD_REQUEST: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Answers the requests under `PREFIX`.

    Attributes:
        state: The state directory.
        home: The account and region of requests that name none.
        store: What the account holds.
        clock: The account's time.
        faults: What is to go wrong, for tests.
        started: When the account was opened, by the machine's time.
    """

    state: Path
    home: Scope
    store: Store
    clock: Clock
    faults: Faults
    started: datetime

    def answer(self, method: str, path: str, read: Callable[[], bytes]) -> Answer:
        """Answer a request.

        Args:
            method: HTTP method.
            path: The path without the query.
            read: The body.
        """
        match method, path.removeprefix(PREFIX):
            case "GET", "status":
                return _json(200, self._status())
            case "GET", "clock":
                return _json(200, {"now": self.clock().isoformat()})
            case "POST", "clock/advance":
                return self._advance(read())
            case "GET", "faults":
                return _json(200, {"pending": self.faults.pending()})
            case "POST", "faults":
                return self._plant(read())
            case "DELETE", "faults":
                self.faults.clear()
                return _json(200, {"pending": []})
            case _, "status" | "clock" | "clock/advance" | "faults":
                return _json(405, {"message": f"{path} does not answer to {method}"})
            case _:
                return _json(
                    404, {"message": f"There is no {path}: see {PREFIX}status, clock, clock/advance and faults"}
                )

    def _status(self) -> dict[str, Json]:
        executions = self.store.in_status(Kind.EXECUTION, runner.ACTIVE)
        kinds = (Kind.PROCESSING_JOB, Kind.TRAINING_JOB, Kind.TRANSFORM_JOB)
        running = [job for kind in kinds for job in self.store.in_status(kind, jobs.ACTIVE)]
        return {
            "version": __version__,
            "pid": os.getpid(),
            "state": str(self.state.resolve()),
            "account": self.home.account,
            "region": self.home.region,
            "started": self.started.isoformat(),
            "running": {"executions": len(executions), "jobs": len(running)},
        }

    def _advance(self, body: bytes) -> Answer:
        try:
            seconds = json.loads(body)["seconds"]
            if isinstance(seconds, bool) or not isinstance(seconds, int | float):
                raise TypeError  # noqa: TRY301 - as any other body that is not what is wanted
        except (ValueError, KeyError, TypeError, RecursionError):
            return _json(_BAD_REQUEST, {"message": 'The body has to be {"seconds": NUMBER}'})
        try:
            return _json(200, {"now": self.clock.advance(seconds=seconds).isoformat()})
        except ValueError as error:
            return _json(_BAD_REQUEST, {"message": str(error)})

    def _plant(self, body: bytes) -> Answer:
        try:
            members = json.loads(body)
            if not isinstance(members, dict):
                raise TypeError("the body has to be an object")  # noqa: TRY301 - as any other body that is none
            self.faults.plant(Fault.of(members))
        except (ValueError, TypeError, RecursionError) as error:
            return _json(_BAD_REQUEST, {"message": str(error)})
        return _json(200, {"pending": self.faults.pending()})


def _json(status: int, value: dict[str, Any]) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(value).encode())
