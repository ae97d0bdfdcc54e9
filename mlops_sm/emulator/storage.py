"""The account's S3, connected to moto when somebody first needs it: 0.1 s that a look at executions does not pay."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_sm.emulator.backends.keeper import Keeper
from mlops_sm.emulator.contents import Contents
from mlops_sm.emulator.database import Database

if TYPE_CHECKING:
    from mlops_sm.emulator.mirror import Mirror
    from mlops_sm.emulator.objects import LocalObjects
    from mlops_sm.emulator.store import Scope


class Storage:
    """Buckets and objects, and what keeps moto's other services.

    Args:
        database: The account's.
        folder: Where the contents are.
        keeper: Of moto's other services, which S3's notifications change.
        crashed: Whether the last owner of the state did not close it.

    Attributes:
        keeper: The same.
        contents: The contents of objects.
    """

    def __init__(self, database: Database, folder: Path, keeper: Keeper, *, crashed: bool) -> None:
        self.keeper = keeper
        self._database = database
        self.contents = Contents(folder, lambda: secrets.token_hex(16))
        self._crashed = crashed
        self._lock = threading.Lock()
        self._mirror: Mirror | None = None
        self._on_attach: list[Callable[[], None]] = []

    def tell(self, attached: Callable[[], None]) -> None:
        """Have somebody told when moto's S3 has been connected."""
        self._on_attach.append(attached)

    def mirror(self) -> Mirror:
        """What keeps moto's S3 and the database the same; from the first call on moto has the account's buckets."""
        with self._lock:
            if self._mirror is None:
                from mlops_sm.emulator.mirror import Mirror  # noqa: PLC0415 - see the module

                self._mirror = Mirror(self._database, self.contents, self.keeper)
                self._mirror.attach(crashed=self._crashed)
                for attached in self._on_attach:
                    attached()
            return self._mirror

    def objects(self, scope: Scope) -> LocalObjects:
        """S3 as the jobs of a scope see it."""
        from mlops_sm.emulator.objects import LocalObjects  # noqa: PLC0415 - see the module

        return LocalObjects(self.mirror(), self.contents, account=scope.account, region=scope.region)

    def detach(self) -> None:
        """From here on moto may forget its buckets without consequences."""
        if self._mirror is not None:
            self._mirror.detach()


ObjectsOf = Callable[["Scope"], "LocalObjects"]
"""The S3 of a scope."""
