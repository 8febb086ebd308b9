"""What answers look like: models with examples, and how the engine's nouns become them.

What clients send is in ``vidgen/request.py``.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from vidgen.api.errors import timestamp
from vidgen.engine.queue import QueueView
from vidgen.engine.sheets import CONTACT_SHEET
from vidgen.engine.steps import FINAL, POSTER
from vidgen.store.jobs import TimedJob
from vidgen.types import CameraMove, GenerationMode, Job, JobStatus, Shot, ShotStatus, Storyboard, Upload

JobId = Annotated[str, Path(description="As the job's answers give it", examples=["job_abc123"])]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-01-31T10:30:00Z"])]
"""UTC, with ``Z``."""

Eta = Annotated[float | None, Field(description="Until its video is ready; null where unknown, or it has ended")]
Start = Annotated[Time | None, Field(description="Null where unknown, or it has started")]


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WrongField(Answer):
    field: str = Field(examples=["storyboard.shots.0.seed"])
    message: str


class Problem(Answer):
    """Every error looks like this."""

    error: str = Field(examples=["Not found"])
    detail: str = Field(examples=["there is no job 'job_abc123'"])
    timestamp: Time
    code: str = Field(description="Stable, for programs", examples=["not_found"])
    fields: list[WrongField] = Field(default=[], description="Where fields are wrong: which, and why")


class ShotAnswer(Answer):
    id: str = Field(examples=["shot_001"])
    index: int = Field(description="From 0")
    description: str
    camera_move: CameraMove
    duration_seconds: float
    seed: int
    status: ShotStatus
    keyframe_url: str | None
    video_url: str | None
    poster_url: str | None
    preview_url: str | None
    frames_url: str | None = Field(description="Its frames, a zip of PNGs, where the job keeps them")
    error_message: str | None
    parameters: dict[str, Any] = Field(description="Those of the model's that differ from the job's")
    keyframe_prompt: str | None = Field(description="What its first image is drawn from, instead of the description")
    keyframe_image: str | None = Field(description="The upload that is its first image")

    @classmethod
    def of(cls, shot: Shot, job_id: str | None = None) -> "ShotAnswer":
        return cls(
            id=shot.id, index=shot.index, description=shot.description, camera_move=shot.camera_move,
            duration_seconds=shot.duration_seconds, seed=shot.seed, status=shot.status,
            keyframe_url=file_url(job_id, shot.keyframe), video_url=file_url(job_id, shot.video),
            poster_url=file_url(job_id, shot.poster), preview_url=file_url(job_id, shot.preview),
            frames_url=file_url(job_id, shot.frames),
            error_message=shot.error_message, parameters=dict(shot.parameters),
            keyframe_prompt=shot.keyframe_prompt, keyframe_image=shot.keyframe_upload_id,
        )


class StoryboardAnswer(Answer):
    """A plan. It can be sent back as a job's `storyboard`; what the server has filled in since is left out then."""

    id: str
    title: str
    shots: list[ShotAnswer]

    @classmethod
    def of(cls, storyboard: Storyboard, job_id: str | None = None) -> "StoryboardAnswer":
        return cls(
            id=storyboard.id, title=storyboard.title,
            shots=[ShotAnswer.of(shot, job_id) for shot in storyboard.shots],
        )


class UsageAnswer(Answer):
    """What rendering took, as far as it was measured. A cost is reckoned by the price on the model's card."""

    predict_seconds: float | None = Field(description="Of hosted models, as their service counts them")
    cost_usd: float | None
    steps: dict[str, dict[str, float]] = Field(examples=[{"render_001": {"predict_seconds": 71.2, "cost_usd": 0.07}}])

    @classmethod
    def of(cls, job: Job) -> "UsageAnswer":
        steps = {step: dict(measured) for step, measured in job.usage.items()}
        return cls(predict_seconds=_sum(steps, "predict_seconds"), cost_usd=_sum(steps, "cost_usd"), steps=steps)


