"""Stable Video Diffusion: an image becomes frames. It reads no text.

Its temporal decoder sees the frames of one chunk alone, so ``decode_chunk_size`` is part of the result. The pipeline
would decode all chunks in silence; here they are decoded one by one, by the pipeline's own code.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from backends.local.families import Family

if TYPE_CHECKING:
    from torch import Tensor

    from backends.local.watch import Watch


class StableVideoDiffusion(Family):
    """See the module."""

    def frames(self, pipeline: Any, arguments: Mapping[str, Any], watch: "Watch") -> Iterator["Tensor"]:
        latents = pipeline(**arguments, output_type="latent").frames
        chunks = latents.split(arguments.get("decode_chunk_size") or latents.shape[1], dim=1)
        watch.step("decode", 0, len(chunks))
        for i, chunk in enumerate(chunks, start=1):
            count = chunk.shape[1]
            video = pipeline.decode_latents(chunk, count, count)
            yield pipeline.video_processor.postprocess_video(video, output_type="pt")[0]
            watch.step("decode", i, len(chunks))


FAMILY = StableVideoDiffusion()
