"""Letters: the font that Pillow ships, the accents it lacks, and what to do about scripts it cannot draw.

Pillow's font has ASCII and some punctuation only. Accented Latin letters are drawn as their base letter with a mark
of our own, the same on every machine. For other scripts a system font is used where one of FALLBACKS is installed
(:func:`font_names` says which: it determines the pixels); letters that nothing can draw are left out.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from zlib import crc32

from PIL import ImageDraw, ImageFont

FALLBACKS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "LiberationSans-Regular.ttf",
    "Arial Unicode.ttf", "Arial.ttf", "segoeui.ttf", "YuGothM.ttc", "msyh.ttc",
)
SPELLED = {
    "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "þ": "th", "Þ": "Th", "ð": "d", "Ð": "D",
    "ı": "i", "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": " - ", "\u2212": "-", "•": "·",
    "‚": ",", "„": "“", "€": "EUR", "£": "GBP", "¡": "!", "¿": "?", "\u00d7": "x", "№": "No.",
    "ł": "l\u0337", "Ł": "L\u0337", "ø": "o\u0338", "Ø": "O\u0338", "đ": "d\u0335", "Đ": "D\u0335",
    "ħ": "h\u0335", "Ħ": "H\u0335",
}
# Strokes in parts of the font's size, from the middle of the letter; y from its top, foot or centre, down.
ABOVE = {
    "\u0300": (((-.11, -.15), (.04, -.04)),), "\u0301": (((.11, -.15), (-.04, -.04)),),
    "\u0302": (((-.12, -.04), (0, -.15), (.12, -.04)),), "\u030c": (((-.12, -.15), (0, -.04), (.12, -.15)),),
    "\u0303": (((-.14, -.05), (-.07, -.11), (.06, -.06), (.14, -.12)),), "\u0304": (((-.13, -.08), (.13, -.08)),),
    "\u0306": (((-.12, -.15), (-.06, -.06), (.06, -.06), (.12, -.15)),), "\u0307": (((0, -.1), (0, -.06)),),
    "\u0308": (((-.1, -.1), (-.1, -.06)), ((.1, -.1), (.1, -.06))),
    "\u030a": (((0, -.16), (.05, -.11), (0, -.05), (-.05, -.11), (0, -.16)),),
    "\u030b": (((-.02, -.15), (-.09, -.04)), ((.13, -.15), (.06, -.04))),
    "\u0309": (((-.04, -.15), (.05, -.12), (0, -.04)),),
}
BELOW = {
    "\u0327": (((0, .01), (.03, .07), (-.05, .13)),), "\u0328": (((.07, .0), (.03, .09), (.11, .13)),),
    "\u0323": (((0, .07), (0, .1)),), "\u0326": (((.02, .05), (-.03, .15)),), "\u0331": (((-.13, .09), (.13, .09)),),
}
ACROSS = {
    "\u0337": (((-.13, .09), (.13, -.1)),), "\u0338": (((-.24, .3), (.24, -.3)),),
    "\u0335": (((-.05, -.2), (.24, -.2)),),
}
MARKS = ABOVE | BELOW | ACROSS
STROKE = 0.075                          # of the font's size
DOTTED = "ij"
JOINERS = "\u200c\u200d"


@cache
def shipped(size: int) -> ImageFont.FreeTypeFont:
    """The font inside Pillow."""
    return ImageFont.load_default(size)


@cache
def _installed(name: str, size: int) -> ImageFont.FreeTypeFont | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


@lru_cache(maxsize=4096)
def _draws(name: str | None, letter: str) -> bool:
    font = _installed(name, 24) if name else shipped(24)
    if font is None:
        return False
    return letter.isspace() or bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))


@dataclass(frozen=True)
class Lettering:
    """Text that can be drawn, with which font (None: the shipped one), and the letters that cannot."""

    text: str
    font: str | None = None
    left_out: str = ""

    def length(self, text: str, size: int) -> float:
        """How wide *text* is, pixels."""
        return self._at(size).getlength(_bare(text) if self.font is None else text)

    def draw(self, canvas: ImageDraw.ImageDraw, x: float, y: float, text: str, size: int) -> None:
        """White *text* on an L canvas, its left end at *x*, the top of its line at *y*."""
        font = self._at(size)
        if self.font is not None:
            canvas.text((x, y), text, fill=255, font=font)
            return
        canvas.text((x, y), _bare(text), fill=255, font=font)
        for before, letter, marks in _marked(text):
            _draw_marks(canvas, x + font.getlength(before), y, letter, marks, font, size)

    def _at(self, size: int) -> ImageFont.FreeTypeFont:
        return (_installed(self.font, size) if self.font else None) or shipped(size)


def prepare(text: str) -> Lettering:
    """*text* with what can be drawn of it."""
    clean = " ".join(_visible(text).split())
    latin = _latin(clean)
    missing = _missing(latin, None)
    if not missing:
        return Lettering(latin)
    best = min(FALLBACKS, key=lambda name: len(_missing(missing, name)))
    if len(_missing(missing, best)) < len(missing):
        return _without(clean, _missing(clean, best), best)
    return _without(latin, missing, None)


def _latin(text: str) -> str:
    """*text* as base letters and marks, spelled out where the shipped font has no such letter."""
    spelled = "".join(SPELLED.get(letter, letter) for letter in unicodedata.normalize("NFC", text))
    return unicodedata.normalize("NFD", spelled)


def _missing(text: str, font: str | None) -> str:
    """The letters of *text* that *font* has no glyph for."""
    return "".join(
        letter for letter in dict.fromkeys(text)
        if not (letter in MARKS if font is None else unicodedata.combining(letter) or letter in JOINERS)
        and not _draws(font, letter)
    )


def _without(text: str, missing: str, font: str | None) -> Lettering:
    kept = "".join(letter for letter in text if letter not in missing)
    return Lettering(" ".join(kept.split()), font, missing)


def clusters(text: str) -> list[str]:
    """*text* in pieces that must not be parted: a letter with its marks."""
    pieces: list[str] = []
    for letter in text:
        if pieces and (unicodedata.combining(letter) or letter in JOINERS or pieces[-1][-1] in JOINERS):
            pieces[-1] += letter
        else:
            pieces.append(letter)
    return pieces


@cache
def font_names() -> str:
    """The shipped font and the installed fallbacks with a checksum, for the recipe."""
    found = [" ".join(shipped(24).getname())]
    for name in FALLBACKS:
        if (font := _installed(name, 24)) and isinstance(font.path, str):
            found.append(f"{name} {crc32(Path(font.path).read_bytes()):08x}")
    return ", ".join(found)


def _visible(text: str) -> str:
    """Without controls, direction overrides and other letters that draw nothing; joiners stay, scripts need them."""
    return "".join(
        letter if letter in JOINERS or unicodedata.category(letter)[0] != "C" else " " * letter.isspace()
        for letter in text
    )


def _bare(text: str) -> str:
    return "".join(letter for letter in text if letter not in MARKS)


def _marked(text: str) -> Iterator[tuple[str, str, str]]:
    """Every letter with marks: what stands before it, the letter, its marks."""
    before = ""
    for cluster in clusters(text):
        letter, marks = cluster[0], "".join(mark for mark in cluster[1:] if mark in MARKS)
        if marks and letter not in MARKS:
            yield _bare(before), letter, marks
        before += cluster


def _draw_marks(canvas: ImageDraw.ImageDraw, x: float, y: float, letter: str, marks: str, font: ImageFont.FreeTypeFont,
                size: int) -> None:
    left, top, right, foot = font.getbbox(letter)
    if letter in DOTTED and any(mark in ABOVE for mark in marks):
        top = font.getbbox("x")[1]
        canvas.rectangle((x + left - 1, y, x + right, y + top - 0.02 * size), fill=0)
    middle = x + (left + right) / 2
    width = max(1, round(STROKE * size))
    for mark in marks:
        origin = y + (top if mark in ABOVE else foot if mark in BELOW else (top + foot) / 2)
        for stroke in MARKS[mark]:
            canvas.line([(middle + px * size, origin + py * size) for px, py in stroke], fill=255, width=width)
