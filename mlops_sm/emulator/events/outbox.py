"""Letters that wait in the account's database: written with what caused them, gone when delivered."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Final, NamedTuple, assert_never

from mlops_sm.emulator.database import Database
from mlops_sm.emulator.events.letters import BusEvent, Invocation, Letter, Post, TargetCall, read, written

_PAGE: Final = 100


class Waiting(NamedTuple):
    """A letter and its number."""

    number: int
    letter: Letter


class Outbox:
    """The table ``outbox``. Safe to use from several threads.

    Letters that may take long, calls of functions and HTTP requests, lie in a lane of their own.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def transaction(self) -> AbstractContextManager[None]:
        """Several changes as one."""
        return self._database.transaction()

    def put(self, letter: Letter, due: float) -> None:
        """Add a letter that is to be delivered from an epoch second on."""
        self._database.execute(
            "INSERT INTO outbox (due, slow, body) VALUES (?,?,?)",
            (due, _is_slow(letter), written(letter)),
        )

    def due(self, now: float, *, slow: bool, besides: Collection[int] = (), limit: int = _PAGE) -> list[Waiting]:
        """Letters that may be delivered now, in the order they were put.

        Args:
            now: Epoch seconds.
            slow: Which lane.
            besides: Numbers of letters that are being delivered already.
            limit: At most so many.
        """
        marks = ",".join("?" * len(besides))
        with self.transaction():
            # In a transaction: whoever writes right now has been told of before its end and is waited for.
            rows = self._database.query(
                f"SELECT id, body FROM outbox WHERE slow=? AND due<=? AND id NOT IN ({marks}) ORDER BY id LIMIT ?",  # noqa: S608 - marks for values
                (slow, now, *besides, limit),
            )
        return [Waiting(number, read(body)) for number, body in rows]

    def earliest(self, *, after: float = 0.0) -> float | None:
        """The first moment after an epoch second at which a letter is due; None when there is none."""
        ((due,),) = self._database.query("SELECT min(due) FROM outbox WHERE due>?", (after,))
        return None if due is None else float(due)

    def remove(self, number: int) -> None:
        """A letter was delivered."""
        self._database.execute("DELETE FROM outbox WHERE id=?", (number,))

    def postpone(self, number: int, letter: Letter, due: float) -> None:
        """A letter could not be delivered and is to be tried again later."""
        self._database.execute("UPDATE outbox SET due=?, body=? WHERE id=?", (due, written(letter), number))


def _is_slow(letter: Letter) -> bool:
    match letter:
        case Invocation() | Post():
            return True
        case TargetCall(target=target):
            return ":api-destination/" in target["Arn"]
        case BusEvent():
            return False
        case _:
            assert_never(letter)
