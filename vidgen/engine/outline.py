"""What a job's steps are, or will be as far as that is known before it is planned, and on what their time depends."""

import hashlib
import json
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vidgen.errors import NotFound
from vidgen.registry import Model, Registry
from vidgen.store.history import Task
from vidgen.store.jobs import NewJob
from vidgen.types import Continuity, Job, Lane, StepKind


@dataclass(frozen=True, slots=True)
class Outline:
    """The steps of one job.

    :ivar widths: how many threads each lane has.
    """

    job: Job | NewJob
    model: Model
    keyframe_model: Model | None
    frames: tuple[int, ...]                 # of each shot
    chained: bool
    digests: tuple[str, str]                # of the parameters of renders and keyframes
    widths: Mapping[Lane, int]
    mode: str | None = None                 # that the video model would be loaded in; None: as the last time

    @property
    def signature(self) -> tuple[Hashable, ...]:
        """Jobs of the same take equally long."""
        effective = self.job.effective
        return (
            self.model.id, self.keyframe_model and self.keyframe_model.id, self.frames, self.chained, self.digests,
            self.mode, effective.width, effective.height, effective.num_inference_steps,
            self.job.request.get("storyboard") is None,
        )

    @property
    def drawn(self) -> int:
        """How many keyframes."""
        return 0 if self.keyframe_model is None else 1 if self.chained else len(self.frames)

    def model_of(self, kind: StepKind) -> Model:
        """What does the steps of this kind that render."""
        return self.keyframe_model if kind is StepKind.KEYFRAME else self.model

    def local_models(self) -> list[str]:
        """The ids of those that have to be loaded."""
        models = (self.model, self.keyframe_model)
        return [model.id for model in models if model is not None and model.backend.lane is Lane.GPU]

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
        return by_kind[StepKind.RENDER] + (by_kind.get(StepKind.KEYFRAME, 0.0) if drawn_there else 0.0)

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
                effective.num_inference_steps, at_once, self.digests[0],
            )
        width, height = model.card.nearest_size(effective.width, effective.height)
        steps = int(model.card.steps.default) if model.card.steps else None
        return Task(where, kind, model.id, None, width, height, 1, steps, at_once, self.digests[1])

    def _at_once(self, kind: StepKind) -> int:
        """How many of the job's steps of this kind run at once."""
        many = 1 if self.chained else self.drawn if kind is StepKind.KEYFRAME else len(self.frames)
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
    chained = job.request.get("continuity") == Continuity.CHAIN
    keyframe_model = models[1] if models[1:] else None
    digests = digest(job.effective.parameters), digest(job.keyframe_parameters)
    return Outline(job, models[0], keyframe_model, _frames(job, models[0]), chained, digests, widths, mode)


def digest(parameters: Mapping[str, Any]) -> str:
    """Parameters in a few letters."""
    said = json.dumps(dict(parameters), sort_keys=True, default=str)
    return hashlib.sha256(said.encode()).hexdigest()[:12] if parameters else ""


def _frames(job: Job | NewJob, model: Model) -> tuple[int, ...]:
    """Of each shot: of the storyboard where there is one, else of as many as may be planned."""
    if isinstance(job, Job) and job.storyboard is not None:
        return tuple(shot.num_frames for shot in job.storyboard.shots)
    effective, own = job.effective, (job.request.get("storyboard") or {}).get("shots")
    lengths = [shot.get("duration_seconds") for shot in own] if own else [None] * job.request.get("max_shots", 1)
    return tuple(
        model.card.frames_for(seconds, effective.fps) if seconds else effective.num_frames for seconds in lengths
    )
