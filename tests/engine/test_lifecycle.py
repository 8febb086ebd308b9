"""A job's life, on a real database and with no thread of the engine."""

import pytest

from tests.conftest import let_in
from vidgen.engine import lifecycle
from vidgen.engine.lifecycle import MAX_ATTEMPTS, MAX_INTERRUPTIONS, Report
from vidgen.errors import Conflict
from vidgen.store import jobs, log, steps
from vidgen.store.steps import NewStep
from vidgen.types import (
    CameraMove,
    EventType,
    IllegalMove,
    JobStatus,
    Lane,
    Shot,
    ShotStatus,
    StepKind,
    StepStatus,
)


def shot(index: int) -> Shot:
    return Shot(jobs.shot_id(index), index, "a wide shot", CameraMove.STATIC, 1.0, index, ShotStatus.PENDING, 5)


def job_of(db, job_id):
    return db.read(lambda conn: jobs.get(conn, job_id))


def events_of(db, job_id, type_=None):
    found = db.read(lambda conn: log.read(conn, job_id, 0))
    return [event for event in found if type_ in (None, event.type)]


def claim(db, lane):
    return db.write(lambda tx: steps.claim(tx, lane))


def plan(db, job_id, num_shots=2, chained=False):
    """Admit the job and write a plan of *num_shots* renders on the CPU lane and one assemble step."""
    let_in(db, 100)
    step = claim(db, Lane.PLANNER)
    assert step.job_id == job_id
    work = [
        NewStep(StepKind.RENDER, Lane.CPU, 20, index, "stub:animatic", [index - 1] if chained and index else [])
        for index in range(num_shots)
    ]
    work.append(NewStep(StepKind.ASSEMBLE, Lane.ASSEMBLER, 2, needs=range(num_shots)))
    shots = [shot(index) for index in range(num_shots)]
    db.write(lambda tx: lifecycle.planned(tx, step, ("storyboard_1", "A forest"), shots, work))


def finish(db, step):
    db.write(lambda tx: steps.finish(tx, step))


def test_a_job_is_queued_with_its_first_event_in_one_commit(db, begin):
    job_id = begin()
    assert job_of(db, job_id).status is JobStatus.QUEUED
    assert [event.body["step"] for event in events_of(db, job_id)] == ["initializing"]
    assert [event.job_id for changes in db.announced for event in changes.events] == [job_id]


def test_nothing_is_claimed_before_the_job_is_admitted(db, begin):
    begin()
    assert claim(db, Lane.PLANNER) is None
    let_in(db, 1)
    assert claim(db, Lane.PLANNER).attempts == 1


def test_no_more_jobs_are_admitted_than_the_limit(db, begin):
    ids = [begin() for _ in range(5)]
    let_in(db, 2)
    assert [job_of(db, job_id).status for job_id in ids] == [JobStatus.PROCESSING] * 2 + [JobStatus.QUEUED] * 3
    assert [job_of(db, job_id).position for job_id in ids] == [None, None, 1, 2, 3]


def test_higher_priority_goes_first_and_equal_ones_in_their_order(db, begin):
    ids = [begin(0), begin(5), begin(-5), begin(0)]
    order = [job.id for job in db.read(lambda conn: jobs.in_order(conn, 10))]
    assert order == [ids[1], ids[0], ids[3], ids[2]]


def test_age_raises_the_effective_priority_by_one_every_age_s():
    old, new = jobs.rank_of(1000.0, 0, 600), jobs.rank_of(1000.0 + 601, 1, 600)
    assert old < new
    assert jobs.rank_of(1000.0 + 599, 1, 600) < old


def test_changing_the_priority_reorders_queued_jobs_and_their_steps(db, begin):
    first, second = begin(), begin()
    db.write(lambda tx: lifecycle.set_priority(tx, jobs.get(tx.conn, second), 3, 600))
    assert job_of(db, second).position == 1
    let_in(db, 2)
    assert [claim(db, Lane.PLANNER).job_id for _ in range(2)] == [second, first]


