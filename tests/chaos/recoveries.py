"""Children of the GPU lane that die or fall silent while they render: each time the job is done by the next one, and
what runs beside it is not charged with it.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.chaos.autopsy import Fault
from tests.chaos.trials import CHANGED, CHARGED, DOOMED, KINDS, STEPS, UNENDED, Trials, await_that, serving

SLOW = "recoveries that took too long"
ZEROS = (SLOW, CHANGED, CHARGED, UNENDED)

STALL_S, GRACE_S, WITHIN_S = 3.0, 0.5, 5.0
STOPPED = "SIGSTOP"
SILENT = [
    (phase, unit, how) for how in (STOPPED, "hang")
    for phase, unit in (("load", 1), ("render", 1), ("render", 3), ("decode", 1))
] + [("encode", 2, "hang")]
"""What a child may fall silent at. Where all of it stops while one clip is written and another is rendered, nobody
can know on whose account: what is beside that comes later.
"""

DEADLY = [
    *[("render", unit, how) for unit in range(1, STEPS + 1) for how in ("SIGKILL", "SIGSEGV", "exit", "raise")],
    ("load", 1, "SIGKILL"), ("decode", 1, "SIGKILL"), ("decode", 1, "raise"), ("encode", 2, "raise"),
]
BESIDE = 2
"""Jobs beside each that dies: every third one dies."""


@dataclass
class Recoveries:
    """What a number of deaths or silences came to."""

    took: dict[str, list[float]] = field(default_factory=dict)  # seconds until it was rendered again, by what happened
    jobs: int = 0
    faults: list[Fault] = field(default_factory=list)

    @property
    def number(self) -> int:
        return sum(map(len, self.took.values()))


class Doom:
    """Jobs on one server, of which every third meets what is planned for it, once.

    :param within_s: from what happens to the first report of the next attempt.
    """

    def __init__(self, trials: Trials, rng: Random, within_s: float):
        self.found = Recoveries()
        self._trials = trials
        self._rng = rng
        self._within_s = within_s
        trials.learn({**KINDS, "doomed": DOOMED})

    def run(self, plans: Iterator[tuple[str, int, str]], report: Callable[[str], None]) -> Recoveries:
        try:
            for number, plan in enumerate(plans, 1):
                self._three(*plan)
                if number % 20 == 0:
                    report(f"{number} of the inference process, {len(self.found.faults)} faults")
        except TimeoutError as e:
            self.found.faults.append(Fault(UNENDED, f"{e}: {self._trials.server.log()[-3000:]}"))
        return self.found

    def _three(self, phase: str, unit: int, how: str) -> None:
        if phase == "load":                 # what is loaded is not loaded again
            self._trials.server.post("/api/v1/gpu/release").raise_for_status()
        self._trials.plan((f"doomed/{phase}", unit, how))
        places, beside, doomed = ["doomed", *["beside"] * BESIDE], [], ""
        if how != STOPPED:
            self._rng.shuffle(places)
        for place in places:
            if place == "doomed":
                doomed = self._trials.post(DOOMED)
                if how == STOPPED:
                    await_that(self._trials.met, f"{how} to happen to {doomed}")
            else:
                kind = self._rng.choice([*KINDS])
                beside.append((kind, self._trials.post(KINDS[kind])))
        self.found.jobs += len(places)
        self._time(doomed, how)
        self.found.faults += [*self._trials.changed("doomed", doomed), *self._trials.charged(doomed, (2,))]
        for kind, job_id in beside:
            self.found.faults += [*self._trials.changed(kind, job_id), *self._trials.charged(job_id)]

    def _time(self, doomed: str, how: str) -> None:
        """From what happened to the first unit of the next attempt."""
        ledger = self._trials.ledger
        await_that(self._trials.met, f"{how} to happen to {doomed}")
        began = self._trials.met_at()
        await_that(lambda: ledger.attempts(doomed).get("render 1", 0) > 1 and _working(ledger.seen(doomed).phase),
                   f"{doomed} to be rendered again after {how}")
        took = time.time() - began
        self.found.took.setdefault(how, []).append(took)
        if took > self._within_s:
            self.found.faults.append(Fault(SLOW, f"{doomed}, after {how}: {took:.2f} s"))


def _working(phase: str) -> bool:
    return phase not in ("generating", "load")


def deaths(folder: Path, jobs: int, seed: int, report: Callable[[str], None]) -> Recoveries:
    """So many jobs, of which every third dies; the folder stays where something is wrong."""
    rng = Random(seed)
    plans = (rng.choice(DEADLY) for _ in range(jobs // (BESIDE + 1)))
    return _run(folder, rng, plans, report, within_s=WITHIN_S, stall_s=60)


def silences(
    folder: Path, rounds: int, seed: int, report: Callable[[str], None], *, every: int = 1
) -> Recoveries:
    """A child that falls silent in every way, or in every *every*-th, so many times."""
    plans = (plan for _ in range(rounds) for plan in SILENT[::every])
    return _run(folder, Random(seed), plans, report, within_s=STALL_S + WITHIN_S, stall_s=STALL_S)


def _run(
    folder: Path, rng: Random, plans: Iterator[tuple[str, int, str]], report: Callable[[str], None], *,
    within_s: float, stall_s: float,
) -> Recoveries:
    with serving(folder, stall_s=stall_s, cancel_grace_s=GRACE_S) as trials:
        found = Doom(trials, rng, within_s).run(plans, report)
    if not found.faults:
        shutil.rmtree(folder)
    return found
