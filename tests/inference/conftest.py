"""An inference process of its own for each test, and a control that writes down what it is told."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.fakes import gpu
from vidgen.backend import BackendConfig, Preview
from vidgen.cards import Card, read_card
from vidgen.errors import Cancelled
from vidgen.inference.lane import Inference
from vidgen.types import CameraMove, RenderSpec


@dataclass
class Recorder:
    """A control at the lane's end. ``cancel_at`` asks for the end once that phase and step were reported."""

    cancel_at: tuple[str, int] | None = None
    error: Exception = field(default_factory=lambda: Cancelled("the client asked"))
    kept: dict = field(default_factory=dict)
    said: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    images: list = field(default_factory=list)
    signs: int = 0

    def __post_init__(self) -> None:
        self.stop = threading.Event()

    def check(self) -> None:
        if self.stop.is_set():
            raise self.error

    def alive(self) -> None:
        self.check()
        self.signs += 1

    def step(self, phase: str, i: int, n: int, preview: Preview | None = None) -> None:
        self.check()
        self.said.append((phase, i, n))
        if (phase, i) == self.cancel_at:
            self.stop.set()

    def note(self, code: str, message: str) -> None:
        self.notes.append((code, message))

    def keep(self, facts: dict) -> None:
        self.kept = facts

    def show(self, preview: Preview) -> None:
        self.images.append(preview)


@pytest.fixture
def card(tmp_path) -> Card:
    return named(tmp_path, "one")


def named(folder: Path, name: str, provider: str = "trial") -> Card:
    """A trial card of this name."""
    file = folder / f"{name}.toml"
    file.write_text(gpu.CARD.format(provider=provider, name=name))
    return read_card(file)


@pytest.fixture
def spec(tmp_path):
    def spec(steps: int = 4, attempt: int = 1) -> RenderSpec:
        return RenderSpec(
            job_id="job_1", shot_id="shot_001", index=0, num_shots=1, prompt="grey", caption="grey",
            camera_move=CameraMove.STATIC, seed=7, width=64, height=64, num_frames=5, fps=8.0,
            num_inference_steps=steps, negative_prompt=None, parameters={}, style={}, image=None, focus=(0.5, 0.5),
            output=tmp_path / "clip.mp4", attempt=attempt,
        )

    return spec


@pytest.fixture
def inference(tmp_path, monkeypatch):
    """Make the lane's side, whose child dies as planned; ended after the test."""
    made = []

    def inference(*deaths: tuple[str, int, str], cancel_grace_s: float = 10) -> Inference:
        for name, value in gpu.install(tmp_path / "packages").items():
            monkeypatch.setenv(name, value)
        gpu.plan_deaths(tmp_path / "packages", *deaths)
        made.append(Inference(BackendConfig(weights_dir=tmp_path), cancel_grace_s))
        return made[-1]

    yield inference
    for one in made:
        one.close()
