"""What the answers about models look like, and how a card becomes one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from vidgen import weights
from vidgen.api.wire import Answer
from vidgen.cards import Card, Range
from vidgen.engine.footprints import Need
from vidgen.registry import Model


class RangeAnswer(Answer):
    """Legal values are `min`, `min` + `step`, … up to `max`; any between them where `step` is 0."""

    default: int | float
    min: int | float
    max: int | float
    step: int | float

    @classmethod
    def of(cls, rule: Range | None) -> "RangeAnswer | None":
        return None if rule is None else cls(
            default=_number(rule.default), min=_number(rule.min), max=_number(rule.max), step=_number(rule.step)
        )


class CapabilitiesAnswer(Answer):
    supports_text_to_video: bool
    supports_image_to_video: bool
    supports_text_to_image: bool
    supports_negative_prompt: bool
    reads_text: bool = Field(description="False: the shot's text reaches the model only through its keyframe")
    max_frames: int = Field(description="1 where it makes images")
    recommended_fps: int | float
    width: RangeAnswer | None
    height: RangeAnswer | None
    sizes: list[tuple[int, int]] | None = Field(description="Width and height, where not every pair of them is made")
    num_frames: RangeAnswer | None
    fps: RangeAnswer | None
    num_inference_steps: RangeAnswer | None

    @classmethod
    def of(cls, card: Card) -> "CapabilitiesAnswer":
        can = card.capabilities
        return cls(
            supports_text_to_video=can.text_to_video, supports_image_to_video=can.image_to_video,
            supports_text_to_image=can.text_to_image, supports_negative_prompt=can.negative_prompt,
            reads_text=can.reads_text, max_frames=int(card.frames.max) if card.frames else 1,
            recommended_fps=_number(card.fps.default) if card.fps else 1,
            width=RangeAnswer.of(card.width), height=RangeAnswer.of(card.height),
            sizes=card.sizes, num_frames=RangeAnswer.of(card.frames), fps=RangeAnswer.of(card.fps),
            num_inference_steps=RangeAnswer.of(card.steps),
        )


NOTHING = CapabilitiesAnswer(
    supports_text_to_video=False, supports_image_to_video=False, supports_text_to_image=False,
    supports_negative_prompt=False, reads_text=False, max_frames=0, recommended_fps=0, width=None, height=None,
    sizes=None, num_frames=None, fps=None, num_inference_steps=None,
)
"""Of an entry whose card is broken."""


class ModeAnswer(Answer):
    """One way in which a model is loaded, and what a shot at its defaults then needs of the device's memory."""

    mode: str = Field(examples=["whole"])
    resident_bytes: int = Field(description="For as long as it is loaded")
    peak_bytes: int = Field(description="While it renders, the resident part included")
    source: Literal["measured", "estimated"] = Field(description="Of the peak: on this device, or by the card")


class MemoryAnswer(Answer):
    vram_gb: float
    ram_gb: float
    vram_gb_by_mode: dict[str, float]
    modes: list[ModeAnswer] = Field(default=[], description="Of local models: on this device, the quickest first")

    @classmethod
    def of(cls, card: Card, needs: Mapping[str, Need]) -> "MemoryAnswer":
        modes = [
            ModeAnswer(
                mode=mode, resident_bytes=need.resident_bytes, peak_bytes=need.peak_bytes,
                source="measured" if need.measured else "estimated",
            )
            for mode, need in needs.items()
        ]
        return cls(**card.memory.model_dump(), modes=modes)


class LicenceAnswer(Answer):
    name: str
    url: str | None


class WeightsAnswer(Answer):
    """The files of a model that runs on this machine."""

    present: bool
    command: str = Field(description="What fetches them", examples=["make weights MODEL=svd-xt"])
    repository: str
    revision: str | None = Field(description="The commit that is here; null where none is, or nobody wrote it down")
    size_gb: float | None = Field(description="About how large they are")
    gated: bool = Field(description="Whether the licence has to be accepted on the repository's page first")

    @classmethod
    def of(cls, card: Card, weights_dir: Path) -> "WeightsAnswer | None":
        if (said := card.weights) is None:
            return None
        lock = weights.read_lock(card, weights_dir)
        return cls(
            present=weights.problem(card, weights_dir) is None, command=weights.command(card), gated=said.gated,
            repository=said.repository, revision=lock.revision if lock else None, size_gb=said.size_gb,
        )


class ModelAnswer(Answer):
    id: str = Field(examples=["stub:animatic"])
    name: str
    description: str
    provider: str
    revision: str | None
    is_available: bool
    unavailable_reason: str | None = Field(
        description="Why it cannot run now; of an available model, why it cannot run on text alone, without an image"
    )
    capabilities: CapabilitiesAnswer
    parameters: dict[str, Any] = Field(description="JSON Schema of a job's `parameters` for this model")
    memory_requirements: MemoryAnswer
    licence: LicenceAnswer | None
    weights: WeightsAnswer | None = Field(description="Null where it has none: hosted models, the stub")
    keyframe_model: str | None

    @classmethod
    def of(
        cls, model: Model, weights_dir: Path, text_problem: str | None, needs: Mapping[str, Need], *,
        testing: bool = False,
    ) -> "ModelAnswer":
        """:param needs: of the device's memory, by loading mode.
        :param testing: whether parameters that are there for tests are taken, and so shown.
        """
        availability, card = model.availability(), model.card
        reason = text_problem if availability.ok else availability.reason
        known = _described(card, weights_dir, needs, testing) if card else _undescribed(model)
        return cls(id=model.id, is_available=availability.ok, unavailable_reason=reason, **known)


class ModelList(Answer):
    models: list[ModelAnswer]
    total: int


def _number(value: float) -> int | float:
    """*value*, without a fraction where it has none."""
    return int(value) if float(value).is_integer() else value


def _described(card: Card, weights_dir: Path, needs: Mapping[str, Need], testing: bool) -> dict[str, Any]:
    takes = {name: p.schema() for name, p in card.parameters.items() if testing or not p.testing}
    licence = card.licence
    return {
        "name": card.title, "description": card.description, "provider": card.provider, "revision": card.revision,
        "capabilities": CapabilitiesAnswer.of(card),
        "parameters": {"type": "object", "properties": takes, "additionalProperties": False},
        "memory_requirements": MemoryAnswer.of(card, needs),
        "licence": LicenceAnswer(name=licence.name, url=licence.url) if licence else None,
        "weights": WeightsAnswer.of(card, weights_dir), "keyframe_model": card.keyframe_model,
    }


def _undescribed(model: Model) -> dict[str, Any]:
    provider, _, name = model.id.partition(":")
    return {
        "name": name, "description": "This model's card cannot be read", "provider": provider, "revision": None,
        "capabilities": NOTHING, "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
        "memory_requirements": MemoryAnswer(vram_gb=0.0, ram_gb=0.0, vram_gb_by_mode={}),
        "licence": None, "weights": None, "keyframe_model": None,
    }
