"""Cancel and delete in every phase of a job: it ends soon, once, and nothing goes on or stays behind."""

import os
from pathlib import Path

import pytest

from tests.engine.conftest import ask, messages, until, wait
from tests.engine.test_engine import KEYFRAMED
from tests.fakes.anthropic import FakeAnthropic, hang
from tests.fakes.ffmpeg import FakeFfmpeg
from vidgen.errors import Conflict, NotFound
from vidgen.types import Continuity, EventType, JobStatus, ShotStatus


@pytest.fixture
def fake(tmp_path, monkeypatch):
    made = FakeFfmpeg(tmp_path / "fake")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(made.executable))
    return made


def submit(engine, **values):
    return engine.submit(ask(**values))[0].id


def step_begins(engine, job_id, words):
    until(lambda: engine.job(job_id).current_step.startswith(words), f"{words} to begin")


def assert_cancelled(engine, job_id):
    """It ends, is told once, and leaves nothing that runs or is unfinished."""
    job = wait(engine, job_id, JobStatus.CANCELLED)
    assert job.error_code == "cancelled"
    assert [m["code"] for m in messages(engine, job_id, EventType.ERROR)] == ["cancelled"]
    assert messages(engine, job_id, EventType.JOB_COMPLETE) == []
    folder = engine.workspace.job_dir(job_id)
    until(lambda: not folder.exists() or not list(folder.glob(".*")), "the temporary files to go")
    if job.storyboard is not None:
        assert {shot.status for shot in job.storyboard.shots} <= {ShotStatus.CANCELLED, ShotStatus.COMPLETED}


def assert_gone(fake):
    """No ffmpeg of this test runs any more."""
    until(lambda: not any(Path(f"/proc/{run['pid']}").exists() for run in fake.runs()), "ffmpeg to be gone")


def test_a_queued_job_ends_at_once_and_the_others_go_on(start):
    engine = start(max_concurrent_jobs=1)
    first = submit(engine, parameters={"wait_at_step": 1})
    step_begins(engine, first, "Generating")
    queued, last = submit(engine), submit(engine)
    assert engine.cancel(queued).status is JobStatus.CANCELLED
    engine.cancel(first)
    assert_cancelled(engine, first)
    assert_cancelled(engine, queued)
    wait(engine, last)


def test_while_the_planner_waits_for_an_answer(start):
    with FakeAnthropic(hang) as service:
        engine = start(anthropic_api_key="key", anthropic_base_url=service.url)
        job_id = submit(engine)
        until(lambda: service.requests, "the planner to ask")
        engine.cancel(job_id)
        assert_cancelled(engine, job_id)


def test_while_a_keyframe_is_drawn(start, tmp_path):
    (tmp_path / "mover.toml").write_text(KEYFRAMED)
    engine = start(models_dir=tmp_path)
    job_id = submit(engine, model_id="stub:mover", num_frames=5, keyframe_parameters={"wait_at_step": 1})
    step_begins(engine, job_id, "Drawing")
    engine.cancel(job_id)
    assert_cancelled(engine, job_id)


@pytest.mark.parametrize("step", [1, 4])
def test_while_a_shot_is_rendered(start, step):
    engine = start()
    job_id = submit(engine, parameters={"wait_at_step": step})
    step_begins(engine, job_id, "Generating")
    engine.cancel(job_id)
    assert_cancelled(engine, job_id)


@pytest.mark.parametrize(("how", "kind"), [
    ("hang", "encode"), ("hang_at_end", "encode"), ("hang", "inspect"), ("hang", "join"),
])
def test_while_ffmpeg_hangs(start, fake, how, kind):
    engine = start()
    fake.behave(how, kind=kind)
    job_id = submit(engine)
    until(lambda: fake.runs(kind), f"ffmpeg to {kind}")
    engine.cancel(job_id)
    assert_cancelled(engine, job_id)
    assert_gone(fake)


def test_between_two_attempts(start):
    engine = start()
    job_id = submit(engine, parameters={"fail_at_step": 1})
    until(lambda: "retry" in [m["code"] for m in messages(engine, job_id, EventType.NOTE)], "a first failure")
    engine.cancel(job_id)
    assert_cancelled(engine, job_id)


def test_finished_shots_of_a_cancelled_chain_stay(start, fake):
    engine = start()
    fake.behave("hang", times=1, where="shot_002")
    job_id = submit(engine, max_shots=3, user_prompt="a lake, a hill, a tree", continuity=Continuity.CHAIN)
    until(lambda: any("shot_002" in str(run["arguments"]) for run in fake.runs("encode")), "the second shot")
    engine.cancel(job_id)
    assert_cancelled(engine, job_id)
    shots = engine.job(job_id).storyboard.shots
    assert [shot.status for shot in shots] == [ShotStatus.COMPLETED, ShotStatus.CANCELLED, ShotStatus.CANCELLED]
    assert engine.file(job_id, shots[0].video).stat().st_size > 0


def test_what_has_ended_cannot_be_cancelled_and_a_second_cancel_changes_nothing(start):
    engine = start()
    done = submit(engine)
    wait(engine, done)
    with pytest.raises(Conflict, match="completed"):
        engine.cancel(done)
    engine.pause()
    job_id = submit(engine)
    assert engine.cancel(job_id).status is engine.cancel(job_id).status is JobStatus.CANCELLED
    assert_cancelled(engine, job_id)


@pytest.mark.parametrize(("how", "kind"), [("hang_at_end", "encode"), ("hang", "join")])
def test_deleting_a_job_while_ffmpeg_hangs_ends_it_first_and_leaves_no_trace(start, fake, how, kind):
    engine = start()
    fake.behave(how, kind=kind)
    job_id = submit(engine)
    until(lambda: fake.runs(kind), f"ffmpeg to {kind}")
    engine.delete(job_id)
    assert_gone(fake)
    with pytest.raises(NotFound):
        engine.job(job_id)
    assert os.listdir(engine.workspace.videos) == []
    fake.behave("well")
    wait(engine, submit(engine))
