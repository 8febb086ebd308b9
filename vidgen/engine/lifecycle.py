"""The rules of a job's life, as functions of one transaction.

    queued ── admitted ──> processing ── last step done ──> completed
       └──────────────┬────────┘    └── a step gives up ──> failed
                      └── cancelled, once no lane holds a step of it ──> cancelled

Every change here appends its event in the same transaction. Knows no thread and no file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from vidgen.errors import Conflict
from vidgen.store import jobs, log, steps
from vidgen.store.jobs import TimedJob
from vidgen.store.steps import NewStep
from vidgen.store.writer import Tx
from vidgen.types import EventType, Job, JobStatus, Lane, Shot, ShotStatus, Step, StepKind, StepStatus

MAX_ATTEMPTS = 3
MAX_INTERRUPTIONS = 10
"""How often the server, or the process that renders, may die while one step runs before that step is held to be the
cause."""

RETRY_DELAYS_S = (0.5, 2.0)
"""Before the second and the third attempt."""

UNFINISHED_PERCENT = 99.0
"""Progress stops here until the video can be downloaded."""

WEIGHTS = {StepKind.PLAN: 1.0, StepKind.KEYFRAME: 5.0, StepKind.RENDER: 20.0, StepKind.ASSEMBLE: 2.0}
"""Shares of a job's progress."""

CANCELLED_MESSAGE = "The job was cancelled"


@dataclass(frozen=True, slots=True)
class Report:
    """One line of progress."""

    step: str                               # what people read: "Generating shot 2 of 3"
    message: str
    fraction: float                         # of this step, 0 to 1
    extra: Mapping[str, Any]
    eta_seconds: float | None = None        # until the job's video is ready; None where unknown


Tell = Callable[[TimedJob], TimedJob]
"""Says of a job when it is expected to start and end."""


def begin(tx: Tx, new: jobs.NewJob, age_s: float, tell: Tell = lambda job: job) -> TimedJob:
    """Acknowledge a job: the row, its plan step, the first event. Returns the job as it is acknowledged."""
    rank = jobs.rank_of(tx.now, new.priority, age_s)
    jobs.insert(tx, new, rank, "initializing")
    steps.insert(tx, new.id, rank, NewStep(StepKind.PLAN, Lane.PLANNER, WEIGHTS[StepKind.PLAN], held=True))
    job = tell(jobs.get(tx.conn, new.id))
    log.append(tx, new.id, EventType.PROGRESS, {
        "step": "initializing", "progress": 0.0, "message": "Queued", "shot_id": None,
        **_times(job.eta_seconds, job.position, job.estimated_start),
    })
    return job


def admit(tx: Tx, job_id: str) -> None:
    """Let the queued job in."""
    jobs.move(tx, job_id, JobStatus.PROCESSING)
    steps.release(tx, job_id)


def set_priority(tx: Tx, job: Job, priority: int, age_s: float) -> None:
    """Reorder a job that has not ended.

    :raises Conflict: where it has.
    """
    if job.status.ended:
        raise Conflict(f"job {job.id} is {job.status}; its priority cannot change any more", code="job_ended")
    rank = jobs.rank_of(job.created_at, priority, age_s)
    jobs.update(tx, job.id, priority=priority, rank=rank)
    steps.set_rank(tx, job.id, rank)


def planned(
    tx: Tx, step: Step, storyboard: tuple[str, str], shots: list[Shot], work: list[NewStep],
    eta_seconds: float | None = None,
) -> None:
    """The plan is made: write the shots and the steps.

    :param storyboard: id and title.
    :param work: in order; each one's ``needs`` are places in this list, not ids.
    """
    storyboard_id, title = storyboard
    jobs.update(tx, step.job_id, storyboard_id=storyboard_id, storyboard_title=title)
    jobs.insert_shots(tx, step.job_id, shots)
    rank = steps.job_of(tx.conn, step).rank
    ids: list[int] = []
    for new in work:
        ids.append(steps.insert(tx, step.job_id, rank, replace(new, needs=[ids[place] for place in new.needs])))
    steps.finish(tx, step)
    report(tx, step, Report("Planning", f"The storyboard has {len(shots)} shots", 1.0, {}, eta_seconds))


def report(tx: Tx, step: Step, said: Report) -> None:
    """Append a progress event; the job's percentage never falls."""
    steps.set_fraction(tx, step, said.fraction)
    job = steps.job_of(tx.conn, step)
    percent = max(job.progress, min(round(steps.percent(tx.conn, step.job_id), 1), UNFINISHED_PERCENT))
    jobs.update(tx, step.job_id, progress=percent, current_step=said.step)
    shot_id = None if step.shot_index is None else jobs.shot_id(step.shot_index)
    body = {
        "step": said.step, "progress": percent, "message": said.message, "shot_id": shot_id, **said.extra,
        **_times(said.eta_seconds),
    }
    log.append(tx, step.job_id, EventType.PROGRESS, body, shot_id)


