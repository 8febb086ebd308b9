"""Backends for the GPU lane that fail where they are told to, and the door through which a server finds them.

``trial`` needs neither torch nor a GPU (see ``trial.py``), nor does ``watched``, which is that with pictures;
``mortal`` and ``scarce`` are the real local backend (see ``mortal.py`` and ``scarce.py``). They read in a file when
something happens to them, and how, since no parameter of a job could say it.
"""

import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vidgen.backend import Control, Preview
from vidgen.errors import OutOfVram, StepFailed

ROOT = Path(__file__).parents[2]
DEATHS = "TEST_DEATHS"
"""Names a file with a line for each thing to come: ``PHASE STEP HOW``. Whoever meets it takes its line off."""

faults: list[str] = []
"""Of the device, in this process."""

GO = "go"
"""What is held by any name goes on once there is a file of this one."""


def install(folder: Path) -> dict[str, str]:
    """Offer the backends as an installed package would; what to put into the environment of a server, to find them and
    to let :func:`plan_deaths` reach them.
    """
    metadata = folder / "gpu_trials-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: gpu-trials\nVersion: 1.0\n")
    offered = "trial = tests.fakes.trial:TrialBackend\nmortal = tests.fakes.mortal:MortalBackend\n"
    offered += "scarce = tests.fakes.scarce:ScarceBackend\nwatched = tests.fakes.watched:WatchedBackend\n"
    (metadata / "entry_points.txt").write_text(f"[vidgen.backends]\n{offered}")
    plan_deaths(folder)
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), DEATHS: str(folder / "deaths")}


def plan_deaths(folder: Path, *deaths: tuple[str, int, str]) -> None:
    """Each of *deaths*, a phase, a step of it and how, happens once; equal ones one after the other. A phase of one
    model alone is ``one/render``. How is one of those that :func:`meet` knows.
    """
    for gone in (folder / GO, *folder.glob("hold*")):
        gone.unlink(missing_ok=True)
    _write(folder / "deaths", [f"{phase} {step} {how}\n" for phase, step, how in deaths])


def release(folder: Path, how: str = GO) -> None:
    """Let go on what is held by this name, such as ``hold-1``; else everything, and nothing be held any more."""
    (folder / how).touch()


def meet(how: str, control: Control, folder: Path) -> None:
    """What is planned happens: a signal's name; ``exit``; ``raise``, as a bug does; ``fault``, as a device does, of
    which nothing can be asked any more; ``hang``, which lives on and says nothing; ``fail``; ``give-up``, which no
    other attempt helps; ``oom``, out of memory with no way on; ``sink``, out of memory with a mode left, in models
    that know how; ``scarce``, torch's own error; ``hold`` and what begins so, which waits for :func:`release` and
    hears a cancel.
    """
    if how.startswith("SIG"):
        os.kill(os.getpid(), signal.Signals[how])
        time.sleep(60)
    elif how == "exit":
        os._exit(3)
    elif how in ("raise", "fault"):
        faults.extend([how] * (how == "fault"))
        raise RuntimeError("a secret path /root/x")
    elif how == "fail":
        raise StepFailed("it failed as planned")
    elif how == "give-up":
        raise StepFailed("it cannot be done as planned", retryable=False)
    elif how == "oom":
        raise OutOfVram("it needs more memory than there is")
    elif how == "sink":
        raise RanOut
    elif how == "scarce":
        from torch import OutOfMemoryError

        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    elif how.startswith("hold"):
        while not ((folder / GO).exists() or (folder / how).exists()):
            control.alive()
            time.sleep(0.005)
    else:
        time.sleep(600)


class RanOut(Exception):
    """The memory did not suffice at this step; the same step may be done in the next mode down."""


class DyingControl:
    """A ``Control`` that passes everything on, and meets what is planned.

    :param name: of the model.
    """

    _reading = threading.Lock()

    def __init__(self, control: Control, name: str = ""):
        self._control = control
        self._name = name
        self._plan = Path(os.environ[DEATHS])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._control, name)

    def step(self, phase: str, i: int, n: int, preview: Preview | None = None) -> None:
        self._control.step(phase, i, n, preview)
        self.meet(phase, i)

    def meet(self, phase: str, i: int) -> None:
        if (how := self._planned(phase, i)) is not None:
            meet(how, self._control, self._plan.parent)

    def _planned(self, phase: str, i: int) -> str | None:
        with self._reading:
            lines = self._plan.read_text().splitlines(keepends=True)
            for line in lines:
                where, step, how = line.split()
                if where in (phase, f"{self._name}/{phase}") and step == str(i):
                    lines.remove(line)
                    _write(self._plan, lines)
                    return how
        return None


def _write(file: Path, lines: Sequence[str]) -> None:
    """At once: the other process never reads half of it."""
    beside = file.with_name(f"{file.name}.{os.getpid()}")
    beside.write_text("".join(lines))
    beside.replace(file)
