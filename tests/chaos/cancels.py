"""Cancels at random moments of jobs on the GPU lane, among others that are left alone.

A round is one job that is left alone and three that are cancelled, posted in any order, some of them urgent; the one
that is left alone may still run in the next round. A cancel comes when the job's log says that it is in the phase that
was drawn, and a little later. Some renders do not hear it.
"""

import shutil
import subprocess
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from scripts.testweights.cards import small_card
from tests.chaos.autopsy import ENDED, Fault
from tests.chaos.deaths import LEFT_OVER
from tests.chaos.trials import (
    CHANGED,
    CHARGED,
    DOOMED,
    FRAMES,
    KINDS,
    LOOK_S,
    STEP_S,
    STEPS,
    UNENDED,
    Body,
    Seen,
    Trials,
    body,
    serving,
)
from tests.server import ROOT

LATE = "cancels that took too long"
WENT_ON = "cancelled jobs that went on"
NOT_ENDED = "children that hung and were not ended"
ZEROS = (LATE, WENT_ON, LEFT_OVER, CHANGED, CHARGED, NOT_ENDED, UNENDED)

GRACE_S, STALL_S = 0.5, 5.0
WITHIN_S = 1.0
"""Beside the step that runs, or CANCEL_GRACE_S."""

PHASES = {
    "initializing": 1, "planning": 1, "load": 1, "render": STEPS, "decode": 1, "encode": FRAMES, "assembling": 1,
}
"""Where a job is cancelled, and how many units the phase has."""

LATER_S = {"encode": 0.25, "assembling": 0.03}
"""At most so much after the phase was seen: checking a clip and joining clips report nothing."""

SOON_S = 0.06
LABELS = {"initializing": "queued", "generating": "claimed", "drawing": "claimed"}
VICTIMS, ALONE_AT_ONCE = 3, 3
HANGS, URGENT, RELEASES = 0.1, 0.3, 0.3
SMALL = "small-svd"
LOCAL = {"local": body(f"local:{SMALL}", 2, num_frames=25, keyframe_model_id="stub:still")}
LOCAL_STEP_S = 0.5
"""A step of it, or the decoding of a chunk, on a machine that does other things too."""

IGNORED = "does not hear it"
KILLED = "inference process was killed by SIGKILL"


@dataclass
class Cancels:
    """What a number of cancels came to."""

    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))    # seconds, by phase
    completed: int = 0                      # jobs that had completed before
    beside: int = 0                         # jobs that were left alone
    faults: list[Fault] = field(default_factory=list)

    @property
    def asked(self) -> int:
        return self.completed + sum(map(len, self.latencies.values()))


@dataclass
class _Victim:
    job_id: str
    hangs: bool
    phase: str                              # in which it is to be cancelled
    unit: int
    later_s: float
    due: float | None = None                # on the monotonic clock; known once the phase was seen


