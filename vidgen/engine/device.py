"""The device as the GPU lane sees it: the memory, what is loaded there, and what could be. Read on any thread; changes
nothing.
"""

from dataclasses import dataclass
from pathlib import Path

from vidgen.engine import specs
from vidgen.engine.footprints import Footprints
from vidgen.engine.schedule import Resident, Room
from vidgen.engine.vram import GpuView, LoadedModel, Reading, Vram
from vidgen.inference.lane import Inference
from vidgen.registry import Model
from vidgen.types import Job, RenderSpec, Step, StepKind


@dataclass(frozen=True, slots=True)
class Work:
    """What a step would render; its spec has no image and writes nowhere, which memory does not depend on."""

    model: Model
    spec: RenderSpec


class Device:
    """:param reserve_bytes: what is left to others."""

    def __init__(self, vram: Vram, inference: Inference, footprints: Footprints, reserve_bytes: int):
        self._vram = vram
        self._inference = inference
        self._footprints = footprints
        self._reserve_bytes = reserve_bytes
        self._last: dict[str, Work] = {}

    def uses(self, work: Work) -> None:
        """*work* is about to be rendered."""
        self._last[work.model.id] = work

    def reading(self) -> Reading:
        return self._vram.read([pid] if (pid := self._inference.pid) is not None else [])

    def room(self) -> Room:
        """The memory, measured now."""
        reading, held = self.reading(), self._inference.held
        return Room(
            reading.total_bytes, reading.free_bytes, held.spare_bytes, reading.ours_bytes, self._reserve_bytes
        )

    def is_loaded(self, model_id: str) -> bool:
        return model_id in self._inference.residents

    def residents(self) -> list[Resident]:
        """The models that are loaded."""
        return [
            Resident(model_id, at.mode, self._resident_bytes(model_id, at.mode), at.used_at, at.busy)
            for model_id, at in self._inference.residents.items()
        ]

    def view(self, paused: bool) -> GpuView:
        """For people and programs."""
        models = [
            LoadedModel(each.model_id, each.mode, each.resident_bytes, False, each.used_at, each.busy)
            for each in self.residents()
        ]
        return GpuView(self.reading(), self._reserve_bytes, self._inference.held, models, paused)

    def _resident_bytes(self, model_id: str, mode: str) -> int:
        if (last := self._last.get(model_id)) is None:
            return 0
        return self._footprints.need(last.model, last.spec, mode).resident_bytes


def work_of(job: Job, step: Step, model: Model) -> Work:
    """What the step of *job* would render."""
    shot = job.storyboard.shots[step.shot_index]
    if step.kind is StepKind.KEYFRAME:
        return Work(model, specs.keyframe_spec(job, shot, step, model.card, Path()))
    return Work(model, specs.render_spec(job, shot, step, None, Path()))
