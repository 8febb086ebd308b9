"""The frames of a finished video, for those who want them where nobody kept what went into it."""

from collections.abc import Iterator
from pathlib import Path

from vidgen.errors import EncodeFailed
from vidgen.media import ffmpeg
from vidgen.media.encode import BITEXACT
from vidgen.media.ffmpeg import TIMEOUT_S, Child, Tick, nothing
from vidgen.media.frames import FrameZip
from vidgen.media.probe import AS_RGB, PNG
from vidgen.media.transcode import FOREIGN


def extract_frames(
    video: Path, output: Path, *, num_frames: int, tick: Tick = nothing, timeout_s: float = TIMEOUT_S
) -> None:
    """Write every frame of *video*, as it decodes, into the zip at *output*; see :class:`FrameZip`.

    :param video: what :func:`vidgen.media.transcode.transcode` takes.
    :param output: a temporary name; removed where anything fails.
    :raises EncodeFailed: it does not decode without a fault, or has another number of frames.
    """
    arguments = [
        "-nostdin", "-v", "error", "-xerror", *FOREIGN, "-i", ffmpeg.local(video), "-map", "0:V:0", "-vf", AS_RGB,
        "-fps_mode", "passthrough", *PNG, "-map_metadata", "-1", *BITEXACT, "-f", "image2pipe", "pipe:1",
    ]
    with Child(arguments, tick=tick, timeout_s=timeout_s) as child, FrameZip(output) as kept:
        for image in _images(child):
            kept.add(image)
        child.finish()
        if kept.frames != num_frames:
            raise EncodeFailed(f"{kept.frames} of the video's {num_frames} frames can be decoded")


def _images(child: Child) -> Iterator[bytes]:
    """The PNGs that ffmpeg writes one after the other, up to the first that is not whole."""
    while (image := _image(child)) is not None:
        yield image


def _image(child: Child) -> bytes | None:
    """The next one, by the lengths of its chunks (PNG, third edition, 5.3)."""
    image, kind = bytearray(child.read(8)), b""
    while kind != b"IEND":
        head = child.read(8)
        body = child.read(int.from_bytes(head[:4]) + 4) if len(head) == 8 else b""
        if len(body) != int.from_bytes(head[:4]) + 4:
            return None
        image += head + body
        kind = head[4:]
    return bytes(image)
