"""The `sudo` layer: namespaces that root makes, for users who may not make any but may use sudo without a password.

GitHub's runners of Ubuntu 24.04 are such machines: AppArmor keeps users from mounting in namespaces of their own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Final

from mlops_sm.local.isolation.layer import ML, Capabilities, Fact, Forks, Launch, Process, Way
from mlops_sm.local.isolation.linux import not_linux
from mlops_sm.local.isolation.starting import Launcher, Layer

_THROUGH: Final = ("-n", "--")
"""sudo(8): never ask for a password; what follows is the command."""
_PATIENCE: Final = 10.0


class SudoIsolation(Layer):
    """Has sudo start the process that starts jobs. The jobs run as the calling user, not as root.

    Args:
        platform: ``sys.platform``.
        sudo: The program.
    """

    def __init__(self, platform: str = sys.platform, sudo: str = "sudo") -> None:
        super().__init__(Launcher((sudo, *_THROUGH)))
        self._platform = platform
        self._sudo = sudo
        self._way = Way(namespaces=True, user=(os.getuid(), os.getgid(), tuple(os.getgroups())))

    @property
    def name(self) -> str:
        """``sudo``."""
        return "sudo"

    @property
    def capabilities(self) -> Capabilities:
        """All but forks of warm workers, which would have to import everything as root."""
        return Capabilities(warm=False)

    def _begin(self, launch: Launch, forks: Forks | None) -> Process:
        return self._launcher.start(launch, self._way)

    def _try(self) -> Fact:
        if not self._platform.startswith("linux"):
            return not_linux(self.name, self._platform)
        reason = self._asked() or self._trial()
        if reason:
            fix = 'Let this user use sudo without a password, or see what "mlops-sm doctor" says of the other ways.'
            return Fact(self.name, ok=False, detail=reason, fix=fix)
        return Fact(self.name, ok=True, detail=f"every job gets its own {ML} (mount namespace made by sudo -n)")

    def _asked(self) -> str:
        """Why sudo will not do it, empty when it will."""
        if shutil.which(self._sudo) is None:
            return "sudo is not installed"
        try:
            done = subprocess.run(  # noqa: S603 - it is looked up on the PATH on purpose
                [self._sudo, *_THROUGH, sys.executable, "-I", "-S", "-c", ""],
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return "" if done.returncode == 0 else done.stderr.strip() or f"sudo exits with {done.returncode}"
