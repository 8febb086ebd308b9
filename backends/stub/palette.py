"""Words into a look: what the hour, the land, the weather and the colours of a shot are.

Reads the prompt, the style preferences and the negative prompt; knows nothing of pixels. English words only: a prompt
in another language gets a look that the seed chooses.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from random import Random

RGB = tuple[int, int, int]
Matrix = tuple[float, ...]
"""Twelve numbers, three rows of r, g, b, constant: what ``Image.convert`` takes."""

LUMA = (0.2126, 0.7152, 0.0722)         # ITU-R BT.709-6, item 3.2
GREY = 118                              # what contrast turns about: 18 % grey, as sRGB encodes it
SAME: Matrix = (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)


@dataclass(frozen=True)
class Hour:
    """The light of one time of day: sky from zenith to horizon, and what stands against it."""

    sky: tuple[tuple[float, RGB], ...]
    light: RGB                          # sun or moon
    near: RGB                           # the closest silhouettes
    elements: frozenset[str]


@dataclass(frozen=True)
class Look:
    """All that the words decided."""

    hour: Hour
    land: str
    ground: RGB
    elements: frozenset[str]            # sun, moon, stars, clouds, birds, mist, rain, snowfall, boat, …
    framing: str | None                 # wide, medium, close, aerial, where the text says so
    calm: bool
    grade: Matrix                       # of RGB
    barred: frozenset[str]              # elements that the negative prompt names


HOURS = {
    "dawn": Hour(((0, (58, 74, 128)), (0.42, (158, 138, 170)), (0.74, (246, 182, 146)), (1, (255, 222, 170))),
                 (255, 244, 206), (44, 34, 58), frozenset({"sun", "clouds", "birds", "mist"})),
    "day": Hour(((0, (44, 108, 184)), (0.55, (122, 182, 224)), (1, (226, 240, 242))),
                (255, 252, 236), (24, 58, 56), frozenset({"sun", "clouds", "birds"})),
    "dusk": Hour(((0, (36, 28, 78)), (0.38, (124, 52, 110)), (0.7, (230, 98, 84)), (1, (255, 192, 104))),
                 (255, 222, 142), (30, 15, 40), frozenset({"sun", "clouds", "birds"})),
    "night": Hour(((0, (6, 10, 32)), (0.5, (17, 32, 74)), (1, (62, 88, 138))),
                  (234, 240, 252), (6, 9, 22), frozenset({"moon", "stars", "mist"})),
    "grey": Hour(((0, (92, 104, 120)), (0.6, (152, 162, 172)), (1, (214, 217, 218))),
                 (238, 240, 240), (38, 46, 54), frozenset({"clouds", "mist"})),
    "storm": Hour(((0, (26, 32, 44)), (0.55, (66, 80, 94)), (1, (156, 164, 158))),
                  (220, 226, 226), (14, 19, 26), frozenset({"clouds", "rain"})),
}
GROUNDS: dict[str, RGB] = {
    "hills": (44, 74, 52), "mountains": (52, 62, 86), "forest": (20, 58, 44), "ocean": (18, 64, 92),
    "lake": (30, 66, 80), "desert": (150, 84, 44), "city": (26, 30, 46), "meadow": (70, 96, 44),
    "snow": (206, 220, 238),
}
HOUR_WORDS = {
    "dawn": "dawn sunrise daybreak morning",
    "day": "day noon midday daylight afternoon sunny sunlit summer spring",
    "dusk": "dusk sunset evening twilight golden",
    "night": "night midnight nighttime moonlit moonlight moon starry star starlit stargazing galaxy space cosmos neon",
    "grey": "overcast cloudy grey gray rain rainy drizzle winter",
    "storm": "storm stormy thunder lightning tempest thunderstorm hurricane",
}
LAND_WORDS = {
    "hills": "hill valley countryside vineyard moor highland headland",
    "mountains": "mountain alps peak summit cliff canyon ridge volcano planet",
    "forest": "forest wood woodland jungle tree pine grove rainforest",
    "ocean": "ocean sea wave beach coast coastal surf shore island sail sailing boat ship harbour harbor lighthouse",
    "lake": "lake pond river fjord lagoon reflection",
    "desert": "desert dune sand sahara mesa",
    "city": "city skyline street town urban downtown skyscraper building rooftop metropolis tokyo york paris london",
    "meadow": "meadow field grass prairie garden flower farm wheat steppe",
    "snow": "snow snowy arctic ice glacier frozen winter blizzard antarctic",
}
ELEMENT_WORDS = {
    "sun": "sun", "moon": "moon moonlit moonlight", 
    "stars": "star starry starlit galaxy space cosmos",
    "clouds": "cloud cloudy overcast storm stormy", "birds": "bird gull seagull flock raven crow swallow",
    "mist": "mist misty fog foggy haze hazy dreamy mysterious ethereal",
    "snowfall": "snowfall snowing blizzard snowflake",
    "rain": "rain rainy drizzle storm stormy raining thunderstorm", "boat": "boat ship sail sailing sailboat yacht",
    "person": "person people man woman girl boy child figure hero traveller traveler wanderer hiker astronaut "
              "couple he she dancer walker human",
    "house": "house cabin cottage farm barn hut home village", "lighthouse": "lighthouse beacon",
    "trees": "tree pine", "caption": "caption text subtitle subtitles title word words lettering",
    "grain": "grain grainy noise noisy texture",
}
FRAMING_WORDS = {
    "wide": "wide establishing panorama panoramic vista landscape", "medium": "medium mid",
    "close": "close closeup macro detail intimate portrait", "aerial": "aerial drone overhead above",
}
MOOD_HOURS = {
    "dawn": "calm warm peaceful serene gentle soft hopeful romantic pastel tender quiet tranquil",
    "day": "bright happy joyful cheerful playful fresh vibrant vivid green blue energetic light",
    "dusk": "golden orange red amber nostalgic dramatic epic autumn fiery cinematic rich",
    "night": "dark mysterious noir spooky lonely cold secret magical dreamy purple cyberpunk",
    "grey": "sad melancholy melancholic muted bleak moody desaturated cool fog foggy misty mist haze",
    "storm": "tense angry ominous fearful violent intense",
}
CALM = "calm peaceful serene gentle soft tranquil quiet still relaxing tender minimal"
COLOURS: dict[str, tuple[float, float, float, float]] = {      # red, green and blue gain, saturation
    "warm": (1.07, 1.0, 0.88, 1.05), "golden": (1.09, 1.02, 0.82, 1.05), "orange": (1.1, 0.99, 0.84, 1.08),
    "amber": (1.09, 1.0, 0.82, 1.0), "red": (1.12, 0.93, 0.92, 1.05), "autumn": (1.09, 0.98, 0.84, 1.05),
    "cool": (0.92, 1.0, 1.08, 0.95), "cold": (0.9, 0.99, 1.1, 0.9), "blue": (0.88, 0.98, 1.12, 1.0),
    "teal": (0.9, 1.04, 1.04, 1.0), "green": (0.95, 1.06, 0.94, 1.0), "purple": (1.04, 0.92, 1.1, 1.05),
    "pink": (1.1, 0.96, 1.04, 1.0), "vibrant": (1, 1, 1, 1.3), "vivid": (1, 1, 1, 1.3), "rich": (1, 1, 1, 1.15),
    "neon": (1.04, 0.94, 1.1, 1.4), "muted": (1, 1, 1, 0.65), "desaturated": (1, 1, 1, 0.5),
    "pastel": (1.03, 1.02, 1.02, 0.7), "monochrome": (1, 1, 1, 0), "noir": (1, 1, 1, 0), "sepia": (1.1, 1.0, 0.8, 0.2),
}


def _lexicon(table: Mapping[str, str]) -> dict[str, list[str]]:
    words: dict[str, list[str]] = {}
    for tag, line in table.items():
        for word in line.split():
            words.setdefault(word, []).append(tag)
    return words


KINDS = {
    kind: _lexicon(table) for kind, table in {
        "hour": HOUR_WORDS, "land": LAND_WORDS, "element": ELEMENT_WORDS, "framing": FRAMING_WORDS, "mood": MOOD_HOURS,
    }.items()
}


def read_look(texts: Iterable[str], negative: str | None, guidance: float, rng: Random,
              pull: float = 1.0) -> Look:
    """The look that *texts* call for, without what *negative* names.

    :param guidance: strength of palette and contrast; 7.5 leaves the colours as they are.
    :param rng: decides what the words leave open.
    :param pull: how far colours that are named pull the picture's, 0 to 1.
    """
    left_out = set(_words(negative or ""))
    words = [word for text in texts for word in _words(text) if word not in left_out]
    barred = {kind: _barred(left_out, kind) for kind in KINDS}
    hour = _pick(words, "hour", barred) or _pick(words, "mood", barred, other="hour") or _any(
        rng, ("day", "dawn", "dusk"), barred["hour"])
    land = _pick(words, "land", barred) or _any(rng, ("hills", "mountains", "lake"), barred["land"])
    elements = (HOURS[hour].elements | {"caption", "grain"} | set(_tags(words, "element"))) - set(barred["element"])
    if "moon" in elements:
        elements -= {"sun"}
    return Look(
        hour=HOURS[hour], land=land, ground=GROUNDS[land], elements=frozenset(elements),
        framing=_pick(words, "framing", barred), calm=bool(set(words) & set(CALM.split())),
        grade=_grade(words, guidance, pull), barred=frozenset(barred["element"]),
    )


def _words(text: str) -> Iterator[str]:
    """Every word of *text*, and what it may be the plural of."""
    for word in re.findall(r"[a-z]+", text.lower()):
        yield word
        if word.endswith("s"):
            yield word[:-1]
        if word.endswith("ves") or word.endswith("ies"):
            yield word[:-3] + {"v": "f", "i": "y"}[word[-3]]
        elif word.endswith("es"):
            yield word[:-2]


def _tags(words: Iterable[str], kind: str) -> Counter[str]:
    return Counter(tag for word in words for tag in KINDS[kind].get(word, ()))


def _barred(words: Iterable[str], kind: str) -> Counter[str]:
    """The tags that *words* forbid: "moon" takes away the moon and not the night that it also speaks of."""
    elements = KINDS["element"]
    return Counter(
        tag for word in words for tag in KINDS[kind].get(word, ())
        if kind == "element" or word == tag or word not in elements
    )


def _pick(words: Iterable[str], kind: str, barred: Mapping[str, Counter], other: str | None = None) -> str | None:
    """The tag most often named, the first of them where several are."""
    tags = _tags(words, kind)
    allowed = [tag for tag, _ in tags.most_common() if tag not in barred[kind] and tag not in barred[other or kind]]
    return allowed[0] if allowed else None


def _any(rng: Random, choices: tuple[str, ...], barred: Mapping[str, int]) -> str:
    return rng.choice([choice for choice in choices if choice not in barred] or choices)


def _grade(words: list[str], guidance: float, pull: float) -> Matrix:
    strength = guidance / 7.5
    pull *= min(strength, 1.5)
    named = [COLOURS[word] for word in dict.fromkeys(words) if word in COLOURS][:3]
    grade = _colour((1, 1, 1), 0.55 + 0.45 * strength, 0.88 + 0.12 * strength)
    for red, green, blue, saturation in named:
        gains = tuple(1 + (gain - 1) * pull for gain in (red, green, blue))
        grade = after(_colour(gains, max(0.0, 1 + (saturation - 1) * pull), 1.0), grade)
    return grade


def _colour(gains: tuple[float, ...], saturation: float, contrast: float) -> Matrix:
    rows = []
    for i, gain in enumerate(gains):
        row = [contrast * gain * ((1 - saturation) * LUMA[j] + saturation * (i == j)) for j in range(3)]
        rows += [*row, GREY * gain * (1 - contrast)]
    return tuple(rows)


def after(second: Matrix, first: Matrix) -> Matrix:
    """One matrix that does *first*, then *second*."""
    rows = []
    for i in range(0, 12, 4):
        rows += [sum(second[i + k] * first[4 * k + j] for k in range(3)) + second[i + 3] * (j == 3) for j in range(4)]
    return tuple(rows)


def mix(a: RGB, b: RGB, t: float) -> RGB:
    """*a* at t = 0, *b* at t = 1."""
    return tuple(round(x + (y - x) * t) for x, y in zip(a, b, strict=True))
