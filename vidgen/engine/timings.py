"""How long tasks take on this machine: medians of the last runs, scaled from the nearest where a task never ran.

Held in memory, so that a look costs no query; what is learned is written down in the transaction of the step that
taught it.
"""

import math
import statistics
import threading
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

import sqlalchemy as sa

from vidgen.store import history
from vidgen.store.history import Task, Timing
from vidgen.store.writer import Tx
from vidgen.types import StepKind

RECENT_RUNS = 7
"""Of equal tasks; older runs say less than newer ones."""

MAX_TASKS = 700
"""That are remembered: those that ran last."""

MAX_FOUND = 10_000
"""Tasks whose figure is kept until something is learned."""

PACE_FROM = 0.1
"""The share of a step from which on its own pace is believed."""

PACE_MAX = 4.0
"""How many times slower or quicker than its figure a step is held to go on."""


@dataclass(frozen=True, slots=True)
class Figure:
    """How long one step takes, in seconds of wall time, without loading; the parts where they are known."""

    seconds: float
    measured: bool                          # of an equal task, here; else reckoned
    denoise: float | None = None
    decode: float | None = None
    encode: float | None = None             # all that comes after the frames are made

    @property
    def tail(self) -> float:
        """The part during which the GPU lane does the next step already."""
        return self.encode or 0.0


class Clock:
    """One running step: how long it has run, and how long it will go on. Told by the thread that runs it, read by any.

    :param figure: of the step; None where it is unknown.
    :param load_s: of its model, where it has to be loaded first.
    :param num_steps: of its denoising.
    """

    def __init__(self, figure: Figure | None, load_s: float = 0.0, num_steps: int | None = None):
        self._figure = figure
        self._load_s = load_s
        self._num_steps = num_steps
        self._began = self._at = time.monotonic()
        self._done_s = 0.0                  # what is done, in seconds of the figure
        self._share = 0.0
        self._loading: tuple[float, float] | None = None
        self._ended = False

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    @property
    def load_seconds(self) -> float | None:
        """What loading took; None where nothing was loaded."""
        return None if self._loading is None else self._loading[1] - self._loading[0]

    @property
    def longest_unit_s(self) -> float:
        """The longest time between two signs of life, as far as it is known."""
        steps = (self._figure and self._figure.denoise or 0.0) / (self._num_steps or 1)
        return max(self._load_s, steps, self._figure and self._figure.decode or 0.0)

    def at(self, phase: str, i: int, n: int) -> None:
        """*i* of *n* units of *phase* are done."""
        self._at = time.monotonic()
        if phase == "load":
            self._loading = (self._loading[0] if self._loading else self._at, self._at)
        share = min(i / n, 1.0) if n else 0.0
        self._share = share if phase == "render" else self._share
        if self._figure is not None:
            self._done_s = max(self._done_s, self._done(phase, share))

    def end(self) -> None:
        """The step is over."""
        self._ended = True

    def left_s(self) -> float | None:
        """Seconds until the step ends; never negative."""
        if self._ended:
            return 0.0
        since, took = time.monotonic() - self._at, self._at - self._began
        if self._figure is None:
            return max(0.0, took * (1 - self._share) / self._share - since) if self._share >= PACE_FROM else None
        total = self._load_s + self._figure.seconds
        pace = took / self._done_s if self._done_s > PACE_FROM * total else 1.0
        pace = min(max(pace, 1 / PACE_MAX), PACE_MAX)
        return max(0.0, (total - self._done_s) * pace - since)

    def _done(self, phase: str, share: float) -> float:
        figure, load = self._figure, self._load_s
        denoise, decode = figure.denoise or 0.0, figure.decode or 0.0
        match phase:
            case "load":
                return load * share
            case "render" if figure.denoise is not None:
                return load + denoise * share
            case "decode" if figure.decode is not None:
                return load + denoise + decode * share
            case "encode" if figure.denoise is not None:
                return load + denoise + decode + figure.tail * share
        return load + figure.seconds * share


