"""Jobs found by place and by key: pages that go on from a job, whatever was posted or deleted meanwhile."""

import sqlalchemy as sa

from vidgen.store.jobs import TimedJob, of_rows
from vidgen.store.schema import jobs


def seq_of(conn: sa.Connection, job_id: str) -> int | None:
    """The place of a job in the order of acknowledgement; None where there is none."""
    return conn.scalar(sa.select(jobs.c.seq).where(jobs.c.id == job_id))


def after(conn: sa.Connection, seq: int | None, *, limit: int, newest_first: bool) -> list[TimedJob]:
    """The jobs that follow the place *seq*, or the first ones."""
    query = jobs.select().order_by(jobs.c.seq.desc() if newest_first else jobs.c.seq).limit(limit)
    if seq is not None:
        query = query.where(jobs.c.seq < seq if newest_first else jobs.c.seq > seq)
    return of_rows(conn, conn.execute(query).all())


def by_key_prefix(conn: sa.Connection, prefix: str, since: float) -> list[tuple[str, str]]:
    """Id and idempotency key of the jobs whose key begins with *prefix*, the newest first.

    :param since: seconds since the epoch; older jobs are left out.
    """
    key = jobs.c.idempotency_key
    found = conn.execute(
        sa.select(jobs.c.id, key).order_by(jobs.c.seq.desc())
        .where(key >= prefix, key < prefix[:-1] + chr(ord(prefix[-1]) + 1), jobs.c.created_at >= since)
    )
    return [(row.id, row.idempotency_key) for row in found]
