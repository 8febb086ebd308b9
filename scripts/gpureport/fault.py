"""The local backend, with one fault on demand: an index that is out of bounds on the device.

On a GPU that is a device-side assert, after which no call of the process works any more; on a CPU it is an error that
nobody foresaw. Either ends the inference process.
"""

import os
from pathlib import Path
from typing import Any, ClassVar

from backends.local import LocalBackend
from vidgen.backend import Control, Preview
from vidgen.cards import Card
from vidgen.types import RenderSpec

FAULT = "REPORT_FAULT"
"""Names a file; where it is there, the next denoising step takes it away and fails."""


class FaultyBackend(LocalBackend):
    provider: ClassVar[str] = "report"

    def render(self, model: Card, shot: RenderSpec, control: Control) -> Any:
        return super().render(model, shot, FaultyControl(control, self.config.device))


class FaultyControl:
    """Passes everything on, and fails once."""

    def __init__(self, control: Control, device: str):
        self._control = control
        self._device = "cpu" if device == "cpu" else "cuda"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._control, name)

    def step(self, phase: str, i: int, n: int, preview: Preview | None = None) -> None:
        self._control.step(phase, i, n, preview)
        if phase == "render" and i and _taken(Path(os.environ[FAULT])):
            self._fail()

    def _fail(self) -> None:
        import torch

        values = torch.arange(4, device=self._device)
        values[torch.tensor([10**6], device=self._device)].cpu()


def _taken(file: Path) -> bool:
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    return True