class Canceller:
    """Rounds on one server.

    :param rough: whether some jobs hang, and the device is given back at times; both cost a new child.
    """

    def __init__(self, trials: Trials, kinds: Mapping[str, Body], rng: Random, *, step_s: float, rough: bool):
        self.found = Cancels()
        self._trials = trials
        self._ledger = trials.ledger
        self._kinds = kinds
        self._rng = rng
        self._step_s = step_s
        self._rough = rough
        self._hung = 0
        self._alone: deque[tuple[str, str]] = deque()

    def run(self, cancels: int, report: Callable[[str], None]) -> Cancels:
        """At least so many cancels. The first that goes wrong in a way that nobody foresaw ends it."""
        self._trials.learn(self._kinds)
        said = 0
        try:
            while self.found.asked < cancels:
                self._round()
                if self.found.asked // 100 > said:
                    said = self.found.asked // 100
                    report(f"{self.found.asked} cancels, {len(self.found.faults)} faults")
            self._judge(0)
        except TimeoutError as e:
            self.found.faults.append(Fault(UNENDED, f"{e}: {self._trials.server.log()[-3000:]}"))
        self.found.faults += self._at_the_end()
        return self.found

    # one round

    def _round(self) -> None:
        hangs = self._rough and self._rng.random() < HANGS
        places, victims = ["alone", *["victim"] * VICTIMS], []
        self._rng.shuffle(places)
        for place in places:
            if place == "alone":
                self._alone.append(self._post())
            else:
                victims.append(self._doomed() if hangs and not victims else self._victim(releases=not hangs))
        self._cancel_all(victims)
        if hangs:
            self._trials.plan()             # where the cancel came first
        self._judge(ALONE_AT_ONCE)

    def _judge(self, keep: int) -> None:
        """What was left alone came out as ever; all but so many."""
        while len(self._alone) > keep:
            kind, job_id = self._alone.popleft()
            self.found.beside += 1
            self.found.faults += [*self._trials.changed(kind, job_id), *self._trials.charged(job_id)]

    def _doomed(self) -> _Victim:
        """One that hangs, and is cancelled then."""
        phase = self._rng.choice(["render", "encode"])
        unit = self._rng.randint(1, PHASES[phase])
        self._trials.plan((f"doomed/{phase}", unit, "hang"))
        return _Victim(self._trials.post(DOOMED), True, phase, unit, self._rng.uniform(0, SOON_S))

    def _victim(self, releases: bool) -> _Victim:
        """One that is to be cancelled in some phase.

        :param releases: whether everything may be given back first, so that it is loaded; that waits for what runs.
        """
        phase = self._rng.choice([*PHASES])
        if phase == "load" and releases and self._rough and self._rng.random() < RELEASES:
            self._trials.server.post("/api/v1/gpu/release").raise_for_status()
        unit, later_s = self._rng.randint(1, PHASES[phase]), self._rng.uniform(0, LATER_S.get(phase, SOON_S))
        return _Victim(self._post()[1], False, phase, unit, later_s)

    def _post(self) -> tuple[str, str]:
        kind = self._rng.choice([*self._kinds])
        priority = 5 if self._rng.random() < URGENT else 0
        return kind, self._trials.post({**self._kinds[kind], "priority": priority})

    def _cancel_all(self, victims: list[_Victim]) -> None:
        """Each at its moment."""
        waiting, deadline = list(victims), time.monotonic() + 60
        while waiting:
            for victim in list(waiting):
                if self._is_due(victim):
                    waiting.remove(victim)
                    self._cancel(victim)
            if time.monotonic() > deadline:
                raise TimeoutError(f"the moment never came for {waiting}")
            time.sleep(LOOK_S)

    def _is_due(self, victim: _Victim) -> bool:
        seen = self._ledger.seen(victim.job_id)
        if seen.status in ENDED:
            return True
        if victim.due is None and (self._trials.met() if victim.hangs else _reached(seen, victim)):
            victim.due = time.monotonic() + victim.later_s
        return victim.due is not None and time.monotonic() >= victim.due

    def _cancel(self, victim: _Victim) -> None:
        job_id = victim.job_id
        phase, ended_before, began = self._ledger.seen(job_id).phase, self._ended(), time.monotonic()
        answer = self._trials.server.post(f"/api/v1/jobs/{job_id}/cancel")
        if answer.status_code == 409 and self._ledger.status(job_id) == "completed":
            self.found.completed += 1
            return
        answer.raise_for_status()
        status = self._ledger.wait(job_id)
        took = time.monotonic() - began
        hung = victim.hangs and self._trials.met()
        self._hung += hung
        self.found.latencies[IGNORED if hung else LABELS.get(phase, phase)].append(took)
        if status != "cancelled":
            self.found.faults.append(Fault(WENT_ON, f"{job_id} is {status}"))
        limit_s = self._step_s if self._ended() == ended_before else GRACE_S
        if took > limit_s + WITHIN_S:
            self.found.faults.append(Fault(LATE, f"{job_id}, in {phase}: {took:.2f} s"))
        self.found.faults += self._left_over(job_id)

    def _left_over(self, job_id: str) -> Iterator[Fault]:
        """What remains of it when it has ended; a preview may be on its way to the disk at that moment."""
        deadline = time.monotonic() + WITHIN_S
        while (strays := self._ledger.strays(job_id)) and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        if strays:
            yield Fault(LEFT_OVER, f"{job_id}: {strays}")

    def _at_the_end(self) -> Iterator[Fault]:
        server = self._trials.server
        if left := [str(path) for path in server.workspace.rglob(".*part*")]:
            yield Fault(LEFT_OVER, f"{left[:3]}")
        if self._ended() < self._hung:
            yield Fault(NOT_ENDED, f"{self._hung} hung, {self._ended()} were ended")

    def _ended(self) -> int:
        """How many children were ended."""
        return self._trials.server.log().count(KILLED)


def _reached(seen: Seen, victim: _Victim) -> bool:
    """Whether the job is where it is to be cancelled, or past it."""
    order = [*PHASES]
    now = order.index(seen.phase) if seen.phase in order else 0
    then = order.index(victim.phase)
    return now > then or (now == then and seen.unit >= min(victim.unit, PHASES[victim.phase]))


def run(folder: Path, cancels: int, seed: int, report: Callable[[str], None]) -> Cancels:
    """With trial models, one of which hangs at times. The folder stays where something is wrong."""
    with serving(folder, cancel_grace_s=GRACE_S, stall_s=STALL_S) as trials:
        found = Canceller(trials, KINDS, Random(seed), step_s=STEP_S, rough=True).run(cancels, report)
    return _tidied(folder, found)


def run_local(folder: Path, cancels: int, seed: int, report: Callable[[str], None]) -> Cancels:
    """With a small SVD of the local backend. Loading it, or importing what loads it, hears a cancel late."""
    weights = folder / "weights"
    folder.mkdir(parents=True)
    (card := folder / f"{SMALL}.toml").write_text(small_card("svd-xt", SMALL))
    make = [sys.executable, str(ROOT / "scripts" / "make_test_weights.py"), str(card), "--into", str(weights)]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
    settings = {"weights_dir": weights, "omp_num_threads": 1, "cancel_grace_s": 10, "stall_s": 60}
    with serving(folder / "server", {SMALL: card.read_text()}, **settings) as trials:
        found = Canceller(trials, LOCAL, Random(seed), step_s=LOCAL_STEP_S, rough=False).run(cancels, report)
    return _tidied(folder, found)


def _tidied(folder: Path, found: Cancels) -> Cancels:
    if not found.faults:
        shutil.rmtree(folder)
    return found
