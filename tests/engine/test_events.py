"""The tail of the log, and what listeners are told."""

import json
import threading

import pytest

from vidgen.engine.events import TAIL_EVENTS, Hub
from vidgen.errors import NotFound
from vidgen.store import log
from vidgen.types import EventType


@pytest.fixture
def hub(db):
    hub = Hub()
    hub.attach(db)
    db.listeners.append(lambda changes: hub.announce(changes.events))
    return hub


def say(db, job_id, number, count=1):
    def work(tx):
        for i in range(number, number + count):
            log.append(tx, job_id, EventType.PROGRESS, {"progress": float(i)})

    db.write(work)


def test_a_listener_is_woken_after_the_commit_and_reads_from_where_it_stood(db, hub, begin):
    job_id = begin()
    seen, last = [], 0

    def wake():
        nonlocal last
        events = hub.read(job_id, last)
        last = events[-1].seq
        seen.extend(event.body["progress"] for event in events)

    end = hub.subscribe(job_id, wake)
    for number in range(5):
        say(db, job_id, number)
    end()
    say(db, job_id, 99)
    assert seen == [0.0, 0.0, 1.0, 2.0, 3.0, 4.0]       # the first is the job's own first event


def test_other_jobs_events_wake_nobody(db, hub, begin):
    mine, other = begin(), begin()
    woken = threading.Event()
    hub.subscribe(mine, woken.set)
    say(db, other, 1)
    assert not woken.is_set()


def test_memory_and_log_give_the_same_events(db, hub, begin):
    job_id = begin()
    hub.subscribe(job_id, lambda: None)
    start = db.read(lambda conn: log.last_seq(conn, job_id))
    say(db, job_id, 0, 50)
    from_memory = hub.recent(job_id, start)
    assert [e.seq for e in from_memory] == [e.seq for e in db.read(lambda conn: log.read(conn, job_id, start))]
    assert [e.text for e in from_memory] == [json.dumps(e.message()) for e in from_memory]


def test_what_the_tail_does_not_hold_comes_from_the_log(db, hub, begin):
    job_id = begin()
    hub.subscribe(job_id, lambda: None)
    say(db, job_id, 0, TAIL_EVENTS + 10)
    assert hub.recent(job_id, 0) is None
    assert len(hub.read(job_id, 0)) == TAIL_EVENTS + 11


def test_a_newcomer_is_shown_the_last_progress_then_the_end(db, hub, begin):
    job_id = begin()
    say(db, job_id, 7)
    seq, event = hub.state(job_id)
    assert (event.seq, event.body["progress"]) == (seq, 7.0)
    db.write(lambda tx: log.append(tx, job_id, EventType.ERROR, {"error": "no"}))
    say(db, job_id, 8)
    assert hub.state(job_id)[1].type is EventType.ERROR


def test_an_unknown_job_is_not_found(hub):
    with pytest.raises(NotFound):
        hub.state("job_0000000000000000")
