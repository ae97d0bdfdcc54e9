"""The `namespace` layer: a mount namespace per job, on Linux, as root and as any user."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mlops_sm.local.isolation.layer import ML, NAMESPACES, Capabilities, Fact, Forks, Launch, Process
from mlops_sm.local.isolation.starting import Layer


class NamespaceIsolation(Layer):
    """Starts each job in namespaces of its own.

    Args:
        platform: ``sys.platform``; passed in so that the refusal elsewhere can be tested anywhere.
    """

    def __init__(self, platform: str = sys.platform) -> None:
        super().__init__()
        self._platform = platform

    @property
    def name(self) -> str:
        """``namespace``."""
        return "namespace"

    @property
    def capabilities(self) -> Capabilities:
        """Everything."""
        return Capabilities()

    def _begin(self, launch: Launch, forks: Forks | None) -> Process:
        process = forks.start(launch, NAMESPACES) if forks is not None else None
        return process if process is not None else self._launcher.start(launch, NAMESPACES)

    def _try(self) -> Fact:
        if not self._platform.startswith("linux"):
            return not_linux(self.name, self._platform)
        reason = self._trial()
        if reason:
            return Fact(self.name, ok=False, detail=reason, fix=_advice(Path("/")))
        return Fact(self.name, ok=True, detail=f"every job gets its own {ML} ({_who()})")


def not_linux(name: str, platform: str) -> Fact:
    """What a layer of Linux finds elsewhere."""
    return Fact(
        name,
        ok=False,
        detail=f"a job cannot get its own {ML} on this system ({platform}): it takes Linux",
        fix="Run in Linux: a virtual machine, a dev container with --cap-add SYS_ADMIN, or WSL 2 on Windows.",
    )


def _who() -> str:
    return "mount namespace, root" if os.geteuid() == 0 else "user and mount namespace, unprivileged"


def _advice(root: Path) -> str:
    """What the administrator of this machine can do; `root` is the file system to look at."""
    if not (root / "opt").is_dir():
        return "Create the folder /opt (sudo mkdir /opt); nothing is ever written to it."
    if _reads(root / "proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"):
        return (
            "AppArmor forbids unprivileged user namespaces here: run with sudo, or allow them with "
            "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0."
        )
    if _reads(root / "proc/sys/kernel/unprivileged_userns_clone", "0"):
        return "User namespaces are off: sudo sysctl kernel.unprivileged_userns_clone=1, or run with sudo."
    if _reads(root / "proc/sys/user/max_user_namespaces", "0"):
        return "User namespaces are off: sudo sysctl user.max_user_namespaces=10000, or run with sudo."
    if (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        return (
            "This is a container that forbids namespaces: start it with --cap-add SYS_ADMIN (as root) or with "
            "--security-opt seccomp=unconfined (as a user)."
        )
    return "Allow user namespaces for this user, or run as root."


def _reads(path: Path, value: str) -> bool:
    try:
        return path.read_text().strip() == value
    except OSError:
        return False
