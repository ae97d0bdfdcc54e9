"""Give the calling process its own /opt/ml: a mount namespace of Linux, as root or inside a user namespace.

Runs in the process that becomes the job, so it imports little and must be called while that process has one thread.
The machine's own /opt is never written to: a tmpfs that holds /opt's children again covers it inside the namespace.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import stat
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from mlops_sm.local.isolation.layer import ML, SCRATCH

_OPT: Final = "/opt"
_CHANGES: Final = f"{SCRATCH}/.changes"
"""Where a job's changes of overlaid folders go."""
_CHANGES_IN_MEMORY: Final = f"{_OPT}/.mlops-sm-changes"
"""The same where the disk of the scratch folder takes no such layer, as the file system of a container."""

# linux/sched.h, linux/mount.h, linux/prctl.h, linux/sockios.h, linux/capability.h
_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_MS_RDONLY: Final = 1
_MS_NOSUID: Final = 2
_MS_NODEV: Final = 4
_MS_NOEXEC: Final = 8
_MS_REMOUNT: Final = 32
_MS_BIND: Final = 4096
_MS_REC: Final = 16384
_MS_PRIVATE: Final = 1 << 18
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1
_LINUX_CAPABILITY_VERSION_3: Final = 0x20080522

_libc: Final = ctypes.CDLL(None, use_errno=True)


def enter(
    ml: str,
    scratch: str,
    *,
    hosts: str | None,
    network: bool,
    read_only: Sequence[str] = (),
    overlaid: Sequence[str] = (),
) -> None:
    """Move the calling process into its own namespaces.

    Args:
        ml: Folder that appears at /opt/ml.
        scratch: Folder that appears at `SCRATCH`.
        hosts: File that appears at /etc/hosts, or None.
        network: False leaves only a loopback interface.
        read_only: Folders below /opt/ml that become read-only.
        overlaid: Folders of the machine under a layer that takes what is changed in them.

    Raises:
        OSError: The machine refused; its text names the call that failed.
    """
    as_user = _unshare(_CLONE_NEWNS | (0 if network else _CLONE_NEWNET))
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    # Every source is pinned before the first mount, because a mount may hide a later source.
    pinned = {ML: _pin(ml), SCRATCH: _pin(scratch)}
    if hosts is not None and Path("/etc/hosts").exists():
        pinned["/etc/hosts"] = _pin(hosts)
    _cover_opt()
    for target, descriptor in pinned.items():
        _bind(descriptor, target)
    for folder in read_only:
        _protect(folder)
    for number, folder in enumerate(overlaid):
        _overlay(folder, f"{_CHANGES}/{number}", as_user=as_user)
    if not network:
        _raise_loopback()
    if as_user:
        _drop_capabilities()


def die_with_parent(parent: int) -> None:
    """Have the kernel kill the calling process when the *thread* that forked it ends.

    Called after `enter`, which would undo it: gaining capabilities in a user namespace clears the signal.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Make the calling process the parent of every descendant whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _unshare(flags: int) -> bool:
    """Leave the machine's namespaces; whether a user namespace was needed for it.

    Root without CAP_SYS_ADMIN (a container's) is treated as any user.
    """
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        try:
            _call("unshare", ctypes.c_int(flags))
        except PermissionError:
            pass  # the user namespace below is the second way; when it fails too, its error is the one to report
        else:
            return False
    _call("unshare", ctypes.c_int(flags | _CLONE_NEWUSER))
    # Identity map: the job runs as the user it was. setgroups must be denied before a gid map is accepted.
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    return True


def _cover_opt() -> None:
    """Cover /opt with a tmpfs that holds its children again, with /opt/ml and the scratch folder as mount points."""
    ours = {target.rsplit("/", 1)[1] for target in (ML, SCRATCH)}
    children = [entry.name for entry in os.scandir(_OPT) if entry.name not in ours]
    pins = {name: _pin(f"{_OPT}/{name}", os.O_NOFOLLOW) for name in children}
    _mount("tmpfs", _OPT, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=755")
    for name, descriptor in pins.items():
        path = Path(_OPT, name)
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISLNK(mode):
            path.symlink_to(os.readlink("", dir_fd=descriptor))
            os.close(descriptor)
            continue
        if stat.S_ISDIR(mode):
            path.mkdir()
        else:
            path.touch()
        _bind(descriptor, str(path))
    for name in ours:
        Path(_OPT, name).mkdir()


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", fcntl.ioctl(probe, _SIOCGIFFLAGS, request)[:18])[1]
        fcntl.ioctl(probe, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | _IFF_UP))


def _drop_capabilities() -> None:
    """Give up what the user namespace gave: without exec, read-only files would be writable for the job."""
    header = struct.pack("Ii", _LINUX_CAPABILITY_VERSION_3, 0)
    _call("capset", ctypes.c_char_p(header), ctypes.c_char_p(bytes(24)))


def _pin(path: str, flags: int = 0) -> int:
    return os.open(path, os.O_PATH | flags)


def _bind(descriptor: int, target: str) -> None:
    _mount(f"/proc/self/fd/{descriptor}", target, None, _MS_BIND | _MS_REC)
    os.close(descriptor)


def _protect(folder: str) -> None:
    """Make a folder read-only: a mount on itself. Flags it has from the machine's mount may not be taken away."""
    _mount(folder, folder, None, _MS_BIND | _MS_REC)
    locked = os.statvfs(folder).f_flag & (_MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    _mount("none", folder, None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY | locked)


def _overlay(folder: str, changes: str, *, as_user: bool) -> None:
    """Put a layer over a folder; where the kernel has none for us, the folder becomes read-only."""
    # Attributes of the user's own namespace: what root would use is refused there (Linux 5.11 and later).
    kind = ",userxattr" if as_user else ""
    for place in (changes, changes.replace(_CHANGES, _CHANGES_IN_MEMORY)):
        for name in ("upper", "work"):
            Path(place, name).mkdir(parents=True, exist_ok=True)
        options = f"lowerdir={_escaped(folder)},upperdir={place}/upper,workdir={place}/work{kind}"
        # Nothing in it outlives the job, so its end need not wait for the disk (an option of Linux 5.10 and later).
        for more in (",volatile", ""):
            with suppress(OSError):
                _mount("overlay", folder, "overlay", 0, options + more)
                return
    _protect(folder)


def _escaped(path: str) -> str:
    """A path among the options of an overlay."""
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    _call(
        "mount",
        ctypes.c_char_p(os.fsencode(source)),
        ctypes.c_char_p(os.fsencode(target)),
        ctypes.c_char_p(kind.encode() if kind else None),
        ctypes.c_ulong(flags),
        ctypes.c_char_p(data.encode() if data else None),
        about=f"mount on {target}",
    )


def _prctl(option: int, value: int) -> None:
    _call("prctl", ctypes.c_int(option), ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def _call(function: str, *arguments: object, about: str = "") -> None:
    if getattr(_libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{about or function}: {os.strerror(number)}")
