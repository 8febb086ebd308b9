"""The nouns: jobs, storyboards, shots, steps, clips, events; their statuses and the moves that are legal.

Knows nothing of the database, the web or any model.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any


class JobStatus(StrEnum):
    QUEUED = "queued"            # acknowledged; nothing has run
    PROCESSING = "processing"    # its plan has been claimed
    COMPLETED = "completed"      # the video can be downloaded
    FAILED = "failed"            # a step gave up; error_message says why
    CANCELLED = "cancelled"      # ended by the client, nothing writes any more

    @property
    def ended(self) -> bool:
        return self not in (JobStatus.QUEUED, JobStatus.PROCESSING)


class StepStatus(StrEnum):
    WAITING = "waiting"          # for other steps
    READY = "ready"              # a lane may claim it
    RUNNING = "running"          # a lane has claimed it; the attempt is counted
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ShotStatus(StrEnum):
    PENDING = "pending"
    RENDERING = "rendering"      # its keyframe or its clip is being made
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StepKind(StrEnum):
    PLAN = "plan"                # prompt -> storyboard
    KEYFRAME = "keyframe"        # a shot's first image
    RENDER = "render"            # one shot -> one clip
    ASSEMBLE = "assemble"        # the clips -> final_output.mp4


class Lane(StrEnum):
    """A kind of worker thread; a step is claimed by its own lane only."""

    PLANNER = "planner"
    GPU = "gpu"                  # one thread, always: it serializes local inference
    REMOTE = "remote"            # hosted models
    CPU = "cpu"                  # models that need neither
    ASSEMBLER = "assembler"


class GenerationMode(StrEnum):
    TEXT_TO_VIDEO = "text_to_video"
    IMAGE_TO_VIDEO = "image_to_video"


class CameraMove(StrEnum):
    STATIC = "static"
    PAN_LEFT = "pan_left"
    PAN_RIGHT = "pan_right"
    TILT_UP = "tilt_up"
    TILT_DOWN = "tilt_down"
    PUSH_IN = "push_in"
    PULL_OUT = "pull_out"
    ORBIT = "orbit"


class Continuity(StrEnum):
    INDEPENDENT = "independent"  # every shot starts from its own image or from text
    CHAIN = "chain"              # shot n+1 starts from shot n's last frame


class EventType(StrEnum):
    PROGRESS = "progress"
    SHOT_COMPLETE = "shot_complete"
    JOB_COMPLETE = "job_complete"
    ERROR = "error"
    NOTE = "note"


JOB_MOVES: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.PROCESSING, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.PROCESSING: frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}

STEP_MOVES: Mapping[StepStatus, frozenset[StepStatus]] = {
    StepStatus.WAITING: frozenset({StepStatus.READY, StepStatus.CANCELLED}),
    StepStatus.READY: frozenset({StepStatus.RUNNING, StepStatus.FAILED, StepStatus.CANCELLED}),
    StepStatus.RUNNING: frozenset(
        {StepStatus.READY, StepStatus.DONE, StepStatus.FAILED, StepStatus.CANCELLED}
    ),
    StepStatus.DONE: frozenset(),
    StepStatus.FAILED: frozenset(),
    StepStatus.CANCELLED: frozenset(),
}


class IllegalMove(Exception):
    """A status was asked to move where it cannot; the message names both."""

    def __init__(self, before: StrEnum, after: StrEnum):
        super().__init__(f"{type(before).__name__} cannot move from {before} to {after}")


def check_move(moves: Mapping[Any, frozenset], before: StrEnum, after: StrEnum) -> None:
    """Raise :class:`IllegalMove` unless *moves* allows *before* -> *after*."""
    if after not in moves[before]:
        raise IllegalMove(before, after)


@dataclass(frozen=True, slots=True)
class ShotPlan:
    """What a planner, or the client, says of one shot."""

    description: str
    camera_move: CameraMove = CameraMove.STATIC
    duration_seconds: float | None = None   # None: the model's own length
    seed: int | None = None                 # None: derived from the job's seed and the index
    parameters: Mapping[str, Any] = field(default_factory=dict)     # that differ from the job's
    keyframe_prompt: str | None = None      # what its first image is drawn from, instead of the description
    keyframe_image: str | None = None       # the upload that is its first image


@dataclass(frozen=True, slots=True)
class StoryboardPlan:
    title: str
    shots: tuple[ShotPlan, ...]


@dataclass(frozen=True, slots=True)
class Shot:
    """One shot of a job as it stands now. File names are relative to the job's folder."""

    id: str                                 # shot_001, shot_002, …
    index: int                              # from 0
    description: str
    camera_move: CameraMove
    duration_seconds: float
    seed: int
    status: ShotStatus
    num_frames: int
    keyframe: str | None = None
    video: str | None = None
    poster: str | None = None
    preview: str | None = None
    frames: str | None = None               # a zip of the lossless frames, where the job keeps them
    error_message: str | None = None
    made: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)     # how, by the step's kind (see Clip.made)
    key: str | None = None                  # what determined the clip, hashed
    keyframe_key: str | None = None         # what determined a keyframe that was drawn, hashed
    parameters: Mapping[str, Any] = field(default_factory=dict)     # that differ from the job's
    keyframe_prompt: str | None = None      # what its first image is drawn from, instead of the description
    keyframe_upload_id: str | None = None   # the upload that is its first image


