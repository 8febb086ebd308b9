"""The child process: whatever ffmpeg does, the caller gets an answer in our words and no process stays behind."""

import logging
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.fakes.ffmpeg import SECRET
from tests.media.conftest import HEIGHT, WIDTH, grey
from vidgen.errors import Cancelled, EncodeFailed
from vidgen.media import ffmpeg
from vidgen.media.video import ClipWriter, inspect
from vidgen.types import EncoderSettings

FRAMES = 6
BIG = 1024, 576                     # a frame of these fills every pipe


def encode(path, *, size=(WIDTH, HEIGHT), frames=FRAMES, **more):
    options = {"width": size[0], "height": size[1], "fps": 7.0, "encoder": EncoderSettings(), "timeout_s": 20, **more}
    with ClipWriter(path, **options) as writer:
        for i in range(frames):
            writer.write(grey(i, frames, *size))


def assert_gone(pid):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} is still there")


@pytest.mark.parametrize("frame", [0, 3, FRAMES])
@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), BIG])
def test_killed_at_a_frame(fake, tmp_path, frame, size):
    fake.behave("die", frame=frame)
    with pytest.raises(EncodeFailed) as failed:
        encode(tmp_path / "clip.mp4", size=size)
    assert failed.value.detail == "ffmpeg was killed by signal 9"
    assert failed.value.retryable
    assert not (tmp_path / "clip.mp4").exists()


def test_killed_after_the_last_frame(fake, tmp_path):
    fake.behave("die_after_last")
    with pytest.raises(EncodeFailed, match="killed by signal 9"):
        encode(tmp_path / "clip.mp4")
    assert not (tmp_path / "clip.mp4").exists()


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), BIG])
def test_exits_with_a_code(fake, tmp_path, caplog, size):
    fake.behave("exit", code=1)
    with caplog.at_level(logging.WARNING), pytest.raises(EncodeFailed) as failed:
        encode(tmp_path / "clip.mp4", size=size)
    assert failed.value.detail == "ffmpeg ended early with code 1"
    assert SECRET in caplog.text


def test_a_full_disk_is_said_to_be_one(fake, tmp_path):
    fake.behave("exit", code=228)
    with pytest.raises(EncodeFailed, match="no space left") as failed:
        encode(tmp_path / "clip.mp4")
    assert failed.value.code == "disk_low"


@pytest.mark.parametrize("how", ["hang", "hang_at_end"])
def test_hangs(fake, tmp_path, how):
    fake.behave(how)
    with pytest.raises(EncodeFailed, match="made no progress for 0.5 s"):
        encode(tmp_path / "clip.mp4", timeout_s=0.5)
    assert_gone(fake.runs()[0]["pid"])
    assert not (tmp_path / "clip.mp4").exists()


def test_hangs_with_the_pipe_full(fake, tmp_path):
    fake.behave("hang")
    with pytest.raises(EncodeFailed, match="made no progress"):
        encode(tmp_path / "clip.mp4", size=BIG, timeout_s=0.5)
    assert_gone(fake.runs()[0]["pid"])


def test_closes_its_input_early(fake, tmp_path):
    fake.behave("deaf", frame=1)
    with pytest.raises(EncodeFailed, match="ffmpeg stopped reading"):
        encode(tmp_path / "clip.mp4", size=BIG)
    assert_gone(fake.runs()[0]["pid"])


@pytest.mark.parametrize(("how", "frame", "said"), [
    ("torn", 0, "not whole"), ("short", 4, "holds 4 of 6 frames"), ("cut", 1, "not whole"), ("cut", 700, "not whole"),
])
def test_writes_short_and_says_nothing(fake, tmp_path, how, frame, said):
    fake.behave(how, frame=frame)
    encode(tmp_path / "clip.mp4")
    with pytest.raises(EncodeFailed, match=said):
        inspect(tmp_path / "clip.mp4", num_frames=FRAMES)


