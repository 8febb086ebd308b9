"""What is remembered of time and memory, and the work that waits."""

import pytest

from vidgen.engine import lifecycle
from vidgen.store import backlog, history, jobs
from vidgen.store.history import Peak, Task, Timing
from vidgen.types import Lane, StepKind

TASK = Task("cpu", StepKind.RENDER, "local:svd-xt", "whole", 256, 256, 25, 4, 1, "abc")


def kept(db):
    return db.read(lambda conn: list(history.all_timings(conn)))


def test_a_run_is_read_as_it_was_written(db):
    timing = Timing(TASK, 12.5, 3.0, 8.0, 2.0, 2.5)
    number = db.write(lambda tx: history.add_timing(tx, timing))
    bare = Timing(Task("planner", StepKind.PLAN, mode="client"), 0.01)
    other = db.write(lambda tx: history.add_timing(tx, bare))
    assert kept(db) == [(number, timing), (other, bare)]


def test_runs_are_forgotten_by_their_number(db):
    numbers = [db.write(lambda tx: history.add_timing(tx, Timing(TASK, 1.0))) for _ in range(3)]
    db.write(lambda tx: history.forget_timings(tx, numbers[:2]))
    db.write(lambda tx: history.forget_timings(tx, []))
    assert [number for number, _ in kept(db)] == numbers[2:]


def test_the_largest_peak_is_kept_and_the_largest_floor_until_it_did_suffice(db):
    def learn(what, amount):
        return db.write(lambda tx: what(tx, "A100", "local:svd-xt", "whole", 1000, amount))

    assert learn(history.learn_peak, 900) == Peak("local:svd-xt", "whole", 1000, 900, None)
    assert learn(history.learn_peak, 800) == Peak("local:svd-xt", "whole", 1000, 900, None)
    assert learn(history.learn_floor, 700) == Peak("local:svd-xt", "whole", 1000, 900, 700)
    assert learn(history.learn_floor, 750) == Peak("local:svd-xt", "whole", 1000, 900, 750)
    assert learn(history.learn_peak, 950) == Peak("local:svd-xt", "whole", 1000, 950, None)


def test_peaks_are_kept_by_device_and_by_size(db):
    for device, estimate in (("A100", 1000), ("A100", 2000), ("H100", 1000)):
        db.write(lambda tx, d=device, e=estimate: history.learn_floor(tx, d, "local:svd-xt", "whole", e, e // 2))
    found = db.read(lambda conn: history.peaks_of(conn, "A100"))
    assert sorted((peak.estimate_bytes, peak.floor_bytes) for peak in found) == [(1000, 500), (2000, 1000)]
    assert db.read(lambda conn: history.peaks_of(conn, "none")) == []


def test_the_work_ahead_is_that_of_the_same_lane_and_a_better_rank(db, begin):
    begin(1, lane=Lane.GPU, forecast_s=10.0)
    begin(2, lane=Lane.GPU)
    begin(3, lane=Lane.CPU, forecast_s=5.0)
    job_id = begin(0, lane=Lane.GPU, forecast_s=1.0)
    mine = db.read(lambda conn: jobs.get(conn, job_id))
    begin(-1, lane=Lane.GPU, forecast_s=100.0)
    ahead = db.read(lambda conn: backlog.ahead(conn, Lane.GPU, mine.rank))
    assert (ahead.seconds, ahead.unknown) == (10.0, 1)
    assert db.read(lambda conn: backlog.place(conn, mine.rank)) == mine.position == 4


def plan(db, statement, *bound) -> list[str]:
    """How SQLite goes about it; *bound* may be more values than it takes."""
    text = str(statement.compile(dialect=db._write_engine.dialect, compile_kwargs={"render_postcompile": True}))
    asked = f"EXPLAIN QUERY PLAN {text}", bound[:text.count("?")]
    return [row[3] for row in db.read(lambda conn: conn.exec_driver_sql(*asked).all())]


@pytest.mark.parametrize("statement", [backlog._AHEAD, backlog._BACKLOG, backlog._BEFORE])
def test_what_waits_is_added_up_from_the_index_alone(db, statement):
    assert all("COVERING INDEX jobs_by_rank" in line for line in plan(db, statement, "queued", 1.0, "gpu"))


def test_what_was_posted_before_a_model_was_known_is_found_and_forecast(db, begin):
    known, unknown = begin(lane=Lane.GPU, forecast_s=1.0), begin(lane=Lane.GPU)
    running = begin(lane=Lane.GPU)
    db.write(lambda tx: lifecycle.admit(tx, running))
    found = db.read(lambda conn: backlog.without_forecast(conn, "stub:animatic", 10))
    assert [job.id for job in found] == [unknown]
    assert db.read(lambda conn: backlog.without_forecast(conn, "stub:other", 10)) == []
    db.write(lambda tx: backlog.set_forecast(tx, unknown, {"seconds": 2.5}, 2.0))
    assert db.read(lambda conn: jobs.get(conn, unknown)).forecast == {"seconds": 2.5}
    assert db.read(lambda conn: backlog.ahead(conn, Lane.GPU, 1e12)).seconds == 3.0
    assert db.read(lambda conn: jobs.get(conn, known)).forecast is None


def test_the_next_jobs_and_their_first_models(db, begin):
    later, first = begin(0), begin(5)
    db.write(lambda tx: jobs.update(tx, first, keyframe_model_id="stub:still"))
    found = db.read(lambda conn: jobs.first_queued(conn, 10))
    assert [(each.id, each.first_model_id) for each in found] == [(first, "stub:still"), (later, "stub:animatic")]
    assert [each.id for each in db.read(lambda conn: jobs.first_queued(conn, 1))] == [first]


def test_only_a_higher_priority_goes_above_all_that_are_processing(db, begin):
    running, same, higher = begin(3), begin(3), begin(4)
    db.write(lambda tx: lifecycle.admit(tx, running))
    assert db.read(jobs.above_all_processing) == higher
    db.write(lambda tx: lifecycle.admit(tx, higher))
    assert db.read(jobs.above_all_processing) is None
    assert db.read(lambda conn: jobs.get(conn, same)).position == 1


def test_it_is_found_without_reading_the_queue(db):
    first, *_ = plan(db, jobs._ABOVE_ALL_PROCESSING, "queued", "processing", 1, 0)
    assert "jobs_by_priority (status=? AND priority>?)" in first
