"""The jobs of a simulation: models, what they need and take, and when jobs arrive.

The memory is what the cards say, the seconds are estimates for a card of 24 GB; no figure here was measured on one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from vidgen.engine.schedule import GB, Option, Waiting
from vidgen.settings import Settings

AGE_S = Settings.model_fields["age_s"].default
DAY_S = 86_400
@dataclass(frozen=True)
class Model:
    weights_gb: float
    shot_s: float                           # in the mode "whole"
    options: tuple[Option, ...]


def _model(weights_gb: float, shot_s: float, **peaks_gb: float) -> Model:
    """:param peaks_gb: by mode; in those that offload, nothing stays on the device."""
    options = tuple(
        Option(mode, int(weights_gb * GB) if mode in ("whole", "two_pass") else 0, int(peak * GB))
        for mode, peak in peaks_gb.items()
    )
    return Model(weights_gb, shot_s, options)


MODELS = {
    "sdxl-turbo": _model(6.6, 1.5, whole=10.2, component=6.7, group=3.6),
    "svd-xt": _model(4.2, 60, whole=14.5, two_pass=14.5, component=10.2),
    "ltx-video": _model(13.2, 30, whole=18.5, two_pass=18.5, component=10.4, group=5.4),
    "wan2.2-ti2v-5b": _model(22.5, 200, whole=32.1, component=16.7, group=11.2),
    "cogvideox-5b": _model(19.7, 160, whole=32.9, two_pass=32.9, component=13.6, group=12.7),
}
DRAWN = {"svd-xt": "sdxl-turbo"}
"""Video models that start from an image, and what draws it."""

MIX = {"svd-xt": 40, "ltx-video": 40, "wan2.2-ti2v-5b": 10, "cogvideox-5b": 10}
SHOTS = {1: 30, 2: 15, 3: 15, 4: 12, 5: 8, 6: 6, 8: 6, 10: 4, 12: 4}
PRIORITIES = {0: 94, 1: 5, 3: 1}


@dataclass
class Job:
    id: int
    arrival: float
    priority: int
    model_id: str
    ready: list[Waiting]
    renders: list[Waiting]                  # each waits for its keyframe
    left: int                               # steps that are not done
    own_s: float = 0.0                      # what rendering its steps took

    @property
    def rank(self) -> float:
        return self.arrival - self.priority * AGE_S

    def needs(self) -> set[str]:
        """The models of the steps that are left."""
        return {step.model_id for step in (self.ready[:1] + self.ready[-1:] + self.renders[:1])}


def _chosen(chance: Random, weights: dict) -> object:
    return chance.choices(list(weights), list(weights.values()))[0]


def _job(chance: Random, number: int, arrival: float, model_id: str) -> Job:
    priority, shots = _chosen(chance, PRIORITIES), _chosen(chance, SHOTS)
    rank, ids = arrival - priority * AGE_S, iter(range(number * 32, number * 32 + 32))

    def steps(of: str) -> list[Waiting]:
        return [Waiting(next(ids), of, priority, rank, MODELS[of].options) for _ in range(shots)]

    drawn = steps(DRAWN[model_id]) if model_id in DRAWN else []
    renders = steps(model_id)
    ready, waiting = (drawn, renders) if drawn else (renders, [])
    return Job(number, arrival, priority, model_id, ready, waiting, len(drawn) + len(renders))


MEAN_SHOTS = sum(count * weight for count, weight in SHOTS.items()) / sum(SHOTS.values())
MEAN_WORK_S = MEAN_SHOTS * sum(MODELS[name].shot_s * weight for name, weight in MIX.items()) / sum(MIX.values())
"""Of a job, in the quickest mode; wan and cogvideox take longer in those that fit."""


# arrivals: seconds and models, in order

Arrivals = Iterator[tuple[float, str]]


def steady(chance: Random, load: float) -> Arrivals:
    at = 0.0
    while True:
        at += chance.expovariate(load / MEAN_WORK_S)
        yield at, _chosen(chance, MIX)


def bursts(chance: Random, load: float) -> Arrivals:
    """From 5 to 40 jobs within five minutes, then nothing until they are worked off, more or less."""
    at = 0.0
    while True:
        many = chance.randint(5, 40)
        yield from ((each, _chosen(chance, MIX)) for each in sorted(at + chance.uniform(0, 300) for _ in range(many)))
        at += 300 + chance.expovariate(load / MEAN_WORK_S / many)


def nightly(chance: Random, load: float) -> Arrivals:
    """A quarter of the jobs by day, and the rest at eight in the evening."""
    day, many = 0, int(DAY_S * load / MEAN_WORK_S)
    while True:
        by_day = [chance.uniform(8, 20) * 3600 for _ in range(many // 4)]
        batch = [20 * 3600 + chance.uniform(0, 600) for _ in range(many - many // 4)]
        yield from ((day * DAY_S + each, _chosen(chance, MIX)) for each in sorted(by_day + batch))
        day += 1


def two_users(chance: Random, load: float) -> Arrivals:
    """Each with a model of their own, a few jobs at a time."""
    at = [0.0, 0.0]
    names = ("svd-xt", "ltx-video")
    while True:
        who = at.index(min(at))
        many = chance.randint(1, 6)
        yield from ((at[who], names[who]) for _ in range(many))
        at[who] += chance.expovariate(load / 2 / (many * MEAN_SHOTS * MODELS[names[who]].shot_s))


MIXED = {"steady": steady, "bursts": bursts, "nightly": nightly}
"""The patterns in which all models are asked for."""

PATTERNS = MIXED | {"two users": two_users}


def jobs_of(pattern: str, count: int, seed: int, load: float) -> Iterator[Job]:
    """:param load: of the GPU's time, what rendering the jobs takes in the quickest mode; swaps come on top."""
    chance = Random(f"{pattern} {seed}")
    arrivals = PATTERNS[pattern](chance, load)
    return (_job(chance, number, *next(arrivals)) for number in range(count))
