"""Frames into H.264: what every clip of ours is encoded with, and :class:`ClipWriter`, which feeds it.

All of it determines the bytes: the same frames and settings give the same file. An odd width or height grows by one
pixel that repeats the edge, because 4:2:0 video has even sizes only.
"""

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal

from vidgen.errors import EncodeFailed
from vidgen.media import ffmpeg
from vidgen.media.ffmpeg import TIMEOUT_S, Child, Tick, nothing
from vidgen.media.frames import FrameZip, from_rgb, from_yuv, png
from vidgen.types import EncoderSettings

PixelFormat = Literal["rgb24", "yuv420p"]

BITEXACT = ("-fflags", "+bitexact", "-flags:v", "+bitexact")
"""No version, no date: nothing in the file that the frames and settings do not determine."""

EXACT_SCALE = "flags=bicubic+accurate_rnd+full_chroma_int+bitexact"
"""The same pixels on every processor; measured to cost nothing at 1024x576."""

BT709 = "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
TO_BT709 = f"scale=out_color_matrix=bt709:out_range=tv:{EXACT_SCALE},format=yuv420p,{BT709}"
"""From RGB or any video to what browsers take for granted; without it ffmpeg converts by BT.601 and tags nothing."""

_SEEK_S = 2                         # a key frame at least this often, so that scrubbing feels immediate


def rate(fps: float) -> Fraction:
    """Frames a second as the ratio that the container can hold exactly."""
    return Fraction(fps).limit_denominator(1001)


def h264(encoder: EncoderSettings, fps: Fraction) -> list[str]:
    """The arguments of every encode; ``stitchable`` keeps the headers of equal clips equal, so that they join."""
    return [
        "-c:v", "libx264", "-profile:v", "high", "-preset", encoder.preset, "-crf", str(encoder.crf),
        "-threads", str(encoder.threads), "-g", str(max(1, round(fps * _SEEK_S))),
        "-x264-params", "stitchable=1", *BITEXACT,
    ]


def mp4(path: Path, *flags: str) -> list[str]:
    """The arguments of every mp4 that is written: the index in front, so that it plays while it loads."""
    return [*BITEXACT, "-movflags", "+".join(["+faststart", *flags]), "-f", "mp4", "-y", ffmpeg.local(path)]


def frame_bytes(width: int, height: int, pixel_format: PixelFormat) -> int:
    """The size of one raw frame."""
    if pixel_format == "rgb24":
        return width * height * 3
    return width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)


class ClipWriter:
    """Encodes frames into an mp4 (H.264, yuv420p, constant frame rate) as they come.

    A context manager. Leaving it normally waits for ffmpeg and checks how it ended; that the file holds what was
    written is for :func:`vidgen.media.video.inspect` to say. Leaving it by an exception removes the files.

    :param path: where to write; a temporary name.
    :param fps: frames a second, fractions allowed.
    :param pixel_format: of the frames that come: ``rgb24`` (full range), or ``yuv420p`` (BT.709, limited range).
    :param frames: where to keep the frames themselves, as :class:`FrameZip` does: ``rgb24`` bit for bit, ``yuv420p``
        as RGB; a temporary name, ``RenderSpec.frames``. None: they are not kept.
    :param timeout_s: how long ffmpeg may take no frame, or work on after the last.
    """

    def __init__(
        self, path: Path, *, width: int, height: int, fps: float, pixel_format: PixelFormat = "rgb24",
        encoder: EncoderSettings, frames: Path | None = None, tick: Tick = nothing, timeout_s: float = TIMEOUT_S,
    ):
        self.path = path
        self.frames = 0
        self._size = width, height
        self._frame_bytes = frame_bytes(width, height, pixel_format)
        self._as_image = from_rgb if pixel_format == "rgb24" else from_yuv
        self._arguments = _arguments(path, width, height, rate(fps), pixel_format, encoder)
        self._kept = FrameZip(frames) if frames else None
        self._tick = tick
        self._timeout_s = timeout_s

    def __enter__(self) -> "ClipWriter":
        with ExitStack() as stack:
            stack.push(self._remove_what_failed)
            if self._kept is not None:
                stack.enter_context(self._kept)
            child = Child(self._arguments, feed=True, tick=self._tick, timeout_s=self._timeout_s)
            self._child = stack.enter_context(child)
            self._cleanup = stack.pop_all()
        return self

    def write(self, frame: bytes | memoryview) -> None:
        """Hand over one whole frame: rows from the top, no padding, C order.

        :raises EncodeFailed: ffmpeg failed, or takes no more.
        :raises DiskLow: there is no room to keep the frame.
        """
        data = memoryview(frame).cast("B")
        if len(data) != self._frame_bytes:
            raise ValueError(f"a frame has {self._frame_bytes} bytes, not {len(data)}")
        self._child.feed(data)
        if self._kept is not None:
            self._kept.add(png(self._as_image(data, *self._size)))
        self.frames += 1

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        if kind is not None:
            self._cleanup.__exit__(kind, e, tb)
            return
        with self._cleanup:
            self._finish()

    def _finish(self) -> None:
        if not self.frames:
            raise EncodeFailed("no frame was written")
        self._child.finish()

    def _remove_what_failed(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.path.unlink(missing_ok=True)


def _arguments(
    path: Path, width: int, height: int, fps: Fraction, pixel_format: PixelFormat, encoder: EncoderSettings
) -> list[str]:
    filters = [*_even(width, height, pixel_format), TO_BT709 if pixel_format == "rgb24" else BT709]
    return [
        "-v", "error", "-f", "rawvideo", "-pixel_format", pixel_format, "-video_size", f"{width}x{height}",
        "-framerate", str(fps), "-i", "pipe:0", "-vf", ",".join(filters), *h264(encoder, fps), *mp4(path),
    ]


def _even(width: int, height: int, pixel_format: PixelFormat) -> list[str]:
    """Filters that repeat the last column and row of an odd size. 4:2:0 frames have their colour there already."""
    right, bottom = width % 2, height % 2
    if not right and not bottom:
        return []
    grow = f"pad={width + right}:{height + bottom},fillborders=right={right}:bottom={bottom}:mode=smear"
    if pixel_format == "rgb24":
        return [grow]
    return [f"extractplanes=y+u+v[y][u][v];[y]{grow}[grown];[grown][u][v]mergeplanes=0x001020:yuv420p"]
