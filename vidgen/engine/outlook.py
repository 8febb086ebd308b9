"""When jobs will start and when their videos will be ready: the work ahead of them, and their own.

What runs is read from the database once in a while and followed by its clocks; what waits is added up from the index.
A time that rests on anything unknown is unknown. While the queue is paused, all are.
"""

import logging
import math
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import sqlalchemy as sa

from vidgen.engine.forecast import RENDERING, Forecast, Forecasts
from vidgen.engine.outline import Outline
from vidgen.engine.timings import Clock, Figure, shown
from vidgen.store import backlog, jobs
from vidgen.store.backlog import Ahead, OpenStep
from vidgen.store.database import Database
from vidgen.store.jobs import NewJob, TimedJob
from vidgen.types import JobStatus, Lane, Step, StepKind

log = logging.getLogger(__name__)

SEEN_S = 0.5
"""How long what runs is taken to be as it was read. A step that begins has it read again at once."""

NEAR = 1_000
"""Up to this position, the work ahead of a job is added up for it alone; beyond, from sums over the whole queue."""

SUMS_REST = 100
"""Sums over the queue are good for so many times as long as it took to make them: a hundredth of a core at most."""


@dataclass(frozen=True, slots=True)
class Open:
    """A step that has not ended."""

    kind: StepKind
    figure: Figure | None                   # of the whole of it
    clock: Clock | None                     # while it runs

    def left_s(self) -> float | None:
        if self.clock is not None:
            return self.clock.left_s()
        return None if self.figure is None else self.figure.seconds


@dataclass(frozen=True, slots=True)
class Running:
    """A job that is processing, as it was read."""

    job: TimedJob
    steps: Outline | None
    open: Sequence[Open]
    load_s: float                           # of what none of its steps has begun to load
    unplanned: Forecast | None              # of the whole, while its plan is being made


@dataclass(frozen=True, slots=True)
class Left:
    """What a job that is processing still needs, in seconds; None where unknown."""

    own_s: float | None                     # until its video is ready, with its lane for itself
    lane_s: float | None                    # of its render lane's time


@dataclass(frozen=True, slots=True)
class Sums:
    """The queued jobs of one lane: the rank of each, and what those before it need."""

    ranks: Sequence[float]
    seconds: Sequence[float]
    unknown: Sequence[int]

    def ahead(self, rank: float) -> Ahead:
        place = bisect_left(self.ranks, rank)
        return Ahead(self.seconds[place], self.unknown[place])


NONE_QUEUED = Sums((), (0.0,), (0,))


class Outlook:
    """Safe to use from any thread. Costs a query or two where something has changed, none otherwise.

    :param widths: how many threads each lane has.
    :param paused: whether the queue is.
    """

    def __init__(
        self, database: Database, forecasts: Forecasts, widths: Mapping[Lane, int], paused: Callable[[], bool]
    ):
        self._database = database
        self._forecasts = forecasts
        self._widths = widths
        self._paused = paused
        self._seen: Sequence[Running] = ()
        self._seen_at = -math.inf
        self._sums: Mapping[Lane, Sums] = {}
        self._sums_until = -math.inf

    def told(self, found: Sequence[TimedJob]) -> list[TimedJob]:
        """*found*, with what is known of when they start and end."""
        if self._paused() or all(job.status.ended for job in found):
            return list(found)
        alone, running = sum(job.status is JobStatus.QUEUED for job in found) == 1, self._processing()
        return [self._told(job, job.position if alone else None, running) for job in found]

    def forecast(self, new: NewJob, mode: str | None) -> tuple[NewJob, Forecast]:
        """*new*, with how long it will take if its model is loaded in this mode."""
        forecast = self._forecasts.job(new, mode)
        return replace(new, forecast=forecast.said(), forecast_s=forecast.lane_seconds), forecast

    def wait_s(self, lane: Lane, rank: float, position: int) -> float | None:
        """Seconds until a queued job of this lane, rank and position starts; None where unknown."""
        return None if self._paused() else self._wait_s(lane, rank, position, self._processing())

    def eta_s(self, job_id: str) -> float | None:
        """Seconds until the video of a job that is processing will be ready; None where unknown. Never raises, since
        steps ask while they run.
        """
        try:
            return None if self._paused() else self._present_eta_s(job_id)
        except Exception:
            log.exception("it cannot be said when job %s ends", job_id)
            return None

    def clock(self, step: Step) -> Clock:
        """The clock of a step that begins now. Never raises."""
        try:
            job = self._database.read(lambda conn: jobs.get(conn, step.job_id))
            return Clock(None) if job is None else self._forecasts.clock(step, job)
        except Exception:
            log.exception("it cannot be said how long a step takes", extra={"job": step.job_id, "step": step.id})
            return Clock(None)
        finally:
            self._seen_at = -math.inf

    def _present_eta_s(self, job_id: str) -> float | None:
        if all(each.job.id != job_id for each in self._seen):
            self._seen_at = -math.inf       # it was let in since
        return _eta_s(job_id, self._processing())

    def _told(self, job: TimedJob, position: int | None, running: Sequence[tuple[TimedJob, Left]]) -> TimedJob:
        if job.status is JobStatus.PROCESSING:
            return replace(job, eta_seconds=shown(self.eta_s(job.id)))
        if job.status is not JobStatus.QUEUED or job.lane is None:
            return job
        wait = self._wait_s(job.lane, job.rank, position, running)
        start = None if wait is None else time.time() + wait
        return replace(job, estimated_start=start, eta_seconds=shown(_sum([wait, self._forecasts.job(job).seconds])))

    def _wait_s(
        self, lane: Lane, rank: float, position: int | None, running: Sequence[tuple[TimedJob, Left]]
    ) -> float | None:
        """:param position: None where many jobs are asked for at once."""
        ahead = self._far(lane, rank) if position is None or position > NEAR else self._near(lane, rank)
        loads = [left.lane_s for job, left in running if job.lane is lane]
        if ahead.unknown or None in loads:
            return None
        width = self._widths.get(lane, 1)
        return first_free([sum(loads)] if width == 1 else loads, ahead.seconds, width)

    # what waits

    def _near(self, lane: Lane, rank: float) -> Ahead:
        return self._database.read(lambda conn: backlog.ahead(conn, lane, rank))

    def _far(self, lane: Lane, rank: float) -> Ahead:
        began = time.monotonic()
        if began > self._sums_until:
            self._sums = _sums(self._database.read(backlog.backlog))
            now = time.monotonic()
            self._sums_until = now + SUMS_REST * (now - began)
        return self._sums.get(lane, NONE_QUEUED).ahead(rank)

    # what runs

    def _processing(self) -> list[tuple[TimedJob, Left]]:
        """In the order of their rank."""
        now = time.monotonic()
        if now - self._seen_at > SEEN_S:
            self._seen = [self._running(*each) for each in self._database.read(backlog.processing)]
            self._seen_at = now
        return [(each.job, _left(each)) for each in self._seen]

    def _running(self, job: TimedJob, unfinished: Sequence[OpenStep]) -> Running:
        if (steps := self._forecasts.outline(job)) is None:
            return Running(job, None, (), 0.0, None)
        is_planned = job.storyboard is not None
        begun = {each.model_id for each in unfinished if self._forecasts.running(each.id)}
        local = {each.model_id for each in unfinished if each.lane is Lane.GPU}
        return Running(
            job, steps, [self._open(steps, each) for each in unfinished], self._forecasts.load_s(local - begun),
            None if is_planned else self._forecasts.job(job),
        )

    def _open(self, steps: Outline, step: OpenStep) -> Open:
        figure = self._forecasts.step(steps, step.kind, step.shot_index or 0)
        return Open(step.kind, figure, self._forecasts.running(step.id))


