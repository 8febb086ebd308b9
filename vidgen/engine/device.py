"""The device as the GPU lane sees it: the memory, what is loaded there, and what could be. Read on any thread; changes
nothing.
"""

from dataclasses import dataclass
from pathlib import Path

from vidgen.engine import specs
from vidgen.engine.footprints import Footprints
from vidgen.engine.readings import CPU, Reading
from vidgen.engine.schedule import Option, Resident, Room
from vidgen.engine.vram import GpuView, LoadedModel, Vram
from vidgen.inference.lane import Inference
from vidgen.registry import Model
from vidgen.types import Job, RenderSpec, Step, StepKind

MORE = 1.02
"""What did not suffice is tried again only with a little more."""

BARE_PROCESS_BYTES = 2**30
"""Of an inference process with the libraries that it imports."""


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
        reading = self.reading()
        return Room(
            reading.total_bytes, reading.free_bytes, self._spare_bytes(reading), reading.ours_bytes,
            self._reserve_bytes,
        )

    def has_room_for(self, option: Option) -> bool:
        """Whether a model that is not loaded could be rendered so now."""
        usable = self.room().usable_bytes
        return option.peak_bytes == 0 or (usable is not None and option.peak_bytes <= usable)

    def there_for(self, model_id: str) -> int | None:
        """What the model has for itself, loaded or not; None where that is unknown. At most all that may be used: a
        whole device is always worth another try.
        """
        room = self.room()
        if room.usable_bytes is None or room.total_bytes is None:
            return None
        own = sum(each.resident_bytes for each in self.residents() if each.model_id == model_id)
        return min(int((room.usable_bytes + own) * MORE), room.total_bytes - room.reserve_bytes)

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

    def _spare_bytes(self, reading: Reading) -> int:
        """What our process holds and does not need between renders. On the CPU, the system's allocator keeps what a
        render freed, and does not say how much: all beyond the models and what a process takes by itself.
        """
        if reading.kind != CPU or not reading.ours_bytes:
            return self._inference.held.spare_bytes
        kept = sum(each.resident_bytes for each in self.residents()) + self._inference.held.shelf_bytes
        return max(0, reading.ours_bytes - kept - BARE_PROCESS_BYTES)

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
