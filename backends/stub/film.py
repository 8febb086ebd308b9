"""Planes to frames: colour into what video wants, and windows of the planes that move without jitter.

A plane is converted once for a shot (BT.709, limited range: 219 steps of luma from 16, 224 of chroma about 128, as
ITU-R BT.709-6 item 6 has it); after that only windows of it are moved. Where a window keeps its size, the plane is
resampled at eight positions between two pixels and frames are cut from those: smooth to an eighth of a pixel, at a
tenth of the cost. Chroma is sampled at half the size from full-size planes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, copysign

from PIL import Image

from backends.stub.camera import Pose
from backends.stub.palette import LUMA, SAME, Matrix, after
from vidgen.media.frames import to_rgb as to_rgb

PHASES = 8                              # positions between two pixels
NEUTRAL = 128

Rows = tuple[int, int]
Planes = tuple[Image.Image, Image.Image, Image.Image]


def _to_video() -> Matrix:
    red, green, blue = LUMA
    rows: list[float] = [219 / 255 * c for c in LUMA] + [16]
    for i, span in ((2, 2 * (1 - blue)), (0, 2 * (1 - red))):
        rows += [224 / 255 * ((j == i) - c) / span for j, c in enumerate((red, green, blue))] + [NEUTRAL]
    return tuple(rows)


TO_VIDEO = _to_video()
"""From RGB (full range) to Y, Cb, Cr (limited range), for ``Image.convert``, which rounds and clips; ``to_rgb`` is the
way back.
"""


def to_planes(picture: Image.Image, grade: Matrix = SAME) -> Planes:
    """Y, Cb and Cr of an RGB picture, all of its size, graded on the way."""
    y, cb, cr = picture.convert("RGB", after(TO_VIDEO, grade)).split()
    return y, cb, cr


def half(size: int) -> int:
    """The chroma's pixels along a side of *size* luma pixels."""
    return (size + 1) // 2


@dataclass(frozen=True)
class Window:
    """The part of a plane that a frame shows: its left top corner and plane pixels a frame pixel, shear across."""

    x: float
    y: float
    step: float = 1.0
    shear: float = 0.0                  # plane pixels to the right for each row down, about the middle row

    def across(self, row: int, frame: tuple[int, int]) -> float:
        """Where the frame's *row* begins, plane pixels."""
        return self.x + self.shear * (row - frame[1] / 2)

    def row_at(self, x: float, frame: tuple[int, int]) -> int:
        """The first of the frame's rows that begins past *x*."""
        return ceil((x - self.x) / self.shear + frame[1] / 2)


def look_through(pose: Pose, depth: float, plane: tuple[int, int], frame: tuple[int, int], density: float = 1.0,
                 shear: float = 0.0) -> Window:
    """The window of a plane of size *plane* at *depth*, seen from *pose*.

    :param density: plane pixels a frame pixel where the zoom is 1.
    """
    seen = pose.at(depth)
    step = density / seen.zoom
    spare_x, spare_y = (max(0.0, p - f * step) for p, f in zip(plane, frame, strict=True))
    x, y = spare_x / 2 + seen.dx * density, spare_y / 2 + seen.dy * density
    return Window(max(0.0, min(x, spare_x)), max(0.0, min(y, spare_y)), step, shear)


class Sampler:
    """Cuts windows from one plane of one channel."""

    def __init__(self, image: Image.Image, frame: tuple[int, int], top: int = 0):
        """:param top: the plane's row of the image's first row."""
        self._image, self._frame, self._top = image, frame, top
        self._phases: dict[tuple[int, int], Image.Image] = {}

    def cut(self, window: Window, rows: Rows) -> Image.Image:
        """The frame's *rows* (first, and one past the last) of *window*, in the frame's pixels."""
        first, last = rows
        width = self._frame[0]
        y = window.y - self._top
        if window.shear:
            return self._sheared(window, rows)
        if window.step == 1.0 and (phased := self._phased(window.x, y, rows)):
            return phased
        box = (max(0.0, window.x), max(0.0, y + first * window.step),
               min(float(self._image.width), window.x + width * window.step),
               min(float(self._image.height), y + last * window.step))
        return self._image.resize((width, last - first), Image.Resampling.BILINEAR, box=box)

    def _phased(self, x: float, y: float, rows: Rows) -> Image.Image | None:
        """By whole pixels, from a copy that is shifted by a part of one along one of the axes."""
        column, row = round(x * PHASES), round(y * PHASES)
        if column % PHASES and row % PHASES:
            return None
        shifted = self._shifted(column % PHASES, row % PHASES)
        left, top = column // PHASES, row // PHASES + rows[0]
        return shifted.crop((left, top, left + self._frame[0], top + rows[1] - rows[0]))

    def _shifted(self, column: int, row: int) -> Image.Image:
        if not column and not row:
            return self._image
        if (column, row) not in self._phases:
            width, height = self._image.width - bool(column), self._image.height - bool(row)
            box = (column / PHASES, row / PHASES, column / PHASES + width, row / PHASES + height)
            self._phases[column, row] = self._image.resize((width, height), Image.Resampling.BICUBIC, box=box)
        return self._phases[column, row]

    def _sheared(self, window: Window, rows: Rows) -> Image.Image:
        """Strips of rows whose shift is the same to an eighth of a pixel; far quicker than an affine transform."""
        (first, last), top = rows, round(window.y)
        out = Image.new("L", (self._frame[0], last - first))
        while first < last:
            place = round(PHASES * window.across(first, self._frame))
            stop = min(last, window.row_at((place + copysign(0.5, window.shear)) / PHASES, self._frame))
            stop = max(stop, first + 1)
            left = place // PHASES
            strip = self._shifted(place % PHASES, 0).crop((left, top + first, left + self._frame[0], top + stop))
            out.paste(strip, (0, first - rows[0]))
            first = stop
        return out


def chroma(image: Image.Image, frame: tuple[int, int], window: Window, rows: Rows) -> Image.Image:
    """The frame's *rows* (even) of *window* at half the size."""
    size = (half(frame[0]), half(rows[1] - rows[0]))
    if window.shear:
        start = window.across(rows[0], frame)
        matrix = (2 * window.step, 2 * window.shear, start, 0.0, 2 * window.step, window.y + rows[0])
        return image.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)
    y = window.y + rows[0] * window.step
    box = (window.x, y, min(image.width, window.x + frame[0] * window.step),
           min(image.height, y + (rows[1] - rows[0]) * window.step))
    return image.resize(size, Image.Resampling.NEAREST, box=box)


def frame_bytes(planes: Sequence[Image.Image]) -> bytes:
    """One raw yuv420p frame."""
    return b"".join(plane.tobytes() for plane in planes)
