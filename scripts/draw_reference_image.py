"""Draws tests/data/reference.jpg: a lighthouse at dusk that passes for a photograph, and is nobody's but ours.

Pillow and a seeded generator only; the same Pillow draws the same picture. Run it as
``python scripts/draw_reference_image.py [FILE]``.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

SIZE = WIDTH, HEIGHT = 1600, 1066
HORIZON = 640
SUN = (455, 618)
LAMP = (1128, 312)
SEED = 20
QUALITY = 85
TARGET = Path(__file__).resolve().parents[1] / "tests" / "data" / "reference.jpg"

SKY = ((0, (44, 58, 98)), (0.3, (88, 98, 142)), (0.55, (160, 140, 162)), (0.76, (226, 164, 140)),
       (0.92, (250, 196, 142)), (1, (252, 208, 156)))
CLOUD_SHADE = ((0, (84, 84, 120)), (0.45, (128, 104, 138)), (0.75, (186, 118, 122)), (1, (222, 154, 130)))
CLOUD_LIT = ((0, (196, 178, 196)), (0.45, (250, 196, 172)), (0.75, (255, 190, 138)), (1, (255, 222, 170)))
TOP = ((610, 790), (668, 752), (742, 716), (812, 664), (868, 610), (940, 574), (1030, 552), (1128, 544), (1240, 552),
       (1360, 534), (1480, 508), (1620, 492))
SHORE = ((1250, 1090), (1120, 1010), (1010, 930), (905, 880), (820, 846), (745, 826), (690, 812), (610, 790))

RGB = tuple[int, int, int]
Size = tuple[int, int]


def noise(rng: Random, size: Size, cell: tuple[float, float]) -> Image.Image:
    """Smooth grey noise with features of *cell* pixels."""
    grid = (max(2, round(size[0] / cell[0]) + 1), max(2, round(size[1] / cell[1]) + 1))
    return Image.frombytes("L", grid, rng.randbytes(grid[0] * grid[1])).resize(size, Image.Resampling.BICUBIC)


def fractal(rng: Random, size: Size, cell: tuple[float, float], octaves: int, gain: float = 0.55) -> Image.Image:
    """Noise in octaves, stretched to the full range of grey."""
    total, weight = noise(rng, size, cell), 1.0
    for k in range(1, octaves):
        weight += gain**k
        finer = noise(rng, size, (max(1.0, cell[0] / 2**k), max(1.0, cell[1] / 2**k)))
        total = Image.blend(total, finer, gain**k / weight)
    low, high = total.getextrema()
    return total.point([min(255, max(0, round((i - low) * 255 / max(1, high - low)))) for i in range(256)])


def curve(image: Image.Image, *points: tuple[int, int]) -> Image.Image:
    """*image* through a line of (in, out) points."""
    def at(i: int) -> int:
        for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
            if x0 <= i <= x1:
                return round(y0 + (y1 - y0) * (i - x0) / max(1, x1 - x0))
        return points[0][1] if i < points[0][0] else points[-1][1]
    return image.point([at(i) for i in range(256)] * len(image.getbands()))


def column(stops: Sequence[tuple[float, RGB]], size: Size) -> Image.Image:
    """A vertical gradient; places are 0 at the top to 1 at the foot."""
    rows = bytearray()
    for y in range(size[1]):
        t = y / max(1, size[1] - 1)
        right = next((i for i, (place, _) in enumerate(stops) if place >= t and i), len(stops) - 1)
        (t0, a), (t1, b) = stops[right - 1], stops[right]
        rows += bytes(round(p + (q - p) * min(1, max(0, (t - t0) / (t1 - t0)))) for p, q in zip(a, b, strict=True))
    return Image.frombytes("RGB", (1, size[1]), bytes(rows)).resize(size, Image.Resampling.NEAREST)


def grey_column(stops: Sequence[tuple[float, int]], size: Size) -> Image.Image:
    return column([(place, (level,) * 3) for place, level in stops], size).convert("L")


def glow(picture: Image.Image, centre: tuple[int, int], radius: int, colour: RGB, strength: int) -> Image.Image:
    """Light around *centre*, added as light is."""
    fall = Image.radial_gradient("L").point([round(strength * max(0, 1 - i / 181) ** 2.2) for i in range(256)])
    mask = Image.new("L", picture.size)
    side = round(radius * 2 / 2**0.5)
    mask.paste(fall.resize((side, side), Image.Resampling.BICUBIC), (centre[0] - side // 2, centre[1] - side // 2))
    return ImageChops.screen(picture, through(mask, colour))


def through(mask: Image.Image, colour: RGB, otherwise: RGB = (0, 0, 0)) -> Image.Image:
    """*colour* where the mask is white, *otherwise* where it is black."""
    return Image.composite(Image.new("RGB", mask.size, colour), Image.new("RGB", mask.size, otherwise), mask)


def relief(height: Image.Image, shift: tuple[int, int], strength: float) -> Image.Image:
    """How a surface of that *height* is lit from the side that *shift* points away from; 128 is flat."""
    lit = ImageChops.subtract(height, ImageChops.offset(height, *shift), 1 / strength, 128)
    edge = max(map(abs, shift))                             # where the offset wrapped around
    return lit.crop((edge, edge, lit.width - edge, lit.height - edge)).resize(lit.size, Image.Resampling.BICUBIC)


def sky(rng: Random) -> Image.Image:
    size = (WIDTH, HORIZON + 40)
    picture = column(SKY, size)
    picture = glow(picture, SUN, 900, (255, 150, 70), 130)
    for cell, start, opacity in (((520, 90), 118, 210), ((340, 46), 128, 190), ((180, 22), 140, 130)):
        density = fractal(rng, size, cell, 7)
        cover = ImageChops.multiply(curve(density, (start, 0), (start + 70, opacity)),
                                    grey_column([(0, 150), (0.35, 255), (0.8, 230), (1, 40)], size))
        lit = relief(density.filter(ImageFilter.GaussianBlur(3)), (3, -7), 2.4)
        clouds = Image.composite(column(CLOUD_LIT, size), column(CLOUD_SHADE, size), curve(lit, (96, 0), (165, 255)))
        picture.paste(clouds, (0, 0), cover)
    picture = glow(picture, SUN, 420, (255, 190, 110), 190)
    return glow(picture, SUN, 120, (255, 236, 190), 255)


def sea(rng: Random, above: Image.Image) -> Image.Image:
    size = (WIDTH, HEIGHT - HORIZON)
    mirrored = above.crop((0, HORIZON - size[1], WIDTH, HORIZON)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    mirrored = mirrored.filter(ImageFilter.BoxBlur((4, 26)))
    deep = column([(0, (150, 128, 140)), (0.2, (84, 84, 112)), (1, (24, 36, 54))], size)
    water = Image.blend(mirrored, deep, 0.52)
    waves = _waves(rng, size)
    water = ImageChops.overlay(water, Image.merge("RGB", (waves,) * 3))
    path = Image.new("L", size)
    corners = [(SUN[0] - 26, 0), (SUN[0] + 26, 0), (SUN[0] + 190, size[1]), (SUN[0] - 190, size[1])]
    ImageDraw.Draw(path).polygon(corners, fill=235)
    path = ImageChops.multiply(path.filter(ImageFilter.GaussianBlur(42)), curve(waves, (128, 0), (176, 255)))
    path = ImageChops.multiply(path, grey_column([(0, 255), (0.5, 190), (1, 70)], size))
    water.paste((255, 206, 146), (0, 0), path)
    return water


def _waves(rng: Random, size: Size) -> Image.Image:
    """Relief of the sea's surface, its waves flatter and smaller towards the horizon."""
    waves = Image.new("L", size, 128)
    edges = [0, 8, 22, 46, 86, 150, 250, size[1]]
    for top, bottom in zip(edges, edges[1:], strict=False):
        near = (top + bottom) / 2 / size[1]
        height = bottom - top + 40
        band = fractal(rng, (size[0], height), (14 + 150 * near, 2.2 + 24 * near), 5, 0.6)
        lit = relief(band, (2 + round(5 * near), -1 - round(3 * near)), 0.8 + 0.5 * near)
        fade = grey_column([(0, 0), (40 / height, 255), (1, 255)] if top else [(0, 255), (1, 255)], (size[0], height))
        waves.paste(lit, (0, top - 40 if top else 0), fade)
    return waves


