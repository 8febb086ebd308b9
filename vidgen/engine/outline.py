"""What a job's steps are, or will be as far as that is known before it is planned, and on what their time depends."""

import hashlib
import json
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vidgen.engine.starts import Own, Start, draws_each, is_chained, starts
from vidgen.errors import NotFound
from vidgen.registry import Model, Registry
from vidgen.store.history import Task
from vidgen.store.jobs import NewJob
from vidgen.types import Effective, Job, Lane, StepKind


@dataclass(frozen=True, slots=True)
class Outline:
    """The steps of one job.

    :ivar widths: how many threads each lane has.
    """

    job: Job | NewJob
    model: Model
    keyframe_model: Model | None
    frames: tuple[int, ...]                 # of each shot
    parameters: tuple[str, ...]             # of each shot's render, digested
    keyframe_parameters: str                # digested
    rendered: tuple[int, ...]               # the shots whose clip no earlier version has
    drawn: tuple[int, ...]                  # the shots whose keyframe is drawn
    chained: bool
    widths: Mapping[Lane, int]
    mode: str | None = None                 # that the video model would be loaded in; None: as the last time

    @property
    def signature(self) -> tuple[Hashable, ...]:
        """Jobs of the same take equally long."""
        effective = self.job.effective
        return (
            self.model.id, self.keyframe_model and self.keyframe_model.id, self.frames, self.parameters,
            self.keyframe_parameters, self.rendered, self.drawn, self.chained, self.mode, effective.width,
            effective.height, effective.num_inference_steps, self.job.request.get("storyboard") is None,
        )

    def shots_of(self, kind: StepKind) -> Sequence[int]:
        """The shots that have a step of this kind; of the others, there is one for all."""
        return {StepKind.KEYFRAME: self.drawn, StepKind.RENDER: self.rendered}.get(kind, (0,))

    def model_of(self, kind: StepKind) -> Model:
        """What does the steps of this kind that render."""
        return self.keyframe_model if kind is StepKind.KEYFRAME else self.model

    def local_models(self) -> list[str]:
        """The ids of those that have to be loaded."""
        needed = [kind for kind in (StepKind.RENDER, StepKind.KEYFRAME) if self.shots_of(kind)]
        return [model.id for model in map(self.model_of, needed) if model.backend.lane is Lane.GPU]

    def in_all(self, kind: StepKind, seconds: Sequence[float], tail_s: float = 0.0) -> float:
        """How long steps of one kind that render take, as the lane of their model runs them.

        :param seconds: that each needs.
        :param tail_s: the end of each during which the GPU lane does the next one.
        """
        if not seconds:
            return 0.0
        lane, at_once = self.model_of(kind).backend.lane, self._at_once(kind)
        if lane is Lane.GPU:
            return sum(seconds) - tail_s * (len(seconds) - 1)
        if lane is Lane.REMOTE:
            return math.ceil(len(seconds) / at_once) * sum(seconds) / len(seconds)
        return max(max(seconds), sum(seconds) / at_once)        # they share the cores, whatever the last round is

    def lane_seconds(self, by_kind: Mapping[str, float]) -> float:
        """Of what each kind of step takes, the part for which the lane of the renders is taken: on the GPU lane only
        what runs there, else a place.
        """
        if self.model.backend.lane is not Lane.GPU:
            return sum(by_kind.values())
        drawn_there = self.keyframe_model is not None and self.keyframe_model.backend.lane is Lane.GPU
        drawing = by_kind.get(StepKind.KEYFRAME, 0.0) if drawn_there else 0.0
        return by_kind.get(StepKind.RENDER, 0.0) + drawing

    def task(self, kind: StepKind, index: int, device: str) -> Task:
        """One step, as the history names it.

        :param device: that local models run on.
        """
        effective = self.job.effective
        if kind is StepKind.PLAN:
            return Task(Lane.PLANNER, kind, mode="client" if self.job.request.get("storyboard") else "planner")
        if kind is StepKind.ASSEMBLE:
            return Task(
                Lane.ASSEMBLER, kind, width=effective.width, height=effective.height, num_frames=sum(self.frames),
                num_shots=len(self.frames),
            )
        model, at_once = self.model_of(kind), self._at_once(kind)
        where = device if model.backend.lane is Lane.GPU else model.backend.lane
        if kind is StepKind.RENDER:
            mode = self.mode if model.backend.lane is Lane.GPU else None
            return Task(
                where, kind, model.id, mode, effective.width, effective.height, self.frames[index],
                effective.num_inference_steps, at_once, self.parameters[index],
            )
        width, height = model.card.nearest_size(effective.width, effective.height)
        steps = int(model.card.steps.default) if model.card.steps else None
        return Task(where, kind, model.id, None, width, height, 1, steps, at_once, self.keyframe_parameters)

    def _at_once(self, kind: StepKind) -> int:
        """How many of the job's steps of this kind run at once."""
        many = 1 if self.chained else len(self.shots_of(kind))
        return min(many, self.widths.get(self.model_of(kind).backend.lane, 1))


