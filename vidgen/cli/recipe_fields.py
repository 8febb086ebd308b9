"""What a recipe holds, as far as it is read here: a file may be by another version, or of somebody's own hand."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    model_config = ConfigDict(strict=True)  # what stands there is used as it stands: "8" is no number


class Made(Part):
    id: str
    revision: str | None
    versions: dict[str, Any]


class Effective(Part):
    width: int
    height: int
    num_frames: int
    fps: float
    num_inference_steps: int | None
    negative_prompt: str | None
    parameters: dict[str, Any]


class Rendered(Part):
    parameters: dict[str, Any] = {}


class Shot(Part):
    description: str
    camera_move: str
    duration_seconds: float | None
    num_frames: int
    seed: int
    made: dict[str, Rendered]
    start: str | None = None
    parameters: dict[str, Any] = {}
    keyframe_image_sha256: str | None = None


class Storyboard(Part):
    title: str
    shots: list[Shot]


class Recipe(Part):
    vidgen: str
    prompt: str
    style_preferences: dict[str, Any]
    model: Made
    keyframe_model: Made | None
    keyframe_parameters: dict[str, Any] | None
    continuity: str | None
    focus: list[float] | None
    reference_image_sha256: str | None
    seed: int
    effective: Effective
    storyboard: Storyboard
    encoder: dict[str, Any]
