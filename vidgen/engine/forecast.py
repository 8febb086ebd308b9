"""How long jobs and their steps take: learned from this machine's own runs, else from the model's card.

What neither knows is unknown; what was not measured of an equal task on this machine is called an estimate.
"""

import logging
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakValueDictionary

import sqlalchemy as sa

from vidgen.engine.outline import Outline, digest, outline
from vidgen.engine.timings import Clock, Figure, Timings, scaled, shown
from vidgen.registry import Model, Registry
from vidgen.store import backlog
from vidgen.store.history import Task, Timing
from vidgen.store.jobs import NewJob
from vidgen.store.writer import Tx
from vidgen.types import Clip, Job, Lane, RenderSpec, Shot, Step, StepKind, Still

log = logging.getLogger(__name__)

MEASURED, ESTIMATED = "measured", "estimated"
RENDERING = (StepKind.KEYFRAME, StepKind.RENDER)

UNTIMED = {StepKind.PLAN: Figure(0.1, measured=False), StepKind.ASSEMBLE: Figure(0.3, measured=False)}
"""What is reckoned with before the first of them has run here."""

MAX_KNOWN = 1_000
"""Kinds of jobs whose forecast is kept until something is learned."""

MADE_UP_JOBS = 1_000
"""Queued jobs that are given a forecast once their model has run; those behind them when it runs again."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a job fits on the device, and how it would be rendered now."""

    fits: bool = True
    mode: str | None = None
    peak_bytes: int | None = None           # of the device's memory, with the model that needs the most
    source: str = ESTIMATED                 # measured or estimated, of the peak
    reason: str | None = None               # why it never fits, or waits
    field: str = "model_id"                 # of the request, that the reason is about


@dataclass(frozen=True, slots=True)
class Forecast:
    """How long a job will take from its start, in seconds."""

    seconds: float | None = None
    lane_seconds: float | None = None       # of the time of the lane that its renders run on, without loading
    by_kind: Mapping[str, float] = field(default_factory=dict)  # by the steps' kind, and "load"; what is known
    source: str = ESTIMATED                 # measured: all of it has run here before

    def said(self) -> dict[str, Any]:
        """As JSON."""
        by_kind = {kind: shown(seconds) for kind, seconds in self.by_kind.items()}
        return {"seconds": shown(self.seconds), "by_kind": by_kind, "source": self.source}


