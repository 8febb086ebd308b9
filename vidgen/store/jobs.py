"""Jobs and their shots: rows in, :class:`~vidgen.types.Job` out, and the moves of a job's status."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from vidgen.store.schema import jobs, shots
from vidgen.store.writer import Tx
from vidgen.types import (
    JOB_MOVES,
    CameraMove,
    Effective,
    GenerationMode,
    Job,
    JobStatus,
    Lane,
    Shot,
    ShotStatus,
    Storyboard,
    check_move,
)

OPEN = (JobStatus.QUEUED, JobStatus.PROCESSING)
_ID = jobs.c.id == sa.bindparam("job_id")
_BY_ID = jobs.select().where(_ID)
_UPDATE = jobs.update().where(_ID)
_INSERT = jobs.insert()
_COUNT = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.status == sa.bindparam("of_status"))
_FIRST_QUEUED = (
    sa.select(jobs.c.id, jobs.c.model_id, jobs.c.keyframe_model_id, jobs.c.priority, jobs.c.rank)
    .where(jobs.c.status == JobStatus.QUEUED).order_by(jobs.c.rank, jobs.c.seq).limit(sa.bindparam("limit"))
)
_HIGHEST = sa.select(sa.func.max(jobs.c.priority)).where(jobs.c.status == JobStatus.PROCESSING).scalar_subquery()
_ABOVE_ALL_PROCESSING = (
    sa.select(jobs.c.id).where(jobs.c.status == JobStatus.QUEUED, jobs.c.priority > _HIGHEST)
    .order_by(jobs.c.rank, jobs.c.seq).limit(1)
)
_RANK = sa.bindparam("rank")
_QUEUED = sa.select(sa.func.count()).where(jobs.c.status == JobStatus.QUEUED)
_BELOW = sa.select(                         # two counts of one column: comparing pairs takes SQLite twice as long
    _QUEUED.where(jobs.c.rank >= sa.bindparam("from_rank"), jobs.c.rank < _RANK).scalar_subquery().label("lower"),
    _QUEUED.where(jobs.c.rank == _RANK, jobs.c.seq <= sa.bindparam("seq")).scalar_subquery().label("level"),
)
_SHOTS = shots.select().where(
    shots.c.job_id.in_(sa.bindparam("job_ids", expanding=True))
).order_by(shots.c.job_id, shots.c.index)


@dataclass(frozen=True, slots=True)
class NewJob:
    """What is written when a job is acknowledged."""

    id: str
    request: Mapping[str, Any]
    effective: Effective
    model_id: str
    keyframe_model_id: str | None
    keyframe_parameters: Mapping[str, Any]
    upload_id: str | None
    generation_mode: GenerationMode
    seed: int
    priority: int
    idempotency_key: str | None = None
    idempotency_digest: str | None = None
    parent_id: str | None = None
    root_id: str | None = None
    reused: Mapping[str, Sequence[int]] = field(default_factory=dict)   # as it is expected
    lane: Lane | None = None
    forecast: Mapping[str, Any] | None = None
    forecast_s: float | None = None


@dataclass(frozen=True, slots=True)
class TimedJob(Job):
    """A job with what is known of its time. The last two are filled in by ``engine/outlook.py``."""

    rank: float = 0.0
    lane: Lane | None = None                # that its renders run on
    forecast: Mapping[str, Any] | None = None   # how long it was expected to take when it was posted
    eta_seconds: float | None = None        # until its video is ready
    estimated_start: float | None = None    # seconds since the epoch; None once it runs


@dataclass(frozen=True, slots=True)
class Standing:
    """A queued job, and what decides when it is let in."""

    id: str
    first_model_id: str                     # of its first step that renders
    priority: int
    rank: float


def rank_of(created_at: float, priority: int, age_s: float) -> float:
    """The order of claiming, lowest first.

    A job's effective priority is ``priority + age / age_s``. All ages grow alike, so comparing two effective
    priorities is comparing two numbers that never change: ``created_at - priority * age_s``.
    """
    return created_at - priority * age_s


def insert(tx: Tx, new: NewJob, rank: float, current_step: str) -> None:
    row = asdict(new) | {
        "status": JobStatus.QUEUED, "prompt": new.request["user_prompt"], "rank": rank,
        "created_at": tx.now, "updated_at": tx.now, "current_step": current_step,
    }
    tx.conn.execute(_INSERT, row)


def get(conn: sa.Connection, job_id: str) -> TimedJob | None:
    """The job with its shots, or None."""
    row = conn.execute(_BY_ID, {"job_id": job_id}).first()
    return of_rows(conn, [row])[0] if row else None


def page(
    conn: sa.Connection, *, offset: int, limit: int, status: str | None = None, model_id: str | None = None,
    q: str | None = None, newest_first: bool = True,
) -> tuple[list[TimedJob], int]:
    """One page of jobs, and how many there are in all."""
    where = []
    if status is not None:
        where.append(jobs.c.status == status)
    if model_id is not None:
        where.append(jobs.c.model_id == model_id)
    if q:
        where.append(jobs.c.prompt.icontains(q, autoescape=True))
    order = jobs.c.seq.desc() if newest_first else jobs.c.seq
    rows = conn.execute(jobs.select().where(*where).order_by(order).limit(limit).offset(offset)).all()
    total = conn.scalar(sa.select(sa.func.count()).select_from(jobs).where(*where)) or 0
    return of_rows(conn, rows), total


def versions(conn: sa.Connection, root_id: str) -> list[TimedJob]:
    """The job and all that are new versions of it, oldest first."""
    family = (jobs.c.id == root_id) | (jobs.c.root_id == root_id)
    return of_rows(conn, conn.execute(jobs.select().where(family).order_by(jobs.c.seq)).all())


def in_order(conn: sa.Connection, limit: int) -> list[TimedJob]:
    """Jobs that run, then jobs that wait, in the order in which they will be taken."""
    running = conn.execute(jobs.select().where(jobs.c.status == JobStatus.PROCESSING).order_by(jobs.c.rank)).all()
    waiting = conn.execute(
        jobs.select().where(jobs.c.status == JobStatus.QUEUED).order_by(jobs.c.rank, jobs.c.seq).limit(limit)
    ).all()
    return of_rows(conn, [*running, *waiting], {row.id: place for place, row in enumerate(waiting, 1)})


def count(conn: sa.Connection, status: JobStatus) -> int:
    return conn.scalar(_COUNT, {"of_status": status}) or 0


def by_idempotency_key(conn: sa.Connection, key: str) -> tuple[str, str] | None:
    """The id and the digest of the job that was posted with *key*."""
    row = conn.execute(
        sa.select(jobs.c.id, jobs.c.idempotency_digest).where(jobs.c.idempotency_key == key)
    ).first()
    return (row.id, row.idempotency_digest) if row else None


def ids(conn: sa.Connection) -> set[str]:
    return set(conn.scalars(sa.select(jobs.c.id)))


def cancelling(conn: sa.Connection) -> list[str]:
    """Jobs that were asked to end and have not."""
    return list(conn.scalars(sa.select(jobs.c.id).where(jobs.c.status.in_(OPEN), jobs.c.cancel_requested)))


def first_queued(conn: sa.Connection, limit: int) -> list[Standing]:
    """The queued jobs whose turn is next, in order."""
    rows = conn.execute(_FIRST_QUEUED, {"limit": limit})
    return [Standing(row.id, row.keyframe_model_id or row.model_id, row.priority, row.rank) for row in rows]


def above_all_processing(conn: sa.Connection) -> str | None:
    """The id of the next queued job, if its priority is higher than that of every job that is processing."""
    return conn.scalar(_ABOVE_ALL_PROCESSING)


def move(tx: Tx, job_id: str, status: JobStatus, **values: Any) -> None:
    """Change the job's status.

    :raises IllegalMove: where a job of its present status cannot become *status*.
    """
    before = JobStatus(tx.conn.scalar(sa.select(jobs.c.status).where(jobs.c.id == job_id)))
    check_move(JOB_MOVES, before, status)
    if status is JobStatus.PROCESSING:
        values["started_at"] = tx.now
    if status.ended:
        values["ended_at"] = tx.now
    update(tx, job_id, status=status, **values)


def update(tx: Tx, job_id: str, **values: Any) -> None:
    tx.conn.execute(_UPDATE, {"job_id": job_id, "updated_at": tx.now, **values})


def add_usage(tx: Tx, job_id: str, step: str, measured: Mapping[str, float]) -> None:
    """Write down what the run of one of the job's steps measured."""
    if measured:
        before = tx.conn.scalar(sa.select(jobs.c.usage).where(jobs.c.id == job_id)) or {}
        update(tx, job_id, usage={**before, step: dict(measured)})


