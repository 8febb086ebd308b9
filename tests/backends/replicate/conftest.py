"""The Replicate backend against a loopback Replicate, with a control that remembers, and small cards."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from backends.replicate import ReplicateBackend
from backends.replicate.waiting import Pace
from tests.fakes.replicate import TOKEN, FakeReplicate
from vidgen.backend import BackendConfig
from vidgen.cards import Card, read_card
from vidgen.errors import Cancelled, Interrupted
from vidgen.types import CameraMove, Clip, RenderSpec, Still

VERSION = "3f" * 32
QUICK = Pace(
    first_poll_s=0.02, longest_poll_s=0.1, looks_s=(0.02, 0.05, 0.1), longest_wait_s=1.2, crowd_s=1.5, outage_s=0.5,
    call_s=5.0, prediction_s=10.0, parting_s=1.0,
)
"""As patient as a test."""

VIDEO_CARD = f"""
provider = "replicate"
name = "clip"
title = "Clip"
description = "A clip from text or an image"
[capabilities]
text_to_video = true
image_to_video = true
negative_prompt = true
[width]
default = 64
min = 64
max = 64
[height]
default = 36
min = 36
max = 36
[frames]
default = 25
min = 25
max = 25
[fps]
default = 7
min = 1
max = 30
step = 1
[parameters.guidance]
type = "number"
default = 5.0
description = "How closely"
[parameters.motion]
type = "integer"
default = 127
description = "How much"
[backend]
model = "someone/model"
version = "{VERSION}"
source = "https://example.com/schema"
price_per_predict_second_usd = 0.002
[backend.input]
prompt = "$prompt"
negative_prompt = "$negative_prompt"
input_image = "$image"
seed = "$seed"
fps = "$fps"
motion_bucket_id = "$motion"
video_length = "25_frames"
"""

IMAGE_CARD = """
provider = "replicate"
name = "picture"
title = "Picture"
description = "A picture from text"
[capabilities]
text_to_image = true
[width]
default = 64
min = 64
max = 64
[height]
default = 36
min = 36
max = 36
[backend]
model = "black-forest-labs/flux-schnell"
source = "https://example.com/schema"
price_per_run_usd = 0.003
[backend.input]
prompt = "$prompt"
seed = "$seed"
"""


class Recorder:
    """A control that writes down what it hears; ``end`` is asked at every look whether the render must end."""

    def __init__(self, kept: Mapping[str, Any] | None = None):
        self.kept: Mapping[str, Any] = kept or {}
        self.steps: list[tuple[str, int, int]] = []
        self.notes: list[str] = []
        self.looks = 0
        self.end: Callable[[], Exception | None] = lambda: None
        self._lock = threading.Lock()

    def check(self) -> None:
        self.looks += 1
        if (error := self.end()) is not None:
            raise error

    alive = check

    def step(self, phase: str, i: int, n: int, preview: object = None) -> None:
        self.check()
        self.steps.append((phase, i, n))

    def keep(self, facts: Mapping[str, Any]) -> None:
        self.kept = dict(facts)

    def note(self, code: str, message: str) -> None:
        self.notes.append(code)

    def cancel_when(self, condition: Callable[[], bool]) -> None:
        self.end = lambda: Cancelled("The job was cancelled") if condition() else None

    def interrupt_when(self, condition: Callable[[], bool]) -> None:
        self.end = lambda: Interrupted("the server is going down") if condition() else None


@pytest.fixture
def fake():
    with FakeReplicate() as running:
        yield running


@pytest.fixture
def control() -> Recorder:
    return Recorder()


@pytest.fixture
def backend(fake, tmp_path) -> ReplicateBackend:
    return make_backend(fake, tmp_path)


def make_backend(fake: FakeReplicate, root: Path, pace: Pace = QUICK, token: str = TOKEN) -> ReplicateBackend:
    config = BackendConfig(root / "weights", tokens={"replicate": token}, base_urls={"replicate": fake.url})
    return ReplicateBackend(config, pace)


@pytest.fixture
def make_card(tmp_path) -> Callable[..., Card]:
    """A card from TOML, with some of its text replaced."""
    def make(text: str = VIDEO_CARD, *changes: tuple[str, str]) -> Card:
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / "card.toml"
        path.write_text(text)
        return read_card(path)

    return make


@pytest.fixture
def card(make_card) -> Card:
    return make_card()


@pytest.fixture
def spec(tmp_path) -> Callable[..., RenderSpec]:
    """What a render is handed."""
    def make(**changes: Any) -> RenderSpec:
        (tmp_path / "job").mkdir(exist_ok=True)
        values = {
            "job_id": "job_0123456789abcdef", "shot_id": "shot_001", "index": 0, "num_shots": 1,
            "prompt": "a forest at dawn", "caption": "a forest", "camera_move": CameraMove.STATIC, "seed": 7,
            "width": 64, "height": 36, "num_frames": 25, "fps": 7.0, "num_inference_steps": None,
            "negative_prompt": None, "parameters": {"guidance": 5.0, "motion": 127}, "style": {}, "image": None,
            "focus": (0.5, 0.5), "output": tmp_path / "job" / ".shot_001.a1.0a0b.part.mp4",
        }
        return RenderSpec(**{**values, **changes})

    return make


@pytest.fixture
def render(backend, card, spec, control) -> Callable[..., Clip | Still]:
    """Render a shot on the video card."""
    return lambda **changes: backend.render(card, spec(**changes), control)


@pytest.fixture
def photo(tmp_path) -> Path:
    """An image that is not of the model's shape: the left half red, the right half blue."""
    path = tmp_path / "photo.png"
    image = Image.new("RGB", (200, 50), (255, 0, 0))
    image.paste((0, 0, 255), (100, 0, 200, 50))
    image.save(path)
    return path