def _left(running: Running) -> Left:
    if running.steps is None:
        return Left(None, None)
    if (whole := running.unplanned) is not None:
        rest = None if whole.seconds is None else whole.seconds - whole.by_kind[StepKind.PLAN]
        return Left(_sum([*(each.left_s() for each in running.open), rest]), whole.lane_seconds)
    by_kind = {kind: _in_all(running.steps, kind, running.open) for kind in StepKind}
    own = _sum([running.load_s, *by_kind.values()])
    if running.job.lane is not Lane.GPU:
        return Left(own, own)
    local = [by_kind[kind] for kind in RENDERING if _is_local(running.steps, kind)]
    return Left(own, _sum([running.load_s, *local]))


def _eta_s(job_id: str, running: Sequence[tuple[TimedJob, Left]]) -> float | None:
    """What is left of the job, and on the GPU lane of those that go before it."""
    before: list[float | None] = []
    for job, left in running:
        if job.id == job_id:
            return _sum([left.own_s, *(before if job.lane is Lane.GPU else ())])
        if job.lane is Lane.GPU:
            before.append(left.lane_s)
    return None


def first_free(loads: Sequence[float], ahead_s: float, width: int) -> float:
    """Seconds until one of *width* places is free.

    :param loads: what each job that has a place still needs.
    :param ahead_s: the work that is given to the places before, each time to the one that is free first.
    """
    ordered = sorted(loads)
    free, ahead_s = ordered[:width] + [0.0] * (width - len(ordered)), ahead_s + sum(ordered[width:])
    free.sort()
    for count, (level, above) in enumerate(zip(free, [*free[1:], math.inf], strict=True), start=1):
        if ahead_s <= (above - level) * count:
            return level + ahead_s / count
        ahead_s -= (above - level) * count
    raise AssertionError("there is always room above the last level")


def _in_all(steps: Outline, kind: StepKind, unfinished: Sequence[Open]) -> float | None:
    """What is left of the steps of one kind."""
    mine = [each for each in unfinished if each.kind is kind]
    lefts = [each.left_s() for each in mine]
    if None in lefts or kind not in RENDERING:
        return _sum(lefts)
    return steps.in_all(kind, lefts, mine[0].figure.tail if mine and mine[0].figure else 0.0)


def _is_local(steps: Outline, kind: StepKind) -> bool:
    return (model := steps.model_of(kind)) is not None and model.backend.lane is Lane.GPU


def _sum(parts: Sequence[float | None]) -> float | None:
    return None if None in parts else sum(parts)


def _sums(rows: Sequence[sa.Row]) -> dict[Lane, Sums]:
    """:param rows: lane, rank and seconds of each queued job, in order."""
    by_lane: dict[str, list[tuple[float, float | None]]] = {}
    for lane, rank, seconds in rows:
        by_lane.setdefault(lane, []).append((rank, seconds))
    return {
        Lane(lane): Sums(
            [rank for rank, _ in each], list(accumulate((s or 0.0 for _, s in each), initial=0.0)),
            list(accumulate((s is None for _, s in each), initial=0)),
        )
        for lane, each in by_lane.items() if lane
    }
