"""The contact sheet: a video's frames at a glance, in one JPEG."""

from math import isqrt
from pathlib import Path

from vidgen.errors import EncodeFailed
from vidgen.media import ffmpeg
from vidgen.media.encode import EXACT_SCALE
from vidgen.media.ffmpeg import TIMEOUT_S
from vidgen.media.probe import JPEG, JPEG_COLOURS, LISTED, ONLY_MP4, one_picture, parse_tracks

MAX_SIDE = 5
"""Tiles in a row, and rows."""

TILE_WIDTH, MAX_TILE_HEIGHT = 240, 480
"""Pixels."""

_TILE = (
    f"scale='min({TILE_WIDTH},iw)':'min({MAX_TILE_HEIGHT},ih)':force_original_aspect_ratio=decrease"
    f":force_divisible_by=2:{JPEG_COLOURS}:{EXACT_SCALE},format=yuvj420p"
)


def contact_sheet(video: Path, output: Path, *, num_frames: int, timeout_s: float = TIMEOUT_S) -> None:
    """Write evenly spaced frames of the mp4 *video*, row by row, into the JPEG *output*: of the video's shape, 240 px
    wide, or less where that would be more than 480 px high or than the video has itself.

    Up to 5 rows of 5; a video of fewer frames has fewer tiles, and none is empty. The same video gives the same bytes.

    :param num_frames: of the video.
    :param output: a temporary name; removed where anything fails.
    :raises EncodeFailed: the video does not decode without a fault, or has fewer frames.
    """
    columns, rows = grid(num_frames)
    picks = "+".join(f"eq(n,{index})" for index in shown(num_frames))
    graph = f"[0:V:0]select='{picks}',{_TILE},split[counted][tiles];[tiles]tile={columns}x{rows}[sheet]"
    try:
        listed = ffmpeg.run(
            ["-v", "error", "-xerror", *ONLY_MP4, "-i", ffmpeg.local(video), "-filter_complex", graph,
             "-map", "[counted]", "-c:v", "wrapped_avframe", "-fps_mode", "passthrough", *LISTED,
             "-map", "[sheet]", *one_picture(output, *JPEG)],
            timeout_s=timeout_s,
        )
        counted, = parse_tracks(listed, [0])
        if len(counted.packets) != columns * rows:
            raise EncodeFailed(f"the video has fewer than {num_frames} frames")
    except BaseException:
        output.unlink(missing_ok=True)
        raise


def grid(num_frames: int) -> tuple[int, int]:
    """Columns and rows for so many frames: never more tiles than frames, and as near to a square as fills every tile.
    """
    rows = min(MAX_SIDE, isqrt(num_frames))
    return min(MAX_SIDE, num_frames // rows), rows


def shown(num_frames: int) -> list[int]:
    """The frames that the tiles show, from 0: the middle one of each of as many equal parts."""
    columns, rows = grid(num_frames)
    tiles = columns * rows
    return [(2 * tile + 1) * num_frames // (2 * tiles) for tile in range(tiles)]
