"""What stands on the ground: trees, grass, reeds, roofs, and a few subjects a prompt may name."""

from random import Random

from backends.stub.stage import Pen, Silhouette, Stage

STANDS_OUT = {                          # how far a dressing rises above its ground, of the unit
    "pines": .12, "far pines": .05, "tall pines": .44, "few pines": .3, "copse": .07, "grass": .03, "tall grass": .14,
    "reeds": .13, "roofs": .12, "": 0,
}


def _pines(pen: Pen, ground: Silhouette, stage: Stage, rng: Random, scale: float, which: str) -> None:
    width, tall = stage.size[0], STANDS_OUT[which] * scale * stage.unit
    spread = {"pines": 0.22, "far pines": 0.28, "tall pines": 0.36, "few pines": 2.6}[which]
    x, clearing = -tall * 0.1, (stage.x(0.28), stage.x(0.72))
    while x < width + tall * 0.1:
        height = tall * rng.uniform(0.45, 1.0)
        if which == "tall pines" and clearing[0] < x < clearing[1]:
            height *= 0.16 + 0.5 * abs(2 * (x - clearing[0]) / (clearing[1] - clearing[0]) - 1) ** 3
        if which != "pines" or rng.random() < 0.8:
            _pine(pen, x, ground.ground(x) + height * 0.08, height, rng)
        x += height * spread * rng.uniform(0.6, 1.5)


def _pine(pen: Pen, x: float, foot: float, height: float, rng: Random) -> None:
    tiers, half = (5 if height > 40 else 3), height * rng.uniform(0.15, 0.2)
    edge: list[tuple[float, float]] = []                    # how far out, and how high, of one side
    for i in range(tiers):
        top, low = i / tiers, (i + 1) / tiers
        edge += [(half * top * 0.72, height * (1 - top)), (half * low, height * (1 - low) * 0.97)]
    pen.polygon([(x - out, foot - up) for out, up in edge] + [(x + out, foot - up) for out, up in reversed(edge)])


def _copse(pen: Pen, ground: Silhouette, stage: Stage, rng: Random, scale: float, which: str) -> None:
    tall = STANDS_OUT[which] * scale * stage.unit
    for _ in range(round(3 * stage.size[0] / stage.frame[0])):
        middle = rng.uniform(0, stage.size[0])
        for _ in range(rng.randint(2, 7)):
            x, size = middle + rng.gauss(0, tall * 0.7), tall * rng.uniform(0.3, 0.55)
            foot = ground.ground(x)
            pen.box(x - size * 0.06, foot - size, x + size * 0.06, foot + 3)
            for dx, dy, r in ((0, 1.25, .55), (-.4, .95, .42), (.4, .95, .42)):
                pen.ellipse(x + dx * size, foot - dy * size, r * size, r * size * 0.92)


def _grass(pen: Pen, ground: Silhouette, stage: Stage, rng: Random, scale: float, which: str) -> None:
    tall, lean = STANDS_OUT[which] * scale * stage.unit, rng.uniform(-0.25, 0.25)
    count = round(stage.size[0] / max(2.0, tall * 0.09))
    for i in range(count):
        x, height = (i + rng.random()) * stage.size[0] / count, tall * rng.random() ** 1.6
        half, foot = max(0.5, tall * 0.016), ground.ground(x)
        tip = (x + (lean + rng.gauss(0, 0.14)) * height, foot - height)
        pen.polygon([(x - half, foot + 2), tip, (x + half, foot + 2)])
        if which == "reeds" and height > tall * 0.6:
            pen.line([tip, (tip[0], tip[1] + height * 0.22)], tall * 0.035)


def _roofs(pen: Pen, ground: Silhouette, stage: Stage, rng: Random, scale: float, which: str) -> None:
    tall = STANDS_OUT[which] * scale * stage.unit
    for _ in range(round(7 * stage.size[0] / stage.frame[0])):
        x = rng.uniform(0, stage.size[0])
        draw = _tank if rng.random() < 0.4 else _aerial
        draw(pen, x, ground.ground(x), tall, tall * rng.uniform(0.3, 0.9))


