"""An ffmpeg that dies, hangs, fails or writes short, under a whole engine: nothing torn is published, the step is tried
again, then the job fails with the reason; and once ffmpeg behaves again, so does the engine.

All faults run at once, each in a job of its own, because most of the time is spent waiting before the next attempt.
"""

import pytest

from tests.engine.conftest import ask, messages, wait
from tests.fakes.ffmpeg import SECRET, FakeFfmpeg
from vidgen.errors import Conflict
from vidgen.media.video import inspect
from vidgen.types import EventType, JobStatus, ShotStatus

FRAMES = 6
TIMEOUT_S = 3

CLIP_FAULTS = {
    "killed at frame 0": {"how": "die", "frame": 0},
    "killed at frame 3": {"how": "die", "frame": 3},
    "killed at the last frame": {"how": "die", "frame": FRAMES},
    "killed after the last frame": {"how": "die_after_last"},
    "hangs from the start": {"how": "hang"},
    "hangs after the last frame": {"how": "hang_at_end"},
    "exits with 1": {"how": "exit", "code": 1},
    "writes 48 bytes and says that all is well": {"how": "torn"},
    "leaves out frames": {"how": "short", "frame": 3},
    "loses the end of the file": {"how": "cut", "frame": 100},
    "is killed as it inspects": {"how": "die", "kind": "inspect"},
    "hangs as it inspects": {"how": "hang", "kind": "inspect"},
    "finds no room": {"how": "exit", "code": 228},
}
JOIN_FAULTS = {
    "is killed as it joins": {"how": "die", "kind": "join"},
    "hangs as it joins": {"how": "hang", "kind": "join"},
    "exits with 1 as it joins": {"how": "exit", "code": 1, "kind": "join"},
    "loses the end of the video": {"how": "cut", "frame": 100, "kind": "join"},
}
FAULTS = CLIP_FAULTS | JOIN_FAULTS
REASONS = {
    "killed at frame 3": "killed by signal 9",
    "killed after the last frame": "killed by signal 9",
    "hangs from the start": f"made no progress for {TIMEOUT_S:g} s",
    "exits with 1": "ended early with code 1",
    "writes 48 bytes and says that all is well": "the video",
    "leaves out frames": "holds 3 of 6 frames",
    "finds no room": "disk",
    "exits with 1 as it joins": "ended early with code 1",
}


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Every ffmpeg of this test goes through the wrapper."""
    made = FakeFfmpeg(tmp_path / "fake")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(made.executable))
    return made


@pytest.fixture
def engine(start, fake):
    return start(ffmpeg_timeout_s=TIMEOUT_S, max_concurrent_jobs=len(FAULTS))


def submit(engine):
    return engine.submit(ask(num_frames=FRAMES, seed=1))[0].id


def submit_with(engine, fake, faults, **more):
    """A job for each of these faults; none starts before ffmpeg knows what to do with it."""
    engine.pause()
    jobs = {fault: submit(engine) for fault in faults}
    for fault, job_id in jobs.items():
        fake.behave(**FAULTS[fault], where=job_id, **more)
    engine.resume()
    return jobs


def published(engine, job_id):
    folder = engine.workspace.job_dir(job_id)
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_an_ffmpeg_that_fails_once_costs_one_attempt(engine, fake):
    for fault, job_id in submit_with(engine, fake, FAULTS, times=1).items():
        wait(engine, job_id)
        tried_twice = "assemble" if fault in JOIN_FAULTS else "render_001"
        attempts = engine.recipe(job_id)["run"]["attempts"]
        assert attempts == {"plan": 1, "render_001": 1, "assemble": 1} | {tried_twice: 2}, fault
        assert [m["code"] for m in messages(engine, job_id, EventType.NOTE)].count("retry") == 1
        assert SECRET not in str(messages(engine, job_id))
        assert inspect(engine.video(job_id), num_frames=FRAMES).num_frames == FRAMES
        assert not [name for name in published(engine, job_id) if name.startswith(".")]


def test_an_ffmpeg_that_always_fails_ends_the_job_with_the_reason_and_publishes_nothing(engine, fake):
    for fault, job_id in submit_with(engine, fake, REASONS).items():
        failed = wait(engine, job_id, JobStatus.FAILED)
        assert "failed (after 3 attempts)" in failed.error_message
        assert REASONS[fault] in failed.error_message
        assert SECRET not in failed.error_message
        assert [m["error"] for m in messages(engine, job_id, EventType.ERROR)] == [failed.error_message]
        with pytest.raises(Conflict, match="failed"):
            engine.video(job_id)
        if fault in CLIP_FAULTS:
            assert messages(engine, job_id, EventType.SHOT_COMPLETE) == []
            assert published(engine, job_id) == []
            assert failed.storyboard.shots[0].status is ShotStatus.FAILED
        else:
            assert published(engine, job_id) == ["shot_001.mp4", "shot_001_poster.jpg"]
            assert failed.storyboard.shots[0].status is ShotStatus.COMPLETED
    fake.behave("well")
    wait(engine, submit(engine))
