"""The shape of the ground: hills, mountain ranges, dunes, waves and skylines, each as a line from edge to edge."""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from math import pi, sin
from random import Random

from PIL import Image

from backends.stub.dressing import DRESSINGS, STANDS_OUT, SUBJECT_HEIGHTS, stand
from backends.stub.stage import Pen, Silhouette, Stage, cut

POINT_PX = 3.0                          # distance between the points of a ground line
MAX_OCTAVES = 9


@dataclass(frozen=True)
class Ridge:
    """How one line of ground runs and what grows on it."""

    level: float                        # of the frame's height
    height: float                       # of the unit
    waves: float                        # swings in one unit of width
    rough: float                        # strength of each octave beside the one before
    shape: str = "rolling"              # rolling, rugged, dunes, swell, blocks
    dress: str = ""


LANDS: dict[str, tuple[Ridge, Ridge, Ridge, Ridge]] = {     # two far ones, the middle one, the near one
    "hills": (Ridge(.55, .06, 1.1, .42), Ridge(.61, .06, 1.3, .4), Ridge(.70, .06, 1.0, .36, dress="copse"),
              Ridge(.88, .07, .9, .33, dress="grass")),
    "mountains": (Ridge(.46, .22, 1.5, .52, "rugged"), Ridge(.58, .13, 1.7, .5, "rugged"),
                  Ridge(.71, .06, 1.2, .42, dress="pines"), Ridge(.90, .06, 1.0, .4, dress="tall pines")),
    "forest": (Ridge(.50, .07, 1.1, .45, dress="far pines"), Ridge(.58, .06, 1.2, .45, dress="far pines"),
               Ridge(.72, .05, 1.2, .4, dress="pines"), Ridge(.93, .04, 1.0, .4, dress="tall pines")),
    "ocean": (Ridge(.545, .025, .7, .5, "rugged"), Ridge(.57, 0, 1, .4), Ridge(.76, .022, 2.6, .5, "swell"),
              Ridge(.885, .04, 1.5, .45, "swell")),
    "lake": (Ridge(.44, .16, 1.3, .52, "rugged"), Ridge(.53, .06, 1.7, .45, dress="far pines"),
             Ridge(.84, .02, 1.2, .4, dress="reeds"), Ridge(.95, .03, 1.0, .4, dress="reeds")),
    "desert": (Ridge(.57, .06, .9, .14, "dunes"), Ridge(.62, .09, .8, .12, "dunes"),
               Ridge(.72, .11, .6, .1, "dunes"), Ridge(.89, .10, .5, .1, "dunes")),
    "city": (Ridge(.50, .16, 2.0, .6, "blocks"), Ridge(.60, .15, 1.7, .6, "blocks"),
             Ridge(.75, .12, 1.3, .6, "blocks"), Ridge(.91, .06, 1.0, .6, "blocks", "roofs")),
    "meadow": (Ridge(.58, .05, 1.0, .4), Ridge(.64, .04, 1.2, .4, dress="copse"),
               Ridge(.73, .04, 1.0, .3, dress="grass"), Ridge(.88, .03, .9, .3, dress="tall grass")),
    "snow": (Ridge(.50, .16, 1.4, .5, "rugged"), Ridge(.60, .07, 1.2, .4), Ridge(.71, .05, 1.0, .3, dress="pines"),
             Ridge(.89, .06, .9, .25)),
}
HEADLAND = Ridge(.74, .07, .55, .42)     # in place of a swell, where something stands that does not float


def raise_ground(stage: Stage, ridge: Ridge, rng: Random, octaves: int, scale: float,
                 subject: str | None = None) -> Silhouette:
    """One line of ground as a silhouette.

    :param octaves: how fine its detail goes.
    :param scale: how near we are: 1 wide, more is closer.
    :param subject: what stands on it: person, boat, house, lighthouse.
    """
    line = _line(stage, ridge, rng, min(octaves, MAX_OCTAVES), scale)
    dress = ridge.dress
    above = max(STANDS_OUT[dress], SUBJECT_HEIGHTS.get(subject or "", 0)) * scale * stage.unit * 1.3

    def draw(pen: Pen, ground: Silhouette) -> None:
        if dress:
            DRESSINGS[dress.split()[-1]](pen, ground, stage, rng, scale, dress)
        if subject:
            x = stage.x(rng.choice((0.3, 0.36, 0.64, 0.7)))
            stand(pen, subject, x, ground.ground(x), SUBJECT_HEIGHTS[subject] * scale * stage.unit)

    return cut(stage, line, above, draw if dress or subject else None)


def _line(stage: Stage, ridge: Ridge, rng: Random, octaves: int, scale: float) -> list[float]:
    width, unit = stage.size[0], stage.unit
    count = max(8, int(width / POINT_PX))
    waves = max(0.4, ridge.waves * width / unit / scale)
    if ridge.shape == "blocks":
        steps = _blocks(rng, count, waves)
    else:
        steps = _octaves(rng, count, waves, ridge.rough, octaves, SHAPES.get(ridge.shape))
    base, tall = stage.y(ridge.level), ridge.height * unit * scale
    return [base - tall * step for step in steps]


def _octaves(rng: Random, count: int, waves: float, rough: float, octaves: int,
             shape: Callable[[float], float] | None) -> list[float]:
    """Value noise, -1 to 1, smooth between its knots."""
    total, weight = [0.0] * count, 0.0
    for k in range(octaves):
        knots = min(waves * 2**k, count / 2)
        strength = rough**k
        weight += strength
        layer = _smooth(rng, count, knots)
        if shape:
            layer = [shape(value) for value in layer]
        total = [t + strength * value for t, value in zip(total, layer, strict=True)]
    return [t / weight for t in total]


def _smooth(rng: Random, count: int, knots: float) -> list[float]:
    """*count* heights through *knots* random ones."""
    heights = [rng.uniform(-1, 1) for _ in range(int(knots) + 4)]
    if knots < 6:                                           # few knots: up and down by turns, or the land lies flat
        heights = [abs(a) * (1 if i % 2 else -1) for i, a in enumerate(heights)]
    row = Image.frombytes("F", (len(heights), 1), array("f", heights).tobytes())
    start = 0.5 + rng.random()
    smooth = row.resize((count, 1), Image.Resampling.BICUBIC, box=(start, 0, start + knots, 1))
    return array("f", smooth.tobytes()).tolist()


SHAPES: dict[str, Callable[[float], float]] = {
    "rugged": lambda v: 1 - 2 * abs(v) ** 0.8,              # sharp where the noise crosses zero
    "dunes": lambda v: 1 - 1.9 * abs(v) ** 0.75,            # a crest with hollow sides
    "swell": lambda v: 1 - 2 * abs(sin(v * pi / 2)),
}


def _blocks(rng: Random, count: int, waves: float) -> list[float]:
    """A skyline: flat roofs of unequal width and height, with a taller tower now and then."""
    mean = count / (waves * 9)
    out: list[float] = []
    while len(out) < count:
        height = rng.uniform(-0.9, 0.5) if rng.random() < 0.8 else rng.uniform(0.5, 1.4)
        wide = max(2, round(mean * rng.uniform(0.5, 1.5)))
        if height > 0.8 and rng.random() < 0.6:
            out += [height - 0.5] * (wide // 4) + [height] * (wide // 2) + [height - 0.4] * (wide // 4)
        else:
            out += [height] * wide
        if rng.random() < 0.3:
            out += [-1.0] * max(1, round(mean * 0.15))
    return out[:count]
