"""Clips into one mp4, with what made it written inside.

Clips whose headers, sizes and rates agree are copied packet by packet, and the result is held against them checksum
by checksum; others are brought to the first one's size and rate and encoded again.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from vidgen.errors import EncodeFailed
from vidgen.media import ffmpeg
from vidgen.media.encode import BITEXACT, TO_BT709, h264, mp4
from vidgen.media.ffmpeg import TIMEOUT_S, Tick, nothing
from vidgen.media.files import full_disk_is_ours, temporary_beside
from vidgen.media.probe import LISTED, MP4_NAMES, ONLY_MP4, Probe, Track, check_whole, inspect, parse_tracks, tracks
from vidgen.types import EncoderSettings

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_CONTAINER_KEYS = ("major_brand", "minor_version", "compatible_brands")
_SPECIAL = re.compile(r"([=;#\\\n\r])")


def join(
    clips: Sequence[Path], output: Path, *, metadata: Mapping[str, str], encoder: EncoderSettings,
    tick: Tick = nothing, timeout_s: float = TIMEOUT_S,
) -> Probe:
    """Write *clips*, one after the other, into *output*; the same clips and metadata give the same bytes.

    :param output: a temporary name; removed where joining fails.
    :param metadata: keys are words of ours, values any text. A NUL or half a surrogate pair, which an mp4 cannot
        hold, becomes U+FFFD. What the clips say of themselves is dropped.
    :param encoder: for clips that do not agree. The first one's size and rate hold; the others are letterboxed.
    :raises EncodeFailed: a clip is not whole, ffmpeg failed, or the result is not what went in.
    """
    if not clips:
        raise ValueError("there is nothing to join")
    try:
        with _scratch(output, _ffmetadata(metadata)) as described:
            return _copy_or_encode(clips, output, described, encoder, tick, timeout_s)
    except BaseException:
        output.unlink(missing_ok=True)
        raise


def read_metadata(path: Path) -> dict[str, str]:
    """What an mp4 says of itself, without the container's own brands.

    :raises EncodeFailed: it is not an mp4.
    """
    said = ffmpeg.run(
        ["-v", "error", *ONLY_MP4, "-i", ffmpeg.local(path), *BITEXACT, "-f", "ffmetadata", "pipe:1"]
    )
    found = dict(_pairs(said.stdout.decode("utf-8", "replace")))
    return {key: value for key, value in found.items() if key not in _CONTAINER_KEYS}


def _copy_or_encode(
    clips: Sequence[Path], output: Path, described: Path, encoder: EncoderSettings, tick: Tick, timeout_s: float
) -> Probe:
    """A single clip, the common case, is copied first and looked at on the way, which saves a run."""
    sources = tracks(clips, tick=tick, timeout_s=timeout_s) if len(clips) > 1 else []
    if _agree(sources):
        try:
            if copied := _copy(clips, sources, output, described, tick, timeout_s):
                return copied
        except EncodeFailed:
            if sources or _agree(tracks(clips, tick=tick, timeout_s=timeout_s)):
                raise
    sources = sources or tracks(clips, tick=tick, timeout_s=timeout_s)
    return _encode(clips, sources[0], output, described, encoder, tick, timeout_s)


def _agree(sources: Sequence[Track]) -> bool:
    """Whether copying gives a video that every browser plays, at a constant rate."""
    plays = all(s.codec == "h264" and s.pixel_format == "yuv420p" and s.regular for s in sources)
    return plays and len({_shape(s) for s in sources}) <= 1 and all(_follows(a, b) for a, b in pairwise(sources))


def _follows(before: Track, after: Track) -> bool:
    """Whether the times of decoding still grow where two clips meet. Those of one or two frames do not hold the
    frames that B-frames make a decoder wait for.
    """
    return before.packets[-1].dts < len(before.packets) * before.packets[0].duration + after.packets[0].dts


def _shape(track: Track) -> tuple[object, ...]:
    """What must be equal for packets of two clips to share one header."""
    return (
        track.codec, track.width, track.height, track.pixel_format, track.sar, track.headers,
        track.time_base, track.packets[0].duration,
    )


def _copy(
    clips: Sequence[Path], sources: Sequence[Track], output: Path, described: Path, tick: Tick, timeout_s: float
) -> Probe | None:
    """Copy packets, listing them on the way, and hold what then lies in the file against the list.

    :returns: None where the result is not a video like its clips, only longer: they are to be encoded then.
    """
    for clip in clips:
        check_whole(clip)
    whitelist = ("-protocol_whitelist", "file", "-format_whitelist", f"concat,{MP4_NAMES}")
    with _scratch(output, _concat_script(clips)) as script:
        listed = ffmpeg.run(
            ["-v", "level+info", "-xerror", *whitelist, "-f", "concat", "-safe", "0", "-auto_convert", "0",
             "-i", ffmpeg.local(script), *_described(described, 1),
             "-map", "0:V:0", "-c", "copy", *mp4(output, "use_metadata_tags"), "-map", "0:V:0", "-c", "copy", *LISTED],
            tick=tick, timeout_s=timeout_s,
        )
    read, = parse_tracks(listed, [0])
    joined, = tracks([output], tick=tick, timeout_s=timeout_s)
    same = _contents([joined]) == _contents([read]) == _contents(sources or [read])
    return joined.probe() if same and _agree([joined]) and _agree([read]) else None


def _contents(sources: Sequence[Track]) -> list[tuple[int, str]]:
    return [(packet.size, packet.checksum) for source in sources for packet in source.packets]


def _encode(
    clips: Sequence[Path], first: Track, output: Path, described: Path, encoder: EncoderSettings,
    tick: Tick, timeout_s: float,
) -> Probe:
    inputs = [argument for clip in clips for argument in (*ONLY_MP4, "-i", ffmpeg.local(clip))]
    fps = first.fps.limit_denominator(1001)
    listed = ffmpeg.run(
        ["-v", "level+info", "-xerror", *inputs, *_described(described, len(clips)),
         "-filter_complex", _letterbox(len(clips), first, fps),
         "-map", "[video]", *h264(encoder, fps), *mp4(output, "use_metadata_tags"),
         "-map", "[count]", "-c:v", "wrapped_avframe", "-fps_mode", "passthrough", *LISTED],
        tick=tick, timeout_s=timeout_s,
    )
    encoded, = parse_tracks(listed, [0])
    return inspect(output, num_frames=len(encoded.packets), tick=tick, timeout_s=timeout_s)


def _letterbox(count: int, first: Track, fps: Fraction) -> str:
    """A filter graph that brings every clip to one size and rate, puts them in a row, and shows it twice."""
    width, height = first.width + first.width % 2, first.height + first.height % 2
    fitted = (
        f"setpts=PTS-STARTPTS,fps={fps},scale=iw*sar:ih,setsar=1,"
        f"scale={width}:{height}:force_original_aspect_ratio=decrease:force_divisible_by=2,"
        f"pad={width}:{height}:(ow-iw)/2:(oh-ih)/2,setsar=1,{TO_BT709}"
    )
    clips = ";".join(f"[{i}:V:0]{fitted}[clip{i}]" for i in range(count))
    row = "".join(f"[clip{i}]" for i in range(count))
    return f"{clips};{row}concat=n={count},split[video][count]"


def _described(described: Path, index: int) -> list[str]:
    """The file of metadata as input number *index*, and its use in place of the clips' own."""
    return [
        "-protocol_whitelist", "file", "-f", "ffmetadata", "-i", ffmpeg.local(described),
        "-map_metadata", str(index), "-map_metadata:s", "-1", "-map_chapters", "-1",
    ]


