"""Whether a job fits on this device, in which mode it would be rendered now, and what would fit where it does not."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from vidgen.engine.accepted import Accepted
from vidgen.engine.device import Device
from vidgen.engine.footprints import Footprints, Need
from vidgen.engine.forecast import Fit
from vidgen.engine.outline import digest
from vidgen.engine.schedule import Option, Resident, Room, never_fits
from vidgen.engine.specs import bare_spec
from vidgen.registry import Model, Registry
from vidgen.types import Lane, RenderSpec

SMALLER = (0.75, 0.5)
"""Of width and height: what is tried to find a size that fits."""


class Fitting:
    def __init__(self, device: Device, footprints: Footprints, registry: Registry):
        self._device = device
        self._footprints = footprints
        self._registry = registry

    def fit(self, accepted: Accepted) -> Fit:
        """How the job fits: its video model's mode, and of its models the largest peak, each for the shot that needs
        most. Where one never will fit, ``reason`` has the numbers and what would; where one has to wait, it says so.
        """
        if not (renders := _unlike(accepted.renders())):
            return Fit()
        room, residents, fits = self._device.room(), self._device.residents(), {}
        for model, spec in sorted(renders, key=self._needed, reverse=True):
            field = "model_id" if model is accepted.model else "keyframe_model_id"
            fit = self._fit(model, spec, field, room, residents)
            if not fit.fits:
                return fit
            fits.setdefault(model.id, fit)
        tightest = max(fits.values(), key=lambda fit: (fit.reason is not None, fit.peak_bytes or 0))
        mode = fits[accepted.model.id].mode if accepted.model.id in fits else None
        return replace(tightest, mode=mode)

    def needs(self, model: Model) -> dict[str, Need]:
        """What a shot at the model's defaults needs, by loading mode; nothing where it does not run on the device."""
        if not _on_gpu(model):
            return {}
        spec = _default_spec(model)
        return {mode: self._footprints.need(model, spec, mode) for mode in model.backend.modes(model.card)}

    def _needed(self, render: tuple[Model, RenderSpec]) -> int:
        """What a render takes in the mode that is tried first."""
        return self._footprints.options(*render)[0].peak_bytes

    def _fit(self, model: Model, spec: RenderSpec, field: str, room: Room, residents: list[Resident]) -> Fit:
        options = self._footprints.options(model, spec)
        if (problem := never_fits(options, room)) is not None:
            return Fit(fits=False, reason=f"{problem}; {self._alternative(model, spec, room)}", field=field)
        option = _now(model.id, options, room, residents)
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


def _unlike(renders: Iterable[tuple[Model, RenderSpec]]) -> Collection[tuple[Model, RenderSpec]]:
    """Those on the device, of equal ones one. The shots of a job differ in their frames and parameters alone."""
    return {
        (model.id, spec.num_frames, digest(spec.parameters)): (model, spec) for model, spec in renders if _on_gpu(model)
    }.values()


def _default_spec(model: Model) -> RenderSpec:
    card = model.card
    defaults = {name: each.default for name, each in card.parameters.items() if each.default is not None}
    frames = int(card.frames.default) if card.frames else 1
    return bare_spec(int(card.width.default), int(card.height.default), frames, 1.0, None, defaults)


def _smaller(model: Model, spec: RenderSpec) -> Iterator[RenderSpec]:
    for scale in SMALLER:
        width, height = model.card.nearest_size(spec.width * scale, spec.height * scale)
        yield replace(spec, width=width, height=height)
