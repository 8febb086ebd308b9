"""An inference process of its own for each test, and a control that writes down what it is told."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import gpu, trial
from vidgen.backend import BackendConfig, Preview
from vidgen.cards import Card, read_card
from vidgen.errors import Cancelled
from vidgen.inference.lane import Finishing, Inference
from vidgen.types import CameraMove, Clip, RenderSpec

At = tuple[str, int]


@dataclass
class Recorder:
    """A control at the lane's end. ``cancel_at`` asks for the end once that phase and step were reported, ``then`` does
    something once at its hour.
    """

    cancel_at: At | None = None
    error: Exception = field(default_factory=lambda: Cancelled("the client asked"))
    then: dict[At, Callable[[], Any]] = field(default_factory=dict)
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
        if (then := self.then.pop((phase, i), None)) is not None:
            then()

    def note(self, code: str, message: str) -> None:
        self.notes.append((code, message))

    def keep(self, facts: dict) -> None:
        self.kept = facts

    def show(self, preview: Preview) -> None:
        self.images.append(preview)


class Lane(Inference):
    """The lane's side, with the packages in which its deaths are planned and what is often done in one go."""

    packages: Path

    def begin(self, card: Card, spec: RenderSpec, control: Recorder | None = None, mode: str = "whole") -> Finishing:
        """Load, and render until the frames are made."""
        control = control or Recorder()
        self.load(card, mode, control)
        return self.render(card, spec, control)

    def make(self, card: Card, spec: RenderSpec, control: Recorder | None = None, mode: str = "whole") -> Clip:
        """Load, render, and wait for the file."""
        control = control or Recorder()
        return self.begin(card, spec, control, mode).wait(control)

    def journal(self) -> list[str]:
        return trial.journal(self.packages)


def wait_for(what: Callable[[], bool]) -> None:
    """Until it is so; what another process does cannot be waited for otherwise."""
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline, "it does not come to be"
        time.sleep(0.01)


@pytest.fixture
def card(tmp_path) -> Card:
    return named(tmp_path, "one")


@pytest.fixture
def other(tmp_path) -> Card:
    return named(tmp_path, "two")


def named(folder: Path, name: str, **backend: Any) -> Card:
    """A trial card of this name."""
    file = folder / f"{name}.toml"
    file.write_text(trial.card(name, **backend))
    return read_card(file)


@pytest.fixture
def spec(tmp_path):
    def spec(steps: int = 4, attempt: int = 1, seed: int = 7, **parameters: Any) -> RenderSpec:
        return RenderSpec(
            job_id="job_1", shot_id="shot_001", index=0, num_shots=1, prompt="grey", caption="grey",
            camera_move=CameraMove.STATIC, seed=seed, width=64, height=64, num_frames=5, fps=8.0,
            num_inference_steps=steps, negative_prompt=None, parameters=parameters, style={}, image=None,
            focus=(0.5, 0.5), output=tmp_path / f"clip_{seed}.mp4", attempt=attempt,
        )

    return spec


@pytest.fixture
def inference(tmp_path, monkeypatch):
    """Make the lane's side, whose child fails as planned; ended after the test."""
    made = []

    def inference(
        *deaths: tuple[str, int, str], cancel_grace_s: float = 10, device: str = "auto", ram_cache_mb: int = 1000,
        unload_s: float = 30,
    ) -> Lane:
        packages = tmp_path / f"packages_{len(made)}"
        for name, value in gpu.install(packages).items():
            monkeypatch.setenv(name, value)
        gpu.plan_deaths(packages, *deaths)
        config = BackendConfig(
            weights_dir=tmp_path, device=device, ram_cache_bytes=ram_cache_mb * trial.MB, device_problem=lambda: None,
        )
        made.append(Lane(config, cancel_grace_s, unload_s=unload_s))
        made[-1].packages = packages
        return made[-1]

    yield inference
    for one in made:
        one.close()
