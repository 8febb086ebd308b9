"""Lossless frames: those that went into the encoder, bit for bit, or those of a video from elsewhere."""

import io
import random
import subprocess
from itertools import pairwise
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import pytest
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

from tests.fakes.footage import small_gif, small_webm
from tests.media.conftest import grey
from vidgen.errors import Cancelled, DiskLow, EncodeFailed
from vidgen.media.encode import EXACT_SCALE
from vidgen.media.transcode import transcode
from vidgen.media.video import ClipWriter, extract_frames, frame_bytes, inspect
from vidgen.types import EncoderSettings


def noise(n, size, seed=1):
    return [random.Random(seed + i).randbytes(size) for i in range(n)]


def write(tmp_path, frames, width, height, **more):
    with ClipWriter(
        tmp_path / "c.mp4", width=width, height=height, fps=7, encoder=EncoderSettings(), frames=tmp_path / "c.zip",
        **more,
    ) as writer:
        for frame in frames:
            writer.write(frame)
    return tmp_path / "c.zip"


def images(path: Path) -> list[Image.Image]:
    with ZipFile(path) as kept:
        assert kept.testzip() is None
        assert kept.namelist() == [f"frame_{i:05d}.png" for i in range(len(kept.namelist()))]
        found = [Image.open(io.BytesIO(kept.read(name))) for name in kept.namelist()]
    assert {(image.format, image.mode) for image in found} == {("PNG", "RGB")}
    return found


def decoded(path: Path, count: int) -> list[bytes]:
    """The frames as RGB, by an ffmpeg that none of our code started."""
    done = subprocess.run(
        [get_ffmpeg_exe(), "-v", "error", "-nostdin", "-i", path, "-vf", f"scale={EXACT_SCALE},format=rgb24",
         "-fps_mode", "passthrough", "-f", "rawvideo", "pipe:1"], capture_output=True, check=True,
    )
    size = len(done.stdout) // count
    return [done.stdout[i * size:(i + 1) * size] for i in range(count)]


# while encoding


@pytest.mark.parametrize(("width", "height"), [(64, 48), (101, 57), (16, 1)])
def test_rgb_frames_are_kept_bit_for_bit(tmp_path, width, height):
    frames = noise(5, frame_bytes(width, height, "rgb24"))
    kept = images(write(tmp_path, frames, width, height))
    assert [image.tobytes() for image in kept] == frames
    assert {image.size for image in kept} == {(width, height)}
    assert inspect(tmp_path / "c.mp4").num_frames == 5


@pytest.mark.parametrize(("y", "cb", "cr", "rgb"), [
    (16, 128, 128, (0, 0, 0)), (235, 128, 128, (255, 255, 255)), (63, 102, 240, (255, 0, 0)),
    (173, 42, 26, (0, 255, 0)), (32, 240, 118, (0, 0, 255)),
])
def test_yuv_frames_are_kept_as_rgb(tmp_path, y, cb, cr, rgb):
    width, height = 7, 5
    frame = bytes([y]) * 35 + bytes([cb]) * 12 + bytes([cr]) * 12
    image, = images(write(tmp_path, [frame], width, height, pixel_format="yuv420p"))
    assert image.size == (width, height)
    assert len(image.getcolors()) == 1
    assert image.getpixel((0, 0)) == pytest.approx(rgb, abs=2)


def test_they_are_stored_readable_and_without_a_clock(tmp_path):
    frames = noise(3, frame_bytes(32, 32, "rgb24"))
    once = write(tmp_path, frames, 32, 32).read_bytes()
    with ZipFile(tmp_path / "c.zip") as kept:
        for entry in kept.infolist():
            assert entry.compress_type == ZIP_STORED
            assert entry.external_attr >> 16 & 0o444 == 0o444
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
    assert write(tmp_path, frames, 32, 32).read_bytes() == once