def test_the_join_waits_for_every_shot(db, begin):
    job_id = begin()
    plan(db, job_id, 2)
    assert claim(db, Lane.ASSEMBLER) is None
    first, second = claim(db, Lane.CPU), claim(db, Lane.CPU)
    finish(db, second)
    assert claim(db, Lane.ASSEMBLER) is None
    finish(db, first)
    assert claim(db, Lane.ASSEMBLER).kind is StepKind.ASSEMBLE


def test_in_a_chain_each_shot_waits_for_the_one_before(db, begin):
    plan(db, begin(), 3, chained=True)
    for index in range(3):
        step = claim(db, Lane.CPU)
        assert step.shot_index == index
        assert claim(db, Lane.CPU) is None
        finish(db, step)


def test_completing_moves_job_progress_and_log_together(db, begin):
    job_id = begin()
    plan(db, job_id, 1)
    finish(db, claim(db, Lane.CPU))
    step = claim(db, Lane.ASSEMBLER)
    db.write(lambda tx: lifecycle.complete(tx, step, {"output_path": "/workspace/x", "message": "done"}))
    job = job_of(db, job_id)
    assert (job.status, job.progress) == (JobStatus.COMPLETED, 100.0)
    assert events_of(db, job_id)[-1].type is EventType.JOB_COMPLETE


def test_a_job_that_has_ended_never_moves_again(db, begin):
    job_id = begin()
    db.write(lambda tx: lifecycle.request_cancel(tx, jobs.get(tx.conn, job_id)))
    with pytest.raises(IllegalMove, match="cancelled to processing"):
        db.write(lambda tx: jobs.move(tx, job_id, JobStatus.PROCESSING))


def test_progress_never_falls_and_stays_below_100_until_the_end(db, begin):
    job_id = begin()
    plan(db, job_id, 1)
    step = claim(db, Lane.CPU)
    for fraction in (0.5, 0.1, 1.0, 0.2):
        db.write(lambda tx, f=fraction: lifecycle.report(tx, step, Report("Generating", "…", f, {})))
    seen = [event.body["progress"] for event in events_of(db, job_id, EventType.PROGRESS)]
    assert seen == sorted(seen)
    assert 40 < seen[-1] < 100


def test_a_finished_shots_progress_is_folded_into_its_last(db, begin):
    job_id = begin()
    plan(db, job_id, 2)
    first, second = claim(db, Lane.CPU), claim(db, Lane.CPU)
    for step in (first, second):
        for i in range(10):
            db.write(lambda tx, s=step, i=i: lifecycle.report(tx, s, Report("Generating", f"{i}", i / 10, {})))
    db.write(lambda tx: log.fold(tx, job_id, "shot_001"))
    kept = [event.body["message"] for event in events_of(db, job_id) if event.shot_id == "shot_001"]
    others = [event for event in events_of(db, job_id) if event.shot_id == "shot_002"]
    assert kept == ["9"]
    assert len(others) == 10


def test_a_failing_step_is_tried_three_times_then_the_job_fails_with_the_reason(db, begin):
    job_id = begin()
    plan(db, job_id, 2)
    other = claim(db, Lane.CPU)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        step = claim(db, Lane.CPU)
        assert (step.shot_index, step.attempts) == (1, attempt)
        db.write(lambda tx, s=step: lifecycle.fail_attempt(tx, s, "ffmpeg died", "encode_failed", retryable=True))
        db.write(lambda tx, s=step: tx.conn.exec_driver_sql("UPDATE steps SET not_before = 0"))
    job = job_of(db, job_id)
    assert job.status is JobStatus.FAILED
    assert job.error_message == "Shot 2 failed (after 3 attempts): ffmpeg died"
    assert [s.status for s in job.storyboard.shots] == [ShotStatus.CANCELLED, ShotStatus.FAILED]
    assert not db.write(lambda tx: steps.owned(tx, other))
    assert [event.body["code"] for event in events_of(db, job_id, EventType.NOTE)] == ["retry", "retry"]