def outline(
    job: Job | NewJob, registry: Registry, widths: Mapping[Lane, int], mode: str | None = None
) -> Outline | None:
    """The steps of *job*; None where one of its models is gone, or its card cannot be read."""
    try:
        models = [registry.model(each) for each in (job.model_id, job.keyframe_model_id) if each]
    except NotFound:
        return None
    if any(each.card is None or each.backend is None for each in models):
        return None
    model, keyframe_model = models[0], models[1] if models[1:] else None
    shots = _shots(job, model)
    rendered = tuple(index for index in range(len(shots)) if index not in job.reused.get(StepKind.RENDER, ()))
    parameters, common = job.effective.parameters, digest(job.effective.parameters)
    return Outline(
        job, model, keyframe_model, tuple(shot.num_frames for shot in shots),
        tuple(digest({**parameters, **shot.parameters}) if shot.parameters else common for shot in shots),
        digest(job.keyframe_parameters), rendered, _drawn(job, model, shots, rendered) if keyframe_model else (),
        is_chained(job), widths, mode,
    )


def digest(parameters: Mapping[str, Any]) -> str:
    """Parameters in a few letters."""
    said = json.dumps(dict(parameters), sort_keys=True, default=str)
    return hashlib.sha256(said.encode()).hexdigest()[:12] if parameters else ""


@dataclass(frozen=True, slots=True)
class _Shot:
    """A shot, planned or not."""

    num_frames: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
    own: Own = (None, None)


def _shots(job: Job | NewJob, model: Model) -> list[_Shot]:
    """Of the storyboard where there is one, else as many as may be planned."""
    if isinstance(job, Job) and job.storyboard is not None:
        return [
            _Shot(shot.num_frames, shot.parameters, (shot.keyframe_prompt, shot.keyframe_upload_id))
            for shot in job.storyboard.shots
        ]
    if (own := job.request.get("storyboard")) is None:
        return [_Shot(job.effective.num_frames)] * job.request.get("max_shots", 1)
    return [_asked_for(shot, job.effective, model) for shot in own["shots"]]


def _asked_for(shot: Mapping[str, Any], effective: Effective, model: Model) -> _Shot:
    """A shot of the client's own storyboard."""
    seconds = shot.get("duration_seconds")
    frames = model.card.frames_for(seconds, effective.fps) if seconds else effective.num_frames
    return _Shot(frames, shot.get("parameters") or {}, (shot.get("keyframe_prompt"), shot.get("keyframe_image")))


def _drawn(job: Job | NewJob, model: Model, shots: Sequence[_Shot], rendered: Sequence[int]) -> tuple[int, ...]:
    found = starts(
        [shot.own for shot in shots], chained=is_chained(job), has_reference=job.upload_id is not None,
        draws=draws_each(job.request.get("keyframe_model_id"), model.card),
    )
    there = job.reused.get(StepKind.KEYFRAME, ())
    return tuple(index for index in rendered if found[index] is Start.DRAWN and index not in there)