def range_line(rng: Random, y: float, rise: float, start: int, end: int, steps: int = 9) -> list[tuple[float, float]]:
    """A rugged line by midpoint displacement, from the water at *start* to the water at *end*."""
    line = [0.0, rng.uniform(0.5, 1), rng.uniform(0.6, 1), rng.uniform(0.2, 0.5), 0.0]
    spread = 0.26
    for _ in range(steps - 2):
        finer = [line[0]]
        for a, b in zip(line, line[1:], strict=False):
            finer += [(a + b) / 2 + rng.uniform(-spread, spread), b]
        line, spread = finer, spread * 0.52
    width = (end - start) / (len(line) - 1)
    return [(start + i * width, y - rise * max(0, height)) for i, height in enumerate(line)]


def mask_of(polygon: Sequence[tuple[float, float]]) -> Image.Image:
    mask = Image.new("L", (WIDTH * 2, HEIGHT * 2))
    ImageDraw.Draw(mask).polygon([(x * 2, y * 2) for x, y in polygon], fill=255)
    return mask.reduce(2)


def far_coast(picture: Image.Image, rng: Random) -> None:
    for y, rise, start, end, colour in (
        (HORIZON + 3, 74, -220, 460, (172, 136, 146)), (HORIZON + 5, 46, 560, 1900, (150, 122, 138)),
        (HORIZON + 8, 34, -140, 210, (122, 100, 122)),
    ):
        line = range_line(rng, y, rise, start, end)
        land = mask_of([*line, (end, y + 4), (start, y + 4)]).filter(ImageFilter.GaussianBlur(1.2))
        picture.paste(colour, (0, 0), land)


