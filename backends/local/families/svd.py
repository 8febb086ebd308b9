"""Stable Video Diffusion: an image becomes frames. It reads no text.

Its temporal decoder sees the frames of one chunk alone, so ``decode_chunk_size`` is part of the result. The pipeline
would decode all chunks in silence; here they are decoded one by one, by the pipeline's own code. A chunk that runs out
of memory is decoded again, what was decoded before it stays; only where the video may change, chunks become smaller.
"""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from backends.local.families import Family

if TYPE_CHECKING:
    from torch import Tensor

    from backends.local.account import Account
    from backends.local.watch import Watch

CHUNK = "decode_chunk_size"


class StableVideoDiffusion(Family):
    """See the module."""

    def frames(
        self, pipeline: Any, arguments: Mapping[str, Any], watch: "Watch", account: "Account"
    ) -> Iterator["Tensor"]:
        left = pipeline(**arguments, output_type="latent").frames
        size, done = min(arguments.get(CHUNK) or left.shape[1], left.shape[1]), 0
        watch.step("decode", 0, _chunks(left, size))
        while left.shape[1]:
            chunk = left[:, :size]
            video = _decoded(pipeline, chunk, account)
            if video is None:
                smaller = chunk.shape[1] // 2
                account.changed("decode", CHUNK, size, smaller)
                size = smaller
                continue
            yield pipeline.video_processor.postprocess_video(video, output_type="pt")[0]
            left, done = left[:, size:], done + 1
            watch.step("decode", done, done + _chunks(left, size))


def _decoded(pipeline: Any, chunk: "Tensor", account: "Account") -> "Tensor | None":
    """The frames of *chunk*; None where the memory does not suffice, and half as many frames may be tried."""
    from backends.local.memory import give_back, is_out_of_vram, let_go

    count = chunk.shape[1]
    halved = account.adapt and count > 1
    try:
        with account.leaving("decode") if halved else nullcontext():
            return pipeline.decode_latents(chunk, count, count)
    except Exception as e:
        if not halved or not is_out_of_vram(e):
            raise
        let_go(e)
    give_back()
    return None


def _chunks(latents: "Tensor", size: int) -> int:
    """How many chunks of *size* frames make up *latents* of [batch, frames, …]."""
    return -(-latents.shape[1] // size)


FAMILY = StableVideoDiffusion()
