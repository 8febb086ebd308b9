"""The set: a far plane painted whole, and two planes of silhouettes in front of it, at their depths.

A scene is drawn once for a shot; the camera then moves over it. What decides it is the look, the seed and the number
of passes: each pass adds an octave of detail to ridges, clouds and grain.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

from PIL import Image, ImageDraw

from backends.stub.land import HEADLAND, LANDS, Ridge, raise_ground
from backends.stub.palette import Look, mix
from backends.stub.sky import body_place, gradient, paint_sky, paint_weather
from backends.stub.stage import Silhouette, Stage
from backends.stub.texture import Tick, noise
from backends.stub.water import paint_water

FAR, MIDDLE, NEAR = 0.35, 0.75, 1.25    # depths; 0 is the horizon at infinity, 1 the subject
SCALES = {"wide": 1.0, "aerial": 0.85, "medium": 1.3, "close": 1.75, None: 1.1}
WET = {"ocean": 1, "lake": 2}           # the far ridge that the water lies before
SHARES = {"snow": (0.35, 0.85), "ocean": (0.7, 0.75), "desert": (0.6, 0.5)}   # of the land's own colour: middle, near
TREES = {"pines", "far pines", "tall pines", "few pines", "copse"}


@dataclass(frozen=True)
class CutOut:
    """A silhouette with its colour: a gradient from the frame's top to its bottom."""

    silhouette: Silhouette
    colours: Image.Image                # RGB, one column, as high as the frame


@dataclass(frozen=True)
class Scene:
    far: Image.Image                    # RGB, opaque
    middle: CutOut
    near: CutOut


def paint(look: Look, rngs: Mapping[str, Random], stages: Mapping[float, Stage], passes: int, tick: Tick) -> Scene:
    """Draw the whole set.

    :param rngs: ``layout`` for what stands where, ``detail`` for clouds and water.
    :param stages: a plane's measures by depth.
    :param passes: num_inference_steps.
    """
    layout, octaves = rngs["layout"], passes + 1
    ridges = [_trees(ridge, look) for ridge in LANDS[look.land]]
    scale = SCALES[look.framing]
    drop = layout.uniform(-0.02, 0.03) + (0.05 if look.framing == "close" else -0.06 if look.framing == "aerial" else 0)
    ridges = [replace(ridge, level=ridge.level + drop) for ridge in ridges]
    far = _paint_far(look, rngs, stages[FAR], ridges[:2], octaves, scale, tick)
    subjects = [s for s in ("person", "boat", "lighthouse", "house") if s in look.elements]
    subject = subjects[0] if subjects else None
    if ridges[2].shape == "swell" and subject not in (None, "boat"):
        ridges[2] = replace(HEADLAND, level=HEADLAND.level + drop)
    if subject and ridges[2].dress == "copse":
        ridges[2] = replace(ridges[2], dress="")             # nothing must hide it
    middle = raise_ground(stages[MIDDLE], ridges[2], layout, octaves, scale, subject)
    tick()
    near = raise_ground(stages[NEAR], ridges[3], layout, octaves, scale)
    return Scene(far, CutOut(middle, _colours(look, stages[MIDDLE], ridges[2], 0.36 if subject else 0.5)),
                 CutOut(near, _colours(look, stages[NEAR], ridges[3], 0.1)))


def _trees(ridge: Ridge, look: Look) -> Ridge:
    wanted = "trees" in look.elements
    if ridge.dress in TREES and "trees" in look.barred:
        return replace(ridge, dress="")
    return replace(ridge, dress="pines") if wanted and ridge.dress == "copse" else ridge


def _colours(look: Look, stage: Stage, ridge: Ridge, haze: float) -> Image.Image:
    """The further, the more of the air's colour; brighter towards the foot, where the haze lies."""
    near, horizon = look.hour.near, look.hour.sky[-1][1]
    air = mix(horizon, look.hour.sky[1][1], 1.0 if ridge.shape == "swell" else 0.5)
    foreground = haze < 0.3
    share = SHARES.get(look.land, (0.4, 0.4))[foreground] * (1 if sum(near) > 60 else 0.5)
    body = mix(near, mix(look.ground, horizon, 0.12), share)
    top, bank = mix(body, air, haze * 0.75), haze * (1.1 if "mist" in look.elements else 0.85)
    foot = mix(top, (0, 0, 0), 0.35) if foreground or ridge.shape == "swell" else mix(body, horizon, min(1.0, bank))
    height = stage.frame[1]
    return gradient(((0, top), (1, foot)), height, (ridge.level - ridge.height) * height, height)