def test_a_failure_that_no_attempt_can_mend_is_final_at_once(db, begin):
    job_id = begin()
    plan(db, job_id, 1)
    step = claim(db, Lane.CPU)
    db.write(lambda tx: lifecycle.fail_attempt(tx, step, "no such model", "model_unavailable", retryable=False))
    assert job_of(db, job_id).error_message == "Shot 1 failed: no such model"


def test_the_second_attempt_waits_a_little(db, begin):
    plan(db, begin(), 1)
    step = claim(db, Lane.CPU)
    db.write(lambda tx: lifecycle.fail_attempt(tx, step, "once", "x", retryable=True))
    assert claim(db, Lane.CPU) is None


def test_cancelling_a_queued_job_ends_it_at_once(db, begin):
    job_id = begin()
    db.write(lambda tx: lifecycle.request_cancel(tx, jobs.get(tx.conn, job_id)))
    assert job_of(db, job_id).status is JobStatus.CANCELLED
    assert events_of(db, job_id, EventType.ERROR)[0].body["code"] == "cancelled"


def test_cancelling_a_running_job_waits_for_its_lane(db, begin):
    job_id = begin()
    plan(db, job_id, 2)
    step = claim(db, Lane.CPU)
    db.write(lambda tx: lifecycle.request_cancel(tx, jobs.get(tx.conn, job_id)))
    assert job_of(db, job_id).status is JobStatus.PROCESSING
    assert claim(db, Lane.CPU) is None
    assert not db.read(lambda conn: steps.wanted(conn, step))
    db.write(lambda tx: steps.end(tx, step, StepStatus.CANCELLED))
    db.write(lambda tx: lifecycle.cancel_if_idle(tx, job_id))
    assert job_of(db, job_id).status is JobStatus.CANCELLED


def test_cancelling_twice_is_quiet_and_cancelling_what_failed_is_a_conflict(db, begin):
    first, second = begin(), begin()
    for _ in range(2):
        db.write(lambda tx: lifecycle.request_cancel(tx, jobs.get(tx.conn, first)))
    assert len(events_of(db, first, EventType.ERROR)) == 1
    db.write(lambda tx: jobs.move(tx, second, JobStatus.FAILED))
    with pytest.raises(Conflict, match="failed"):
        db.write(lambda tx: lifecycle.request_cancel(tx, jobs.get(tx.conn, second)))


def test_after_a_death_running_steps_are_ready_again_and_the_attempt_is_not_held_against_them(db, begin):
    job_id = begin()
    plan(db, job_id, 1)
    step = claim(db, Lane.CPU)
    assert db.write(lifecycle.recover) == 1
    assert not db.write(lambda tx: steps.owned(tx, step)), "the old owner is dead"
    assert claim(db, Lane.CPU).attempts == 1


def test_a_step_that_the_server_keeps_dying_of_fails_its_job(db, begin):
    job_id = begin()
    plan(db, job_id, 1)
    for _ in range(MAX_INTERRUPTIONS + 1):
        assert claim(db, Lane.CPU) is not None
        db.write(lifecycle.recover)
    job = job_of(db, job_id)
    assert job.status is JobStatus.FAILED
    assert "died 11 times" in job.error_message


def test_a_cancel_that_was_under_way_is_finished_after_a_death(db, begin):
    job_id = begin()
    plan(db, job_id, 1)
    claim(db, Lane.CPU)
    db.write(lambda tx: lifecycle.request_cancel(tx, jobs.get(tx.conn, job_id)))
    db.write(lifecycle.recover)
    assert job_of(db, job_id).status is JobStatus.CANCELLED


def test_an_attempt_given_back_is_not_counted(db, begin):
    plan(db, begin(), 1)
    step = claim(db, Lane.CPU)
    db.write(lambda tx: steps.give_back(tx, step))
    assert claim(db, Lane.CPU).attempts == 1


def test_deleting_a_job_removes_all_that_hangs_on_it(db, begin):
    job_id = begin()
    plan(db, job_id, 2)
    db.write(lambda tx: jobs.delete(tx, job_id))
    for table in ("jobs", "shots", "steps", "needs", "events"):
        assert db.read(lambda conn, t=table: conn.exec_driver_sql(f"SELECT count(*) FROM {t}").scalar()) == 0
