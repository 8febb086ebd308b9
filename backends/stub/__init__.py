"""The stub backend: pictures and animatics drawn on the CPU, with no model, no weights and no network.

It behaves by what a card says its model can do, so any card with ``provider = "stub"`` works. It knows nothing of the
engine; what it draws stands in ``shoot`` and the modules below it, imported when something is rendered.
"""

import io
import itertools
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from backends.stub.trial import Trial
from vidgen.backend import AVAILABLE, PREVIEW_INTERVAL_S, Availability, Backend, Control
from vidgen.cards import Card
from vidgen.types import Clip, Lane, RenderSpec, Still

if TYPE_CHECKING:
    from backends.stub.film import Planes

PREVIEW_PX = 256
PNG_EFFORT = 3                          # of 9; more costs time and saves little on grainy pictures


class StubBackend(Backend):
    """Draws what real models would generate."""

    provider: ClassVar[str] = "stub"
    lane: ClassVar[Lane] = Lane.CPU

    def availability(self, model: Card) -> Availability:
        return AVAILABLE

    def render(self, model: Card, shot: RenderSpec, control: Control) -> Clip | Still:
        """Draw *shot*: a clip where the card makes video, else a picture.

        Progress: a clip reports every frame, a picture every pass.

        :raises Stopped: as ``control`` raised it; nothing is left at ``shot.output``.
        :raises StepFailed: a testing parameter asked for it, or the clip could not be encoded.
        """
        trial = Trial.of(shot.parameters, shot.attempt)
        if model.makes_video:
            return self._clip(shot, control, trial)
        return _still(shot, control, trial)

    def versions(self) -> Mapping[str, str]:
        from PIL import features

        from backends.stub.lettering import font_names

        libraries = {"pillow": "pil", "freetype": "freetype2", "raqm": "raqm"}
        found = {name: features.version(feature) for name, feature in libraries.items()}
        return {**{name: version or "none" for name, version in found.items()}, "caption_fonts": font_names()}

    def _clip(self, shot: RenderSpec, control: Control, trial: Trial) -> Clip:
        from backends.stub import shoot
        from backends.stub.film import frame_bytes
        from vidgen.media.video import ClipWriter

        previews = _Previews()
        _note_letters(shot.caption, control)
        with ClipWriter(
            shot.output, width=shot.width, height=shot.height, fps=shot.fps, pixel_format="yuv420p",
            encoder=self.config.encoder, frames=shot.frames, tick=control.check,
            timeout_s=self.config.ffmpeg_timeout_s,
        ) as writer:
            for i, planes in enumerate(shoot.frames(shot, control.check), start=1):
                trial.before(i, control)
                writer.write(frame_bytes(planes))
                control.step("render", i, shot.num_frames, previews.next(planes))
        return Clip(shot.output, shot.width, shot.height, shot.num_frames, shot.fps)


def _still(shot: RenderSpec, control: Control, trial: Trial) -> Still:
    from backends.stub import shoot

    passes = shoot.passes(shot)
    count = itertools.count(1)

    def passed() -> None:
        i = next(count)
        trial.before(i, control)
        control.step("render", i, passes)

    picture = shoot.still(shot, control.check, passed)
    try:
        picture.save(shot.output, "PNG", compress_level=PNG_EFFORT)
    except BaseException:
        shot.output.unlink(missing_ok=True)
        raise
    return Still(shot.output, shot.width, shot.height)


def _note_letters(caption: str, control: Control) -> None:
    from backends.stub.lettering import prepare

    if left_out := prepare(caption).left_out:
        control.note("caption_letters", f"no font here draws {left_out[:20]}: the caption goes without")


class _Previews:
    """A small JPEG of a frame, at most one a second; a quick clip has none."""

    def __init__(self) -> None:
        self._due = time.monotonic() + PREVIEW_INTERVAL_S

    def next(self, planes: "Planes") -> bytes | None:
        if time.monotonic() < self._due:
            return None
        self._due = time.monotonic() + PREVIEW_INTERVAL_S
        return _jpeg(planes)


def _jpeg(planes: "Planes") -> bytes:
    from backends.stub.film import to_rgb

    picture = to_rgb(planes)
    picture.thumbnail((PREVIEW_PX, PREVIEW_PX))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=75)
    return out.getvalue()
