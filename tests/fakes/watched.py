"""The backend ``watched``: the trial's steps, memory and holds, with pictures that are worth looking at.

It draws what the stub draws, and shows at every step how the first frame comes out of the noise.
"""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.fakes.trial import TrialBackend
from vidgen.types import RenderSpec

if TYPE_CHECKING:
    from PIL.Image import Image

PREVIEW_PX = 96
NOISE = 90


class WatchedBackend(TrialBackend):
    """Animatics, rendered in denoising steps that a test can hold."""

    provider = "watched"

    def preview(self, shot: RenderSpec, step: int) -> bytes:
        from PIL import Image

        from backends.stub import shoot
        from backends.stub.film import to_rgb

        small = to_rgb(next(shoot.frames(shot, _nothing)))
        small.thumbnail((PREVIEW_PX, PREVIEW_PX))
        noise = Image.merge("RGB", [Image.effect_noise(small.size, NOISE) for _ in "RGB"])
        Image.blend(noise, small, step / shot.num_inference_steps).save(data := io.BytesIO(), "JPEG")
        return data.getvalue()

    def draw(self, shot: RenderSpec) -> "Image":
        from backends.stub import shoot

        return shoot.still(shot, _nothing, _nothing)

    def frames(self, shot: RenderSpec) -> Iterator[bytes]:
        from backends.stub import shoot
        from backends.stub.film import to_rgb

        for planes in shoot.frames(shot, _nothing):
            yield to_rgb(planes).tobytes()


def _nothing() -> None:
    """There is nobody to listen to between the parts of a drawing this small."""
