"""Noise in octaves: clouds, and the fine grain that keeps gradients from banding."""

from collections.abc import Callable
from random import Random

from PIL import Image, ImageChops

BROADEST = 0.12                         # the first octave's cells, in parts of the height
FINEST_PX = 2.0
SHRINK = 0.42                           # of the cells from one octave to the next
COARSE_PX = 12.0                        # octaves with larger cells are laid at a quarter of the size
SCENE, PHOTO = (2, 4), (1, 2)           # levels of grain for what is drawn, and for what is given

Tick = Callable[[], None]


def noise(rng: Random, size: tuple[int, int], cell: tuple[float, float]) -> Image.Image:
    """Smooth grey noise whose features are *cell* pixels large."""
    grid = (max(2, round(size[0] / cell[0]) + 1), max(2, round(size[1] / cell[1]) + 1))
    points = Image.frombytes("L", grid, rng.randbytes(grid[0] * grid[1]))
    return points.resize(size, Image.Resampling.BICUBIC)


def fractal(rng: Random, size: tuple[int, int], cell: tuple[float, float], octaves: int) -> Image.Image:
    """*octaves* of noise, each half as broad and 0.55 as strong as the one before."""
    total, weight = noise(rng, size, cell), 1.0
    for k in range(1, octaves):
        finer = noise(rng, size, (max(1.0, cell[0] / 2**k), max(1.0, cell[1] / 2**k)))
        strength = 0.55**k
        weight += strength
        total = Image.blend(total, finer, strength / weight)
    return total


def grain(rng: Random, size: tuple[int, int], passes: int, passed: Tick,
          levels: tuple[int, int] = SCENE) -> Image.Image:
    """*passes* octaves from broad to fine, centred on 128; the passes after the finest lay more of it.

    :param passed: called after each.
    :param levels: how strong the broad and the fine octaves are, either way, of 255.
    """
    small = (size[0] // 4 + 2, size[1] // 4 + 2)
    coarse, fine = Image.new("L", small, 128), None
    cell = max(size[1] * BROADEST, 4 * FINEST_PX)
    for _ in range(passes):
        if cell > COARSE_PX:
            coarse = _lay(coarse, noise(rng, small, (cell / 4, cell / 4)), levels[0])
        else:
            fine = fine or coarse.resize(size, Image.Resampling.BILINEAR)
            fine = _lay(fine, noise(rng, size, (cell, cell)), levels[1])
        cell = max(FINEST_PX, cell * SHRINK)
        passed()
    return fine or coarse.resize(size, Image.Resampling.BILINEAR)


def _lay(base: Image.Image, layer: Image.Image, levels: int) -> Image.Image:
    """*layer* over *base*, scaled to *levels* either way."""
    return ImageChops.add(base, layer.point([round(i * 2 * levels / 255) for i in range(256)]), 1, -levels)
