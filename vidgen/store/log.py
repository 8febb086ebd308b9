"""The event log: one row for each thing that a job's listeners are told, numbered over all jobs.

An event is appended in the transaction that made it true.
"""

import sqlalchemy as sa

from vidgen.store.schema import events
from vidgen.store.writer import Tx
from vidgen.types import Event, EventType

ENDINGS = (EventType.JOB_COMPLETE, EventType.ERROR)

_INSERT = events.insert()


def append(tx: Tx, job_id: str, type_: EventType, body: dict, shot_id: str | None = None) -> Event:
    """Add one event to the job's log."""
    row = {"job_id": job_id, "shot_id": shot_id, "type": type_, "body": body, "created_at": tx.now}
    seq = tx.conn.execute(_INSERT, row).inserted_primary_key[0]
    event = Event(seq, job_id, type_, body, tx.now, shot_id)
    tx.changes.events.append(event)
    return event


def read(conn: sa.Connection, job_id: str, after: int, limit: int | None = None) -> list[Event]:
    """The job's events with a number above *after*, oldest first."""
    query = events.select().where(events.c.job_id == job_id, events.c.seq > after).order_by(events.c.seq).limit(limit)
    return [_event(row) for row in conn.execute(query)]


def last_seq(conn: sa.Connection, job_id: str) -> int:
    """The number of the job's last event; 0 where it has none."""
    return conn.scalar(sa.select(sa.func.max(events.c.seq)).where(events.c.job_id == job_id)) or 0


def state(conn: sa.Connection, job_id: str) -> Event | None:
    """What a newcomer is shown: how the job ended, else its last progress."""
    for types in (ENDINGS, (EventType.PROGRESS,)):
        query = (
            events.select().where(events.c.job_id == job_id, events.c.type.in_(types))
            .order_by(events.c.seq.desc()).limit(1)
        )
        if row := conn.execute(query).first():
            return _event(row)
    return None


def fold(tx: Tx, job_id: str, shot_id: str) -> None:
    """Keep only the last progress of a finished shot, so that the log does not grow with every step for ever."""
    progress = (
        (events.c.job_id == job_id) & (events.c.shot_id == shot_id) & (events.c.type == EventType.PROGRESS)
    )
    newest = sa.select(sa.func.max(events.c.seq)).where(progress).scalar_subquery()
    tx.conn.execute(events.delete().where(progress, events.c.seq != newest))


def _event(row: sa.Row) -> Event:
    return Event(row.seq, row.job_id, EventType(row.type), row.body, row.created_at, row.shot_id)