def _tank(pen: Pen, x: float, foot: float, tall: float, height: float) -> None:
    """Water on legs."""
    half = tall * 0.13
    pen.box(x - half, foot - tall * 0.5, x + half, foot - tall * 0.18)
    pen.polygon([(x - half, foot - tall * 0.5), (x, foot - tall * 0.64), (x + half, foot - tall * 0.5)])
    for leg in (-0.9, 0, 0.9):
        pen.line([(x + leg * half, foot - tall * 0.2), (x + leg * half, foot + 2)], max(1.0, tall * 0.02))


def _aerial(pen: Pen, x: float, foot: float, tall: float, height: float) -> None:
    pen.line([(x, foot - height), (x, foot + 2)], max(1.0, tall * 0.018))
    for k in (0.08, 0.2, 0.32):
        arm, y = tall * (0.1 - k * 0.12), foot - height * (1 - k)
        pen.line([(x - arm, y), (x + arm, y)], max(1.0, tall * 0.014))


DRESSINGS = {"pines": _pines, "copse": _copse, "grass": _grass, "reeds": _grass, "roofs": _roofs}

SUBJECT_HEIGHTS = {"person": .15, "boat": .2, "house": .12, "lighthouse": .34}
SUBJECTS: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {   # polygons, in parts of the height, foot at 0, 0
    "person": (                                             # walking to the right
        ((-.055, -.83), (.02, -.87), (.06, -.82), (.075, -.66), (.085, -.42), (-.1, -.4), (-.085, -.66)),
        ((.0, -.8), (.05, -.8), (.085, -.64), (.15, -.53), (.135, -.5), (.05, -.6)),
        ((-.09, -.44), (.0, -.44), (-.045, -.22), (-.13, -.01), (-.19, -.02), (-.2, -.05), (-.16, -.06), (-.11, -.22)),
        ((-.02, -.44), (.075, -.44), (.1, -.24), (.13, -.03), (.2, -.01), (.2, .01), (.085, .01), (.035, -.22)),
        ((-.005, -.9), (.04, -.9), (.04, -.82), (-.005, -.82)),
    ),
    "boat": (
        ((-.5, -.14), (.52, -.16), (.4, .03), (-.38, .03)), ((-.012, -.14), (-.012, -1), (.012, -1), (.012, -.14)),
        ((.04, -.95), (.04, -.2), (.42, -.22)), ((-.04, -.88), (-.04, -.22), (-.34, -.22)),
    ),
    "house": (
        ((-.6, .1), (-.6, -.52), (.6, -.52), (.6, .1)), ((-.72, -.5), (-.4, -1), (.4, -1), (.72, -.5)),
        ((.18, -.9), (.18, -1.2), (.34, -1.2), (.34, -.9)),
    ),
    "lighthouse": (
        ((-.1, .05), (-.066, -.76), (.066, -.76), (.1, .05)), ((-.1, -.76), (.1, -.76), (.1, -.79), (-.1, -.79)),
        ((-.05, -.79), (-.05, -.9), (.05, -.9), (.05, -.79)), ((-.07, -.9), (0, -1), (.07, -.9)),
        ((.1, .05), (.1, -.12), (.22, -.2), (.34, -.12), (.34, .05)),
    ),
}


def stand(pen: Pen, subject: str, x: float, foot: float, height: float) -> None:
    """Draw *subject* with its foot there."""
    for polygon in SUBJECTS[subject]:
        pen.polygon([(x + px * height, foot + height * (py + 0.02)) for px, py in polygon])
    if subject == "person":
        pen.ellipse(x + height * 0.02, foot - height * 0.91, height * 0.052, height * 0.066)
