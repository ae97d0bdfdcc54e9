"""SQS messages on their shelves: each is a slice of its own, written when it comes, changes or goes."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Self, SupportsIndex, cast

from moto.sqs.models import Message, Queue

from mlops_sm.emulator.backends.shelves import Changes, Forgetful, Handles, Shelf, Slice, shelf

MESSAGES: Final = "messages"
PENDING: Final = "pending"


class _Book:
    """What the lists that are a queue's messages one after the other have in common.

    Attributes:
        next: The next message's position.
        held: Messages by position.
        dirty: Those of them that are not on disk as they are.
        timed: Those that were ever received or delayed, which may be invisible now.
        gone: Positions that are on disk no more needed.
        anew: Whether nothing of the label on disk counts.
    """

    def __init__(self, *, anew: bool) -> None:
        self.next = 0
        self.held: dict[int, KeptMessage] = {}
        self.dirty: dict[int, KeptMessage] = {}
        self.timed: dict[int, KeptMessage] = {}
        self.gone: dict[int, None] = {}
        self.anew = anew

    def take(self, message: Message, position: int | None = None) -> None:
        there = message.__dict__.get("_book")
        if there is self:
            return
        if there is not None:
            there.drop(message.__dict__["_position"])
        message.__class__ = KeptMessage
        at = self.next if position is None else position
        self.next = max(self.next, at + 1)
        message.__dict__.update(_book=self, _position=at)
        self.held[at] = message  # type: ignore[assignment] # by its class of now
        if message.visible_at or message.delayed_until:
            self.timed[at] = self.held[at]
        if position is None:
            self.dirty[at] = self.held[at]

    def drop(self, position: int) -> None:
        if self.held.pop(position, None) is not None:
            self.dirty.pop(position, None)
            self.timed.pop(position, None)
            self.gone[position] = None


class KeptMessage(Message):
    """A message that says when it changes: moto changes attributes, never what is in them."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        book = self.__dict__.get("_book")
        if book is not None and self._position in book.held:
            book.dirty[self._position] = self
            if name in _TIMES and value:
                book.timed[self._position] = self

    @property
    def visible(self) -> bool:
        """Whether nobody has received it lately; as moto has it, at a tenth of the cost."""
        at: float = self.__dict__["visible_at"]
        return at == 0.0 or time.time() * 1000 > at

    @property
    def delayed(self) -> bool:
        """Whether it is not yet to be seen; see `visible`."""
        until: float = self.__dict__["delayed_until"]
        return until != 0.0 and time.time() * 1000 < until

    @property
    def _position(self) -> int:
        position: int = self.__dict__["_position"]
        return position

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in _OURS}


_OURS: Final = frozenset({"_book", "_position"})
_TIMES: Final = frozenset({"visible_at", "delayed_until"})


class Messages(list[Message]):
    """A queue's messages.

    Args:
        label: Its name in the database.
        items: The messages.
        book: Of the list that this one takes the place of.
    """

    def __init__(self, label: str, items: Iterable[Message], book: _Book | None = None) -> None:
        super().__init__(items)
        self.label = label
        self._book = book or _Book(anew=True)
        for message in self:
            self._book.take(message)
        for position in self._book.held.keys() - {message.__dict__["_position"] for message in self}:
            self._book.drop(position)

    @classmethod
    def read(cls, label: str, slices: Sequence[Slice]) -> Self:
        """What the slices of a label hold."""
        book = _Book(anew=False)
        for position, members in slices:
            message = object.__new__(KeptMessage)
            message.__dict__.update(members)
            book.take(message, position)
        return cls(label, list(book.held.values()), book)

    def select(self, positions: Iterable[int]) -> list[KeptMessage]:
        """Those of some positions that are there."""
        return [self._book.held[position] for position in positions if position in self._book.held]

    def timed(self) -> list[KeptMessage]:
        """Those that were ever received or delayed."""
        return list(self._book.timed.values())

    def followed_by(self, items: Iterable[Message]) -> Messages:
        """The shelf of a list that moto has put in this one's place."""
        return Messages(self.label, items, self._book)

    def append(self, message: Message) -> None:
        """As for any list."""
        self._book.take(message)
        super().append(message)

    def remove(self, message: Message) -> None:
        """As for any list."""
        super().remove(message)
        if message.__dict__["_book"] is self._book:
            self._book.drop(message.__dict__["_position"])

    def pop(self, index: SupportsIndex = -1) -> Message:
        """As for any list."""
        message = super().pop(index)
        self._book.drop(message.__dict__["_position"])
        return message

    def clear(self) -> None:
        """As for any list."""
        for position in list(self._book.held):
            self._book.drop(position)
        super().clear()

    def changes(self) -> Changes | None:
        """What is not on disk yet."""
        book = self._book
        dirty, gone = dict(book.dirty), list(book.gone)
        if not dirty and not gone and not book.anew:
            return None
        written = [Slice(position, message.__getstate__()) for position, message in dirty.items()]
        # A change from now on makes it dirty again; should the disk refuse, the whole backend is read again.
        for position in dirty:
            book.dirty.pop(position, None)
        return Changes(book.anew, gone, written, None)

    def settle(self, changes: Changes) -> None:
        """These changes are on disk."""
        for position in changes.gone:
            self._book.gone.pop(position, None)
        self._book.anew = False

    def __reduce__(self) -> Any:  # noqa: ANN401 - pickle's own form
        return shelf, (MESSAGES, self.label)


