"""What stands in an mp4: its packets as they lie there, its frames as they decode, and pictures of them.

There is no ffprobe in the house. ffmpeg's ``framecrc`` output lists every packet and every decoded frame in a form
made for reading by programs; only the pixel format has to be read from the log.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from vidgen.errors import EncodeFailed
from vidgen.media import ffmpeg
from vidgen.media.encode import BITEXACT, EXACT_SCALE
from vidgen.media.ffmpeg import TIMEOUT_S, Tick, nothing
from vidgen.media.images import MAX_PIXELS

MP4_NAMES = "mov,mp4,m4a,3gp,3g2,mj2"
ONLY_MP4 = ("-protocol_whitelist", "file", "-format_whitelist", MP4_NAMES, "-max_pixels", str(MAX_PIXELS))
"""Nothing that a clip says of itself makes ffmpeg open another file or an address, or take gigabytes for a frame."""

LISTED = ("-map_metadata", "-1", "-flush_packets", "1", *BITEXACT, "-f", "framecrc", "pipe:1")
"""The output that :func:`parse_tracks` reads."""

JPEG = ("-c:v", "mjpeg", "-q:v", "3")        # 2 is the best
JPEG_COLOURS = "out_color_matrix=bt601:out_range=pc"
PNG = ("-c:v", "png", "-compression_level", "1")
AS_RGB = f"scale={EXACT_SCALE},format=rgb24"

_DISCARD = 4                        # the flag of a packet that is stored and not shown
_STREAM = re.compile(r"^\[info\] +Stream #(\d+):\d+\S*: Video: (?!.*\(attached pic\))[^,]+, ([a-z0-9]+)", re.M)


class Packet(NamedTuple):
    """One line of ``framecrc``: times in units of the stream's time base, size in bytes."""

    dts: int
    pts: int
    duration: int
    size: int
    checksum: str
    shown: bool                     # false: outside of what the container says is played


@dataclass(frozen=True, slots=True)
class Probe:
    """What a video was found to be."""

    width: int                      # pixels
    height: int                     # pixels
    num_frames: int
    fps: float                      # frames a second
    duration_seconds: float
    codec: str
    pixel_format: str


@dataclass(frozen=True, slots=True)
class Track:
    """One stream as ``framecrc`` lists it."""

    codec: str
    width: int
    height: int
    time_base: Fraction             # seconds
    sar: str                        # shape of a pixel
    headers: str                    # checksum of the codec's own headers
    pixel_format: str
    packets: tuple[Packet, ...]     # all that are stored

    @property
    def frames(self) -> list[Packet]:
        """Those that are shown."""
        return [p for p in self.packets if p.shown]

    @property
    def span(self) -> Fraction:
        """From the first frame's start to the last one's end, in seconds."""
        start, end = min(p.pts for p in self.frames), max(p.pts + p.duration for p in self.frames)
        return (end - start) * self.time_base

    @property
    def fps(self) -> Fraction:
        return len(self.frames) / self.span

    @property
    def regular(self) -> bool:
        """Whether all packets are frames that follow each other from 0 on and last equally long."""
        step = self.packets[0].duration
        times = sorted(p.pts for p in self.packets)
        return all(p.duration == step for p in self.packets) and times == [i * step for i in range(len(times))]

    def probe(self) -> Probe:
        return Probe(
            self.width, self.height, len(self.frames), float(self.fps), float(self.span), self.codec,
            self.pixel_format,
        )


def inspect(
    path: Path, *, num_frames: int | None = None, poster: Path | None = None, last_frame: Path | None = None,
    tick: Tick = nothing, timeout_s: float = TIMEOUT_S,
) -> Probe:
    """Decode the whole video, and say what it is, or that it is not whole.

    One run of ffmpeg does it all. Where pictures are wanted and *num_frames* is not known, a first run counts.

    :param num_frames: how many frames there must be.
    :param poster: where to write the middle frame as a JPEG, of the video's size.
    :param last_frame: where to write the last frame as a PNG, RGB, exactly as it decodes.
    :raises EncodeFailed: the file is not whole, does not decode without a fault, or has another number of frames.
    """
    if num_frames is None and (poster or last_frame):
        num_frames = inspect(path, tick=tick, timeout_s=timeout_s).num_frames
    pictures = [p for p in (poster, last_frame) if p is not None]
    try:
        probe = _decode(path, [*_poster(poster, num_frames), *_last(last_frame, num_frames)], tick, timeout_s)
        _check(probe, num_frames, pictures)
    except BaseException:
        for picture in pictures:
            picture.unlink(missing_ok=True)
        raise
    return probe


def tracks(paths: Sequence[Path], *, tick: Tick = nothing, timeout_s: float = TIMEOUT_S) -> list[Track]:
    """The video stream of each file, packet by packet, in one run and without decoding.

    :raises EncodeFailed: a file is not there, not an mp4, not whole, or has no video.
    """
    arguments = ["-v", "level+info", "-xerror"]
    for path in paths:
        check_whole(path)
        arguments += [*ONLY_MP4, "-i", ffmpeg.local(path)]
    for i in range(len(paths)):
        arguments += ["-map", f"{i}:V:0"]
    output = ffmpeg.run([*arguments, "-c", "copy", *LISTED], tick=tick, timeout_s=timeout_s)
    return parse_tracks(output, range(len(paths)))


