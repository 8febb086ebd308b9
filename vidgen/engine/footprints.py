"""What renders need of the device's memory: what the backend reckons, put right by what was measured on this device.

A measurement is kept by the estimate that it stands beside. Equal estimates are equal work for the memory, so no list
of sizes, frames and chunks has to be kept that every backend would understand.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import sqlalchemy as sa

from vidgen.backend import Footprint
from vidgen.engine.schedule import Option
from vidgen.registry import Model
from vidgen.store import history
from vidgen.store.writer import Tx
from vidgen.types import RenderSpec

FAR_MORE = 1.25


@dataclass(frozen=True, slots=True)
class Need:
    """What one render needs, in bytes, and whether the peak was measured here or is the backend's estimate."""

    resident_bytes: int
    peak_bytes: int
    measured: bool


class Footprints:
    """:param device: the name under which this device's measurements are kept."""

    def __init__(self, device: str):
        self._device = device
        self._lock = threading.Lock()
        self._peaks: dict[tuple[str, str, int], history.Peak] = {}

    def read(self, conn: sa.Connection) -> None:
        """Begin with what earlier runs measured."""
        self._peaks = {(peak.model_id, peak.mode, peak.estimate_bytes): peak for peak in history.peaks_of(
            conn, self._device
        )}

    def options(self, model: Model, spec: RenderSpec) -> tuple[Option, ...]:
        """The ways in which *spec* can be rendered, in the order in which they are to be tried: all that leave the
        video as it is, then, where the job allows it, those that change it.
        """
        return tuple(
            _option(self.need(model, each, mode), mode, spec, each)
            for each in _variants(model, spec) for mode in model.backend.modes(model.card)
        )

    def need(self, model: Model, spec: RenderSpec, mode: str) -> Need:
        """What rendering *spec* with the model in this mode needs."""
        said: Footprint = model.backend.footprint(model.card, spec, mode)
        with self._lock:
            known = self._peaks.get((model.id, mode, said.peak_bytes))
        peak = said.peak_bytes if known is None else max(known.peak_bytes or said.peak_bytes, known.floor_bytes or 0)
        return Need(min(said.resident_bytes, peak), peak, known is not None and known.peak_bytes is not None)

    def learn(self, tx: Tx, model: Model, spec: RenderSpec, mode: str, peak_bytes: int) -> None:
        """A render in this mode took so much at its peak."""
        estimate = model.backend.footprint(model.card, spec, mode).peak_bytes
        self._keep(history.learn_peak(tx, self._device, model.id, mode, estimate, peak_bytes))

    def ran_out(self, tx: Tx, model: Model, spec: RenderSpec, mode: str, there_bytes: int) -> None:
        """A render in this mode ran out, with so much there for it: it needs more. How much was there is known only
        from about that time, so that far more than the estimate is not believed.
        """
        estimate = model.backend.footprint(model.card, spec, mode).peak_bytes
        floor = min(there_bytes, int(FAR_MORE * self.need(model, spec, mode).peak_bytes))
        self._keep(history.learn_floor(tx, self._device, model.id, mode, estimate, floor))

    def _keep(self, peak: history.Peak) -> None:
        with self._lock:
            self._peaks[peak.model_id, peak.mode, peak.estimate_bytes] = peak


def _variants(model: Model, spec: RenderSpec) -> Iterator[RenderSpec]:
    """*spec*, and where the job allows another video, what needs less and less memory."""
    lighter: RenderSpec | None = spec
    while lighter is not None:
        yield lighter
        lighter = model.backend.lighter(model.card, lighter) if spec.adapt else None


def _option(need: Need, mode: str, asked: RenderSpec, spec: RenderSpec) -> Option:
    changes = {name: value for name, value in spec.parameters.items() if asked.parameters.get(name) != value}
    return Option(mode, need.resident_bytes, need.peak_bytes, changes)


def changed(spec: RenderSpec, option: Option) -> RenderSpec:
    """*spec* as *option* renders it."""
    return replace(spec, parameters={**spec.parameters, **option.changes}) if option.changes else spec
