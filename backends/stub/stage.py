"""What is drawn before it is filmed: a plane's measures, and silhouettes with soft edges. Knows no colours."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor

from PIL import Image, ImageDraw

SUPERSAMPLE = 2                         # silhouettes are drawn this much larger; Pillow's polygons have hard edges
MARGIN_PX = 4                           # rows above and below a silhouette's edge; films cut at even rows

Point = tuple[float, float]


@dataclass(frozen=True)
class Stage:
    """One plane of the set: the frame's size, and the margin around it that the camera may reach."""

    frame: tuple[int, int]              # pixels
    size: tuple[int, int]               # pixels, the margin included

    @property
    def unit(self) -> float:
        """The length that things are measured in, pixels."""
        return min(self.frame[1], 1.25 * self.frame[0])

    def x(self, fraction: float) -> float:
        """The plane's x of a place across the frame, 0 to 1."""
        return (self.size[0] - self.frame[0]) / 2 + fraction * self.frame[0]

    def y(self, fraction: float) -> float:
        """The plane's y of a place down the frame, 0 to 1."""
        return (self.size[1] - self.frame[1]) / 2 + fraction * self.frame[1]


@dataclass(frozen=True)
class Silhouette:
    """A cut-out: nothing above ``top``, the mask from there, all of it below the mask."""

    mask: Image.Image                   # L, as wide as the plane
    top: int                            # the plane's row of the mask's first row
    line: tuple[float, ...]             # height of the ground, at equal distances from edge to edge

    @property
    def solid_from(self) -> int:
        return self.top + self.mask.height

    def ground(self, x: float) -> float:
        """The plane's y of the ground at the plane's *x*."""
        place = min(max(x / self.mask.width, 0.0), 1.0) * (len(self.line) - 1)
        left = min(int(place), len(self.line) - 2)
        return self.line[left] + (self.line[left + 1] - self.line[left]) * (place - left)


class Pen:
    """Draws into a silhouette in the plane's pixels."""

    def __init__(self, draw: ImageDraw.ImageDraw, top: int):
        self._draw, self._top = draw, top

    def polygon(self, points: Sequence[Point], fill: int = 255) -> None:
        self._draw.polygon([self._place(p) for p in points], fill=fill)

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: int = 255) -> None:
        self._draw.ellipse([self._place((x - rx, y - ry)), self._place((x + rx, y + ry))], fill=fill)

    def line(self, points: Sequence[Point], width: float, fill: int = 255) -> None:
        pixels = max(1, round(width * SUPERSAMPLE))
        self._draw.line([self._place(p) for p in points], fill=fill, width=pixels, joint="curve")

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: int = 255) -> None:
        if x1 > x0 and y1 > y0:
            self._draw.rectangle([self._place((x0, y0)), self._place((x1, y1))], fill=fill)

    def _place(self, point: Point) -> Point:
        return point[0] * SUPERSAMPLE, (point[1] - self._top) * SUPERSAMPLE


def cut(stage: Stage, line: Sequence[float], above: float,
        dress: Callable[[Pen, Silhouette], None] | None) -> Silhouette:
    """The silhouette of the ground *line*.

    :param line: the ground's y at equal distances from the plane's left edge to its right.
    :param above: how far what *dress* draws stands out above the line, pixels.
    """
    width, height = stage.size
    top = min(max(0, floor(min(line) - above) - MARGIN_PX), height - 1)
    bottom = min(max(top + 1, ceil(max(line)) + 2), height)
    mask = Image.new("L", (width * SUPERSAMPLE, (bottom - top) * SUPERSAMPLE))
    bare = Silhouette(mask.crop((0, 0, width, bottom - top)), top, tuple(line))
    pen = Pen(ImageDraw.Draw(mask), top)
    step = width / (len(line) - 1)
    pen.polygon([(i * step, y) for i, y in enumerate(line)] + [(width + 1, bottom + 1), (-1, bottom + 1)])
    if dress:
        dress(pen, bare)
    mask = mask.reduce(SUPERSAMPLE)
    empty = max(0, (mask.getbbox() or (0, 0))[1] - MARGIN_PX)
    return Silhouette(mask.crop((0, empty, *mask.size)), top + empty, tuple(line))