@dataclass(frozen=True, slots=True)
class Storyboard:
    id: str
    title: str
    shots: tuple[Shot, ...]


@dataclass(frozen=True, slots=True)
class Effective:
    """What a job really renders with: the request, the card's defaults and the seed, resolved once."""

    width: int                              # pixels
    height: int                             # pixels
    num_frames: int                         # of each shot, unless the shot says how long it lasts
    fps: float                              # frames a second
    num_inference_steps: int | None         # None: the model has no such thing
    negative_prompt: str | None
    seed: int
    parameters: Mapping[str, Any]           # the card's own parameters, all of them


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the store holds it. Times are seconds since the epoch, UTC."""

    seq: int                                # order of acknowledgement
    id: str
    status: JobStatus
    request: Mapping[str, Any]              # the JobRequest, as JSON
    effective: Effective
    model_id: str
    keyframe_model_id: str | None
    keyframe_parameters: Mapping[str, Any]
    upload_id: str | None                   # the reference image
    generation_mode: GenerationMode
    priority: int
    seed: int
    created_at: float
    updated_at: float
    current_step: str
    progress: float                         # percent, never falls; 100 only once the video is there
    cancel_requested: bool
    parent_id: str | None = None            # the job that this one is a new version of
    root_id: str | None = None              # the first of its versions; None where it is that itself
    reused: Mapping[str, Sequence[int]] = field(default_factory=dict)   # the shots that an earlier version has, by step
    started_at: float | None = None
    ended_at: float | None = None
    storyboard: Storyboard | None = None
    error_code: str | None = None
    error_message: str | None = None
    position: int | None = None             # 1 is next; None unless queued
    usage: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # what each step's run measured


@dataclass(frozen=True, slots=True)
class Step:
    """One unit of work; what a lane claims."""

    id: int
    job_id: str
    kind: StepKind
    lane: Lane
    model_id: str | None                    # None for plan and assemble
    shot_index: int | None                  # None for plan and assemble
    status: StepStatus
    attempts: int                           # counted before each starts
    staged: Mapping[str, Any] | None = None  # what was about to be renamed into place (see engine/publish.py)
    kept: Mapping[str, Any] = field(default_factory=dict)   # what an attempt left for the next (see Control.keep)


@dataclass(frozen=True)
class Event:
    """One row of a job's log; ``seq`` only grows, over all jobs."""

    seq: int
    job_id: str
    type: EventType
    body: Mapping[str, Any]                 # the message's fields beside type, job_id and seq
    created_at: float
    shot_id: str | None = None

    def message(self) -> dict[str, Any]:
        """The event as a client receives it."""
        return {"type": self.type, "job_id": self.job_id, **self.body, "seq": self.seq}

    @cached_property
    def text(self) -> str:
        """The message as JSON, encoded once for all who listen."""
        return json.dumps(self.message(), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Upload:
    """A reference image that was taken in; ``path`` is our re-encoded RGB PNG, never the client's bytes."""

    id: str
    filename: str                           # the client's own name, shown and never opened
    path: Path
    size_bytes: int                         # of what the client sent
    width: int
    height: int
    created_at: float
    sha256: str                             # of our PNG


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """How clips are encoded. All of it determines the bytes, the thread count too."""

    preset: str = "veryfast"
    crf: int = 20
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Clip:
    """A rendered shot on disk, under its temporary name.

    ``measured`` holds what its backend measured, by names that carry their unit: ``predict_seconds``, ``cost_usd``.
    ``made`` says how it was really rendered, where a backend can choose: ``mode``, the ``parameters`` that differ from
    the job's, and ``ran_out``, a line for each time that the memory did not suffice.
    """

    path: Path
    width: int
    height: int
    num_frames: int
    fps: float
    measured: Mapping[str, float] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Still:
    """A rendered image on disk (PNG, RGB), under its temporary name. The rest as with a :class:`Clip`."""

    path: Path
    width: int
    height: int
    measured: Mapping[str, float] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RenderSpec:
    """All that a backend needs to render one shot, and nothing that it could choose differently."""

    job_id: str
    shot_id: str
    index: int                              # the place in the job; like num_shots, nothing of the frames depends on it
    num_shots: int
    prompt: str                             # the shot's text, style preferences included
    caption: str                            # the shot's text for people
    camera_move: CameraMove
    seed: int
    width: int
    height: int
    num_frames: int
    fps: float
    num_inference_steps: int | None
    negative_prompt: str | None
    parameters: Mapping[str, Any]
    style: Mapping[str, str]
    image: Path | None                      # RGB PNG of any size; the backend fits it by cover-crop
    focus: tuple[float, float]              # of that crop, x and y, 0 to 1
    output: Path                            # a temporary name that carries the attempt
    attempt: int = 1
    adapt: bool = False                     # whether the video may change where the memory does not suffice
    frames: Path | None = None              # where the lossless frames go, as a zip of PNGs; None: they are not kept
