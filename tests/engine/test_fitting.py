"""Whether a job fits on the device: every one of its shots, and with each model that it needs."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from vidgen.backend import WHOLE, Footprint
from vidgen.engine.fitting import Fitting
from vidgen.engine.footprints import Footprints
from vidgen.engine.schedule import GB, Room
from vidgen.engine.specs import bare_spec
from vidgen.types import Lane

SPEC = bare_spec(64, 64, 25, 8.0, 4, {"chunk": 1})


class Grows:
    """A backend whose renders take so many GB as the chunk says."""

    lane = Lane.GPU

    def modes(self, card):
        return [WHOLE, "half"]

    def footprint(self, card, spec, mode):
        peak = spec.parameters["chunk"] * GB // (1 if mode == WHOLE else 2)
        return Footprint(0, peak)

    def lighter(self, card, spec):
        return None


def model(model_id="test:video"):
    card = SimpleNamespace(makes_video=True, nearest_size=lambda width, height: (int(width), int(height)))
    return SimpleNamespace(id=model_id, card=card, backend=Grows(), availability=lambda: SimpleNamespace(ok=True))


VIDEO, IMAGE = model(), model("test:image")


def shot(chunk, frames=25, of=VIDEO):
    return of, replace(SPEC, num_frames=frames, parameters={"chunk": chunk})


@pytest.fixture
def fit():
    """How a job of these renders fits on a device of 24 GB."""

    def fit(*renders, free=24):
        device = SimpleNamespace(room=lambda: Room(24 * GB, free * GB), residents=lambda: [])
        fitting = Fitting(device, Footprints("test"), SimpleNamespace(models=lambda: []))
        return fitting.fit(SimpleNamespace(model=VIDEO, renders=lambda: iter(renders)))

    return fit


@pytest.mark.parametrize("renders", [
    [shot(64), shot(8)], [shot(8), shot(64)], [shot(64, frames=14), shot(8)], [shot(64), shot(64), shot(8)],
])
def test_one_shot_that_can_never_fit_is_enough(fit, renders):
    found = fit(*renders)
    assert (found.fits, found.field) == (False, "model_id")
    assert "needs at least 32.0 GB" in found.reason


def test_the_shot_that_needs_the_most_says_the_mode_and_the_peak(fit):
    found = fit(shot(32, frames=14), shot(8), shot(4))
    assert (found.fits, found.mode, found.peak_bytes) == (True, "half", 16 * GB)


def test_who_waits_is_told_though_another_model_fits(fit):
    found = fit(shot(20), shot(4, of=IMAGE), free=6)
    assert (found.fits, found.mode, found.peak_bytes) == (True, None, None)
    assert "has to wait" in found.reason
    drawn = fit(shot(4), shot(20, of=IMAGE), free=6)
    assert drawn.mode == WHOLE and "has to wait" in drawn.reason


def test_what_needs_no_memory_of_the_device_fits(fit):
    assert fit() == fit(free=0)
    assert fit().fits