def delete(tx: Tx, job_id: str) -> None:
    """Remove the job with its shots, steps and events."""
    tx.conn.execute(jobs.delete().where(jobs.c.id == job_id))


def insert_shots(tx: Tx, job_id: str, new: Iterable[Shot]) -> None:
    rows = [asdict(shot) | {"job_id": job_id} for shot in new]
    for row in rows:
        del row["id"]
    tx.conn.execute(shots.insert(), rows)


def update_shot(tx: Tx, job_id: str, index: int, **values: Any) -> None:
    tx.conn.execute(shots.update().where(shots.c.job_id == job_id, shots.c.index == index).values(**values))


def keep_made(tx: Tx, job_id: str, index: int, kind: str, made: Mapping[str, Any]) -> None:
    """Write down how one of the shot's steps was really rendered."""
    if made:
        mine = (shots.c.job_id == job_id) & (shots.c.index == index)
        before = tx.conn.scalar(sa.select(shots.c.made).where(mine)) or {}
        update_shot(tx, job_id, index, made={**before, kind: dict(made)})


def end_open_shots(tx: Tx, job_id: str, status: ShotStatus) -> None:
    """Shots that have not ended end as *status*."""
    unfinished = shots.c.status.in_((ShotStatus.PENDING, ShotStatus.RENDERING))
    tx.conn.execute(shots.update().where(shots.c.job_id == job_id, unfinished).values(status=status))