class KeptQueue(Queue):
    """A queue that counts only what can be invisible: moto counts every message at every send."""

    @property
    def approximate_number_of_messages_delayed(self) -> int:
        """How many are not yet to be seen."""
        return sum(message.delayed for message in self._timed())

    @property
    def approximate_number_of_messages_not_visible(self) -> int:
        """How many somebody has received lately."""
        return sum(not message.visible for message in self._timed())

    @property
    def approximate_number_of_messages(self) -> int:
        """How many can be received."""
        return len(self._messages) - sum(message.delayed or not message.visible for message in self._timed())

    def _timed(self) -> Sequence[Message]:
        messages = self._messages
        # moto puts lists of its own here; each is a shelf again once its request ends.
        return messages.timed() if isinstance(messages, Messages) else messages

    def __reduce__(self) -> Any:  # noqa: ANN401 - pickle's own form
        # In the database it is moto's own class, whatever becomes of this one.
        return plain_queue, (), self.__getstate__()


def plain_queue() -> Queue:
    """A queue of moto's with nothing in it yet."""
    made: Queue = object.__new__(cast(type[Any], Queue))
    return made


class Pending(set[Message]):
    """Messages that somebody has received and not deleted; in a backend's state they are their positions.

    Args:
        label: Of the shelf that they are on.
        items: They.
    """

    def __init__(self, label: str, items: Iterable[Message]) -> None:
        super().__init__(items)
        self.label = label

    def __reduce__(self) -> Any:  # noqa: ANN401 - pickle's own form
        return pending, (self.label, [message.__dict__["_position"] for message in list(self)])


def pending(label: str, positions: Sequence[int]) -> Pending:
    """Stands for messages in flight in a backend's state; whoever reads the state looks them up."""
    raise pickle.UnpicklingError(f"{len(positions)} messages of {label} are read by the keeper only")


def shelves_of(backend: Any) -> Iterator[Shelf]:  # noqa: ANN401 - moto's backend
    """The shelves of every queue, which take the place of moto's lists where it has put new ones."""
    if not isinstance(Message.instances_tracked, Forgetful):  # type: ignore[attr-defined] # set by moto's metaclass
        for model in (Message, KeptMessage):
            model.instances_tracked = Forgetful()  # type: ignore[attr-defined] # likewise
    for name, queue in list(backend.queues.items()):
        yield from _queue_shelves(name, queue)


def _queue_shelves(name: str, queue: Queue) -> tuple[Shelf, Shelf]:
    label = f"{name}/{MESSAGES}"
    with queue._messages_lock:
        queue.__class__ = cast(type[Any], KeptQueue)
        messages, deleted = queue._messages, queue.deleted_messages
        if not isinstance(messages, Messages):
            before = vars(queue).get("_shelf")
            # What moto drops when it makes a list anew is remembered where it does not look.
            messages = Messages(label, messages) if before is None else before.followed_by(messages)
        vars(queue)["_shelf"] = queue._messages = messages
        if not isinstance(queue._pending_messages, Pending):
            queue._pending_messages = Pending(label, queue._pending_messages)
        if not isinstance(deleted, Handles):
            queue.deleted_messages = deleted = Handles(f"{name}/deleted", deleted)
        return messages, deleted