class JobAnswer(Answer):
    id: str = Field(examples=["job_abc123"])
    status: JobStatus
    created_at: Time
    updated_at: Time
    started_at: Time | None
    ended_at: Time | None
    user_prompt: str = Field(examples=["A peaceful forest at sunrise"])
    generation_mode: GenerationMode
    model_id: str = Field(examples=["stub:animatic"])
    keyframe_model_id: str | None
    keyframe_parameters: dict[str, Any] = Field(description="All of the image model's own, defaults too")
    current_step: str = Field(description="The last progress message's `step`")
    progress_percentage: float
    output_video_url: str | None
    poster_url: str | None
    sheet_url: str | None = Field(description="A contact sheet: up to 25 frames of the video in one JPEG")
    storyboard: StoryboardAnswer | None
    error_message: str | None
    error_code: str | None
    position: int | None = Field(description="In the queue; 1 is next")
    eta_seconds: Eta
    estimated_start: Start
    parent_id: str | None
    video_ready: bool
    priority: int
    seed: int
    width: int = Field(description="Pixels")
    height: int = Field(description="Pixels")
    num_frames: int = Field(description="Of a shot that does not say how long it lasts")
    fps: float
    num_inference_steps: int | None
    negative_prompt: str | None
    parameters: dict[str, Any] = Field(description="All of the model's own, defaults too")
    max_shots: int
    style_preferences: dict[str, str]
    reference_image: str | None
    focus: tuple[float, float] = Field(description="Where the crop of the reference image looks: x and y, 0 to 1")
    continuity: str
    fit: str
    save_frames: bool
    usage: UsageAnswer

    @classmethod
    def of(cls, job: TimedJob) -> "JobAnswer":
        done, effective, request = job.status is JobStatus.COMPLETED, job.effective, job.request
        return cls(
            id=job.id, status=job.status, created_at=timestamp(job.created_at), updated_at=timestamp(job.updated_at),
            started_at=time_of(job.started_at), ended_at=time_of(job.ended_at), user_prompt=request["user_prompt"],
            generation_mode=job.generation_mode, model_id=job.model_id, keyframe_model_id=job.keyframe_model_id,
            keyframe_parameters=dict(job.keyframe_parameters), current_step=job.current_step,
            progress_percentage=job.progress,
            output_video_url=file_url(job.id, FINAL) if done else None,
            poster_url=file_url(job.id, POSTER) if done else None,
            sheet_url=file_url(job.id, CONTACT_SHEET) if done else None,
            storyboard=StoryboardAnswer.of(job.storyboard, job.id) if job.storyboard else None,
            error_message=job.error_message, error_code=job.error_code, position=job.position,
            eta_seconds=job.eta_seconds, estimated_start=time_of(job.estimated_start), parent_id=job.parent_id,
            video_ready=done, priority=job.priority, seed=job.seed,
            width=effective.width, height=effective.height, num_frames=effective.num_frames, fps=effective.fps,
            num_inference_steps=effective.num_inference_steps, negative_prompt=effective.negative_prompt,
            parameters=dict(effective.parameters), max_shots=request.get("max_shots", 0),
            style_preferences=request.get("style_preferences") or {},
            reference_image=request.get("reference_image"), focus=request.get("focus", (0.5, 0.5)),
            continuity=request.get("continuity", "independent"), fit=request.get("fit", "exact"),
            save_frames=request.get("save_frames", False), usage=UsageAnswer.of(job),
        )


class JobPage(Answer):
    jobs: list[JobAnswer]
    total: int
    page: int
    page_size: int


class Versions(Answer):
    jobs: list[JobAnswer] = Field(description="Oldest first")


class QueueEntry(Answer):
    id: str
    status: JobStatus
    position: int | None
    priority: int
    model_id: str
    user_prompt: str
    current_step: str
    progress_percentage: float
    created_at: Time
    eta_seconds: Eta
    estimated_start: Start


class QueueAnswer(Answer):
    """What runs, then what waits, in the order in which it will be taken."""

    paused: bool
    queued: int
    processing: int
    jobs: list[QueueEntry]

    @classmethod
    def of(cls, view: QueueView) -> "QueueAnswer":
        jobs = [_entry(job) for job in view.jobs]
        return cls(paused=view.paused, queued=view.queued, processing=view.processing, jobs=jobs)


class UploadAnswer(Answer):
    file_id: str = Field(examples=["upload_abc123"])
    filename: str = Field(description="The client's own name for it")
    file_path: str = Field(examples=["/workspace/uploads/20260131_103000_upload_abc123.png"])
    file_size_bytes: int
    uploaded_at: Time
    width: int = Field(description="Pixels")
    height: int = Field(description="Pixels")
    sha256: str = Field(description="Of the image as it was taken in; a recipe names its reference image by it")

    @classmethod
    def of(cls, upload: Upload, public_path: str) -> "UploadAnswer":
        return cls(
            file_id=upload.id, filename=upload.filename, file_path=public_path, file_size_bytes=upload.size_bytes,
            uploaded_at=timestamp(upload.created_at), width=upload.width, height=upload.height,
            sha256=upload.sha256,
        )


class Message(Answer):
    message: str


class KeysConfigured(Answer):
    anthropic: bool
    replicate: bool
    openai: bool


class Health(Answer):
    status: str = Field(json_schema_extra={"enum": ["healthy", "degraded"]})
    version: str
    timestamp: Time
    api_keys_configured: KeysConfigured
    models_available: int
    reasons: list[str] = Field(description="Why it is degraded")


class Ready(Answer):
    status: str = Field(json_schema_extra={"enum": ["ready"]})


DESCRIPTIONS = {
    400: "Invalid input", 401: "An API key is needed", 403: "The host name or the origin is not ours",
    404: "There is no such thing", 408: "The body did not arrive in time", 409: "It does not fit the present state",
    413: "The body is too large", 416: "The file does not reach that far", 429: "The queue is full",
    500: "Internal error", 501: "Not possible here", 503: "Cannot be done now", 507: "There is too little disk space",
}
ANYWHERE = (400, 401, 403, 413, 500)


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of a route's error answers: *statuses*, and those that any route may give."""
    said: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem, "description": DESCRIPTIONS[status]} for status in sorted({*statuses, *ANYWHERE})
    }
    if 429 in said:
        said[429]["headers"] = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}
    return said


def file_url(job_id: str | None, name: str | None) -> str | None:
    """Where a job's file can be had."""
    return f"/videos/{job_id}/{name}" if job_id and name else None


def _sum(steps: Mapping[str, Mapping[str, float]], name: str) -> float | None:
    """Over all steps that measured it; None where none did."""
    found = [measured[name] for measured in steps.values() if name in measured]
    return round(sum(found), 6) if found else None


def time_of(seconds: float | None) -> str | None:
    return None if seconds is None else timestamp(seconds)


def _entry(job: TimedJob) -> QueueEntry:
    return QueueEntry(
        id=job.id, status=job.status, position=job.position, priority=job.priority, model_id=job.model_id,
        user_prompt=job.request["user_prompt"], current_step=job.current_step, progress_percentage=job.progress,
        created_at=timestamp(job.created_at), eta_seconds=job.eta_seconds,
        estimated_start=time_of(job.estimated_start),
    )
