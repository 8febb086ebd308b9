"""Where a job stands in the queue."""

import random

from tests.conftest import let_in
from vidgen.store import jobs
from vidgen.types import JobStatus


def _places(db, **filters):
    found, _ = db.read(lambda conn: jobs.page(conn, offset=0, limit=100, **filters))
    return {job.id: job.position for job in found}


def test_positions_follow_priority_then_age(db, begin):
    shuffled = random.Random(1)
    ids = [begin(shuffled.randint(-3, 3)) for _ in range(30)]
    waiting = [job.id for job in db.read(lambda conn: jobs.in_order(conn, 100))]
    assert _places(db) == {job_id: waiting.index(job_id) + 1 for job_id in ids}
    assert {job_id: db.read(lambda conn, i=job_id: jobs.get(conn, i)).position for job_id in ids} == _places(db)


def test_jobs_of_equal_rank_stand_in_the_order_of_acknowledgement(db, begin):
    first, second, third = (begin() for _ in range(3))
    for job_id in (first, second, third):
        db.write(lambda tx, i=job_id: jobs.update(tx, i, rank=1.0))
    assert _places(db) == {first: 1, second: 2, third: 3}


def test_only_waiting_jobs_have_a_position(db, begin):
    running, waiting = begin(), begin()
    let_in(db, 1)
    assert _places(db) == {running: None, waiting: 1}
    assert _places(db, status=JobStatus.QUEUED) == {waiting: 1}
    assert [job.position for job in db.read(lambda conn: jobs.in_order(conn, 10))] == [None, 1]


def test_a_page_counts_those_who_wait_on_other_pages(db, begin):
    ids = [begin() for _ in range(10)]
    found, total = db.read(lambda conn: jobs.page(conn, offset=2, limit=3))
    assert ([job.id for job in found], [job.position for job in found], total) == (ids[5:8][::-1], [8, 7, 6], 10)
