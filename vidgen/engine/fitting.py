"""Whether a job fits on this device, in which mode it would be rendered now, and what would fit where it does not."""

from collections.abc import Iterator
from pathlib import Path

from vidgen.engine.device import Device
from vidgen.engine.footprints import Footprints, Need
from vidgen.engine.forecast import Fit
from vidgen.engine.intake import Accepted
from vidgen.engine.schedule import Option, Resident, Room, never_fits
from vidgen.registry import Model, Registry
from vidgen.types import CameraMove, Lane, RenderSpec

SMALLER = (0.75, 0.5)
"""Of width and height: what is tried to find a size that fits."""


class Fitting:
    def __init__(self, device: Device, footprints: Footprints, registry: Registry):
        self._device = device
        self._footprints = footprints
        self._registry = registry

    def fit(self, accepted: Accepted) -> Fit:
        """How the job fits. Where it never will, ``reason`` has the numbers and what would fit."""
        parts = [(accepted.model, _video_spec(accepted), "model_id")]
        if accepted.keyframe_model is not None:
            parts.append((accepted.keyframe_model, _image_spec(accepted), "keyframe_model_id"))
        fits = [self._fit(model, spec, field) for model, spec, field in parts if _on_gpu(model)]
        if not fits:
            return Fit(fits=True)
        return next((fit for fit in fits if not fit.fits), fits[0])

    def needs(self, model: Model) -> dict[str, Need]:
        """What a shot at the model's defaults needs, by loading mode; nothing where it does not run on the device."""
        if not _on_gpu(model):
            return {}
        spec = _default_spec(model)
        return {mode: self._footprints.need(model, spec, mode) for mode in model.backend.modes(model.card)}

    def _fit(self, model: Model, spec: RenderSpec, field: str) -> Fit:
        room = self._device.room()
        options = self._footprints.options(model, spec)
        if (problem := never_fits(options, room)) is not None:
            return Fit(fits=False, reason=f"{problem}; {self._alternative(model, spec, room)}", field=field)
        option = _now(model.id, options, room, self._device.residents())
        if option is None:
            return Fit(fits=True, reason="it has to wait until others give memory back")
        source = "measured" if self._footprints.need(model, spec, option.mode).measured else "estimated"
        return Fit(fits=True, mode=option.mode, peak_bytes=option.peak_bytes, source=source)

    def _alternative(self, model: Model, spec: RenderSpec, room: Room) -> str:
        for smaller in _smaller(model, spec):
            if never_fits(self._footprints.options(model, smaller), room) is None:
                return f"{smaller.width} x {smaller.height} with {smaller.num_frames} frames would fit"
        video = model.card.makes_video
        alike = (each for each in self._registry.models() if _on_gpu(each) and each.card.makes_video == video)
        for other in alike:
            fits = never_fits(self._footprints.options(other, _default_spec(other)), room) is None
            if fits and other.availability().ok:
                return f"{other.id} would fit"
        return "no smaller size of it and no other local model would fit"


def _now(model_id: str, options: tuple[Option, ...], room: Room, residents: list[Resident]) -> Option | None:
    """The way in which it would be rendered now, idle models making room."""
    if room.usable_bytes is None:
        return None
    there = room.usable_bytes + sum(
        each.resident_bytes for each in residents if not each.busy or each.model_id == model_id
    )
    return next((option for option in options if option.peak_bytes <= there), None)


def _on_gpu(model: Model) -> bool:
    return model.card is not None and model.backend is not None and model.backend.lane is Lane.GPU


def _video_spec(accepted: Accepted) -> RenderSpec:
    """The longest shot of the job."""
    effective, card = accepted.effective, accepted.model.card
    said = accepted.request.storyboard.shots if accepted.request.storyboard else ()
    frames = [card.frames_for(shot.duration_seconds, effective.fps) for shot in said if shot.duration_seconds]
    return _spec(
        effective.width, effective.height, max([effective.num_frames, *frames]), effective.parameters,
        adapt=accepted.request.fit == "adapt",
    )


def _image_spec(accepted: Accepted) -> RenderSpec:
    width, height = accepted.keyframe_model.card.nearest_size(accepted.effective.width, accepted.effective.height)
    return _spec(width, height, 1, accepted.keyframe_parameters, adapt=accepted.request.fit == "adapt")


def _default_spec(model: Model) -> RenderSpec:
    card = model.card
    defaults = {name: each.default for name, each in card.parameters.items() if each.default is not None}
    frames = int(card.frames.default) if card.frames else 1
    return _spec(int(card.width.default), int(card.height.default), frames, defaults)


def _smaller(model: Model, spec: RenderSpec) -> Iterator[RenderSpec]:
    for scale in SMALLER:
        width, height = model.card.nearest_size(spec.width * scale, spec.height * scale)
        yield _spec(width, height, spec.num_frames, spec.parameters, adapt=spec.adapt)


def _spec(width: int, height: int, num_frames: int, parameters: dict, *, adapt: bool = False) -> RenderSpec:
    """A shot of this size; its words, its image and its file are not what memory depends on."""
    return RenderSpec(
        job_id="", shot_id="", index=0, num_shots=1, prompt="", caption="", camera_move=CameraMove.STATIC, seed=0,
        width=width, height=height, num_frames=num_frames, fps=1.0, num_inference_steps=None, negative_prompt=None,
        parameters=parameters, style={}, image=None, focus=(0.5, 0.5), output=Path(), adapt=adapt,
    )
