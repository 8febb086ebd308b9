"""Small clips, and an ffmpeg that can misbehave."""

import pytest

from tests.fakes.ffmpeg import FakeFfmpeg
from vidgen.media.video import ClipWriter
from vidgen.types import EncoderSettings

WIDTH, HEIGHT = 64, 48


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Every ffmpeg of this test goes through the wrapper."""
    made = FakeFfmpeg(tmp_path / "fake")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(made.executable))
    return made


def grey(i: int, n: int, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """Frame *i* of *n*: darker before lighter, with a white corner."""
    level = 40 + 160 * i // max(1, n)
    row = bytes([level] * 3) * width
    return b"\xff" * 24 + row[24:] + row * (height - 1)


@pytest.fixture
def clip(tmp_path):
    """Write a clip of grey frames and return its path."""

    def write(name: str = "clip.mp4", frames: int = 6, *, width: int = WIDTH, height: int = HEIGHT, fps: float = 7.0,
              **more):
        path = tmp_path / name
        with ClipWriter(path, width=width, height=height, fps=fps, encoder=EncoderSettings(), **more) as writer:
            for i in range(frames):
                writer.write(grey(i, frames, width, height))
        return path

    return write
