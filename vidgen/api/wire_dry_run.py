"""What the answer to a dry run looks like."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from vidgen.api.wire import Answer, Eta, Start, time_of
from vidgen.types import GenerationMode

Source = Annotated[str, Field(json_schema_extra={"enum": ["measured", "estimated"]})]


class EffectiveAnswer(Answer):
    width: int
    height: int
    num_frames: int
    fps: float
    num_inference_steps: int | None
    negative_prompt: str | None
    seed: int
    parameters: dict[str, Any]


class DryRun(Answer):
    """What a job would take; nothing was queued. Figures are `measured` where all that they rest on has run on this
    machine before, else `estimated`.
    """

    model_id: str
    keyframe_model_id: str | None
    generation_mode: GenerationMode
    num_shots: int = Field(description="At most")
    effective: EffectiveAnswer
    fits: bool = Field(description="False where it can never run on this device, and would be refused")
    fit_note: str | None = Field(description="Why it does not fit, or what it would have to wait for")
    mode: str | None = Field(description="How a local model would be loaded now", examples=["whole"])
    peak_vram_bytes: int | None = Field(description="Of the device's memory, while it renders; null where unknown")
    peak_vram_source: Source | None
    price_usd: float | None = Field(description="Of hosted models, by their cards; null where unknown, or nothing")
    seconds: float | None = Field(description="From its start until its video is ready; null where unknown")
    by_kind: dict[str, float] = Field(
        description="The same by kind of step, and `load`", examples=[{"plan": 0.01, "render": 41.3, "assemble": 0.2}]
    )
    source: Source = Field(description="Of `seconds`")
    position: int
    wait_seconds: float | None = Field(description="Until it would start; null where unknown, or the queue is paused")
    eta_seconds: Eta
    estimated_start: Start

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "DryRun":
        return cls(**{**said, "estimated_start": time_of(said["estimated_start"])})
