"""Videos from elsewhere: what is taken, and what becomes of it."""

from fractions import Fraction

import pytest

from tests.fakes.footage import footage
from vidgen.errors import Cancelled, EncodeFailed
from vidgen.media.transcode import transcode, usual_rate
from vidgen.media.video import inspect
from vidgen.types import EncoderSettings


@pytest.fixture
def taken(tmp_path):
    """Transcode some footage."""
    def taken(content: bytes, **more):
        source = tmp_path / "source.part"
        source.write_bytes(content)
        return transcode(source, tmp_path / "out.mp4", encoder=EncoderSettings(), **more)

    return taken


@pytest.mark.parametrize(
    ("suffix", "arguments"),
    [(".webm", ("-c:v", "libvpx-vp9")), (".gif", ()), (".mov", ("-c:v", "libx265")), (".mp4", ("-c:v", "mpeg4")),
     (".mp4", ("-f", "lavfi", "-i", "sine=d=1", "-shortest", "-c:v", "libx264"))],
)
def test_every_frame_arrives_and_the_rest_stays(taken, tmp_path, suffix, arguments):
    said = taken(footage(suffix, *arguments))
    assert (said.codec, said.pixel_format, said.num_frames, said.fps) == ("h264", "yuv420p", 25, 25.0)
    assert inspect(tmp_path / "out.mp4", num_frames=25) == said


def test_odd_sizes_and_pixels_that_are_not_square(taken):
    assert (taken(footage(".webm", size="33x21")).width, taken(footage(".gif", size="33x21")).height) == (34, 22)
    stretched = taken(footage(".mp4", "-vf", "setsar=2/1", "-c:v", "libx264"))
    assert (stretched.width, stretched.height) == (128, 36)


def test_uneven_times_become_even_ones(taken):
    said = taken(footage(".gif", "-vf", "setpts='if(gte(N,5),PTS+1/TB,PTS)'", "-fps_mode", "vfr", rate="10"))
    assert (said.num_frames, said.fps, said.duration_seconds) == (10, 5.0, 2.0)


@pytest.mark.parametrize(
    ("measured", "meant"),
    [(Fraction(24), 24), (Fraction(23, 1) + Fraction(95, 100), Fraction(24000, 1001)), (Fraction(2503, 100), 25),
     (Fraction(30000, 1001), Fraction(30000, 1001)), (Fraction(15, 2), Fraction(15, 2))],
)
def test_rates_are_taken_for_the_usual_ones(measured, meant):
    assert usual_rate(measured) == meant


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"#EXTM3U\nfile.ts\n", b"ffconcat version 1.0\nfile /etc/hostname\n",
     b"\x1a\x45\xdf\xa3" + bytes(64), b"GIF89a" + bytes(64)],
)
def test_what_is_not_a_video_is_refused(taken, tmp_path, content):
    with pytest.raises(EncodeFailed):
        taken(content)
    assert not (tmp_path / "out.mp4").exists()


def test_a_cancel_is_heard(taken, tmp_path):
    def tick() -> None:
        raise Cancelled("now")

    with pytest.raises(Cancelled):
        taken(footage(".gif"), tick=tick)
    assert not (tmp_path / "out.mp4").exists()
