"""What tests of the local backend share: cards with test weights, shots, an engine's ``Control``, plain diffusers."""

import inspect
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from backends.local import LocalBackend
from backends.local.loaded import Loaded
from backends.local.render import render_frames
from scripts.make_test_weights import PIPELINES, make
from scripts.testweights.cogvideox import IMAGE_PX
from vidgen.backend import WHOLE, BackendConfig
from vidgen.cards import Card, read_card
from vidgen.types import CameraMove, Clip, RenderSpec, Still

ROOT = Path(__file__).parents[3]
CARDS = {card.name: card for card in map(read_card, sorted((ROOT / "backends/models").glob("local-*.toml")))}
IMAGE = ROOT / "tests/data/small.jpg"        # reference.jpg, small: decoding that takes longer than a small step
STEPS = 2
SVD_PIPELINE = "StableVideoDiffusionPipeline"
SIZES = {SVD_PIPELINE: (32, 16)}
"""Width and height for networks that take long for IMAGE_PX, which one of the others has to have and all can make."""

FRAMES = {SVD_PIPELINE: 10, "CogVideoXPipeline": 17, "LTXPipeline": 17}
"""Of SVD, whose cards leave no choice and whose pipeline makes any number, as many as are decoded in two chunks; of
CogVideoX as many as its VAE decodes in two batches; of LTX-Video as many as make a preview that moves. Others make 9,
or one.
"""


class Said:
    """The engine's side of a render: keeps what it is told, and raises where a test wants it.

    :param when: is asked at every call with the phase and the number of the unit (``alive`` and how many before).
    """

    def __init__(self, when: Callable[[str, int], BaseException | None] = lambda phase, i: None):
        self.kept: Mapping[str, Any] = {}
        self.steps: list[tuple[str, int, int]] = []
        self.previews: list[bytes] = []
        self.notes: list[str] = []
        self.lives = 0
        self.lives_at_steps = [0]           # signs of life before each denoising step, none before the first
        self._when = when

    def step(self, phase: str, i: int, n: int, preview: Any = None) -> None:
        self.steps.append((phase, i, n))
        if phase == "render":
            self.lives_at_steps.append(self.lives)
        if preview is not None:
            self.previews.append(preview if isinstance(preview, bytes) else preview())
        self._raise(phase, i)

    def alive(self) -> None:
        self.lives += 1
        self._raise("alive", self.lives)

    def check(self) -> None:
        pass

    def note(self, code: str, message: str) -> None:
        self.notes.append(code)

    def keep(self, facts: Mapping[str, Any]) -> None:
        self.kept = facts

    def of(self, phase: str) -> list[tuple[int, int]]:
        return [(i, n) for name, i, n in self.steps if name == phase]

    def _raise(self, phase: str, i: int) -> None:
        if (e := self._when(phase, i)) is not None:
            raise e


class Rig:
    """Test weights of every card in one folder, for each card a backend and a pipeline of diffusers' own."""

    def __init__(self, weights: Path):
        self.weights = weights
        self._backends: list[tuple[Card, LocalBackend]] = []
        self._plain: dict[str, list[Any]] = {}
        self._told: dict[str, Said] = {}

    def folder(self, card: Card) -> Path:
        """The card's test weights, made when they are first needed."""
        place = self.weights / card.name
        if not place.exists():
            make(card.backend["pipeline"], place)
        return place

    def fresh(self, *cards: Card, **config: Any) -> LocalBackend:
        """A backend of its own, with nothing loaded, that finds the weights of *cards*."""
        for card in cards:
            self.folder(card)
        return LocalBackend(BackendConfig(self.weights, device="cpu", **config))

    def together(self, *cards: Card, **config: Any) -> LocalBackend:
        """A backend of its own, with the models of *cards* loaded beside each other."""
        backend = self.fresh(*cards, **config)
        for card in cards:
            backend.load(card, WHOLE, Said())
        return backend

    def backend(self, card: Card) -> LocalBackend:
        """The card's backend, with its model loaded."""
        backend = next((made for known, made in self._backends if known == card), None)
        if backend is None:
            self._backends.append((card, backend := self.fresh(card)))
        if card.id not in backend.held().models:
            backend.load(card, WHOLE, Said())
        return backend

    def loaded(self, card: Card) -> Loaded:
        """The card's model, in the card's backend."""
        return self.backend(card)._models[card.id]

    def frames(self, card: Card, shot: RenderSpec, control: Said | None = None) -> list[Any]:
        """The frames that reach the encoder."""
        return render_frames(self.loaded(card), shot, control or Said())[0]

    def told(self, card: Card) -> Said:
        """What a control is told of one shot with the card's model, rendered once."""
        if card.id not in self._told:
            self._told[card.id] = Said()
            self.frames(card, shot_of(card), self._told[card.id])
        return self._told[card.id]

    def plainly(self, card: Card, shot: RenderSpec) -> list[Any]:
        """What diffusers alone makes of the shot."""
        key = repr((card, shot))
        if key not in self._plain:
            self._plain[key] = plainly(self.folder(card), card, shot)
        return self._plain[key]

    def copy(self, card: Card, into: Path) -> Path:
        """The card's test weights once more, to be spoiled; the folder that is to be the backend's."""
        shutil.copytree(self.folder(card), into / card.name)
        return into


