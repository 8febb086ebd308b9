"""What happens between a look at a job and the write that rests on it; and writes that cannot be made."""

from types import SimpleNamespace

import pytest

from tests.engine.conftest import ask, wait
from vidgen.engine.gpu import GpuLane
from vidgen.errors import Conflict, DiskLow, NotFound
from vidgen.types import JobStatus


@pytest.fixture
def waiting(start):
    """An engine that is paused, and a job in its queue."""
    engine = start()
    engine.pause()
    return engine, engine.submit(ask())[0]


def before_the_next_write(engine, monkeypatch, act) -> None:
    """Have *act* done after what comes next has looked, and before it writes."""
    write = engine._database.write

    def late(work):
        monkeypatch.setattr(engine._database, "write", write)
        act()
        return write(work)

    monkeypatch.setattr(engine._database, "write", late)


def test_a_job_that_was_deleted_meanwhile_cannot_be_cancelled(waiting, monkeypatch):
    engine, job = waiting
    before_the_next_write(engine, monkeypatch, lambda: engine.delete(job.id))
    with pytest.raises(NotFound):
        engine.cancel(job.id)


def test_a_job_that_is_deleted_twice_at_once_is_deleted(waiting, monkeypatch):
    engine, job = waiting
    before_the_next_write(engine, monkeypatch, lambda: engine.delete(job.id))
    engine.delete(job.id)
    with pytest.raises(NotFound):
        engine.job(job.id)


def test_a_job_that_ended_meanwhile_keeps_its_priority(waiting, monkeypatch):
    engine, job = waiting
    before_the_next_write(engine, monkeypatch, lambda: engine.cancel(job.id))
    with pytest.raises(Conflict, match="cancelled"):
        engine.set_priority(job.id, 5)
    assert engine.job(job.id).priority == 0


@pytest.mark.parametrize("paused", [True, False])
def test_a_pause_that_cannot_be_written_down_changes_nothing(start, monkeypatch, paused):
    engine = start()
    if not paused:
        engine.pause()

    def full(work):
        raise DiskLow("the disk that holds the workspace is full")

    with monkeypatch.context() as patched:
        patched.setattr(engine._database, "write", full)
        with pytest.raises(DiskLow):
            engine.pause() if paused else engine.resume()
    assert engine.queue().paused is not paused
    job, _ = engine.submit(ask())
    if paused:
        wait(engine, job.id)
    else:
        assert engine.job(job.id).status is JobStatus.QUEUED


def test_a_release_during_which_a_render_begins_waits_for_that(monkeypatch):
    """The lane had looked whether something is to be released a moment before, and then took a step."""
    device, inference = SimpleNamespace(reading=lambda: None), SimpleNamespace(residents={})
    lane = GpuLane(None, None, inference, device, None, None, keep_alive_s=60)

    def begins(timeout_s):
        lane._running.append((SimpleNamespace(job_id="job_1"), None))
        return False

    monkeypatch.setattr(lane._released, "wait", begins)
    assert lane.release(lambda: None).waits_for == "job job_1, which is being rendered"
