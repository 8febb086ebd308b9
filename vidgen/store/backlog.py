"""The work that waits and the work that runs, in seconds as far as they are known: what forecasts are reckoned from.

``forecast_s`` of a queued job is what it will take of its lane's time; the index of the queue has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from vidgen.store import jobs
from vidgen.store.jobs import TimedJob
from vidgen.store.schema import jobs as table
from vidgen.store.schema import steps
from vidgen.store.writer import Tx
from vidgen.types import JobStatus, Lane, StepKind, StepStatus

_EARLIER = (table.c.status == JobStatus.QUEUED) & (table.c.rank < sa.bindparam("rank"))
_BEFORE = sa.select(sa.func.count()).where(_EARLIER)
_AHEAD = sa.select(                         # from the index alone, as the backlog
    sa.func.total(table.c.forecast_s), sa.func.count() - sa.func.count(table.c.forecast_s)
).where(_EARLIER, table.c.lane == sa.bindparam("of_lane"))
_BACKLOG = sa.select(table.c.lane, table.c.rank, table.c.forecast_s).where(
    table.c.status == JobStatus.QUEUED
).order_by(table.c.rank, table.c.seq)
_PROCESSING = table.select().where(table.c.status == JobStatus.PROCESSING).order_by(table.c.rank, table.c.seq)
_UNFINISHED = sa.select(
    steps.c.job_id, steps.c.id, steps.c.kind, steps.c.lane, steps.c.model_id, steps.c.shot_index
).where(
    steps.c.job_id.in_(sa.bindparam("job_ids", expanding=True)),
    steps.c.status.in_((StepStatus.WAITING, StepStatus.READY, StepStatus.RUNNING)),
)
_FORECAST = table.update().where(table.c.id == sa.bindparam("job_id"))


@dataclass(frozen=True, slots=True)
class Ahead:
    """The queued jobs that go first on a lane."""

    seconds: float                          # of the lane's time, as far as it is known
    unknown: int                            # jobs of which it is not


@dataclass(frozen=True, slots=True)
class OpenStep:
    """A step that has not ended."""

    id: int
    kind: StepKind
    lane: Lane
    model_id: str | None
    shot_index: int | None


def place(conn: sa.Connection, rank: float) -> int:
    """The position that a job of this rank would have if it were posted now."""
    return conn.scalar(_BEFORE, {"rank": rank}) + 1


def ahead(conn: sa.Connection, lane: Lane, rank: float) -> Ahead:
    """The queued jobs on *lane* that go before one of this rank. Costs what there is of them: see :func:`backlog`."""
    return Ahead(*conn.execute(_AHEAD, {"of_lane": lane, "rank": rank}).one())


def backlog(conn: sa.Connection) -> list[sa.Row]:
    """``lane``, ``rank`` and ``forecast_s`` of every queued job, in order; from the index alone."""
    return conn.execute(_BACKLOG).all()


def processing(conn: sa.Connection) -> list[tuple[TimedJob, list[OpenStep]]]:
    """The jobs that are processing, in the order of their rank, each with its steps that have not ended."""
    rows = conn.execute(_PROCESSING).all()
    by_job: dict[str, list[OpenStep]] = {row.id: [] for row in rows}
    for row in conn.execute(_UNFINISHED, {"job_ids": list(by_job)}) if rows else ():
        step = OpenStep(row.id, StepKind(row.kind), Lane(row.lane), row.model_id, row.shot_index)
        by_job[row.job_id].append(step)
    return [(job, by_job[job.id]) for job in jobs.of_rows(conn, rows)]


def without_forecast(conn: sa.Connection, model_id: str, limit: int) -> list[TimedJob]:
    """Queued jobs of the model that were posted before anything was known of its time, the next ones first."""
    rows = conn.execute(
        table.select().where(
            table.c.status == JobStatus.QUEUED, table.c.forecast_s.is_(None), table.c.model_id == model_id
        ).order_by(table.c.rank, table.c.seq).limit(limit)
    ).all()
    return jobs.of_rows(conn, rows, {})


def set_forecast(tx: Tx, job_id: str, forecast: Mapping[str, Any], lane_seconds: float | None) -> None:
    tx.conn.execute(_FORECAST, {"job_id": job_id, "forecast": dict(forecast), "forecast_s": lane_seconds})