def rendered(backend: LocalBackend, card: Card, shot: RenderSpec, control: Said | None = None) -> Clip | Still:
    """Render *shot* and have its file written."""
    made = backend.render(card, shot, control or Said())
    return made() if callable(made) else made


def with_weights() -> list[Card]:
    """The cards whose pipeline class has test weights."""
    return [card for card in CARDS.values() if card.backend["pipeline"] in PIPELINES]


def one_of_each_class() -> list[Card]:
    """Of those that share a pipeline class, the card with the fewest frames."""
    cards = sorted(with_weights(), key=lambda card: -int(card.frames.min if card.frames else 1))
    return list({card.backend["pipeline"]: card for card in cards}.values())


def shot_of(card: Card, output: Path = Path("unused"), **changes: Any) -> RenderSpec:
    """A shot as small as the model's networks allow, from an image where the card takes one."""
    width, height = SIZES.get(card.backend["pipeline"], IMAGE_PX)
    frames = FRAMES.get(card.backend["pipeline"]) or (int(card.frames.nearest(9)) if card.frames else 1)
    values = {
        "job_id": "job_1", "shot_id": "shot_001", "index": 0, "num_shots": 1, "prompt": "a red boat at sea",
        "caption": "a boat", "camera_move": CameraMove.STATIC, "seed": 11, "width": width, "height": height,
        "num_frames": frames, "fps": card.fps.default if card.fps else 1.0,
        "num_inference_steps": STEPS if card.steps else None, "negative_prompt": None, "style": {},
        "parameters": {name: p.default for name, p in card.parameters.items() if p.default is not None},
        "image": IMAGE if card.capabilities.image_to_video else None, "focus": (0.5, 0.5), "output": output,
    }
    parameters = {**values["parameters"], **changes.pop("parameters", {})}
    return RenderSpec(**{**values, **changes, "parameters": parameters})


def plainly(folder: Path, card: Card, shot: RenderSpec) -> list[Any]:
    """What diffusers alone makes of *shot*: its own loading, one call, PIL images; as arrays of bytes."""
    import diffusers
    import numpy
    import torch

    table = card.backend
    name = table.get("image_pipeline", table["pipeline"]) if shot.image else table["pipeline"]
    cls = getattr(diffusers, name)
    pipeline = cls.from_pretrained(folder, dtype=torch.float32, variant=table.get("variant"))
    pipeline.set_progress_bar_config(disable=True)
    _set_up(pipeline, dict(table.get("scheduler", {})))
    if table.get("family") == "tiled":
        pipeline.vae.enable_tiling()
    given = _arguments(inspect.signature(cls.__call__).parameters, card, shot)
    for dotted in [key for key in given if "." in key]:
        _reconfigure(pipeline, dotted, given.pop(dotted))
    result = pipeline(**given, generator=torch.Generator("cpu").manual_seed(shot.seed), output_type="pil")
    return [numpy.asarray(frame) for frame in (result.frames[0] if hasattr(result, "frames") else result.images)]


def _set_up(pipeline: Any, table: dict[str, Any]) -> None:
    import diffusers

    if table:
        cls = getattr(diffusers, table.pop("class", type(pipeline.scheduler).__name__))
        pipeline.scheduler = cls.from_config(pipeline.scheduler.config, **table)


def _reconfigure(pipeline: Any, dotted: str, value: Any) -> None:
    part, key = dotted.split(".")
    old = getattr(pipeline, part)
    new = old.new(**{key: value}) if part == "guider" else type(old).from_config(old.config, **{key: value})
    setattr(pipeline, part, new)


def _arguments(takes: Mapping[str, Any], card: Card, shot: RenderSpec) -> dict[str, Any]:
    from PIL import Image

    names = card.backend.get("names", {})
    said = {
        key: getattr(shot, key) for key in
        ("prompt", "negative_prompt", "width", "height", "num_frames", "fps", "num_inference_steps")
    }
    if shot.image:
        said["image"] = _cut(Image.open(shot.image).convert("RGB"), shot.width, shot.height)
    said = {names.get(key, key): value for key, value in said.items() if value is not None}
    own = {names.get(key, key): value for key, value in shot.parameters.items()}
    return {**card.backend.get("arguments", {}), **{k: v for k, v in said.items() if k in takes}, **own}


def _cut(image: Any, width: int, height: int) -> Any:
    from vidgen.media.images import cover_crop

    return cover_crop(image, width, height)
