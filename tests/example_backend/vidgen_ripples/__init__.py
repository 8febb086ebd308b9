"""A complete backend: rings that spread on water. It needs no model, so all that is left is what every backend does."""

import random
from collections.abc import Iterable, Iterator
from pathlib import Path

from vidgen.backend import AVAILABLE, Availability, Backend, Control
from vidgen.cards import Card
from vidgen.media.video import ClipWriter
from vidgen.types import Clip, Lane, RenderSpec

WATER, LIGHT = (18, 52, 86), (200, 222, 235)


class RipplesBackend(Backend):
    """Draws what the card ``pond.toml`` describes."""

    provider = "ripples"
    lane = Lane.CPU                         # GPU: it renders in the inference process, one shot at a time

    def cards(self) -> Iterable[Path]:
        return [Path(__file__).with_name("pond.toml")]

    def availability(self, model: Card) -> Availability:
        return AVAILABLE                    # else Availability(False, "why not, and what would help")

    def render(self, model: Card, shot: RenderSpec, control: Control) -> Clip:
        """Write the shot to ``shot.output``, and report every frame; a cancel is raised by the report."""
        with ClipWriter(
            shot.output, width=shot.width, height=shot.height, fps=shot.fps, encoder=self.config.encoder,
            tick=control.check, timeout_s=self.config.ffmpeg_timeout_s,
        ) as writer:
            for i, frame in enumerate(frames(shot), start=1):
                writer.write(frame)
                control.step("render", i, shot.num_frames)
        return Clip(shot.output, shot.width, shot.height, shot.num_frames, shot.fps)


def frames(shot: RenderSpec) -> Iterator[bytes]:
    """RGB frames, height × width × 3 bytes each; the seed says where the stone fell."""
    from PIL import Image, ImageDraw  # heavy imports stay where they are used

    chance = random.Random(shot.seed)
    x, y = chance.random() * shot.width, chance.random() * shot.height
    gap = shot.width / shot.parameters["rings"]
    for i in range(shot.num_frames):
        image = Image.new("RGB", (shot.width, shot.height), WATER)
        draw = ImageDraw.Draw(image)
        for ring in range(shot.parameters["rings"] + 1):
            radius = (ring + i / shot.num_frames) * gap
            draw.ellipse((x - radius, y - radius / 2, x + radius, y + radius / 2), outline=LIGHT, width=3)
        yield image.tobytes()
