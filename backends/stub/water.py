"""Open water: the mirrored shore, ripples that widen towards us, and the sun's path."""

from random import Random

from PIL import Image, ImageDraw

from backends.stub.palette import Look, mix
from backends.stub.sky import gradient
from backends.stub.stage import SUPERSAMPLE, Stage

RIPPLES = 420
GLINTS = 260


def paint_water(picture: Image.Image, stage: Stage, look: Look, rng: Random, line: float, glint: float) -> None:
    """Water from the row *line* down.

    :param glint: where the light's path lies across the plane, pixels.
    """
    top, (width, height) = round(line), picture.size
    depth = height - top
    if depth < 2 or top < 2:
        return
    deep = mix(look.ground, look.hour.near, 0.45)
    stops = ((0, mix(look.hour.sky[-1][1], deep, 0.25)), (0.35, mix(look.hour.sky[1][1], deep, 0.55)), (1, deep))
    tint = gradient(stops, depth, 0, depth).resize((width, depth), Image.Resampling.NEAREST)
    if look.land == "lake":
        mirrored = picture.crop((0, max(0, top - depth), width, top)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        tint.paste(Image.blend(mirrored, tint.crop((0, 0, *mirrored.size)), 0.4), (0, 0))
    picture.paste(tint, (0, top))
    light = mix(look.hour.sky[-1][1], look.hour.light, 0.5)
    _dashes(picture, stage, rng, top, RIPPLES, 46, light, None)
    if look.elements & {"sun", "moon"}:
        _dashes(picture, stage, rng, top, GLINTS, 200, look.hour.light, glint)


def _dashes(picture: Image.Image, stage: Stage, rng: Random, top: int, count: int, strength: int,
            colour: tuple[int, int, int], path: float | None) -> None:
    """Flat strokes, thin at the horizon and broad in front; all over, or about the column *path*."""
    width, depth = picture.width, picture.height - top
    mask = Image.new("L", (width * SUPERSAMPLE, depth * SUPERSAMPLE))
    draw = ImageDraw.Draw(mask)
    for _ in range(round(count * (width / stage.frame[0] if path is None else 1))):
        near = rng.random() ** (2.0 if path is None else 1.5)
        half = stage.unit * (0.004 + 0.05 * near) * rng.uniform(0.4, 1.2)
        thick = max(0.4, stage.unit * (0.0009 + 0.004 * near))
        spread = stage.unit * (0.012 + 0.11 * near)
        x = rng.uniform(0, width) if path is None else rng.gauss(path, spread)
        y = near * depth
        fill = round(strength * rng.uniform(0.4, 1.0) * (1 - 0.5 * near))
        box = (x - half, y - thick, x + half, y + thick)
        draw.ellipse([v * SUPERSAMPLE for v in box], fill=fill)
    picture.paste(colour, (0, top), mask.reduce(SUPERSAMPLE))