class Timings:
    """The runs that are remembered, by task."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: OrderedDict[Task, deque[tuple[int, Timing]]] = OrderedDict()
        self._loads: dict[tuple[str, str | None], deque[float]] = defaultdict(lambda: deque(maxlen=RECENT_RUNS))
        self._found: dict[Task, Figure | None] = {}
        self.version = 0                    # grows with all that is learned

    def read(self, conn: sa.Connection) -> None:
        """Begin with what earlier runs took."""
        for number, timing in history.all_timings(conn):
            self._add(number, timing)

    def learn(self, tx: Tx, timing: Timing) -> None:
        """A task was run once more."""
        number = history.add_timing(tx, timing)
        history.forget_timings(tx, self._add(number, timing))

    def figure(self, task: Task) -> Figure | None:
        """How long *task* takes. Where its mode is None, that of the last run is meant."""
        with self._lock:
            if task not in self._found:
                if len(self._found) >= MAX_FOUND:
                    self._found.clear()
                self._found[task] = self._look(task)
            return self._found[task]

    def load_s(self, device: str, model_id: str) -> float | None:
        """How long loading the model takes."""
        with self._lock:
            runs = self._loads.get((device, model_id))
            return statistics.median(runs) if runs else None

    def _add(self, number: int, timing: Timing) -> list[int]:
        """Remember a run; returns the numbers of those that are forgotten for it."""
        task = timing.task
        with self._lock:
            self._found.clear()
            self.version += 1
            runs = self._runs.setdefault(task, deque())
            self._runs.move_to_end(task)
            runs.append((number, timing))
            if timing.load_seconds is not None:
                self._loads[task.device, task.model_id].append(timing.load_seconds)
            forgotten = [runs.popleft()[0]] if len(runs) > RECENT_RUNS else []
            if len(self._runs) > MAX_TASKS:
                forgotten += [old for old, _ in self._runs.popitem(last=False)[1]]
        return forgotten

    def _look(self, task: Task) -> Figure | None:
        kin = [each for each in self._runs if _kind_of(each) == _kind_of(task)]
        if task.mode is None and kin:
            task = replace(task, mode=kin[-1].mode)
        alike = [each for each in kin if replace(each, parameters=task.parameters) == task]
        same = [task] if task in alike else alike
        if same:
            return _median((timing for each in same for _, timing in self._runs[each]), measured=True)
        if task.kind == StepKind.PLAN or not kin:
            return None
        of_mode = [each for each in kin if each.mode == task.mode] or kin
        nearest = min(reversed(of_mode), key=lambda each: _distance(each, task))
        return scaled(_median((timing for _, timing in self._runs[nearest]), measured=False), nearest, task)


def shown(seconds: float | None) -> float | None:
    """Seconds as people are told them."""
    return None if seconds is None else round(seconds, 1 if seconds >= 10 else 2)


def scaled(figure: Figure, of: Task, to: Task) -> Figure:
    """The *figure* of one task for another of the same model: by pixels and frames, denoising by its steps too."""
    if to.kind == StepKind.ASSEMBLE:
        return replace(figure, measured=False)
    size = _volume(to) / _volume(of)
    by_steps = size * (to.num_steps or 1) / (of.num_steps or 1)
    denoise, decode, encode = figure.denoise or 0.0, figure.decode or 0.0, figure.encode or 0.0
    rest = max(0.0, figure.seconds - denoise - decode - encode)
    return Figure(
        denoise * by_steps + (decode + encode + rest) * size, False, _times(figure.denoise, by_steps),
        _times(figure.decode, size), _times(figure.encode, size),
    )


def _times(seconds: float | None, factor: float) -> float | None:
    return None if seconds is None else seconds * factor


def _kind_of(task: Task) -> tuple[str, str, str | None]:
    return task.device, task.kind, task.model_id


def _volume(task: Task) -> int:
    """Pixels of all frames."""
    return max(1, task.width * task.height * task.num_frames)


def _distance(one: Task, other: Task) -> float:
    """How far apart the work of two tasks is: the sum of the logarithms of what they differ by."""
    pairs = (
        (_volume(one), _volume(other)), (one.num_steps or 1, other.num_steps or 1), (one.num_shots, other.num_shots),
    )
    return sum(abs(math.log(a / b)) for a, b in pairs)


def _median(timings: Iterable[Timing], *, measured: bool) -> Figure:
    runs = list(timings)

    def of(name: str) -> float | None:
        known = [value for run in runs if (value := getattr(run, name)) is not None]
        return statistics.median(known) if known else None

    return Figure(of("seconds"), measured, of("denoise_seconds"), of("decode_seconds"), of("encode_seconds"))