def _concat_script(clips: Sequence[Path]) -> bytes:
    """What the concat demuxer reads; inside single quotes only the quote itself is special."""
    lines = ["file '{}'".format(ffmpeg.local(clip).replace("'", r"'\''")) for clip in clips]
    return "\n".join(["ffconcat version 1.0", *lines, ""]).encode()


def _ffmetadata(metadata: Mapping[str, str]) -> bytes:
    if wrong := [key for key in metadata if not _KEY.fullmatch(key)]:
        raise ValueError(f"not a key of metadata: {wrong[0]!r}")
    lines = [f"{key}={_escaped(value)}\n" for key, value in metadata.items()]
    return "".join([";FFMETADATA1\n", *lines]).encode()


def _escaped(value: str) -> str:
    """One value. ffmpeg takes the end of a line that follows a backslash for text, even where the backslash is
    itself escaped; a NUL between them ends the value for it, and then the line."""
    clean = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")
    escaped = _SPECIAL.sub(r"\\\1", clean)
    return escaped + "\0" if escaped.endswith("\\") else escaped


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """The global keys and values of ``ffmetadata`` text."""
    for line in re.finditer(r"((?:[^\\\n]|\\[\s\S])*)\n", text):
        if line[1].startswith("["):
            return
        if found := re.fullmatch(r"((?:[^\\=]|\\[\s\S])*)=([\s\S]*)", line[1]):
            yield _unescaped(found[1]), _unescaped(found[2])


def _unescaped(text: str) -> str:
    return re.sub(r"\\([\s\S])", r"\1", text)


@contextmanager
def _scratch(output: Path, content: bytes) -> Iterator[Path]:
    """A file beside *output* that ffmpeg reads, for the time of the block."""
    path = temporary_beside(output.with_suffix(".txt"))
    try:
        with full_disk_is_ours():
            path.write_bytes(content)
        yield path
    finally:
        path.unlink(missing_ok=True)
