"""From a downloaded output to the clip or the still that a render returns. What was downloaded may be anything."""

import os
from pathlib import Path

from backends.replicate.service import Prediction
from backends.replicate.table import Table
from backends.replicate.words import OUTPUT_UNUSABLE
from vidgen.backend import BackendConfig
from vidgen.errors import EncodeFailed, InvalidInput, StepFailed, TooLarge
from vidgen.media import video
from vidgen.media.ffmpeg import Tick
from vidgen.media.images import Taken, take_in
from vidgen.media.transcode import transcode
from vidgen.types import RenderSpec

_MP4 = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")       # ISO/IEC 14496-12 and QuickTime: the first box
_QUICKTIME = b"qt  "                                                # a brand that not every browser plays
_WEBM, _GIF = b"\x1a\x45\xdf\xa3", b"GIF8"
_PLAYS = ("h264", "yuv420p")


def make_clip(file: Path, shot: RenderSpec, config: BackendConfig, tick: Tick) -> video.Probe:
    """Turn *file* into the clip at ``shot.output``: as it is where every browser plays it, else encoded again. The
    frames that are kept, where the shot says so, are those of *file*, as the service delivered them.

    :raises StepFailed: it is not a video, or not whole; another download may be better.
    """
    start = _start(file)
    if start[4:8] in _MP4:
        found = video.inspect(file, tick=tick, timeout_s=config.ffmpeg_timeout_s)
        if (found.codec, found.pixel_format) == _PLAYS and start[8:12] != _QUICKTIME:
            _keep_frames(file, found, shot, config, tick)
            os.replace(file, shot.output)
            return found
    elif not start.startswith((_WEBM, _GIF)):
        raise StepFailed("Replicate's output is not a video", code=OUTPUT_UNUSABLE)
    try:
        made = transcode(file, shot.output, encoder=config.encoder, tick=tick, timeout_s=config.ffmpeg_timeout_s)
        _keep_frames(file, made, shot, config, tick)
        return made
    except EncodeFailed as e:
        if e.code != EncodeFailed.code:
            raise
        raise StepFailed("Replicate's output is a video that cannot be read", code=OUTPUT_UNUSABLE) from e


def _keep_frames(file: Path, found: video.Probe, shot: RenderSpec, config: BackendConfig, tick: Tick) -> None:
    if shot.frames is not None:
        video.extract_frames(
            file, shot.frames, num_frames=found.num_frames, tick=tick, timeout_s=config.ffmpeg_timeout_s
        )


def make_still(file: Path, shot: RenderSpec) -> Taken:
    """Turn *file* into the RGB PNG at ``shot.output``.

    :raises StepFailed: it is not a picture, or too large a one.
    """
    try:
        with file.open("rb") as source:
            return take_in(source, shot.output)
    except InvalidInput as e:
        raise StepFailed(f"Replicate's output {e.fields[0].message}", code=OUTPUT_UNUSABLE) from e
    except TooLarge as e:
        raise StepFailed(f"Replicate's output is too large: {e.detail}", retryable=False, code=OUTPUT_UNUSABLE) from e


def measured(table: Table, prediction: Prediction, output_seconds: float) -> dict[str, float]:
    """What the prediction took, as far as it is known; the cost is an estimate by the card's price."""
    said = {
        "predict_seconds": prediction.predict_seconds, "queue_seconds": prediction.queue_seconds,
        "cost_usd": table.cost_usd(prediction.predict_seconds, output_seconds),
    }
    return {name: round(value, 6) for name, value in said.items() if value is not None}


def _start(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(12)
