"""What a client may ask for: one definition of every field, its type, its bounds and its words.

The REST routes, the command line and the compatibility routes all read this one. Whether the chosen model can do
it is the card's business (``vidgen/cards.py``).
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, WrapValidator

from vidgen.types import CameraMove, Continuity, ShotPlan, StoryboardPlan

MAX_PROMPT_CHARS = 4_000
MAX_DESCRIPTION_CHARS = 2_000
MAX_TITLE_CHARS = 200
MAX_SHOTS = 12
MAX_STYLE_ENTRIES = 10
MAX_PARAMETERS = 64
MAX_SHOT_SECONDS = 60.0
MAX_SEED = 2**32 - 1
MAX_PRIORITY = 10

Seed = Annotated[int, Field(ge=0, le=MAX_SEED, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
Text = StringConstraints(strip_whitespace=True, min_length=1)
STYLE_KEY = r"^[A-Za-z][A-Za-z0-9_ -]*$"
StyleKey = Annotated[str, StringConstraints(min_length=1, max_length=30, pattern=STYLE_KEY)]
StyleValue = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
KeyframePrompt = Annotated[str, Text, Field(max_length=MAX_DESCRIPTION_CHARS)]
UploadName = Annotated[str, Field(max_length=300)]
SHOT_ID = r"^shot_\d{3}$"
ShotId = Annotated[str, Field(pattern=SHOT_ID)]
_SHOT_ID = TypeAdapter(ShotId)
MODEL_ID = r"^[a-z0-9][a-z0-9_-]*:[A-Za-z0-9][A-Za-z0-9._-]*$"
ModelId = Annotated[str, StringConstraints(max_length=100, pattern=MODEL_ID)]


class Asked(BaseModel):
    """Base of all that clients send: unknown fields are refused by name, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ShotRequest(Asked):
    """A shot of the client's own storyboard.

    A storyboard that ``POST /api/v1/storyboards`` answered can be sent back as it is: what the server fills is
    allowed here while it is still empty.
    """

    description: Annotated[str, Text, Field(max_length=MAX_DESCRIPTION_CHARS)]
    camera_move: CameraMove = CameraMove.STATIC
    duration_seconds: float | None = Field(None, gt=0, le=MAX_SHOT_SECONDS, strict=True)
    seed: Seed | None = None
    parameters: dict[str, Any] = Field(
        default_factory=dict, max_length=MAX_PARAMETERS, description="Those of the model's that differ from the job's"
    )
    keyframe_prompt: KeyframePrompt | None = Field(
        None, description="What its first image is drawn from, instead of the description"
    )
    keyframe_image: UploadName | None = Field(None, description="The upload that is its first image")
    id: str | None = Field(None, pattern=SHOT_ID, description="Accepted and renumbered")
    index: int | None = Field(None, ge=0, lt=MAX_SHOTS, strict=True, description="Accepted and renumbered")
    status: Literal["pending"] | None = None
    keyframe_url: None = None
    video_url: None = None
    poster_url: None = None
    preview_url: None = None
    frames_url: None = None
    error_message: None = None

    def plan(self) -> ShotPlan:
        return ShotPlan(
            self.description, self.camera_move, self.duration_seconds, self.seed, self.parameters,
            self.keyframe_prompt, self.keyframe_image,
        )


class StoryboardRequest(Asked):
    """The client's own storyboard; nothing is planned then."""

    title: Annotated[str, Text, Field(max_length=MAX_TITLE_CHARS)]
    shots: list[ShotRequest] = Field(min_length=1, max_length=MAX_SHOTS)
    id: str | None = Field(None, pattern=r"^storyboard_[0-9a-z]+$", description="Accepted and replaced")

    def plan(self) -> StoryboardPlan:
        return StoryboardPlan(self.title, tuple(shot.plan() for shot in self.shots))


class PlanRequest(Asked):
    """What the planner reads; the body of ``POST /api/v1/storyboards``."""

    user_prompt: Annotated[str, Text, Field(max_length=MAX_PROMPT_CHARS, examples=["A peaceful forest at sunrise"])]
    model_id: ModelId | None = Field(None, description="Left out: DEFAULT_MODEL, else the best that can run now")
    max_shots: int = Field(3, ge=1, le=MAX_SHOTS, strict=True)
    style_preferences: dict[StyleKey, StyleValue] = Field(
        default_factory=dict, max_length=MAX_STYLE_ENTRIES, examples=[{"mood": "calm", "color_palette": "warm"}],
        json_schema_extra={"additionalProperties": False},
    )