def _paint_far(look: Look, rngs: Mapping[str, Random], stage: Stage, ridges: list[Ridge], octaves: int, scale: float,
               tick: Tick) -> Image.Image:
    layout, detail = rngs["layout"], rngs["detail"]
    water = stage.y(ridges[1].level + (0.04 if look.land == "lake" else 0)) if look.land in WET else None
    body = body_place(stage, look, layout)
    picture = paint_sky(stage, look, layout, detail, octaves, stage.y(ridges[1].level), body)
    for depth, ridge in enumerate(ridges):
        tick()
        if ridge.height:
            _paint_ridge(picture, stage, look, ridge, raise_ground(stage, ridge, layout, octaves, scale), depth, layout)
    if water is not None:
        paint_water(picture, stage, look, detail, water, body[0])
    if "mist" in look.elements:
        _mist(picture, stage, look, detail, stage.y(ridges[1].level + 0.05))
    paint_weather(picture, stage, look, detail)
    return picture


def _paint_ridge(picture: Image.Image, stage: Stage, look: Look, ridge: Ridge, ground: Silhouette, depth: int,
                 rng: Random) -> None:
    column = _colours(look, stage, ridge, (0.98, 0.8)[depth])
    margin = (stage.size[1] - stage.frame[1]) // 2
    colours = Image.new("RGB", (1, stage.size[1]), column.getpixel((0, column.height - 1)))
    colours.paste(column, (0, margin))
    fill = colours.resize(stage.size, Image.Resampling.NEAREST)
    picture.paste(fill.crop((0, ground.top, fill.width, ground.solid_from)), (0, ground.top), ground.mask)
    picture.paste(fill.crop((0, ground.solid_from, *fill.size)), (0, ground.solid_from))
    if ridge.shape == "blocks" and look.hour.elements & {"moon", "sun"}:
        _windows(picture, stage, look, ground, rng, depth)


def _windows(picture: Image.Image, stage: Stage, look: Look, ground: Silhouette, rng: Random, depth: int) -> None:
    """Lit windows on a skyline: many at night, few at dusk."""
    draw, lit = ImageDraw.Draw(picture), 0.34 if "moon" in look.hour.elements else 0.08
    pitch = max(3.0, stage.unit * (0.011 + 0.004 * depth))
    wall = mix(look.hour.near, look.hour.sky[-1][1], 0.5)
    x = pitch / 2
    while x < stage.size[0]:
        roof = max(ground.ground(x - pitch * 0.4), ground.ground(x + pitch * 0.6))
        y = roof + pitch
        while y < stage.y(0.78):
            if rng.random() < lit:
                colour = mix(wall, (255, 214, 140), rng.uniform(0.35, 0.95))
                draw.rectangle((x, y, x + pitch * 0.34, y + pitch * 0.5), fill=colour)
            y += pitch * 1.25
        x += pitch


def _mist(picture: Image.Image, stage: Stage, look: Look, rng: Random, middle: float) -> None:
    """A bank of haze that lies in the valleys, thinner above."""
    half = 0.2 * stage.frame[1]
    top, bottom = max(0, round(middle - half)), min(stage.size[1], round(middle + half))
    size = (stage.size[0] // 4 + 1, (bottom - top) // 4 + 1)
    fade = gradient(((0, (0,) * 3), (0.5, (200,) * 3), (1, (0,) * 3)), size[1], 0, size[1]).convert("L")
    drift = noise(rng, size, (stage.unit * 0.14, stage.unit * 0.02)).point([90 + i * 165 // 255 for i in range(256)])
    mask = Image.composite(drift, Image.new("L", size), fade.resize(size, Image.Resampling.NEAREST))
    picture.paste(look.hour.sky[-1][1], (0, top), mask.resize((size[0] * 4, size[1] * 4), Image.Resampling.BILINEAR))
