"""Everything behind the land: gradient, sun and moon with their glow, stars, clouds, birds, rain and falling snow."""

from bisect import bisect_right
from collections.abc import Sequence
from math import cos, pi, sin
from random import Random

from PIL import Image, ImageDraw

from backends.stub.palette import RGB, Look, mix
from backends.stub.stage import SUPERSAMPLE, Pen, Stage
from backends.stub.texture import fractal

CLOUD_SCALE = 4                         # clouds are made this much smaller: they have no edges
GRADIENT_PX = 8                         # distance between the points of a gradient that are worked out


def gradient(stops: Sequence[tuple[float, RGB]], height: int, start: float, end: float) -> Image.Image:
    """One column of *height* pixels through *stops*, whose 0 lies at *start* and whose 1 at *end*, in pixels."""
    places = [place for place, _ in stops]
    count = max(2, height // GRADIENT_PX)
    column = bytearray()
    for i in range(count):
        t = min(max(((i + 0.5) * height / count - start) / max(1e-6, end - start), 0.0), 1.0)
        right = min(max(1, bisect_right(places, t)), len(stops) - 1)
        (t0, a), (t1, b) = stops[right - 1], stops[right]
        column += bytes(mix(a, b, min(1.0, (t - t0) / (t1 - t0))))
    return Image.frombytes("RGB", (1, count), bytes(column)).resize((1, height), Image.Resampling.BICUBIC)


def paint_sky(stage: Stage, look: Look, rng: Random, detail: Random, octaves: int, horizon: float,
              body: tuple[float, float]) -> Image.Image:
    """The sky down to *horizon* (a plane's row, pixels), and its haze below.

    :param body: where sun or moon stands, the plane's pixels.
    """
    column = gradient(look.hour.sky, stage.size[1], stage.y(-0.05), horizon)
    sky = column.resize(stage.size, Image.Resampling.NEAREST)
    if "stars" in look.elements:
        _stars(sky, stage, rng, horizon)
    for kind in ("sun", "moon"):
        if kind in look.elements:
            _body(sky, stage, look, rng, kind, body)
    if "clouds" in look.elements:
        _clouds(sky, stage, look, detail, octaves, horizon)
    if "birds" in look.elements:
        _birds(sky, stage, look, rng)
    return sky


def paint_weather(picture: Image.Image, stage: Stage, look: Look, rng: Random) -> None:
    """Rain or snow in front of all that is far."""
    if "rain" in look.elements:
        _rain(picture, stage, rng)
    if "snowfall" in look.elements:
        _flakes(picture, stage, rng)


def body_place(stage: Stage, look: Look, rng: Random) -> tuple[float, float]:
    """Where sun or moon stands on the plane."""
    across = rng.choice((rng.uniform(0.2, 0.42), rng.uniform(0.58, 0.8)))
    low = 0.4 if look.hour.sky[0][1][2] < 140 and "sun" in look.elements else 0.22
    return stage.x(across), stage.y(low + rng.uniform(-0.04, 0.04))


def _body(sky: Image.Image, stage: Stage, look: Look, rng: Random, kind: str, place: tuple[float, float]) -> None:
    x, y = place
    radius = stage.unit * (0.055 if kind == "sun" else 0.042)
    _glow(sky, x, y, radius * 11, look.hour.light, 140 if kind == "sun" else 70)
    _glow(sky, x, y, radius * 3, look.hour.light, 150 if kind == "sun" else 90)
    disc = _disc(radius, rng.uniform(0.3, 0.5) if kind == "moon" else None)
    sky.paste(look.hour.light, (round(x - disc.width / 2), round(y - disc.height / 2)), disc)


def _glow(sky: Image.Image, x: float, y: float, radius: float, colour: RGB, strength: int) -> None:
    fall = [round(strength * (1 - i / 181) ** 2) if i < 181 else 0 for i in range(256)]
    side = max(2, round(radius * 2 * 2**0.5 / 2))
    mask = Image.radial_gradient("L").point(fall).resize((side, side), Image.Resampling.BILINEAR)
    sky.paste(colour, (round(x - side / 2), round(y - side / 2)), mask)


def _disc(radius: float, crescent: float | None) -> Image.Image:
    """A soft-edged disc; *crescent* of its width is in shadow from the left."""
    side, large = max(2, round(2 * radius)), max(8, 8 * round(radius))
    mask = Image.new("L", (large, large))
    draw = ImageDraw.Draw(mask)
    draw.ellipse((0, 0, large - 1, large - 1), fill=255)
    if crescent is not None:
        draw.ellipse((-large * crescent * 1.6, -large * 0.12, large * (1 - crescent), large * 0.86), fill=16)
    return mask.resize((side, side), Image.Resampling.LANCZOS)


def _stars(sky: Image.Image, stage: Stage, rng: Random, horizon: float) -> None:
    draw = ImageDraw.Draw(sky)
    for _ in range(round(260 * stage.size[0] / stage.frame[0])):
        x, height = rng.uniform(0, stage.size[0]), rng.random() ** 0.7
        y = horizon * (1 - height)
        here = sky.getpixel((min(int(x), sky.width - 1), min(int(y), sky.height - 1)))
        colour, size = mix(here, (240, 244, 255), height * rng.uniform(0.15, 0.95)), stage.unit * 0.0012
        if rng.random() < 0.06 and size >= 0.5:
            draw.ellipse((x - size, y - size, x + size, y + size), fill=colour)
        else:
            draw.point((x, y), fill=colour)


def _clouds(sky: Image.Image, stage: Stage, look: Look, rng: Random, octaves: int, horizon: float) -> None:
    size = (stage.size[0] // CLOUD_SCALE + 1, max(2, round(horizon / CLOUD_SCALE)))
    cell = (0.55 * stage.unit / CLOUD_SCALE, 0.13 * stage.unit / CLOUD_SCALE)
    field = fractal(rng, size, cell, min(octaves, 6))
    heavy = look.hour.sky[-1][1][2] > 120 and not look.hour.elements & {"sun", "moon"}
    start = 84 if heavy else 124 if look.calm else 116
    cover = field.point([min(230, max(0, round((i - start) * 4.2))) for i in range(256)])
    fade = gradient(((0, (60,) * 3), (0.35, (255,) * 3), (0.8, (200,) * 3), (1, (30,) * 3)), size[1], 0, size[1])
    fade = fade.convert("L").resize(size, Image.Resampling.NEAREST)
    mask = Image.composite(cover, Image.new("L", size), fade)
    box = (size[0] * CLOUD_SCALE, round(horizon))
    low, high = look.hour.sky[-1][1], look.hour.light
    tint = gradient(((0, mix(look.hour.sky[1][1], high, 0.4)), (1, mix(low, high, 0.5))), box[1], 0, box[1])
    if heavy:
        tint = gradient(((0, mix(look.hour.sky[0][1], (0, 0, 0), 0.25)), (1, mix(low, high, 0.3))), box[1], 0, box[1])
    sky.paste(tint.resize(box, Image.Resampling.NEAREST), (0, 0), mask.resize(box, Image.Resampling.BICUBIC))


def _birds(sky: Image.Image, stage: Stage, look: Look, rng: Random) -> None:
    x, y = stage.x(rng.uniform(0.25, 0.75)), stage.y(rng.uniform(0.16, 0.32))
    span = stage.unit * 0.022
    flock = [
        (x + rng.gauss(0, span * 4), y + rng.gauss(0, span * 1.6), span * rng.uniform(0.6, 1)) for _ in range(7)
    ]
    top, bottom = max(0, int(y - span * 8)), min(stage.size[1], int(y + span * 8))
    mask = Image.new("L", (stage.size[0] * SUPERSAMPLE, (bottom - top) * SUPERSAMPLE))
    pen = Pen(ImageDraw.Draw(mask), top)
    for bx, by, wing in flock:
        beat = rng.uniform(0.15, 0.5)
        for side in (-1, 1):
            arc = ((side * k, 0.1 * k - beat * sin(k * pi)) for k in (0, .2, .4, .6, .8, 1))
            pen.line([(bx + wing * x, by + wing * y) for x, y in arc], max(0.8, wing * 0.09))
    sky.paste(look.hour.near, (0, top), mask.reduce(SUPERSAMPLE).point([i * 3 // 4 for i in range(256)]))


def _rain(picture: Image.Image, stage: Stage, rng: Random) -> None:
    mask = Image.new("L", stage.size)
    draw, length = ImageDraw.Draw(mask), stage.unit * 0.07
    for _ in range(round(420 * stage.size[0] / stage.frame[0])):
        x, y, part = rng.uniform(0, stage.size[0]), rng.uniform(-length, stage.size[1]), rng.uniform(0.4, 1)
        draw.line((x, y, x - length * part * 0.16, y + length * part), fill=round(14 + 34 * part))
    picture.paste((216, 224, 230), (0, 0), mask)


def _flakes(picture: Image.Image, stage: Stage, rng: Random) -> None:
    mask = Image.new("L", stage.size)
    draw = ImageDraw.Draw(mask)
    for _ in range(round(300 * stage.size[0] / stage.frame[0])):
        angle, near = rng.uniform(0, 2 * pi), rng.random() ** 3
        x, y = rng.uniform(0, stage.size[0]) + cos(angle), rng.uniform(0, stage.size[1])
        size = stage.unit * (0.0014 + 0.004 * near)
        draw.ellipse((x - size, y - size, x + size, y + size), fill=round(210 - 90 * near))
    picture.paste((248, 250, 255), (0, 0), mask)