def test_keeping_them_changes_nothing_about_the_clip(clip, tmp_path):
    plain = clip(frames=6).read_bytes()
    write(tmp_path, [grey(i, 6) for i in range(6)], 64, 48)
    assert (tmp_path / "c.mp4").read_bytes() == plain


def test_they_go_to_the_disk_as_they_come(tmp_path):
    sizes = []
    with ClipWriter(
        tmp_path / "c.mp4", width=64, height=64, fps=7, encoder=EncoderSettings(), frames=tmp_path / "c.zip"
    ) as writer:
        for frame in noise(8, frame_bytes(64, 64, "rgb24")):
            writer.write(frame)
            sizes.append((tmp_path / "c.zip").stat().st_size)
    assert all(b - a > 3000 for a, b in pairwise(sizes))


def test_nothing_is_left_of_a_clip_that_was_given_up(tmp_path):
    frame = bytes(frame_bytes(16, 16, "rgb24"))
    with pytest.raises(Cancelled), ClipWriter(
        tmp_path / "c.mp4", width=16, height=16, fps=7, encoder=EncoderSettings(), frames=tmp_path / "c.zip"
    ) as writer:
        writer.write(frame)
        raise Cancelled("cancelled")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", [{"how": "die", "frame": 2}, {"how": "exit"}, {"how": "die_after_last"}])
def test_nothing_is_left_where_the_encoder_fails(fake, tmp_path, fault):
    fake.behave(**fault)
    with pytest.raises(EncodeFailed):
        write(tmp_path, noise(5, frame_bytes(16, 16, "rgb24")), 16, 16)
    assert not list(tmp_path.glob("c.*"))


def test_nothing_is_left_where_there_is_no_room_for_the_frames(tmp_path):
    (tmp_path / "c.zip").symlink_to("/dev/full")
    with pytest.raises(DiskLow):
        write(tmp_path, noise(5, frame_bytes(64, 64, "rgb24")), 64, 64)
    assert not list(tmp_path.glob("c.*"))


# of a finished video


def test_the_frames_of_a_video_are_those_that_it_decodes_to(clip, tmp_path):
    path = clip(frames=9)
    extract_frames(path, tmp_path / "c.zip", num_frames=9)
    assert [image.tobytes() for image in images(tmp_path / "c.zip")] == decoded(path, 9)


def test_same_video_same_bytes(clip, tmp_path):
    path = clip(frames=9)
    for name in ("one.zip", "two.zip"):
        extract_frames(path, tmp_path / name, num_frames=9)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


@pytest.mark.parametrize("footage", [small_webm, small_gif])
def test_of_other_kinds_of_video_too(tmp_path, footage):
    path = tmp_path / "video"
    path.write_bytes(footage())
    count = transcode(path, tmp_path / "clip.mp4", encoder=EncoderSettings()).num_frames
    extract_frames(path, tmp_path / "c.zip", num_frames=count)
    assert [image.tobytes() for image in images(tmp_path / "c.zip")] == decoded(path, count)


def test_another_number_of_frames_is_a_failure(clip, tmp_path):
    with pytest.raises(EncodeFailed, match="9 of the video's 10 frames"):
        extract_frames(clip(frames=9), tmp_path / "c.zip", num_frames=10)
    assert not (tmp_path / "c.zip").exists()


@pytest.mark.parametrize("how", ["die", "exit", "flood"])
def test_an_ffmpeg_that_fails_leaves_nothing(fake, clip, tmp_path, how):
    path = clip(frames=9)
    fake.behave(how, kind="other")
    with pytest.raises(EncodeFailed):
        extract_frames(path, tmp_path / "c.zip", num_frames=9)
    assert not (tmp_path / "c.zip").exists()


def test_a_cancel_is_heard(fake, clip, tmp_path):
    path = clip(frames=6)
    fake.behave("hang", kind="other")

    def cancel():
        raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        extract_frames(path, tmp_path / "c.zip", num_frames=6, tick=cancel)
    assert not (tmp_path / "c.zip").exists()