class JobRequest(PlanRequest):
    """The body of ``POST /api/v1/jobs``."""

    reference_image: UploadName | None = Field(
        None, description="An upload's file_id, or its file_path as the upload route returned it"
    )
    negative_prompt: str | None = Field(None, max_length=MAX_PROMPT_CHARS)
    seed: Seed | None = Field(None, description="Left out: chosen at random and shown in the answer")
    width: int | None = Field(None, ge=16, le=8192, strict=True)
    height: int | None = Field(None, ge=16, le=8192, strict=True)
    num_frames: int | None = Field(None, ge=1, le=2000, strict=True)
    fps: float | None = Field(None, gt=0, le=120, strict=True)
    num_inference_steps: int | None = Field(None, ge=1, le=1000, strict=True)
    parameters: dict[str, Any] = Field(
        default_factory=dict, max_length=MAX_PARAMETERS, description="Model-specific; see the model's own schema"
    )
    keyframe_model_id: ModelId | None = None
    keyframe_parameters: dict[str, Any] = Field(default_factory=dict, max_length=MAX_PARAMETERS)
    focus: tuple[Share, Share] = Field(
        (0.5, 0.5), description="Where the crop of the reference image looks: x and y, 0 to 1"
    )
    continuity: Continuity = Continuity.INDEPENDENT
    storyboard: StoryboardRequest | None = Field(None, description="The client's own; nothing is planned then")
    priority: int = Field(0, ge=-MAX_PRIORITY, le=MAX_PRIORITY, strict=True)
    fit: Literal["exact", "adapt"] = "exact"
    save_frames: bool = Field(False, strict=True, description=(
        "Keep each shot's frames as they were before they were encoded: a zip of lossless PNGs (`frames_url`). Of a "
        "hosted model, the frames of the video that its service delivered"
    ))
    dry_run: bool = Field(False, strict=True, description="Answer what it would take, and queue nothing")


class PriorityRequest(Asked):
    """The body of ``PATCH /api/v1/jobs/{id}``."""

    priority: int = Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY, strict=True)


class ShotChange(Asked):
    """A shot of an earlier version, changed. What is left out stays as it was; null takes it back to its default."""

    id: ShotId
    description: Annotated[str, Text, Field(max_length=MAX_DESCRIPTION_CHARS)] | None = None
    camera_move: CameraMove | None = None
    duration_seconds: float | None = Field(None, gt=0, le=MAX_SHOT_SECONDS, strict=True)
    seed: Seed | None = Field(None, description="Null: chosen anew")
    parameters: dict[str, Any] | None = Field(
        None, max_length=MAX_PARAMETERS, description="All of the shot's own; those that it had are gone"
    )
    keyframe_prompt: KeyframePrompt | None = Field(None, description="Replaces a keyframe_image")
    keyframe_image: UploadName | None = Field(None, description="Replaces a keyframe_prompt")


def _by_kind(value: Any, _: Callable[[Any], Any]) -> str | ShotRequest:
    """What is wrong with an entry is said of what it is, not of all that it could have been."""
    if isinstance(value, dict | ShotRequest):
        return ShotRequest.model_validate(value)
    return _SHOT_ID.validate_python(value)


class EditRequest(Asked):
    """The body of ``POST /api/v1/jobs/{id}/edits``: a new version of the job. Only what changed is rendered."""

    shots: list[ShotChange] = Field(default_factory=list, max_length=MAX_SHOTS, description="Those that change")
    order: list[Annotated[ShotId | ShotRequest, WrapValidator(_by_kind)]] | None = Field(
        None, min_length=1, max_length=MAX_SHOTS,
        description="All shots of the new version: ids of earlier ones, and new shots. Left out: those that were there",
    )
    title: Annotated[str, Text, Field(max_length=MAX_TITLE_CHARS)] | None = None
    priority: int | None = Field(
        None, ge=-MAX_PRIORITY, le=MAX_PRIORITY, strict=True, description="Left out: as before"
    )
