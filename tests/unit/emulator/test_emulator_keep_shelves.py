"""Whatever is done to a shelf: what its changes wrote reads back as what it is."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.sqs.models import Message

from mlops_sm.emulator.backends.queues import Messages
from mlops_sm.emulator.backends.shelves import Forgetful, Handles, Ledger, Shelf, Slice, shelf


class Disk:
    """The slices of one shelf."""

    def __init__(self) -> None:
        self.slices: dict[int, Any] = {}

    def save(self, saved: Shelf) -> int:
        """Write what is new; returns how many slices that took."""
        changes = saved.changes()
        if changes is None:
            return 0
        if changes.anew:
            self.slices.clear()
        for position in changes.gone:
            self.slices.pop(position, None)
        for part in changes.slices:
            self.slices[part.position] = copy.deepcopy(part.content)
        saved.settle(changes)
        return len(changes.slices)

    def read(self) -> list[Slice]:
        return [Slice(*entry) for entry in sorted(self.slices.items())]


LIST_CHANGES = st.lists(
    st.sampled_from(
        ["append", "extend", "save", "pop", "remove", "clear", "insert", "set", "delete", "sort", "reopen"]
    ),
    max_size=30,
)


@given(LIST_CHANGES)
def test_a_ledger_is_on_disk_what_it_is_in_memory(changes: list[str]) -> None:
    disk, ledger = Disk(), Ledger("label", [0])
    for number, change in enumerate(changes, start=1):
        match change:
            case "append":
                ledger.append(number)
            case "extend":
                ledger += [number, -number]
            case "save":
                disk.save(ledger)
            case "insert":
                ledger.insert(0, number)
            case "clear":
                ledger.clear()
            case "sort":
                ledger.sort()
            case "reopen":
                disk.save(ledger)
                ledger = Ledger.read("label", disk.read())
            case _ if ledger:
                match change:
                    case "pop":
                        ledger.pop()
                    case "remove":
                        ledger.remove(ledger[0])
                    case "set":
                        ledger[-1] = number
                    case "delete":
                        del ledger[0]
    disk.save(ledger)
    assert list(Ledger.read("label", disk.read())) == list(ledger)
    assert disk.save(ledger) == 0


def test_a_ledger_writes_what_was_added_and_no_more() -> None:
    disk, ledger = Disk(), Ledger("label")
    for number in range(1000):
        ledger.append(number)
        assert disk.save(ledger) == 1
        assert disk.slices[number] == [number]
    # So many slices become one with the next change, and only then.
    again = Ledger.read("label", disk.read())
    assert disk.save(again) == 0
    again.append("last")
    disk.save(again)
    assert [len(content) for content in disk.slices.values()] == [1001]


@given(st.lists(st.one_of(st.integers(0, 9), st.sampled_from(["save", "reopen"])), max_size=30))
def test_handles_are_on_disk_what_they_are_in_memory(changes: list[int | str]) -> None:
    disk, handles = Disk(), Handles("label", {100})
    for change in changes:
        match change:
            case "save":
                disk.save(handles)
            case "reopen":
                disk.save(handles)
                handles = Handles.read("label", disk.read())
            case _:
                handles.update([change, None])
                handles.add(change)
    disk.save(handles)
    assert set(Handles.read("label", disk.read())) == set(handles)
    assert disk.save(handles) == 0


MESSAGE_CHANGES = st.lists(
    st.sampled_from(["send", "send", "receive", "delete", "remove", "move", "purge", "save", "reopen"]), max_size=30
)


@given(MESSAGE_CHANGES)
def test_messages_are_on_disk_what_they_are_in_memory(changes: list[str]) -> None:
    disks = Disk(), Disk()
    queues = [Messages("a", []), Messages("b", [])]
    for number, change in enumerate(changes):
        work, dead = queues
        match change:
            case "send":
                work.append(Message(str(number), "body"))
            case "save":
                for disk, queue in zip(disks, queues, strict=True):
                    disk.save(queue)
            case "purge":
                queues[0] = work.followed_by([])
            case "reopen":
                for disk, queue in zip(disks, queues, strict=True):
                    disk.save(queue)
                queues = [Messages.read(label, disk.read()) for label, disk in zip(("a", "b"), disks, strict=True)]
            case _ if work:
                match change:
                    case "receive":
                        work[-1].visible_at = float(number)
                    case "delete":
                        # As moto deletes: a new list without the message.
                        queues[0] = work.followed_by(list(work)[1:])
                    case "remove":
                        work.remove(work[0])
                    case "move":
                        message = work[0]
                        work.remove(message)
                        dead.append(message)
    for disk, queue in zip(disks, queues, strict=True):
        disk.save(queue)
        read = Messages.read(queue.label, disk.read())
        assert [(each.id, each.visible_at) for each in read] == [(each.id, each.visible_at) for each in queue]
        assert disk.save(queue) == 0


def test_a_message_that_changes_is_written_alone() -> None:
    disk, messages = Disk(), Messages("a", [Message(str(number), "body") for number in range(100)])
    assert disk.save(messages) == 100
    messages[7].mark_sent()
    messages[7].mark_received(30)
    assert disk.save(messages) == 1
    assert [message.id for message in messages.timed()] == ["7"]
    assert not messages[7].visible
    assert [message.id for message in messages.select([3, 500])] == ["3"]


def test_a_copy_of_a_message_is_nobody_s() -> None:
    """Whoever receives gets copies of moto, with fewer attributes."""
    disk, messages = Disk(), Messages("a", [Message("1", "body")])
    disk.save(messages)
    twin = copy.deepcopy(messages[0])
    twin.message_attributes = {}
    assert (twin.id, disk.save(messages)) == ("1", 0)


def test_what_stands_for_a_shelf_is_no_shelf() -> None:
    with pytest.raises(pickle.UnpicklingError, match="read by the keeper only"):
        shelf("ledger", "label")
    forgetful = Forgetful()
    forgetful.append("a secret")
    assert list(forgetful) == []
