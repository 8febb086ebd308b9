"""Steps: the table of work. One way to claim, one retry rule, one cancel rule.

A lane owns a step while the row says ``running`` with the attempt that the lane was given; every write on behalf of a
running step asks :func:`owned` first, so a step that was cancelled or taken over meanwhile is never written twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from vidgen.store.schema import jobs, needs, steps
from vidgen.store.writer import Tx
from vidgen.types import STEP_MOVES, Lane, Step, StepKind, StepStatus, check_move

UNFINISHED = (StepStatus.WAITING, StepStatus.READY, StepStatus.RUNNING)

# What runs at every unit of progress is built once: building a statement costs twice as much as running it.
_ID = steps.c.id == sa.bindparam("step_id")
_MOVE = steps.update().where(_ID, steps.c.status == sa.bindparam("before"))
_UPDATE = steps.update().where(_ID)
_OWNED = sa.select(steps.c.id).where(
    _ID, steps.c.status == StepStatus.RUNNING, steps.c.attempts == sa.bindparam("attempt")
)
_PERCENT = sa.select(
    100 * sa.func.sum(steps.c.weight * steps.c.fraction) / sa.func.sum(steps.c.weight)
).where(steps.c.job_id == sa.bindparam("of_job"))
_JOB_OF = sa.select(jobs.c.status, jobs.c.rank, jobs.c.progress, jobs.c.cancel_requested).where(
    jobs.c.id == sa.bindparam("of_job")
)

_NEXT = (
    steps.select()
    .where(
        steps.c.lane == sa.bindparam("of_lane"), steps.c.status == StepStatus.READY,
        steps.c.not_before <= sa.bindparam("now"),
    )
    .order_by(steps.c.rank, steps.c.id).limit(1)
)
_READY = (
    sa.select(steps, jobs.c.priority).join(jobs, jobs.c.id == steps.c.job_id)
    .where(
        steps.c.lane == sa.bindparam("of_lane"), steps.c.status == StepStatus.READY,
        steps.c.not_before <= sa.bindparam("now"),
    )
    .order_by(steps.c.rank, steps.c.id).limit(sa.bindparam("limit"))
)
_THAN = sa.select(jobs.c.priority).where(jobs.c.id == sa.bindparam("than")).scalar_subquery()
_MORE_URGENT = _READY.where(jobs.c.priority > _THAN).params(limit=1)


@dataclass(frozen=True, slots=True)
class Ready:
    """A step that can be claimed, and what decides when."""

    step: Step
    priority: int                           # the job's own
    rank: float


@dataclass(frozen=True, slots=True)
class NewStep:
    """A step to be written; ``needs`` are ids of steps that must be done first."""

    kind: StepKind
    lane: Lane
    weight: float
    shot_index: int | None = None
    model_id: str | None = None
    needs: Sequence[int] = ()
    held: bool = False                      # waits for release() even with nothing to wait for


def insert(tx: Tx, job_id: str, rank: float, new: NewStep) -> int:
    """Write one step and return its id; it is ready at once where it needs nothing."""
    ready = not new.needs and not new.held
    row = {
        "job_id": job_id, "kind": new.kind, "lane": new.lane, "model_id": new.model_id, "shot_index": new.shot_index,
        "status": StepStatus.READY if ready else StepStatus.WAITING, "rank": rank, "unmet": len(new.needs),
        "weight": new.weight,
    }
    step_id = tx.conn.execute(steps.insert().values(row)).inserted_primary_key[0]
    if new.needs:
        tx.conn.execute(needs.insert(), [{"step_id": step_id, "needs_id": need} for need in new.needs])
    if ready:
        tx.changes.lanes.add(new.lane)
    return step_id


def release(tx: Tx, job_id: str) -> None:
    """Steps of the job that wait for nothing any more become ready."""
    free = (steps.c.job_id == job_id) & (steps.c.status == StepStatus.WAITING) & (steps.c.unmet == 0)
    lanes = tx.conn.scalars(sa.select(steps.c.lane).where(free).distinct()).all()
    if lanes:
        tx.conn.execute(steps.update().where(free).values(status=StepStatus.READY))
        tx.changes.lanes.update(map(Lane, lanes))


def claim(tx: Tx, lane: Lane) -> Step | None:
    """The lane's next ready step, now running and with its attempt counted; None where there is none."""
    row = tx.conn.execute(_NEXT, {"of_lane": lane, "now": tx.now}).first()
    return None if row is None else _claimed(tx, row)