def headland(picture: Image.Image, rng: Random) -> None:
    shore = _rough(rng, SHORE)
    mask = mask_of([*_rough(rng, TOP), (1620, 1090), *shore])
    rock = fractal(rng, SIZE, (120, 70), 8, 0.62)
    strata = fractal(rng, SIZE, (260, 16), 6, 0.6)
    surface = Image.blend(rock, strata, 0.35)
    lit = ImageEnhance.Contrast(relief(surface, (4, 3), 1.9)).enhance(1.5)
    colours = Image.composite(column([(0, (150, 112, 84)), (0.6, (126, 88, 72)), (1, (70, 56, 60))], SIZE),
                              Image.new("RGB", SIZE, (24, 24, 34)), curve(lit, (70, 0), (210, 255)))
    turf = ImageChops.multiply(_turf(), curve(rock, (60, 255), (190, 120)))
    grass = fractal(rng, SIZE, (9, 22), 4, 0.7)
    colours.paste(through(grass, (112, 104, 58), (34, 42, 34)), (0, 0), turf)
    warm = Image.linear_gradient("L").rotate(90).resize(SIZE)
    colours = Image.composite(colours.point([round(i * 0.62) for i in range(256)] * 3), colours, warm)
    picture.paste(colours, (0, 0), mask)
    _foam(picture, rng, shore)


def _foam(picture: Image.Image, rng: Random, shore: list[tuple[float, float]]) -> None:
    """Broken water along the rocks."""
    line = Image.new("L", SIZE)
    for width, level in ((46, 70), (20, 130), (7, 255)):
        ImageDraw.Draw(line).line([(x - width * 0.3, y + width * 0.3) for x, y in shore], fill=level, width=width)
    broken = curve(fractal(rng, SIZE, (40, 9), 5, 0.7), (95, 0), (190, 255))
    foam = ImageChops.multiply(line.filter(ImageFilter.GaussianBlur(4)), broken)
    picture.paste((236, 208, 196), (0, 0), foam)


