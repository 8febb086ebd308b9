"""Previews: what a render is coming to, seen through :mod:`backends.local.latent_rgb`.

A small picture of the latents is taken on the rendering thread, at most one a second; whoever shows it turns it into
an animated WebP on a thread of their own.
"""

import functools
import io
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from vidgen.backend import PREVIEW_INTERVAL_S
from vidgen.types import RenderSpec

if TYPE_CHECKING:
    from numpy import ndarray
    from torch import Tensor

log = logging.getLogger(__name__)

EVERY_S_ON_CPU = 5.0                    # making them takes cores from the networks: one a second cost 3 % of the time
FRAMES = 6
SIDE_PX = 256
FRAME_MS = 200
QUALITY = 70                            # with the quickest method: the file is shown for a second


class Previews:
    """Takes a preview of one request's latents when one is due."""

    def __init__(
        self, vae: Any, shot: RenderSpec, every_s: float = PREVIEW_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._vae = vae
        self._shot = shot
        self._every_s = every_s
        self._clock = clock
        self._due = float("-inf")

    def of(self, step: Mapping[str, Any], output: Any) -> Callable[[], bytes] | None:
        """What makes the preview after a step; None where none is due, or where the latents cannot be read.

        :param step: the arguments of the scheduler's ``step``, ``self`` among them.
        :param output: what it returned.
        """
        if self._clock() < self._due:
            return None
        self._due = self._clock() + self._every_s
        try:
            return self._taken(step, output)
        except Exception:                   # a preview is never worth a render
            log.warning("no previews of %s", self._shot.shot_id, exc_info=True)
            self._due = float("inf")
            return None

    def _taken(self, step: Mapping[str, Any], output: Any) -> Callable[[], bytes] | None:
        from backends.local.latent_rgb import to_rgb

        frames = in_frames(estimate(step, output), self._vae, self._shot)
        if frames is None:
            return None
        some = frames[spread(len(frames), FRAMES)]
        pixels = (to_rgb(some.movedim(1, -1), self._vae) * 255).byte().cpu().numpy()
        return functools.partial(webp, pixels)


def estimate(step: Mapping[str, Any], output: Any) -> "Tensor":
    """The clean latents as the scheduler now expects them; where it does not say, the latents after the step."""
    scheduler, sample = step["self"], step.get("sample")
    after, *more = output if isinstance(output, tuple) else output.to_tuple()
    if more and getattr(more[0], "shape", None) == after.shape:
        return more[0]
    if getattr(scheduler.config, "predict_x0", False):      # multistep schedulers keep their estimates
        return scheduler.model_outputs[-1]
    if type(scheduler).__name__.startswith("FlowMatchEuler") and sample is not None:
        return sample - scheduler.sigmas[scheduler.step_index - 1] * step["model_output"]
    return after


def in_frames(latents: "Tensor", vae: Any, shot: RenderSpec) -> "Tensor | None":
    """Latents of the first of a batch as [frames, channels, height, width]; None where they have another order.

    Known are [batch, channels, height, width], [batch, channels, frames, height, width], [batch, frames, channels,
    height, width] and the packed [batch, frames × height × width, channels].
    """
    channels = getattr(vae.config, "latent_channels", None) or vae.config.z_dim
    first = latents[0]
    if first.ndim == 2 and first.shape[1] == channels:
        return _unpacked(first, vae, shot)
    if first.ndim == 3 and first.shape[0] == channels:
        return first[None]
    if first.ndim == 4 and channels in first.shape[:2]:
        return first.movedim(0, 1) if first.shape[0] == channels else first
    return None


def _unpacked(rows: "Tensor", vae: Any, shot: RenderSpec) -> "Tensor | None":
    height = shot.height // vae.spatial_compression_ratio
    width = shot.width // vae.spatial_compression_ratio
    frames = (shot.num_frames - 1) // vae.temporal_compression_ratio + 1
    if len(rows) != frames * height * width:
        return None
    return rows.unflatten(0, (frames, height, width)).movedim(-1, 1)


def spread(count: int, most: int) -> list[int]:
    """At most *most* of *count* positions, evenly, the first and the last among them."""
    taken = min(count, most)
    return [round(i * (count - 1) / max(taken - 1, 1)) for i in range(taken)]


def webp(frames: "ndarray") -> bytes:
    """Frames of [n, height, width, 3] bytes as a WebP whose longer side has :data:`SIDE_PX` pixels; animated where
    there are several.
    """
    from PIL import Image

    scale = SIDE_PX / max(frames.shape[1:3])
    size = round(frames.shape[2] * scale) or 1, round(frames.shape[1] * scale) or 1
    first, *rest = (Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR) for frame in frames)
    out = io.BytesIO()
    first.save(out, "WEBP", save_all=True, append_images=rest, duration=FRAME_MS, loop=0, quality=QUALITY, method=0)
    return out.getvalue()
