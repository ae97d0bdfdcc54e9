"""The `relocate` layer: nothing is put at /opt/ml; a job's paths are rewritten to where its folders are.

For macOS, which has no namespaces. The command, the variables, the configuration and the programs of the job are
rewritten as text; its Pythons are led by a module that they load first (`led`). What neither reaches finds no /opt/ml:
the layer works only where there is none on the machine, and a job that leaves one behind has failed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from mlops_sm.errors import Problem, RefusedError
from mlops_sm.local.isolation.layer import ML, SCRATCH, Capabilities, Fact, Forks, Launch, Process, Way
from mlops_sm.local.isolation.led.mlops_sm_led import VARIABLES, files_below
from mlops_sm.local.isolation.rewriting import Rewriting
from mlops_sm.local.isolation.starting import WHERE, Layer

_LED: Final = str(Path(__file__).with_name("led"))
_OURS: Final = "mlsm-"
"""Short, as the folder it is in: the path of a unix socket has 104 bytes on macOS."""
_SHORT: Final = Path("/tmp")  # noqa: S108 - a folder of the user's own is made in it

_WITH_SETTINGS: Final = ("config", "input/config")
_WITH_PROGRAMS: Final = (
    *("code", "input/data/code", "input/data/sm_drivers"),
    *("processing/input/code", "processing/input/entrypoint", "model/code"),
)
"""Where script mode, both versions of the SDK and the containers for inference put programs, below /opt/ml."""
_TOOLKIT: Final = {"SAGEMAKER_BASE_DIR": ML, "SM_STUDIO_LOCAL_MODE": "True"}
"""What leads AWS's own toolkits (sagemaker-training, sagemaker-inference), and spares them to look up host names."""


class RelocateIsolation(Layer):
    """Rewrites each job.

    Args:
        ml: The path that jobs use, as it is on this machine.
    """

    def __init__(self, ml: Path = Path(ML)) -> None:
        super().__init__()
        self._ml = ml

    @property
    def name(self) -> str:
        """``relocate``."""
        return "relocate"

    @property
    def capabilities(self) -> Capabilities:
        """As many jobs at once as one likes, with the machine's network, host names and rights.

        No forks of warm workers: on macOS a process that has the numeric libraries loaded must not fork.
        """
        return Capabilities(network=False, hosts=False, read_only=False, warm=False, mounts=False)

    def refusal_of_place(self) -> Problem | None:
        """E427: this machine has an /opt/ml, and what cannot be led would be written to it."""
        if not self._ml.exists():
            return None
        what = f"there is something at {self._ml} on this machine, and a program that cannot be led would change it"
        return Problem("E427", WHERE, what, f"Move it away, or look at what it is: ls -la {self._ml}")

    def _begin(self, launch: Launch, forks: Forks | None) -> Process:
        problem = self.refusal_of_place()
        if problem is not None:
            raise RefusedError(problem)
        if not (launch.ml.is_dir() and launch.scratch.is_dir()):
            raise RefusedError(Problem("E409", WHERE, f"a job's folder is not there: {launch.ml}", "Start it again."))
        place = Path(tempfile.mkdtemp(prefix=_OURS, dir=_SHORT if os.access(_SHORT, os.W_OK) else None))
        try:
            # Links, because the paths of the folders may have blanks and quotes, which programs' texts do not expect.
            (place / "ml").symlink_to(launch.ml.absolute())
            (place / "s").symlink_to(launch.scratch.absolute())
            here = Rewriting.of(ml=str(place / "ml"), scratch=str(place / "s"))
            here.files(_programs(launch))
            way = Way(absent=str(self._ml), after=("/bin/rm", "-rf", str(place)))
            return self._launcher.start(_led(here.launch(_for_toolkits(launch)), here), way)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise

    def _try(self) -> Fact:
        problem = self.refusal_of_place()
        if problem is not None:
            return Fact(self.name, ok=False, detail=problem.what, fix=problem.fix)
        reason = self._trial()
        if reason:
            return Fact(self.name, ok=False, detail=reason, fix='See what "mlops-sm doctor" says of the other ways.')
        detail = f"a job's paths below {ML} are rewritten to its folder; programs that are no scripts are not led"
        return Fact(self.name, ok=True, detail=detail)


def _programs(launch: Launch) -> Iterator[Path]:
    """The job's own programs and settings: where they usually are, and beside what the command names."""
    folders = {launch.ml / name for name in (*_WITH_SETTINGS, *_WITH_PROGRAMS)}
    for word in launch.argv:
        path = Path(launch.cwd, word)
        for seen, place in ((ML, launch.ml), (SCRATCH, launch.scratch)):
            if path.is_relative_to(seen) and ".." not in path.parts:
                named = place / path.relative_to(seen)
                if named.is_file():
                    yield named
                    if named.parent not in {launch.ml, launch.scratch}:
                        folders.add(named.parent)
    for folder in folders:
        yield from map(Path, files_below(str(folder)))


def _for_toolkits(launch: Launch) -> Launch:
    return replace(launch, environment={**_TOOLKIT, **launch.environment})


def _led(launch: Launch, here: Rewriting) -> Launch:
    """With what leads its Pythons."""
    environment = dict(launch.environment)
    environment |= {variable: here.places[path] for path, variable in VARIABLES.items()}
    environment["PYTHONPATH"] = ":".join(filter(None, [_LED, environment.get("PYTHONPATH", "")]))
    return replace(launch, environment=environment)
