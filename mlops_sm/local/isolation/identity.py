"""Who a process is: a worker that sudo started acts as the user who asked for it, and is root only where it must be."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from typing import Final

# linux/prctl.h
_PR_SET_DUMPABLE: Final = 4


def act_as(uid: int, gid: int, groups: Sequence[int]) -> None:
    """Become a user, but keep the way back to root."""
    os.setgroups(groups)
    os.setresgid(gid, gid, 0)
    os.setresuid(uid, uid, 0)


def become_root() -> None:
    """Take the way back."""
    os.setresuid(0, 0, 0)
    os.setresgid(0, 0, 0)


def become_for_good(uid: int, gid: int, groups: Sequence[int]) -> None:
    """Become a user without a way back; every capability is gone with it."""
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    # The kernel hides a process that changed its user from that user: /proc/self would belong to root.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(1))
