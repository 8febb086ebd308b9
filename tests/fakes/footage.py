"""A second of a test picture, as services send it: mp4, WebM, GIF, MOV, and a single picture. Made once a run."""

import subprocess
import tempfile
from functools import cache
from pathlib import Path

from imageio_ffmpeg import get_ffmpeg_exe

WIDTH, HEIGHT, FPS, FRAMES = 64, 36, 25, 25


@cache
def footage(suffix: str, *arguments: str, size: str = f"{WIDTH}x{HEIGHT}", rate: str = str(FPS)) -> bytes:
    """A file as ffmpeg makes it; *arguments* say how it is encoded."""
    source = ["-f", "lavfi", "-i", f"testsrc=size={size}:rate={rate}:duration=1"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"footage{suffix}"
        command = [get_ffmpeg_exe(), "-v", "error", *source, *arguments, str(file)]
        subprocess.run(command, capture_output=True, check=True, timeout=30)
        return file.read_bytes()


def small_mp4() -> bytes:
    return footage(".mp4", "-c:v", "libx264", "-pix_fmt", "yuv420p")


def small_webm() -> bytes:
    return footage(".webm", "-c:v", "libvpx")


def small_gif() -> bytes:
    return footage(".gif")


def small_png() -> bytes:
    return footage(".png", "-frames:v", "1", "-pix_fmt", "rgb24")
