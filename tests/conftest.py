import os

import pytest

from vidgen.engine import lifecycle
from vidgen.engine.door import Door
from vidgen.engine.order import Policy
from vidgen.store.database import Database
from vidgen.store.jobs import NewJob
from vidgen.types import Effective, GenerationMode

os.environ.setdefault("OMP_NUM_THREADS", "1")
"""Before torch is imported, here and in the servers that tests start: small networks, on cores that are shared."""


@pytest.fixture
def db(tmp_path):
    """A database whose announcements are kept in ``db.announced`` and passed to ``db.listeners``."""
    announced, listeners = [], []

    def announce(changes):
        announced.append(changes)
        for listener in listeners:
            listener(changes)

    opened = Database(tmp_path / "vidgen.db", announce)
    opened.announced, opened.listeners = announced, listeners
    yield opened
    opened.close()


@pytest.fixture
def begin(db):
    """Acknowledge a job and return its id."""
    numbers = iter(range(10_000))

    def begin(priority: int = 0, *, age_s: float = 600, **values) -> str:
        job_id = f"job_{next(numbers):016x}"
        new = NewJob(
            id=job_id, request={"user_prompt": values.pop("prompt", "a forest")}, model_id="stub:animatic",
            effective=Effective(64, 64, 5, 8.0, None, None, 1, {}), keyframe_model_id=None, keyframe_parameters={},
            upload_id=None, generation_mode=GenerationMode.TEXT_TO_VIDEO, seed=1, priority=priority, **values,
        )
        db.write(lambda tx: lifecycle.begin(tx, new, age_s))
        return job_id

    return begin


def let_in(db: Database, places: int) -> None:
    """Let queued jobs in, in order, until so many are processing."""
    db.write(Door(places, lambda model_id: True, Policy(swap_patience_s=0, memory_wait_s=0)).admit)
