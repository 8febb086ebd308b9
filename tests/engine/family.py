"""Versions of a job, as their tests make them and look at them."""

from pathlib import Path

from tests.engine.conftest import ask, wait
from tests.engine.test_engine import KEYFRAMED
from vidgen.engine.engine import Engine
from vidgen.request import EditRequest
from vidgen.types import Job, JobStatus

PLACES = ("a hill", "a lake", "the sea", "a town", "a desert", "a forest", "a harbour", "a road")


def board(*shots, title="A day"):
    return {"title": title, "shots": [{"description": each} if isinstance(each, str) else each for each in shots]}


def made(engine: Engine, shots=PLACES, status=JobStatus.COMPLETED, **values) -> Job:
    job, _ = engine.submit(ask(storyboard=board(*shots), seed=5, **values))
    return wait(engine, job.id, status)


def edit(engine: Engine, parent: Job, **change) -> Job:
    job, new = engine.edit(parent.id, EditRequest(**change))
    assert new and job.parent_id == parent.id
    return wait(engine, job.id)


def steps(engine: Engine, job: Job) -> set[str]:
    """What was done for the job, beside its plan."""
    attempts = engine.recipe(job.id)["run"]["attempts"]
    assert set(attempts.values()) == {1}
    return set(attempts) - {"plan"}


def file(engine: Engine, job: Job, index: int, kind: str = "video") -> Path:
    return engine.file(job.id, getattr(job.storyboard.shots[index], kind))


def assert_same(engine: Engine, one: Job, other: Job, places: dict[int, int], kinds=("video", "poster")) -> None:
    """The files of shots of *one* are those of *other*; *places* has the index in each."""
    for mine, theirs in places.items():
        for kind in kinds:
            found, before = file(engine, one, mine, kind), file(engine, other, theirs, kind)
            assert found.stat().st_ino == before.stat().st_ino and found.read_bytes() == before.read_bytes()


def keyframed(start, cards: Path) -> Engine:
    """With ``stub:mover``, which needs a first image for each shot.

    :param cards: a folder for its card.
    """
    (cards / "mover.toml").write_text(KEYFRAMED)
    return start(models_dir=cards)


def mover(engine: Engine, shots=PLACES, **values) -> Job:
    return made(engine, shots, model_id="stub:mover", num_frames=5, **values)