def count_frames(path: Path, *, timeout_s: float = TIMEOUT_S) -> int:
    """How many frames of the video are shown, without decoding.

    :raises EncodeFailed: as :func:`tracks`.
    """
    track, = tracks([path], timeout_s=timeout_s)
    return len(track.frames)


def check_whole(path: Path) -> None:
    """Hold the sizes of an mp4's outermost boxes against the file's: the one way to see every cut at its end.

    :raises EncodeFailed: the file is not there, ends inside a box, or has no index.
    """
    try:
        boxes = list(_boxes(path))
    except OSError as e:
        raise EncodeFailed("the video cannot be read") from e
    if b"moov" not in boxes or boxes[-1] is None:
        raise EncodeFailed("the video is not whole")


def _boxes(path: Path) -> Iterator[bytes | None]:
    """The names of the outermost boxes (ISO/IEC 14496-12); None, at the end, where the file's end is not a box's."""
    with path.open("rb") as file:
        at, end = 0, os.fstat(file.fileno()).st_size
        while at < end:
            head = file.read(16)
            size = int.from_bytes(head[8:16] if head[:4] == b"\0\0\0\1" else head[:4]) or end - at
            if size < 8 or size > end - at:
                yield None
                return
            yield head[4:8]
            at = file.seek(at + size)


def parse_tracks(output: ffmpeg.Output, inputs: Sequence[int]) -> list[Track]:
    """Read the streams out of ``framecrc`` text.

    :param inputs: for each stream, the number of the input that its pixel format is read from.
    :raises EncodeFailed: a stream has no packets, or one without a time.
    """
    headers: dict[tuple[str, int], str] = {}
    packets: list[list[Packet]] = [[] for _ in inputs]
    for line in output.stdout.decode("ascii", "replace").splitlines():
        if found := re.match(r"#(\w+) (\d+): *(.*)", line):
            headers[found[1], int(found[2])] = found[3]
        elif line[:1].isdigit():
            index, packet = _packet([field.strip() for field in line.split(",")])
            packets[index].append(packet)
    formats = {int(index): found for index, found in reversed(_STREAM.findall(output.stderr))}
    return [_track(i, headers, packets[i], formats.get(source, "unknown")) for i, source in enumerate(inputs)]


def _packet(fields: Sequence[str]) -> tuple[int, Packet]:
    index, dts, pts, duration, size, checksum, *more = fields
    flags = next((int(field[2:], 16) for field in more if field.startswith("F=")), 0)
    return int(index), Packet(_time(dts), _time(pts), int(duration), int(size), checksum, not flags & _DISCARD)


def _track(i: int, headers: dict[tuple[str, int], str], packets: list[Packet], pixel_format: str) -> Track:
    if not any(p.shown and p.duration > 0 for p in packets):
        raise EncodeFailed("the video holds no frames")
    width, height = headers["dimensions", i].split("x")
    return Track(
        codec=headers["codec_id", i], width=int(width), height=int(height),
        time_base=Fraction(headers["tb", i]), sar=headers.get(("sar", i), ""),
        headers=headers.get(("extradata", i), ""), pixel_format=pixel_format, packets=tuple(packets),
    )


def _time(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise EncodeFailed("the video has frames without a time") from None


def _decode(path: Path, pictures: Sequence[str], tick: Tick, timeout_s: float) -> Probe:
    check_whole(path)
    source = ("-threads", "1", *ONLY_MP4, "-i", ffmpeg.local(path))
    twice = ("-map", "0:V:0", "-map", "0:V:0", "-c:v:0", "copy", "-c:v:1", "wrapped_avframe")
    output = ffmpeg.run(
        ["-v", "level+info", "-xerror", *source, *twice, "-fps_mode", "passthrough", *LISTED, *pictures],
        tick=tick, timeout_s=timeout_s,
    )
    stored, decoded = parse_tracks(output, [0, 0])
    if len(stored.frames) != len(decoded.packets):
        raise EncodeFailed(f"{len(decoded.packets)} of the video's {len(stored.frames)} frames can be decoded")
    return stored.probe()


def _poster(poster: Path | None, num_frames: int | None) -> list[str]:
    if poster is None:
        return []
    return _picture(poster, num_frames // 2, f"scale={JPEG_COLOURS},format=yuvj420p", *JPEG)


def _last(last_frame: Path | None, num_frames: int | None) -> list[str]:
    if last_frame is None:
        return []
    return _picture(last_frame, num_frames - 1, AS_RGB, *PNG)


def _picture(path: Path, index: int, convert: str, *codec: str) -> list[str]:
    return ["-map", "0:V:0", "-vf", f"select=eq(n\\,{index}),{convert}", *one_picture(path, *codec)]


def one_picture(path: Path, *codec: str) -> list[str]:
    """The arguments of every picture that is written: the first frame that comes."""
    return [
        "-frames:v", "1", *codec, "-threads:v", "1", "-map_metadata", "-1", *BITEXACT, "-f", "image2", "-update", "1",
        "-y", ffmpeg.local(path),
    ]


def _check(probe: Probe, num_frames: int | None, pictures: Sequence[Path]) -> None:
    if num_frames is not None and probe.num_frames != num_frames:
        raise EncodeFailed(f"the video holds {probe.num_frames} of {num_frames} frames")
    if not all(picture.is_file() and picture.stat().st_size for picture in pictures):
        raise EncodeFailed("ffmpeg left out a picture of the video")
