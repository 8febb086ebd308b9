"""Backends for the GPU lane that die where they are told to, and the door through which a server finds them.

``trial`` needs no torch: it writes grey frames. ``mortal`` is the real local backend (see ``mortal.py``). Both read in
a file when and how they die, since no parameter of a job could say it.
"""

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidgen.backend import AVAILABLE, Availability, Backend, Control, Preview
from vidgen.cards import Card
from vidgen.media.video import ClipWriter
from vidgen.types import Clip, Lane, RenderSpec

ROOT = Path(__file__).parents[2]
DEATHS = "TEST_DEATHS"
"""Names a file with a line for each death to come: ``PHASE STEP HOW``. Whoever dies takes the first line off."""

CARD = """
provider = "{provider}"
name = "{name}"
title = "Trial"
description = "Grey frames, through the inference process"
capabilities = {{ text_to_video = true, image_to_video = true }}
width = {{ default = 64, min = 16, max = 256, step = 2 }}
height = {{ default = 64, min = 16, max = 256, step = 2 }}
frames = {{ default = 5, min = 1, max = 99 }}
fps = {{ default = 8, min = 1, max = 30 }}
steps = {{ default = 4, min = 1, max = 1000, step = 1 }}
"""


def install(folder: Path) -> dict[str, str]:
    """Offer the backends as an installed package would; what to put into the environment of a server, to find them and
    to let :func:`plan_deaths` reach them.
    """
    metadata = folder / "gpu_trials-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: gpu-trials\nVersion: 1.0\n")
    offered = "trial = tests.fakes.gpu:TrialBackend\nmortal = tests.fakes.mortal:MortalBackend\n"
    (metadata / "entry_points.txt").write_text(f"[vidgen.backends]\n{offered}")
    plan_deaths(folder)
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), DEATHS: str(folder / "deaths")}


def plan_deaths(folder: Path, *deaths: tuple[str, int, str]) -> None:
    """Each of *deaths*, a phase, a step of it and how, happens once, in this order."""
    (folder / "deaths").write_text("".join(f"{phase} {step} {how}\n" for phase, step, how in deaths))


class DyingControl:
    """A ``Control`` that passes everything on, and dies at its hour."""

    def __init__(self, control: Control):
        self._control = control
        self._plan = Path(os.environ[DEATHS])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._control, name)

    def step(self, phase: str, i: int, n: int, preview: Preview | None = None) -> None:
        self._control.step(phase, i, n, preview)
        planned = self._plan.read_text().splitlines(keepends=True)
        if planned and planned[0].split()[:2] == [phase, str(i)]:
            self._plan.write_text("".join(planned[1:]))
            die(planned[0].split()[2])


def die(how: str) -> None:
    """Die as *how* says: a signal's name, ``exit``, ``raise``, or ``hang``, which lives on and says nothing."""
    if how.startswith("SIG"):
        os.kill(os.getpid(), signal.Signals[how])
        time.sleep(60)
    elif how == "exit":
        os._exit(3)
    elif how == "raise":
        raise RuntimeError("a secret path /root/x")
    time.sleep(600)


class TrialBackend(Backend):
    """Grey frames, one a step, each a little brighter."""

    provider = "trial"
    lane = Lane.GPU

    def availability(self, model: Card) -> Availability:
        return AVAILABLE

    def load(self, model: Card, mode: str, control: Control) -> None:
        DyingControl(control).step("load", 1, 1)

    def render(self, model: Card, shot: RenderSpec, control: Control) -> Clip:
        control = DyingControl(control)
        for i in range(1, shot.num_inference_steps + 1):
            control.step("render", i, shot.num_inference_steps, lambda: b"\xff\xd8a picture")
            time.sleep(0.02)
            control.check()
        control.step("decode", 1, 1)
        self._encode(shot, control)
        control.note("attempt", f"attempt {shot.attempt}, {shot.seed}")
        return Clip(shot.output, shot.width, shot.height, shot.num_frames, shot.fps, {"pid": os.getpid()})

    def versions(self) -> Mapping[str, str]:
        return {"trial": "1"}

    def _encode(self, shot: RenderSpec, control: Control) -> None:
        with ClipWriter(
            shot.output, width=shot.width, height=shot.height, fps=shot.fps, encoder=self.config.encoder,
            tick=control.check,
        ) as writer:
            for i in range(1, shot.num_frames + 1):
                writer.write(bytes([10 * i]) * (shot.width * shot.height * 3))
                control.step("encode", i, shot.num_frames)