def _rough(rng: Random, line: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """*line* with weathered edges: midpoints displaced, more down than across."""
    spread = 15.0
    for _ in range(5):
        finer = [line[0]]
        for (ax, ay), (bx, by) in zip(line, line[1:], strict=False):
            across, down = rng.uniform(-spread, spread) / 3, rng.uniform(-spread, spread)
            finer += [((ax + bx) / 2 + across, (ay + by) / 2 + down), (bx, by)]
        line, spread = finer, spread * 0.5
    return list(line)


def _turf() -> Image.Image:
    """Where grass grows: along the top, fading down the slope."""
    below = [(x, y + 30 + 0.11 * (x - 600)) for x, y in reversed(TOP)]
    mask = mask_of([*TOP, *below]).filter(ImageFilter.GaussianBlur(14))
    return curve(mask, (30, 0), (190, 255))


def lighthouse(picture: Image.Image) -> None:
    scale, (x, foot, height) = 3, (LAMP[0], 562, 272)
    half_foot, half_top, gallery = 31, 18, foot - height + 46
    tower = mask_of([(x - half_foot, foot), (x - half_top, gallery), (x + half_top, gallery), (x + half_foot, foot)])
    shadow = Image.linear_gradient("L").rotate(90).resize((2 * half_foot, height))    # black on the left
    shadow = shadow.point([round(245 * (i / 255) ** 0.75) for i in range(256)])
    walls = Image.new("RGB", SIZE)
    walls.paste(through(shadow, (66, 60, 84), (246, 206, 170)), (x - half_foot, foot - height))
    picture.paste(walls, (0, 0), tower)
    bands = Image.new("L", SIZE)
    draw = ImageDraw.Draw(bands)
    for i in (0.2, 0.58):
        draw.rectangle((x - 40, foot - height * (i + 0.16), x + 40, foot - height * i), fill=215)
    red = ImageChops.multiply(walls, Image.new("RGB", SIZE, (196, 74, 62)))
    picture.paste(red, (0, 0), ImageChops.multiply(bands, tower))
    fine = Image.new("RGBA", (160 * scale, 120 * scale))
    _lantern(ImageDraw.Draw(fine), scale, 80, 100)
    fine = fine.resize((160, 120), Image.Resampling.LANCZOS)
    picture.paste(fine, (x - 80, gallery - 100), fine)
    for i, y in enumerate((foot - 46, foot - 118, foot - 176)):
        ImageDraw.Draw(picture).rectangle((x - 9 + i, y, x - 4 + i, y + 10), fill=(52, 42, 50))
    _cottage(picture, x + 74, foot + 6)


def _lantern(draw: ImageDraw.ImageDraw, s: int, x: int, y: int) -> None:
    dark = (46, 40, 50, 255)
    draw.rectangle(((x - 27) * s, (y - 5) * s, (x + 27) * s, (y + 1) * s), fill=dark)
    for rail in range(-26, 27, 4):
        draw.line(((x + rail) * s, (y - 18) * s, (x + rail) * s, y * s), fill=dark, width=s // 2)
    draw.line(((x - 26) * s, (y - 18) * s, (x + 26) * s, (y - 18) * s), fill=dark, width=s)
    draw.rectangle(((x - 13) * s, (y - 36) * s, (x + 13) * s, (y - 4) * s), fill=(255, 222, 150, 255))
    for bar in (-13, -4, 5, 13):
        draw.line(((x + bar) * s, (y - 36) * s, (x + bar) * s, (y - 4) * s), fill=dark, width=s)
    draw.pieslice(((x - 17) * s, (y - 52) * s, (x + 17) * s, (y - 20) * s), 180, 360, fill=dark)
    draw.line((x * s, (y - 64) * s, x * s, (y - 50) * s), fill=dark, width=s)


def _cottage(picture: Image.Image, x: int, foot: int) -> None:
    walls = mask_of([(x - 34, foot), (x - 34, foot - 30), (x + 62, foot - 30), (x + 62, foot)])
    picture.paste(column([(0, (196, 166, 146)), (1, (170, 138, 124))], SIZE), (0, 0), walls)
    gable = mask_of([(x - 34, foot), (x - 34, foot - 30), (x - 14, foot - 52), (x + 6, foot - 30), (x + 6, foot)])
    picture.paste((226, 186, 152), (0, 0), gable)
    roof = mask_of([(x - 16, foot - 56), (x + 50, foot - 56), (x + 68, foot - 28), (x + 4, foot - 28)])
    picture.paste((74, 58, 62), (0, 0), roof)
    draw = ImageDraw.Draw(picture)
    for dx in (-20, 22, 44):
        draw.rectangle((x + dx, foot - 21, x + dx + 8, foot - 11), fill=(255, 206, 120))
    draw.rectangle((x + 30, foot - 68, x + 37, foot - 50), fill=(70, 54, 58))


def mist(picture: Image.Image, rng: Random, top: int, bottom: int, opacity: int, colour: RGB) -> None:
    size = (WIDTH, bottom - top)
    drift = curve(fractal(rng, size, (420, 60), 5), (70, 0), (210, 255))
    bank = ImageChops.multiply(drift, grey_column([(0, 0), (0.45, opacity), (0.6, opacity), (1, 0)], size))
    picture.paste(colour, (0, top), bank.filter(ImageFilter.GaussianBlur(9)))


def beam(picture: Image.Image) -> Image.Image:
    light = Image.new("L", SIZE)
    draw = ImageDraw.Draw(light)
    draw.polygon([(LAMP[0], LAMP[1] - 4), (-60, 96), (-60, 250), (LAMP[0], LAMP[1] + 4)], fill=120)
    light = light.filter(ImageFilter.GaussianBlur(16))
    fall = curve(Image.linear_gradient("L").rotate(90).resize(SIZE), (40, 0), (210, 255))
    return ImageChops.screen(picture, through(ImageChops.multiply(light, fall), (255, 226, 170)))


def tufts(picture: Image.Image, rng: Random) -> None:
    """Grass that hides where the walls meet the ground."""
    draw = ImageDraw.Draw(picture)
    for _ in range(620):
        x = rng.uniform(LAMP[0] - 60, LAMP[0] + 150)
        foot, tall = 570 + rng.uniform(0, 9), rng.uniform(4, 15)
        shade = rng.uniform(0.6, 1.5)
        colour = tuple(round(c * shade) for c in (44, 44, 30))
        draw.line((x, foot, x + rng.gauss(0, 3), foot - tall), fill=colour, width=1)


def foreground(picture: Image.Image, rng: Random) -> None:
    """Grass close to the lens, out of focus, its edges caught by the light."""
    for blur, count, tall, wide, colour in ((2.6, 300, 250, 3.2, (40, 36, 32)), (7, 110, 380, 9, (20, 19, 22))):
        mask, rim = Image.new("L", SIZE), Image.new("L", SIZE)
        draw, edge = ImageDraw.Draw(mask), ImageDraw.Draw(rim)
        for _ in range(count):
            x = rng.uniform(-60, WIDTH + 60)
            height = tall * rng.uniform(0.35, 1) * (0.25 + abs(x / WIDTH - 0.42) * 1.25)
            lean, foot = rng.gauss(0.16, 0.24) * height, HEIGHT + 30
            middle, tip = (x + lean * 0.3, foot - height * 0.62), (x + lean, foot - height)
            left = [(x - wide, foot), (middle[0] - wide * 0.6, middle[1]), tip]
            draw.polygon([*left, (middle[0] + wide * 0.6, middle[1]), (x + wide, foot)], fill=245)
            edge.line(left, fill=170, width=2)
        picture.paste(colour, (0, 0), mask.filter(ImageFilter.GaussianBlur(blur)))
        light = rim.filter(ImageFilter.GaussianBlur(blur * 0.6))
        picture.paste((226, 152, 96), (0, 0), ImageChops.multiply(light, grey_column([(0.55, 220), (1, 30)], SIZE)))


def gulls(picture: Image.Image) -> None:
    mask = Image.new("L", (WIDTH * 3, 400 * 3))
    draw = ImageDraw.Draw(mask)
    for x, y, wing in ((742, 236, 15), (786, 214, 12), (822, 252, 10), (690, 268, 9)):
        for side in (-1, 1):
            arc = [(x, y), (x + side * wing * 0.5, y - wing * 0.34), (x + side * wing, y - wing * 0.12)]
            draw.line([(px * 3, py * 3) for px, py in arc], fill=190, width=5, joint="curve")
    picture.paste((52, 46, 62), (0, 0), mask.resize((WIDTH, 400), Image.Resampling.LANCZOS))


def lens(picture: Image.Image, rng: Random) -> Image.Image:
    """What a camera does: bloom, falling off to the corners, a tone curve, grain."""
    bright = curve(picture.convert("L"), (190, 0), (255, 200))
    bloom = Image.composite(picture, Image.new("RGB", SIZE), bright).filter(ImageFilter.GaussianBlur(26))
    picture = ImageChops.screen(picture, bloom)
    corners = Image.radial_gradient("L").resize(SIZE).point([round(255 - 120 * (i / 255) ** 2.2) for i in range(256)])
    picture = ImageChops.multiply(picture, Image.merge("RGB", (corners,) * 3))
    picture = curve(picture, (0, 6), (60, 50), (128, 130), (200, 212), (255, 250))
    grain = Image.blend(noise(rng, SIZE, (1.0, 1.0)), noise(rng, SIZE, (1.7, 1.7)), 0.5)
    grain = grain.point([round((i - 128) * 0.07 + 128) for i in range(256)])
    return ImageChops.add(picture, Image.merge("RGB", (grain,) * 3), 1, -128)


def draw() -> Image.Image:
    """The picture, 1600 by 1066 RGB."""
    rng = Random(SEED)
    picture = Image.new("RGB", SIZE)
    above = sky(rng)
    picture.paste(above, (0, 0))
    picture.paste(sea(rng, above), (0, HORIZON))
    far_coast(picture, rng)
    mist(picture, rng, HORIZON - 70, HORIZON + 70, 150, (246, 200, 166))
    picture = picture.filter(ImageFilter.GaussianBlur(1.1))
    headland(picture, rng)
    lighthouse(picture)
    tufts(picture, rng)
    picture = beam(picture)
    picture = glow(picture, LAMP, 240, (255, 206, 130), 150)
    picture = glow(picture, LAMP, 40, (255, 246, 220), 230)
    mist(picture, rng, 700, 900, 170, (206, 168, 160))
    gulls(picture)
    foreground(picture, rng)
    return lens(picture, rng)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", nargs="?", type=Path, default=TARGET, help="where to write the JPEG")
    target = parser.parse_args().target
    draw().save(target, "JPEG", quality=QUALITY, optimize=True)
    print(f"{target}: {target.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
