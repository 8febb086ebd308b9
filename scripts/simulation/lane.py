"""A GPU lane of which only the decisions are real: time, memory, loads and renders are counted.

Left out: renders within a render, and running out of memory.
"""

from bisect import insort
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from random import Random

from scripts.simulation.arrivals import MODELS, Job
from vidgen.engine.order import Passed, Policy, in_line, passed_after
from vidgen.engine.schedule import (
    GB,
    Claim,
    Evict,
    Refuse,
    Resident,
    Room,
    Waiting,
    decide,
    no_longer_used,
    short_after,
)
from vidgen.settings import Settings

PLACES, RESERVE_MB, RAM_CACHE_MB, KEEP_ALIVE_S = (
    Settings.model_fields[name].default
    for name in ("max_concurrent_jobs", "vram_reserve_mb", "ram_cache_mb", "model_keep_alive_s")
)
DISK_GB_PER_S, RAM_GB_PER_S, BUILD_S, EVICT_S = 1.0, 10.0, 1.0, 0.3
SLOWER = {"whole": 1.0, "two_pass": 1.05, "component": 1.25, "group": 1.6, "sequential": 4.0}
"""How much longer a render takes in each mode."""

AWAY_S, THERE_S, MOST_GB = 4 * 3600, 1800, 10
"""A notebook comes after so long on average, stays so long, and takes up to so much."""


@dataclass
class Counted:
    """What came of it. A wait is a job's time from its arrival to its end, less the rendering of its own steps."""

    swaps: int = 0                          # models that were loaded
    swap_s: float = 0.0
    render_s: float = 0.0
    end_s: float = 0.0
    refused: int = 0
    waits_s: list[float] = field(default_factory=list)
    longest_step_s: float = 0.0             # with the loading of its model
    passed_s: float = 0.0                   # the longest from when a head was passed over to the end of what passed it
    passed_at_door_s: float = 0.0           # the longest for which jobs went before the first at the door


