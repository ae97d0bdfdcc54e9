"""The log streams of endpoints and inference components: one for each host of a variant, named ``variant/instance``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlops_sm.emulator.logs import Stream
from mlops_sm.emulator.store import Scope
from mlops_sm.local.serving.host import BEGAN

COMPONENTS: Final = ".components"
"""The folder of an endpoint's inference components; no variant is called like it."""
_ENDPOINTS: Final = "/aws/sagemaker/Endpoints/"
_COMPONENTS: Final = "/aws/sagemaker/InferenceComponents/"
_HOSTS: Final = "i-*"


@dataclass(frozen=True, slots=True)
class EndpointLogs:
    """The log streams of the endpoints of every scope. They stay when the endpoint is deleted.

    Attributes:
        folder: Where a scope's endpoints live.
    """

    folder: Callable[[Scope], Path]

    def has(self, group: str) -> bool:
        """Whether a log group is one of an endpoint or an inference component."""
        return group.startswith((_ENDPOINTS, _COMPONENTS)) and "/" not in _name(group) and _name(group) != ".."

    def streams(self, scope: Scope, group: str, prefix: str) -> list[Stream]:
        """The streams of a group whose names begin with a prefix."""
        return [stream for stream in self._all(scope, group) if stream.name.startswith(prefix)]

    def _all(self, scope: Scope, group: str) -> Iterator[Stream]:
        root, name = self.folder(scope), _name(group)
        if group.startswith(_COMPONENTS):
            found = root.glob(f"*/{COMPONENTS}/{name}/{_HOSTS}")
        else:
            found = (root / name).glob(f"[!.]*/{_HOSTS}")
        for number, host in enumerate(sorted(found), start=1):
            began = host / BEGAN
            if began.is_file():
                created = float(began.read_text())
                yield Stream(
                    name=f"{host.parent.name}/{host.name}",
                    path=host / "log",
                    created=created,
                    modified=created,
                    began=round(created * 1000),
                    ended=not (host / "ml").exists(),
                    number=number,
                )


def _name(group: str) -> str:
    return group.removeprefix(_ENDPOINTS).removeprefix(_COMPONENTS)