def ready(conn: sa.Connection, lane: Lane, now: float, limit: int) -> list[Ready]:
    """What the lane may claim now, in order."""
    rows = conn.execute(_READY, {"of_lane": lane, "now": now, "limit": limit})
    return [_ready(row) for row in rows]


def more_urgent(conn: sa.Connection, than: Step, now: float) -> Ready | None:
    """The first step ready on the same lane whose job was given a higher priority."""
    asked = {"of_lane": than.lane, "now": now, "than": than.job_id}
    row = conn.execute(_MORE_URGENT, asked).first()
    return None if row is None else _ready(row)


def claim_one(tx: Tx, step_id: int) -> Step | None:
    """This step, now running and with its attempt counted; None where it is not ready any more."""
    row = tx.conn.execute(steps.select().where(steps.c.id == step_id, steps.c.status == StepStatus.READY)).first()
    return None if row is None else _claimed(tx, row)


def owned(tx: Tx, step: Step) -> bool:
    """Whether *step* still belongs to the lane that was given it."""
    return tx.conn.scalar(_OWNED, {"step_id": step.id, "attempt": step.attempts}) is not None


def wanted(conn: sa.Connection, step: Step) -> bool:
    """Whether the step that was claimed a moment ago should still run."""
    query = sa.select(jobs.c.cancel_requested).join(steps, steps.c.job_id == jobs.c.id)
    row = conn.execute(query.where(steps.c.id == step.id, steps.c.status == StepStatus.RUNNING)).first()
    return row is not None and not row.cancel_requested


def finish(tx: Tx, step: Step) -> None:
    """The step is done; what needed it may become ready."""
    _move(tx, step.id, StepStatus.RUNNING, StepStatus.DONE, fraction=1.0, staged=None)
    dependents = sa.select(needs.c.step_id).where(needs.c.needs_id == step.id)
    tx.conn.execute(steps.update().where(steps.c.id.in_(dependents)).values(unmet=steps.c.unmet - 1))
    release(tx, step.job_id)


def again(tx: Tx, step: Step, *, delay_s: float, message: str) -> None:
    """The attempt failed; the step may be claimed again after *delay_s* seconds."""
    _move(tx, step.id, StepStatus.RUNNING, StepStatus.READY, not_before=tx.now + delay_s, error_message=message)
    tx.changes.lanes.add(step.lane)


def give_back(tx: Tx, step: Step, *, counted: bool = False) -> int:
    """It was stopped through no fault of its own: the attempt is not counted. Returns how often it was interrupted.

    :param counted: whether this is counted among its interruptions.
    """
    times = tx.conn.scalar(sa.select(steps.c.interruptions).where(steps.c.id == step.id)) + counted
    _move(tx, step.id, StepStatus.RUNNING, StepStatus.READY, attempts=step.attempts - 1, interruptions=times)
    tx.changes.lanes.add(step.lane)
    return times


def end(tx: Tx, step: Step, status: StepStatus, message: str | None = None) -> None:
    """The step ends as failed or cancelled."""
    _move(tx, step.id, StepStatus.RUNNING, status, error_message=message)


def stage(tx: Tx, step: Step, staged: Mapping[str, Any]) -> None:
    """Note what is about to be renamed into place, so that a restart can tell it from a leftover."""
    tx.conn.execute(_UPDATE, {"step_id": step.id, "staged": staged})


def keep(tx: Tx, step: Step, facts: Mapping[str, Any]) -> None:
    """Keep what the next attempt at the step must know."""
    tx.conn.execute(_UPDATE, {"step_id": step.id, "kept": dict(facts)})


def cancel_unclaimed(tx: Tx, job_id: str) -> None:
    """Steps of the job that no lane has claimed will not run."""
    unclaimed = steps.c.status.in_((StepStatus.WAITING, StepStatus.READY))
    tx.conn.execute(
        steps.update().where(steps.c.job_id == job_id, unclaimed).values(status=StepStatus.CANCELLED)
    )


