"""A server whose GPU lane renders trial models, and what its database and its disk say of the jobs while it runs.

The jobs are small, and each of a kind gives the same bytes; what comes of one beside a job that is cancelled, hangs or
dies is held against one that nothing disturbed.
"""

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.autopsy import ENDED, FINAL, Fault
from tests.fakes import gpu, trial
from tests.server import Server, started

CHANGED = "jobs that others changed"
CHARGED = "attempts charged to the wrong step"
UNENDED = "jobs that did not end"

STEP_S, STEPS, FRAMES = 0.03, 4, 5
LOOK_S = 0.003
END_S = 60.0

CARDS = {
    "one": trial.card("one", step_seconds=STEP_S, load_seconds=0.1, encode_seconds=0.01),
    "two": trial.card("two", step_seconds=STEP_S, load_seconds=0.1),
    "still": trial.card("still", step_seconds=STEP_S, load_seconds=0.1, capabilities=trial.STILL),
    "moved": trial.card(
        "moved", step_seconds=STEP_S, load_seconds=0.1, capabilities=trial.NEEDS_IMAGE, keyframe_model="trial:still"
    ),
    "doomed": trial.card("doomed", step_seconds=STEP_S, load_seconds=0.1, encode_seconds=0.01),
}
"""``doomed`` is for what is planned to hang or die: nothing else meets it."""

Body = Mapping[str, Any]


def body(model_id: str, shots: int = 1, **values: Any) -> Body:
    """Of a job that gives the same bytes each time."""
    board = [{"description": "a lake", "seed": 7 + number} for number in range(shots)]
    return {
        "user_prompt": "a lake", "model_id": model_id, "max_shots": shots, "width": 64, "height": 64,
        "num_frames": FRAMES, "num_inference_steps": STEPS, "seed": 7,
        "storyboard": {"title": "Shots", "shots": board}, **values,
    }


KINDS = {
    "one": body("trial:one"), "two shots": body("trial:two", 2), "with a keyframe": body("trial:moved"),
}
DOOMED = body("trial:doomed")


@dataclass(frozen=True)
class Seen:
    """The last thing that a job's log says."""

    status: str
    phase: str                              # queued, plan, load, render, decode, encode, assemble, …
    unit: int
    attempt: int


class Ledger:
    """The database of a server that runs, read by means of our own."""

    def __init__(self, workspace: Path):
        self._videos = workspace / "videos"
        self._db = sqlite3.connect(f"file:{workspace / 'vidgen.db'}?mode=ro", uri=True)

    def close(self) -> None:
        self._db.close()

    def status(self, job_id: str) -> str:
        return self._db.execute("SELECT status FROM jobs WHERE id = ?", (job_id,)).fetchone()[0]

    def seen(self, job_id: str) -> Seen:
        said = self._db.execute(
            "SELECT body FROM events WHERE job_id = ? AND type = 'progress' ORDER BY seq DESC LIMIT 1", (job_id,)
        ).fetchone()
        about = json.loads(said[0])
        phase = about.get("phase") or about["step"].partition(" ")[0].lower()
        return Seen(self.status(job_id), phase, about.get("phase_step", 0), about.get("attempt", 0))

    def attempts(self, job_id: str) -> dict[str, int]:
        """Of each render, how many attempts were counted, by its shot."""
        rows = self._db.execute(
            "SELECT kind, shot_index, attempts FROM steps WHERE job_id = ? AND kind IN ('render', 'keyframe')",
            (job_id,),
        )
        return {f"{kind} {shot + 1}": number for kind, shot, number in rows}

    def wait(self, job_id: str) -> str:
        """How it ended."""
        await_that(lambda: self.status(job_id) in ENDED, f"{job_id} to end")
        return self.status(job_id)

    def digest(self, job_id: str) -> str:
        return hashlib.sha256((self._videos / job_id / FINAL).read_bytes()).hexdigest()

    def strays(self, job_id: str) -> list[str]:
        """Files of the job that are no part of what its row calls finished."""
        folder = self._videos / job_id
        there = {path.name for path in folder.iterdir()} if folder.exists() else set()
        rows = self._db.execute(
            "SELECT video, poster, keyframe, preview FROM shots WHERE job_id = ?", (job_id,)
        ).fetchall()
        return sorted(there - {name for row in rows for name in row})


@dataclass
class Trials:
    """One server with its models, and how its jobs come out where nothing disturbs them."""

    server: Server
    packages: Path
    ledger: Ledger
    digests: dict[str, str]                 # by the kind of job

    def post(self, body: Body) -> str:
        answer = self.server.post("/api/v1/jobs", json=dict(body))
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def learn(self, kinds: Mapping[str, Body]) -> None:
        """Make one of each, undisturbed."""
        for kind, asked in kinds.items():
            job_id = self.post(asked)
            assert self.ledger.wait(job_id) == "completed", self.server.log()[-3000:]
            self.digests[kind] = self.ledger.digest(job_id)

    def changed(self, kind: str, job_id: str) -> Iterator[Fault]:
        """What was done to a job of this kind that nobody should have disturbed."""
        if (status := self.ledger.wait(job_id)) != "completed":
            yield Fault(CHANGED, f"{kind}, {job_id}, is {status}")
        elif self.ledger.digest(job_id) != self.digests[kind]:
            yield Fault(CHANGED, f"the video of {job_id} is not that of any other {kind!r}")

    def charged(self, job_id: str, expected: Sequence[int] = (1,)) -> Iterator[Fault]:
        attempts = self.ledger.attempts(job_id)
        if wrong := {name: number for name, number in attempts.items() if number not in expected}:
            yield Fault(CHARGED, f"{job_id}: {wrong}, and not {list(expected)}")

    # what is planned

    def plan(self, *deaths: tuple[str, int, str]) -> None:
        gpu.plan_deaths(self.packages, *deaths)

    def met(self) -> bool:
        """Whether all that was planned has happened."""
        return not (self.packages / "deaths").read_text()

    def met_at(self) -> float:
        """When the last of it did; seconds since the epoch."""
        return (self.packages / "deaths").stat().st_mtime


def offer(folder: Path, cards: Mapping[str, str]) -> dict[str, Any]:
    """Settings and environment of a server that has these trial models, for ``Server``; *folder* gets what it needs."""
    (models := folder / "models").mkdir(parents=True)
    for name, text in cards.items():
        (models / f"{name}.toml").write_text(text)
    environment = {name.lower(): value for name, value in gpu.install(folder / "packages").items()}
    return {"models_dir": models, "gpu_device": "cpu", **environment}


@contextmanager
def serving(folder: Path, cards: Mapping[str, str] = CARDS, **settings: Any) -> Iterator[Trials]:
    """A server with these models, in a new folder."""
    workspace, offered = folder / "workspace", offer(folder, cards)
    with (
        started(workspace, max_concurrent_jobs=4, **offered, **settings) as server,
        closing(Ledger(workspace)) as ledger,
    ):
        yield Trials(server, folder / "packages", ledger, {})


def await_that(condition: Callable[[], bool], what: str) -> None:
    """Look again and again; what another process does cannot be waited for otherwise.

    :raises TimeoutError: it does not come to be.
    """
    deadline = time.monotonic() + END_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {END_S:g} s in vain for {what}")
        time.sleep(LOOK_S)
