"""The words on the picture: the shot's caption on a scrim at the foot, and a slate in the corner.

Laid out once for a shot and handed on as masks. The clip's last frame stays clean, because the next shot of a chain
starts from it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from PIL import Image, ImageDraw, ImageFilter

from backends.stub.lettering import Lettering, clusters, prepare

MAX_CHARS = 400                         # more cannot be read in a shot
MAX_LINES = 3
MIN_SIZE_PX = 9
SUPERSAMPLE = 2
SCRIM = 176                             # opacity behind the words, of 255
BLACK, WHITE, NEUTRAL = 16, 235, 128     # luma and chroma, limited range
SLATE_FROM_PX = 200                     # the frame's smaller side from which there is room for a slate
FADE = (1.0, 2 / 3, 1 / 3, 0.0)         # strength of the words over a clip's last frames


@dataclass(frozen=True)
class Overlay:
    """What is laid over a part of the frame: first the dark, then the white."""

    left: int                           # even, as the others of these are
    top: int
    dark: Image.Image                   # L
    white: Image.Image                  # L, the same size

    @cached_property
    def chroma(self) -> Image.Image:
        """How far the colours give way to grey, at half the size."""
        return Image.composite(Image.new("L", self.dark.size, 255), self.dark, self.white).reduce(2)

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """Where the white is."""
        return self.white.getbbox() or (0, 0, 1, 1)

    @cached_property
    def words(self) -> Image.Image:
        return self.white.crop(self.box)

    def fade(self, strength: float) -> "Overlay":
        levels = [round(i * strength) for i in range(256)]
        return Overlay(self.left, self.top, self.dark.point(levels), self.white.point(levels))

    def lay(self, planes: tuple[Image.Image, Image.Image, Image.Image]) -> None:
        """Draw onto the Y, Cb and Cr of a frame."""
        y, cb, cr = planes
        y.paste(BLACK, (self.left, self.top), self.dark)
        y.paste(WHITE, (self.left + self.box[0], self.top + self.box[1]), self.words)
        for plane in (cb, cr):
            plane.paste(NEUTRAL, (self.left // 2, self.top // 2), self.chroma)


def strength_at(i: int, num_frames: int) -> float:
    """How strong the words are on frame *i* (from 0): full, but gone on the last frame of a clip of three or more."""
    if num_frames < 3:
        return 1.0
    from_end = num_frames - 1 - i
    fade = FADE if num_frames >= 12 else (1.0, 0.0)
    return fade[max(0, len(fade) - 1 - from_end)]


def overlays(caption: str, slate: str, frame: tuple[int, int]) -> list[Overlay]:
    """What to lay over every frame; nothing where there is nothing to say."""
    made = []
    if caption and (lettering := prepare(caption[:MAX_CHARS])).text:
        made.append(_caption(lettering, frame))
    if slate and min(frame) >= SLATE_FROM_PX:
        made.append(_slate(prepare(slate), frame))
    return made


def _caption(lettering: Lettering, frame: tuple[int, int]) -> Overlay:
    width, height = frame
    size, lines = fit(lettering, frame)
    pitch, pad = round(size * 1.28), max(2, round(size * 0.7))
    block = pitch * len(lines)
    top = max(0, height - block - pad - round(1.6 * size)) // 2 * 2
    white = _letters(lettering, lines, size, pitch, (width, height - top), height - top - block - pad)
    return Overlay(0, top, _scrim(white, (width, height - top), height - top - block - pad), white)


def fit(lettering: Lettering, frame: tuple[int, int]) -> tuple[int, list[str]]:
    """The largest size at which the text takes few lines; at the smallest, as many as there is room for, then cut."""
    width, height = frame
    room, small = width * 0.88, min(height, 0.8 * width)
    size, least = max(MIN_SIZE_PX, round(small * 0.056)), max(MIN_SIZE_PX, round(small * 0.034))
    while True:
        lines = wrap(lettering, size, room)
        most = max(1, min(MAX_LINES if size > least else 2 * MAX_LINES, int(0.45 * height / (size * 1.28))))
        if len(lines) <= most or size <= least:
            break
        size = max(least, size - max(1, size // 12))
    if len(lines) > most:
        lines = [*lines[: most - 1], _shorten(lettering, lines[most - 1], size, room)]
    return size, lines


def wrap(lettering: Lettering, size: int, room: float) -> list[str]:
    """The text in lines no wider than *room* pixels, parted at spaces, or anywhere in a word that is too long."""
    lines, line = [], ""
    for word in _pieces(lettering, size, room):
        joined = line + word
        if line and lettering.length(joined.rstrip(), size) > room:
            lines.append(line.rstrip())
            line = word
        else:
            line = joined
    return [*lines, line.rstrip()] if line.strip() else lines


def _pieces(lettering: Lettering, size: int, room: float) -> Iterable[str]:
    for word in lettering.text.split(" "):
        if lettering.length(word, size) <= room:
            yield word + " "
        else:
            yield from clusters(word)
            yield " "


def _shorten(lettering: Lettering, line: str, size: int, room: float) -> str:
    pieces = clusters(line)
    while pieces and lettering.length("".join(pieces) + "…", size) > room:
        pieces.pop()
    return "".join(pieces).rstrip(" ,;:") + "…"


def _letters(lettering: Lettering, lines: list[str], size: int, pitch: int, area: tuple[int, int],
             top: int) -> Image.Image:
    """The lines, centred, as a mask."""
    s = SUPERSAMPLE
    mask = Image.new("L", (area[0] * s, area[1] * s))
    canvas = ImageDraw.Draw(mask)
    for i, line in enumerate(lines):
        x = (area[0] * s - lettering.length(line, size * s)) / 2
        lettering.draw(canvas, x, (top + i * pitch) * s, line, size * s)
    return mask.reduce(s)


def _scrim(white: Image.Image, area: tuple[int, int], text_top: int) -> Image.Image:
    """Dark from above the text to the foot, deepest behind the words."""
    rise = max(1, text_top)
    column = bytes(round(SCRIM * min(1.0, (y + 0.5) / rise) ** 1.5) for y in range(area[1]))
    scrim = Image.frombytes("L", (1, area[1]), column).resize(area, Image.Resampling.NEAREST)
    halo = white.filter(ImageFilter.BoxBlur(max(1, area[0] // 400))).point([min(200, i * 2) for i in range(256)])
    return Image.composite(Image.new("L", area, 215), scrim, halo)


def _slate(lettering: Lettering, frame: tuple[int, int]) -> Overlay:
    size = max(MIN_SIZE_PX, round(min(frame[1], 0.8 * frame[0]) * 0.032))
    corner, margin, s = 2 * round(size * 0.5), size // 2, SUPERSAMPLE
    width = min(frame[0] - corner, 2 * margin + round(lettering.length(lettering.text, size)))
    mask = Image.new("L", (width * s, 2 * size * s))
    lettering.draw(ImageDraw.Draw(mask), margin * s, margin * s, lettering.text, size * s)
    white = mask.reduce(s).point([i * 225 // 255 for i in range(256)])
    halo = white.filter(ImageFilter.BoxBlur(max(1, size // 5))).point([min(130, i * 2) for i in range(256)])
    return Overlay(corner, corner, halo, white)