class Lane:
    """:param policy: with a patience of 0 s it is first in, first out.
    :param foresees: whether models that waiting jobs need are kept, however long they are idle.
    """

    def __init__(self, jobs: Iterator[Job], policy: Policy, foresees: bool, gpu_gb: float, seed: int):
        self.counted = Counted()
        self._arrivals = jobs
        self._next = next(jobs, None)
        self._policy = policy
        self._foresees = foresees
        self._total = int(gpu_gb * GB)
        self._queued: list[Job] = []
        self._inside: list[Job] = []
        self._loaded: dict[str, Resident] = {}
        self._shelf: OrderedDict[str, float] = OrderedDict()    # GB of weights in RAM
        self._short_since: dict[int, float] = {}
        self._passed: Passed | None = None
        self._passed_at_door: Passed | None = None
        self._now = 0.0
        self._others, self._others_change = 0, 0.0
        self._chance = Random(seed)

    def run(self) -> Counted:
        while self._next or self._queued or self._inside:
            self._arrive()
            self._admit()
            self._let_go()
            if not self._inside:
                self._now = self._next.arrival
            else:
                self._decide([self._with_shortage(step) for job in self._inside for step in job.ready])
        self.counted.end_s = self._now
        return self.counted

    # jobs

    def _arrive(self) -> None:
        while self._next and self._next.arrival <= self._now:
            insort(self._queued, self._next, key=lambda job: job.rank)
            self._next = next(self._arrivals, None)

    def _admit(self) -> None:
        while self._queued and len(self._inside) < PLACES:
            near = self._queued[:1 + self._policy.look_ahead]
            job = in_line(near, self._is_loaded, self._now, self._policy, self._passed_at_door)
            self._passed_at_door = passed_after(self._passed_at_door, near, job.id, self._now)
            since = self._passed_at_door.get(near[0].id, self._now)
            self.counted.passed_at_door_s = max(self.counted.passed_at_door_s, self._now - since)
            self._queued.remove(job)
            insort(self._inside, job, key=lambda job: job.rank)

    def _is_loaded(self, job: Job) -> bool:
        return job.ready[0].model_id in self._loaded

    def _with_shortage(self, step: Waiting) -> Waiting:
        since = self._short_since.get(step.id)
        return step if since is None else replace(step, short_since=since)

    def _job_of(self, step_id: int) -> Job:
        return next(job for job in self._inside if any(step.id == step_id for step in job.ready))

    def _ended(self, job: Job) -> None:
        self._inside.remove(job)
        self.counted.waits_s.append(self._now - job.arrival - job.own_s)

    # memory

    def _room(self) -> Room:
        while self._others_change <= self._now:
            self._others = 0 if self._others else int(self._chance.uniform(0, MOST_GB) * GB)
            self._others_change += self._chance.expovariate(1 / (THERE_S if self._others else AWAY_S))
        held = sum(resident.resident_bytes for resident in self._loaded.values())
        free = max(0, self._total - held - self._others)
        return Room(self._total, free, 0, held, RESERVE_MB * 2**20)

    def _let_go(self) -> None:
        needed = self._needed() if self._foresees else ()
        for model_id in no_longer_used(list(self._loaded.values()), needed, self._now, KEEP_ALIVE_S):
            del self._loaded[model_id]

    def _needed(self) -> set[str]:
        """The models of the jobs that are inside, and of those that look ahead sees."""
        jobs = [*self._inside, *islice(self._queued, self._policy.look_ahead)]
        return {model_id for job in jobs for model_id in job.needs()}

    def _load_s(self, model_id: str) -> float:
        weights_gb = MODELS[model_id].weights_gb
        kept = self._shelf.pop(model_id, None)
        return BUILD_S + weights_gb / (DISK_GB_PER_S if kept is None else RAM_GB_PER_S)

    def _shelve(self, model_id: str) -> None:
        self._shelf[model_id] = MODELS[model_id].weights_gb
        while sum(self._shelf.values()) > RAM_CACHE_MB / 1024:
            self._shelf.popitem(last=False)

    # decisions

    def _decide(self, queue: list[Waiting]) -> None:
        decision = decide(queue, list(self._loaded.values()), self._room(), self._now, self._policy, self._passed)
        if not isinstance(decision, Refuse):
            self._short_since = short_after(queue, decision, self._now)
        match decision:
            case Claim():
                self._claim(decision, queue)
            case Evict(model_id):
                del self._loaded[model_id]
                self._shelve(model_id)
                self._swapping(EVICT_S)
            case Refuse(step_id):
                self._ended(self._job_of(step_id))
                self.counted.refused += 1
            case _:
                self._now = min(self._others_change, self._next.arrival if self._next else self._others_change)

    def _claim(self, claim: Claim, queue: list[Waiting]) -> None:
        head = next(step for step in queue if step.id not in claim.short)
        self._passed = passed_after(self._passed, queue, claim.step_id, self._now, claim.short)
        job = self._job_of(claim.step_id)
        step = next(step for step in job.ready if step.id == claim.step_id)
        began = self._now
        self._load(step.model_id, claim.option.mode)
        self._render(job, step, SLOWER[claim.option.mode])
        self.counted.longest_step_s = max(self.counted.longest_step_s, self._now - began)
        self.counted.passed_s = max(self.counted.passed_s, self._now - self._passed.get(head.id, self._now))

    def _load(self, model_id: str, mode: str) -> None:
        if model_id not in self._loaded:
            self.counted.swaps += 1
            self._swapping(self._load_s(model_id))
            option = next(option for option in MODELS[model_id].options if option.mode == mode)
            self._loaded[model_id] = Resident(model_id, mode, option.resident_bytes, self._now)

    def _swapping(self, seconds: float) -> None:
        self._now += seconds
        self.counted.swap_s += seconds

    def _render(self, job: Job, step: Waiting, slower: float) -> None:
        took = MODELS[step.model_id].shot_s * slower
        self._now += took
        self.counted.render_s += took
        self._loaded[step.model_id] = replace(self._loaded[step.model_id], used_at=self._now)
        job.own_s += took
        job.left -= 1
        job.ready.remove(step)
        if step.model_id != job.model_id:
            job.ready.append(job.renders.pop(0))
        if not job.left:
            self._ended(job)
