"""What a recipe holds, as far as it is read here: a file may be by another version, or of somebody's own hand."""

from typing import Any

from pydantic import BaseModel


class Made(BaseModel):
    id: str
    revision: str | None
    versions: dict[str, Any]


class Effective(BaseModel):
    width: int
    height: int
    num_frames: int
    fps: float
    num_inference_steps: int | None
    negative_prompt: str | None
    parameters: dict[str, Any]


class Shot(BaseModel):
    description: str
    camera_move: str
    duration_seconds: float | None
    num_frames: int
    seed: int
    made: dict[str, dict[str, Any]]
    parameters: dict[str, Any] = {}
    keyframe_image_sha256: str | None = None


class Storyboard(BaseModel):
    title: str
    shots: list[Shot]


class Recipe(BaseModel):
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
