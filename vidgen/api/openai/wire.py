"""What OpenAI's routes answer: videos, models, errors."""

import math
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import Field

from vidgen.api.limits import DEFAULT_POLL_MS, MAX_POLL_MS, MIN_POLL_MS
from vidgen.api.openai.lengths import seconds_of
from vidgen.api.wire import ANYWHERE, DESCRIPTIONS, Answer
from vidgen.registry import Model
from vidgen.store.jobs import TimedJob
from vidgen.types import JobStatus

POLLS_AN_ETA = 10
"""A client polls about so often until its video is ready: it keeps to the first interval that it was told."""

VideoId = Annotated[str, Path(description="As the video's answers give it", examples=["job_abc123"])]
Seconds = Annotated[int, Field(description="Since the epoch, UTC")]

STATUSES = {
    JobStatus.QUEUED: "queued", JobStatus.PROCESSING: "in_progress", JobStatus.COMPLETED: "completed",
    JobStatus.FAILED: "failed", JobStatus.CANCELLED: "failed",
}


class VideoError(Answer):
    code: str = Field(description="`cancelled` where somebody ended it")
    message: str


class Video(Answer):
    id: str
    object: Literal["video"] = "video"
    model: str = Field(description="That serves it", examples=["stub:animatic"])
    status: Literal["queued", "in_progress", "completed", "failed"]
    progress: int = Field(description="Percent")
    created_at: Seconds
    completed_at: Seconds | None
    expires_at: None = Field(None, description="Videos are kept until they are deleted")
    prompt: str
    seconds: str = Field(description="How long it is; until it is planned, how long it is meant to be", examples=["4"])
    size: str = Field(description="Width and height in pixels", examples=["1280x720"])
    remixed_from_video_id: str | None
    error: VideoError | None

    @classmethod
    def of(cls, job: TimedJob) -> "Video":
        done = job.status is JobStatus.COMPLETED
        return cls(
            id=job.id, model=job.model_id, status=STATUSES[job.status], progress=math.floor(job.progress),
            created_at=int(job.created_at), completed_at=int(job.ended_at) if done else None,
            prompt=job.request["user_prompt"], seconds=f"{round(seconds_of(job), 3):g}",
            size=f"{job.effective.width}x{job.effective.height}", remixed_from_video_id=job.parent_id,
            error=_error(job),
        )


class VideoPage(Answer):
    object: Literal["list"] = "list"
    data: list[Video]
    first_id: str | None
    last_id: str | None = Field(description="The next page's `after`")
    has_more: bool

    @classmethod
    def of(cls, jobs: list[TimedJob], *, has_more: bool) -> "VideoPage":
        ids = [job.id for job in jobs] or [None]
        return cls(data=list(map(Video.of, jobs)), first_id=ids[0], last_id=ids[-1], has_more=has_more)


class DeletedVideo(Answer):
    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: Literal[True] = True


class ModelEntry(Answer):
    id: str = Field(examples=["stub:animatic"])
    object: Literal["model"] = "model"
    created: Literal[0] = Field(0, description="Not known")
    owned_by: str = Field(description="Where it runs", examples=["local"])

    @classmethod
    def of(cls, model: Model) -> "ModelEntry":
        return cls(id=model.id, owned_by=model.id.partition(":")[0])


class ModelEntries(Answer):
    object: Literal["list"] = "list"
    data: list[ModelEntry]


class OpenAIError(Answer):
    message: str
    type: str = Field(examples=["invalid_request_error"])
    param: str | None = Field(description="The field that is wrong", examples=["seconds"])
    code: str = Field(description="Stable, for programs", examples=["invalid_input"])


class OpenAIProblem(Answer):
    """Every error under `/v1/` looks like this."""

    error: OpenAIError


def openai_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of a route's error answers: *statuses*, and those that any route may give."""
    return {
        status: {"model": OpenAIProblem, "description": DESCRIPTIONS[status]}
        for status in sorted({*statuses, *ANYWHERE})
    }


def poll_after(job: TimedJob) -> dict[str, str]:
    """The header that tells OpenAI's client how long to wait before it asks again, in milliseconds."""
    wanted = DEFAULT_POLL_MS if job.eta_seconds is None else round(job.eta_seconds * 1_000 / POLLS_AN_ETA)
    return {"openai-poll-after-ms": str(min(max(wanted, MIN_POLL_MS), MAX_POLL_MS))}


def _error(job: TimedJob) -> VideoError | None:
    if job.status is JobStatus.CANCELLED:
        return VideoError(code="cancelled", message=job.error_message or "the job was cancelled")
    if job.status is JobStatus.FAILED:
        return VideoError(code=job.error_code or "failed", message=job.error_message or "the job failed")
    return None