class Forecasts:
    """Safe to use from any thread.

    :param widths: how many threads each lane has.
    :param device: the name of the device that local models run on.
    :param is_loaded: whether a local model is on the device now.
    """

    def __init__(
        self, registry: Registry, widths: Mapping[Lane, int], device: str, is_loaded: Callable[[str], bool]
    ):
        self._registry = registry
        self._widths = widths
        self._device = device
        self._is_loaded = is_loaded
        self._timings = Timings()
        self._known: dict[Hashable, tuple[int, Forecast]] = {}  # by signature; as of which version of the timings
        self._clocks: WeakValueDictionary[int, Clock] = WeakValueDictionary()

    def read(self, conn: sa.Connection) -> None:
        """Begin with what earlier runs took."""
        self._timings.read(conn)

    # asking

    def job(self, job: Job | NewJob, mode: str | None = None) -> Forecast:
        """How long *job* takes from its start, if nothing else goes on meanwhile.

        :param mode: that its video model would be loaded in; left out, as the last time.
        """
        if (steps := self.outline(job, mode)) is None:
            return Forecast()
        version, signature = self._timings.version, steps.signature
        known_at, forecast = self._known.get(signature, (None, None))
        if known_at != version:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            forecast = self._reckoned(steps)
            self._known[signature] = version, forecast
        return _loading(forecast, self.load_s(steps.local_models()))

    def outline(self, job: Job | NewJob, mode: str | None = None) -> Outline | None:
        """The steps of *job*; None where one of its models is gone."""
        return outline(job, self._registry, self._widths, mode)

    def step(self, steps: Outline, kind: StepKind, index: int = 0) -> Figure | None:
        """How long one of a job's steps takes, without loading."""
        task = steps.task(kind, index, self._device)
        if (found := self._timings.figure(task)) is not None:
            return found
        return UNTIMED[kind] if kind in UNTIMED else _by_card(steps.model_of(kind), task)

    def load_s(self, model_ids: Iterable[str]) -> float:
        """How long those of these local models take to load that are not loaded now, as far as that is known."""
        missing = [model_id for model_id in model_ids if not self._is_loaded(model_id)]
        return sum(self._timings.load_s(self._device, model_id) or 0.0 for model_id in missing)

    # running steps

    def clock(self, step: Step, job: Job) -> Clock:
        """The clock of a step that begins now; it is remembered for as long as somebody holds it."""
        steps, index = self.outline(job), step.shot_index or 0
        if steps is None:
            clock = Clock(None)
        else:
            load_s = self.load_s([step.model_id] if step.lane is Lane.GPU else ())
            num_steps = steps.task(step.kind, index, self._device).num_steps
            clock = Clock(self.step(steps, step.kind, index), load_s, num_steps)
        self._clocks[step.id] = clock
        return clock

    def running(self, step_id: int) -> Clock | None:
        """The clock of a step, while it runs."""
        return self._clocks.get(step_id)

    def learn(
        self, tx: Tx, step: Step, job: Job, shot: Shot | None = None, spec: RenderSpec | None = None,
        result: Clip | Still | None = None,
    ) -> None:
        """*step* is done: remember how long it took, from the making of its clock until now. What did not run from
        its beginning to its end without a break is no measure. Raises nothing but what the database does.

        :param shot: with *spec* and *result*, of steps that render.
        """
        if (clock := self._clocks.get(step.id)) is None:
            return
        clock.end()
        if step.attempts > 1 or step.kept or _was_disturbed(result):
            return
        try:
            self._remember(tx, step, job, shot, spec, result, clock)
        except sa.exc.SQLAlchemyError:
            raise
        except Exception:                       # a step that is done must not be lost for it
            log.exception("nothing is learned of a step", extra={"job": job.id, "step": step.id})

    def _remember(
        self, tx: Tx, step: Step, job: Job, shot: Shot | None, spec: RenderSpec | None, result: Clip | Still | None,
        clock: Clock,
    ) -> None:
        if (steps := self.outline(job)) is None:
            return
        task = steps.task(step.kind, shot.index if shot else 0, self._device)
        if spec is not None and result is not None:
            task = _as_made(task, spec, result)
        self._timings.learn(tx, _timing(task, clock, result.measured if result else {}))
        if step.kind in RENDERING:
            self._make_up(tx, job.model_id)

    def _reckoned(self, steps: Outline) -> Forecast:
        """The forecast of a job all of whose models are loaded."""
        figures = {kind: [self.step(steps, kind, index) for index in steps.shots_of(kind)] for kind in StepKind}
        by_kind: dict[str, float] = {}
        for kind, each in figures.items():
            known = [figure for figure in each if figure is not None]
            if known and len(known) == len(each):
                seconds = [figure.seconds for figure in known]
                by_kind[kind] = steps.in_all(kind, seconds, known[0].tail) if kind in RENDERING else sum(seconds)
        if any(each and kind not in by_kind for kind, each in figures.items()):
            return Forecast(by_kind=by_kind)
        measured = all(figure.measured for each in figures.values() for figure in each)
        source = MEASURED if measured else ESTIMATED
        return Forecast(sum(by_kind.values()), steps.lane_seconds(by_kind), by_kind, source)

    def _make_up(self, tx: Tx, model_id: str) -> None:
        """Forecast the queued jobs that were posted before anything was known of the model."""
        for job in backlog.without_forecast(tx.conn, model_id, MADE_UP_JOBS):
            forecast = self.job(job)
            if forecast.seconds is None:
                return
            backlog.set_forecast(tx, job.id, forecast.said(), forecast.lane_seconds)


def _loading(forecast: Forecast, load_s: float) -> Forecast:
    """*forecast*, where models have to be loaded first."""
    if not load_s:
        return forecast
    seconds = None if forecast.seconds is None else forecast.seconds + load_s
    return replace(forecast, seconds=seconds, by_kind={"load": load_s, **forecast.by_kind})


def _by_card(model: Model, task: Task) -> Figure | None:
    """From the figure on the model's card, which is for its defaults."""
    card = model.card
    if (speed := card.speed) is None:
        return None
    of = Task(
        task.device, task.kind, model.id, None, int(card.width.default), int(card.height.default),
        int(card.frames.default) if card.frames else 1, int(card.steps.default) if card.steps else None,
    )
    denoise = speed.seconds if model.backend.lane is Lane.GPU else None
    return scaled(Figure(speed.seconds, measured=False, denoise=denoise), of, task)


def _was_disturbed(result: Clip | Still | None) -> bool:
    return result is not None and bool(result.measured.get("interrupted_seconds") or result.made.get("ran_out"))


def _as_made(task: Task, spec: RenderSpec, result: Clip | Still) -> Task:
    parameters = {**spec.parameters, **result.made.get("parameters", {})}
    return replace(task, mode=result.made.get("mode"), parameters=digest(parameters))


def _timing(task: Task, clock: Clock, measured: Mapping[str, float]) -> Timing:
    load = measured.get("load_seconds", clock.load_seconds)
    seconds = clock.elapsed_s - (load or 0.0)
    denoise, decode = measured.get("denoise_seconds"), measured.get("decode_seconds")
    encode = None if denoise is None or decode is None else max(0.0, seconds - denoise - decode)
    return Timing(task, seconds, load, denoise, decode, encode)
