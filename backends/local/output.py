"""Frames into the file that a shot asks for: an mp4, or a PNG."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vidgen.backend import BackendConfig, Control
from vidgen.types import Clip, RenderSpec, Still

if TYPE_CHECKING:
    from numpy import ndarray

PNG_EFFORT = 3
"""Of 9; more costs time and saves little."""


def write_clip(
    frames: Sequence["ndarray"], measured: Mapping[str, float], made: Mapping[str, Any], shot: RenderSpec,
    control: Control, config: BackendConfig,
) -> Clip:
    """Encode *frames* into ``shot.output``, reporting each as ``encode``, and keep them where the shot says so. Any
    thread.

    :raises Stopped: as *control* raised it; no file is left.
    :raises EncodeFailed: ffmpeg failed.
    """
    from vidgen.media.video import ClipWriter

    began = time.monotonic()
    with ClipWriter(
        shot.output, width=shot.width, height=shot.height, fps=shot.fps, encoder=config.encoder, frames=shot.frames,
        tick=control.check, timeout_s=config.ffmpeg_timeout_s,
    ) as writer:
        for i, frame in enumerate(frames, start=1):
            writer.write(frame.data)
            control.step("encode", i, len(frames))
    measured = {**measured, "encode_seconds": time.monotonic() - began}
    return Clip(shot.output, shot.width, shot.height, len(frames), shot.fps, measured, made)


def write_still(
    frame: "ndarray", measured: Mapping[str, float], made: Mapping[str, Any], shot: RenderSpec, control: Control
) -> Still:
    """Write *frame* to ``shot.output`` as a PNG.

    :raises Stopped: as *control* raised it; no file is left.
    :raises DiskLow: there is no room for it.
    """
    from PIL import Image

    from vidgen.media.files import full_disk_is_ours

    try:
        with full_disk_is_ours():
            Image.fromarray(frame).save(shot.output, "PNG", compress_level=PNG_EFFORT)
        control.step("encode", 1, 1)
    except BaseException:
        shot.output.unlink(missing_ok=True)
        raise
    return Still(shot.output, shot.width, shot.height, measured, made)