def shot_id(index: int) -> str:
    """``shot_001`` for index 0."""
    return f"shot_{index + 1:03d}"


def of_rows(
    conn: sa.Connection, rows: list[sa.Row], positions: Mapping[str, int] | None = None
) -> list[TimedJob]:
    """The jobs of *rows* of the table; *positions* are counted where they are not known."""
    planned = [row.id for row in rows if row.storyboard_id]
    by_job: dict[str, list[Shot]] = {job_id: [] for job_id in planned}
    if planned:
        for row in conn.execute(_SHOTS, {"job_ids": planned}):
            by_job[row.job_id].append(_shot(row))
    if positions is None:
        positions = _positions(conn, [row for row in rows if row.status == JobStatus.QUEUED])
    return [replace(_job(row, by_job.get(row.id, [])), position=positions.get(row.id)) for row in rows]


def _positions(conn: sa.Connection, queued: list[sa.Row]) -> dict[str, int]:
    """Where each of these jobs stands in the queue, from 1; each is counted from the one before it."""
    found: dict[str, int] = {}
    below, from_rank = 0, -math.inf
    for row in sorted(queued, key=lambda row: row.rank):
        counted = conn.execute(_BELOW, {"from_rank": from_rank, "rank": row.rank, "seq": row.seq}).one()
        below, from_rank = below + counted.lower, row.rank
        found[row.id] = max(1, below + counted.level)       # it may have left the queue since its row was read
    return found


def _job(row: sa.Row, job_shots: list[Shot]) -> TimedJob:
    storyboard = None
    if row.storyboard_id:
        storyboard = Storyboard(row.storyboard_id, row.storyboard_title, tuple(job_shots))
    return TimedJob(
        seq=row.seq, id=row.id, status=JobStatus(row.status), request=row.request,
        effective=Effective(**row.effective), model_id=row.model_id, keyframe_model_id=row.keyframe_model_id,
        keyframe_parameters=row.keyframe_parameters or {}, upload_id=row.upload_id,
        generation_mode=GenerationMode(row.generation_mode), priority=row.priority, seed=row.seed,
        created_at=row.created_at, updated_at=row.updated_at, current_step=row.current_step, progress=row.progress,
        cancel_requested=row.cancel_requested, parent_id=row.parent_id, started_at=row.started_at,
        ended_at=row.ended_at, storyboard=storyboard, error_code=row.error_code, error_message=row.error_message,
        usage=row.usage or {}, root_id=row.root_id, reused=row.reused or {},
        rank=row.rank, lane=Lane(row.lane) if row.lane else None, forecast=row.forecast,
    )


def _shot(row: sa.Row) -> Shot:
    return Shot(
        id=shot_id(row.index), index=row.index, description=row.description,
        camera_move=CameraMove(row.camera_move), duration_seconds=row.duration_seconds, seed=row.seed,
        status=ShotStatus(row.status), num_frames=row.num_frames, keyframe=row.keyframe, video=row.video,
        poster=row.poster, preview=row.preview, frames=row.frames, error_message=row.error_message,
        made=row.made or {}, key=row.key, keyframe_key=row.keyframe_key, parameters=row.parameters or {},
        keyframe_prompt=row.keyframe_prompt, keyframe_upload_id=row.keyframe_upload_id,
    )