def cancel_unfinished(tx: Tx, job_id: str) -> None:
    """No step of the job will run or count any more, claimed or not."""
    tx.conn.execute(
        steps.update().where(steps.c.job_id == job_id, steps.c.status.in_(UNFINISHED))
        .values(status=StepStatus.CANCELLED)
    )


def left_behind(conn: sa.Connection, job_ids: Iterable[str]) -> list[tuple[str, Mapping[str, Any]]]:
    """The model, and what was kept, of the jobs' cancelled steps that kept something."""
    cancelled = steps.c.job_id.in_(list(job_ids)) & (steps.c.status == StepStatus.CANCELLED)
    rows = conn.execute(sa.select(steps.c.model_id, steps.c.kept).where(cancelled)).all()
    return [(row.model_id, row.kept) for row in rows if row.kept]


def running(conn: sa.Connection, job_id: str) -> int:
    """How many steps of the job a lane has claimed."""
    mine = (steps.c.job_id == job_id) & (steps.c.status == StepStatus.RUNNING)
    return conn.scalar(sa.select(sa.func.count()).select_from(steps).where(mine)) or 0


def set_fraction(tx: Tx, step: Step, fraction: float) -> None:
    tx.conn.execute(_UPDATE, {"step_id": step.id, "fraction": fraction})


def percent(conn: sa.Connection, job_id: str) -> float:
    """How much of the job's work is done, by the weights of its steps: 0 to 100."""
    return conn.scalar(_PERCENT, {"of_job": job_id}) or 0


def set_rank(tx: Tx, job_id: str, rank: float) -> None:
    tx.conn.execute(steps.update().where(steps.c.job_id == job_id, steps.c.status.in_(UNFINISHED)).values(rank=rank))


def interrupted(tx: Tx) -> list[tuple[Step, int]]:
    """Steps that were running when the server died are ready again.

    The attempt is not held against the step, since the server may have died of anything; how often it happened is
    returned beside each step.
    """
    rows = tx.conn.execute(steps.select().where(steps.c.status == StepStatus.RUNNING)).all()
    for row in rows:
        _move(
            tx, row.id, StepStatus.RUNNING, StepStatus.READY,
            attempts=row.attempts - 1, interruptions=row.interruptions + 1,
        )
    return [(_step(row, status=StepStatus.READY, attempts=row.attempts - 1), row.interruptions + 1) for row in rows]


def attempts(conn: sa.Connection, job_id: str) -> dict[str, int]:
    """How many attempts each of the job's steps has taken, by kind and shot."""
    query = sa.select(steps.c.kind, steps.c.shot_index, steps.c.attempts).where(steps.c.job_id == job_id)
    return {name(row): row.attempts for row in conn.execute(query.order_by(steps.c.id))}


def name(step: Step | sa.Row) -> str:
    """What a step is called within its job: ``plan``, ``keyframe_001``, ``render_001``, …"""
    return step.kind if step.shot_index is None else f"{step.kind}_{step.shot_index + 1:03d}"


def job_of(conn: sa.Connection, step: Step) -> sa.Row:
    """What must be known of a step's job before it is written: status, rank, progress, cancel_requested."""
    return conn.execute(_JOB_OF, {"of_job": step.job_id}).one()


def _claimed(tx: Tx, row: sa.Row) -> Step:
    _move(tx, row.id, StepStatus.READY, StepStatus.RUNNING, attempts=row.attempts + 1)
    return _step(row, status=StepStatus.RUNNING, attempts=row.attempts + 1)


def _ready(row: sa.Row) -> Ready:
    return Ready(_step(row, status=StepStatus.READY, attempts=row.attempts), row.priority, row.rank)


def _move(tx: Tx, step_id: int, before: StepStatus, after: StepStatus, **values: Any) -> None:
    check_move(STEP_MOVES, before, after)
    tx.conn.execute(_MOVE, {"step_id": step_id, "before": before, "status": after, **values})


def _step(row: sa.Row, *, status: StepStatus, attempts: int) -> Step:
    return Step(
        id=row.id, job_id=row.job_id, kind=StepKind(row.kind), lane=Lane(row.lane), model_id=row.model_id,
        shot_index=row.shot_index, status=status, attempts=attempts, staged=row.staged, kept=row.kept or {},
    )
