"""Videos from elsewhere into what clips of ours are: an mp4 with H.264, yuv420p, square pixels, a constant frame rate.

mp4 and its relatives, WebM and GIF are taken; nothing that they say of themselves makes ffmpeg open another file or
an address. Every frame is kept, the same time is given to each; sound and metadata are dropped.
"""

from fractions import Fraction
from pathlib import Path

from vidgen.errors import EncodeFailed
from vidgen.media import ffmpeg
from vidgen.media.encode import TO_BT709, h264, mp4
from vidgen.media.ffmpeg import TIMEOUT_S, Tick, nothing
from vidgen.media.images import MAX_PIXELS
from vidgen.media.probe import LISTED, MP4_NAMES, Probe, Track, inspect, parse_tracks
from vidgen.types import EncoderSettings

USUAL_RATES = (*map(Fraction, range(1, 121)), *(Fraction(n * 1000, 1001) for n in (24, 30, 60)))
"""Frames a second that a measured rate is taken for, where it comes as close as times in milliseconds allow."""

FOREIGN = (
    "-protocol_whitelist", "file", "-format_whitelist", f"{MP4_NAMES},matroska,webm,gif",
    "-max_pixels", str(MAX_PIXELS),
)

_CLOSE = 0.004                      # a millisecond in a quarter of a second


def transcode(
    source: Path, output: Path, *, encoder: EncoderSettings, tick: Tick = nothing, timeout_s: float = TIMEOUT_S
) -> Probe:
    """Write the video in *source* to *output*, and say what was written.

    An odd width or height grows by one pixel, because 4:2:0 video has even sizes only.

    :param output: a temporary name; removed where anything fails.
    :raises EncodeFailed: *source* is not a video that is taken, or does not decode without a fault.
    """
    found, num_frames = _look_at(source, tick, timeout_s)
    fps = usual_rate(num_frames / found.span)
    try:
        ffmpeg.run(
            ["-v", "level+info", "-xerror", *FOREIGN, "-i", ffmpeg.local(source), "-map", "0:V:0",
             "-map_metadata", "-1", "-map_chapters", "-1", "-vf", _evenly(found, fps),
             *h264(encoder, fps), *mp4(output)],
            tick=tick, timeout_s=timeout_s,
        )
        return inspect(output, num_frames=num_frames, tick=tick, timeout_s=timeout_s)
    except BaseException:
        output.unlink(missing_ok=True)
        raise


def usual_rate(fps: Fraction) -> Fraction:
    """The usual rate that *fps* was meant to be, or *fps* as the container can hold it."""
    nearest = min(USUAL_RATES, key=lambda usual: abs(usual - fps))
    return nearest if abs(nearest / fps - 1) < _CLOSE else fps.limit_denominator(1001)


def _look_at(source: Path, tick: Tick, timeout_s: float) -> tuple[Track, int]:
    """The video as it is stored, and how many frames it has when it is decoded."""
    twice = ("-map", "0:V:0", "-map", "0:V:0", "-c:v:0", "copy", "-c:v:1", "wrapped_avframe")
    listed = ffmpeg.run(
        ["-v", "level+info", "-xerror", *FOREIGN, "-i", ffmpeg.local(source), *twice,
         "-fps_mode", "passthrough", *LISTED],
        tick=tick, timeout_s=timeout_s,
    )
    stored, decoded = parse_tracks(listed, [0, 0])
    if not stored.span:
        raise EncodeFailed("the video lasts no time")
    return stored, len(decoded.packets)


def _evenly(found: Track, fps: Fraction) -> str:
    """A filter that gives every frame its place, square pixels and an even size."""
    numbers = found.sar.split("/") if "/" in found.sar else ("1", "1")
    shape = Fraction(int(numbers[0]) or 1, int(numbers[1]) or 1)
    width = round(found.width * shape)
    place = f"settb=AVTB,setpts=N/({fps})/TB,fps={fps}"
    return f"{place},scale={width + width % 2}:{found.height + found.height % 2},setsar=1,{TO_BT709}"