def test_talks_more_than_a_pipe_holds(fake, tmp_path):
    fake.behave("chatter")
    encode(tmp_path / "clip.mp4")
    assert inspect(tmp_path / "clip.mp4").num_frames == FRAMES


def test_talks_for_ever(fake, clip):
    path = clip()
    fake.behave("flood", kind="inspect")
    with pytest.raises(EncodeFailed, match="said far more"):
        inspect(path)
    assert_gone(fake.runs("inspect")[0]["pid"])


@pytest.mark.parametrize("how", ["die", "exit", "hang"])
def test_reading_fails_as_writing_does(fake, clip, tmp_path, how):
    path = clip()
    fake.behave(how, kind="inspect")
    with pytest.raises(EncodeFailed) as failed:
        inspect(path, num_frames=6, poster=tmp_path / "poster.jpg", timeout_s=0.5)
    assert SECRET not in failed.value.detail
    assert not (tmp_path / "poster.jpg").exists()


def test_behaves_well_again(fake, tmp_path):
    fake.behave("exit", times=2)
    for _ in range(2):
        with pytest.raises(EncodeFailed):
            encode(tmp_path / "clip.mp4")
    encode(tmp_path / "clip.mp4")
    assert [run["kind"] for run in fake.runs()] == ["encode"] * 3


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), BIG])
def test_what_the_tick_raises_ends_ffmpeg(fake, tmp_path, size):
    fake.behave("hang")

    def tick():
        if fake.runs():
            raise Cancelled("the client asked")

    with pytest.raises(Cancelled):
        encode(tmp_path / "clip.mp4", size=size, tick=tick)
    assert_gone(fake.runs()[0]["pid"])
    assert not (tmp_path / "clip.mp4").exists()


def test_an_exception_in_the_block_ends_ffmpeg(fake, tmp_path):
    with pytest.raises(KeyError), ClipWriter(
        tmp_path / "clip.mp4", width=WIDTH, height=HEIGHT, fps=7, encoder=EncoderSettings()
    ) as writer:
        writer.write(grey(0, 1))
        raise KeyError
    assert not (tmp_path / "clip.mp4").exists()


def test_no_process_stays_behind(fake, tmp_path):
    encode(tmp_path / "clip.mp4")
    inspect(tmp_path / "clip.mp4")
    for run in fake.runs():
        with pytest.raises(ProcessLookupError):
            os.kill(run["pid"], 0)


def test_dies_with_the_server(fake, tmp_path):
    fake.behave("hang")
    code = (
        "import pathlib, sys; from vidgen.media.video import ClipWriter; from vidgen.types import EncoderSettings\n"
        "with ClipWriter(pathlib.Path(sys.argv[1]), width=64, height=48, fps=7, encoder=EncoderSettings()) as writer:\n"
        "    writer.write(bytes(64 * 48 * 3))"
    )
    server = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "clip.mp4")])
    while not fake.runs():
        time.sleep(0.01)
    pid = fake.runs()[0]["pid"]
    os.kill(pid, 0)
    server.send_signal(signal.SIGKILL)
    server.wait()
    assert_gone(pid)


def test_there_is_no_ffmpeg(tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nowhere"))
    with pytest.raises(EncodeFailed):
        encode(tmp_path / "clip.mp4")


@pytest.mark.parametrize("name", ["-y.mp4", "http:x.mp4", "%03d.mp4", "it's; a 'name'.mp4", "a\\b|c.mp4", "ü 🎬.mp4"])
def test_a_path_is_only_ever_a_path(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = tmp_path.joinpath(name).relative_to(tmp_path)
    encode(path)
    assert inspect(path, poster=path.with_suffix(".jpg"), last_frame=path.with_suffix(".png")).num_frames == FRAMES
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".jpg", ".mp4", ".png"]


def test_runs_that_are_not_fed_read_nothing(fake, clip):
    inspect(clip())
    assert fake.runs("inspect")[0]["arguments"][2:3] == ["-nostdin"]
    assert ffmpeg.run(["-version"]).stdout.startswith(b"ffmpeg version")