def note(tx: Tx, job_id: str, code: str, message: str) -> None:
    log.append(tx, job_id, EventType.NOTE, {"code": code, "message": message})


def complete(tx: Tx, step: Step, said: dict) -> None:
    """The last step is done: the video can be downloaded."""
    steps.finish(tx, step)
    jobs.move(tx, step.job_id, JobStatus.COMPLETED, progress=100.0, current_step="Complete")
    log.append(tx, step.job_id, EventType.PROGRESS, {
        "step": "Complete", "progress": 100.0, "message": "The video is ready", "shot_id": None, **_times(0.0),
    })
    log.append(tx, step.job_id, EventType.JOB_COMPLETE, said)


def fail_attempt(tx: Tx, step: Step, message: str, code: str, *, retryable: bool) -> None:
    """An attempt failed: the step is tried again, or the job fails with the reason."""
    if retryable and step.attempts < MAX_ATTEMPTS:
        delay = RETRY_DELAYS_S[step.attempts - 1]
        steps.again(tx, step, delay_s=delay, message=message)
        note(tx, step.job_id, "retry", f"{_named(step)}: attempt {step.attempts} of {MAX_ATTEMPTS} failed: {message}")
    else:
        steps.end(tx, step, StepStatus.FAILED, message)
        tried = f" (after {step.attempts} attempts)" if step.attempts > 1 else ""
        fail(tx, step, f"{_named(step)} failed{tried}: {message}", code)


def give_back(tx: Tx, step: Step, *, counted: bool) -> None:
    """The attempt was interrupted through no fault of the step, and is not held against it.

    :param counted: whether it counts among the interruptions, of which there can be too many.
    """
    times = steps.give_back(tx, step, counted=counted)
    if times > MAX_INTERRUPTIONS:
        fail(tx, step, f"{_named(step)} was interrupted {times} times", "interrupted")


def fail(tx: Tx, step: Step, message: str, code: str) -> None:
    """The job ends as failed; what is still running is no longer wanted."""
    if step.shot_index is not None:
        jobs.update_shot(tx, step.job_id, step.shot_index, status=ShotStatus.FAILED, error_message=message)
    steps.cancel_unfinished(tx, step.job_id)
    jobs.end_open_shots(tx, step.job_id, ShotStatus.CANCELLED)
    jobs.move(tx, step.job_id, JobStatus.FAILED, error_message=message, error_code=code, current_step="Failed")
    log.append(tx, step.job_id, EventType.ERROR, {"error": message, "code": code})


def request_cancel(tx: Tx, job: Job) -> None:
    """The client wants the job to end. It ends at once where no lane holds a step of it.

    :raises Conflict: where it has already completed or failed.
    """
    if job.status is JobStatus.CANCELLED:
        return
    if job.status.ended:
        raise Conflict(f"job {job.id} is {job.status}; there is nothing to cancel", code="job_ended")
    jobs.update(tx, job.id, cancel_requested=True)
    steps.cancel_unclaimed(tx, job.id)
    cancel_if_idle(tx, job.id)


def cancel_if_idle(tx: Tx, job_id: str) -> None:
    """End the job as cancelled if no lane holds a step of it."""
    if steps.running(tx.conn, job_id):
        return
    steps.cancel_unfinished(tx, job_id)
    jobs.end_open_shots(tx, job_id, ShotStatus.CANCELLED)
    jobs.move(
        tx, job_id, JobStatus.CANCELLED,
        error_message=CANCELLED_MESSAGE, error_code="cancelled", current_step="Cancelled",
    )
    log.append(tx, job_id, EventType.ERROR, {"error": CANCELLED_MESSAGE, "code": "cancelled"})


def recover(tx: Tx) -> int:
    """After a start: what was running is queued again, cancels that were under way are finished.

    :returns: how many steps were running when the server died.
    """
    interrupted = steps.interrupted(tx)
    for step, times in interrupted:
        if times > MAX_INTERRUPTIONS:
            fail(tx, step, f"{_named(step)}: the server died {times} times while it ran", "interrupted")
    for job_id in jobs.cancelling(tx.conn):
        cancel_if_idle(tx, job_id)
    return len(interrupted)


def _times(
    eta_seconds: float | None, position: int | None = None, estimated_start: float | None = None
) -> dict[str, Any]:
    """What every progress message says of when the job starts and ends; a job that has started has no position."""
    start = None if estimated_start is None else datetime.fromtimestamp(estimated_start, UTC)
    return {
        "position": position, "eta_seconds": eta_seconds,
        "estimated_start": None if start is None else f"{start:%Y-%m-%dT%H:%M:%SZ}",
    }


def _named(step: Step) -> str:
    names = {
        StepKind.PLAN: "The storyboard", StepKind.KEYFRAME: "The keyframe of shot {}",
        StepKind.RENDER: "Shot {}", StepKind.ASSEMBLE: "Joining the shots",
    }
    return names[step.kind].format((step.shot_index or 0) + 1)


def has_ended(conn: sa.Connection, step: Step) -> bool:
    return JobStatus(steps.job_of(conn, step).status).ended
