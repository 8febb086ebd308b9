"""A storyboard by rules, with no service: the prompt's own clauses become shots with framing and camera moves.

The same request gives the same storyboard, always of exactly ``max_shots`` shots: neighbouring clauses share a shot
where there are too many, one clause is shown wide, nearer and in detail where there are too few.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence

from vidgen.engine.planning.clauses import Clause, split
from vidgen.engine.planning.framing import View, choose_move, framed, lowered, views
from vidgen.engine.planning.lexicon import (
    ADVERBS,
    ASKED_FRAMING,
    AUXILIARIES,
    CAMERA_LED,
    DETERMINERS,
    LINKS,
    LOOK_HELPERS,
    LOOK_WORDS,
    POSSESSIVES,
    PRONOUNS,
    SMALL_WORDS,
)
from vidgen.engine.planning.wording import Subject, is_verb, subject, tidy, weight, words
from vidgen.request import MAX_DESCRIPTION_CHARS, PlanRequest
from vidgen.types import ShotPlan, StoryboardPlan

TITLE_CHARS = 60
LOOK_CHARS = 200
CONTEXT_CHARS = 120
NOTHING = "an empty scene"        # the subject of a prompt in which there is nothing to see

_ENDING = " .,;:!?…、，。；：！？"
_ASKING = re.compile(
    r"^(?:please\s+)?(?:(?:create|make|generate|render|produce|film|animate|show)\s+)?(?:(?:me|us)\s+)?"
    r"(?:(?:an?|the)\s+)?(?:(?:short|quick|\d+[ -]second)\s+)*(?:video|clip|film|movie|animation)\s+"
    r"(?:of|about|showing|where|in which)\s+|^(?:please\s+)?show\s+(?:me|us)\s+(?=\S)",
    re.IGNORECASE,
)
_PERSONS = (PRONOUNS | POSSESSIVES) - {"it", "its"}
_SAID_AFTER = re.compile(
    r"mood|tone|atmosphere|weather|lighting|light|lens|texture|aesthetic|look|genre|pace|(?:\w+ )?style|palette"
    r"|colou?rs?|colou?r (?:palette|scheme|grade|grading)|film stock|era",
    re.IGNORECASE,
)


def plan_offline(request: PlanRequest) -> StoryboardPlan:
    """The storyboard that the rules give; never fails for a request that was accepted."""
    asked = request.user_prompt.strip()
    prompt, looks = _without_looks(_ASKING.sub("", asked))
    texts = _with_subjects(split(prompt, request.max_shots))
    tail = looks + style_phrases(request.style_preferences)
    shots: list[ShotPlan] = []
    last: View | None = None
    for text, count in zip(texts, _shares(request.max_shots, len(texts)), strict=True):
        begun = len(shots)
        for view in views(text, count, last):
            used = [shot.camera_move for shot in shots[begun:]]
            move = choose_move(text, view, used, shots[-1].camera_move if shots else None)
            shots.append(ShotPlan(_sentence(framed(view, text), tail), move))
            last = view
    named = texts[0] if weight(texts[0]) > 3 or "\n" in prompt else _visible(prompt)
    return StoryboardPlan(title(named), tuple(shots))


def _shares(shots: int, clauses: int) -> list[int]:
    """How many shots each clause gets; what is left over goes to the first ones."""
    return [shots // clauses + (i < shots % clauses) for i in range(clauses)]


def _without_looks(prompt: str) -> tuple[str, list[str]]:
    """The prompt, and the looks at its end (``cinematic, 8k``), which belong to every shot."""
    looks: list[str] = []
    rest = prompt.rstrip(_ENDING)
    while match := re.search(r"[,.;]\s+([^,.;\n]{1,60})$", rest[-80:]):
        parts = set(re.split(r"[\s/-]+", match.group(1).casefold()))
        if not parts & LOOK_WORDS or not parts <= LOOK_WORDS | LOOK_HELPERS:
            break
        looks.insert(0, lowered(tidy(match.group(1))))
        rest = rest[: match.start() - len(rest[-80:])].rstrip(_ENDING)
    fits = looks and rest and sum(map(len, looks)) <= LOOK_CHARS
    return (rest, looks) if fits else (prompt, [])


def _with_subjects(clauses: list[Clause]) -> list[str]:
    """The clauses' texts, each saying who acts: "leaps over a stream" is "The fox leaps…" after "A fox runs"."""
    texts: list[str] = []
    acting: Subject | None = None
    for clause in clauses:
        text = _visible(clause.text)
        leans = bool(texts) and _leans(text)
        if leans and acting and (acting.acts or words(text)[0] not in _PERSONS):
            text = _named(text, acting.text)
        elif texts and (leans or clause.elsewhere or _for_camera(text)) and words(text)[0] not in POSSESSIVES:
            scene = lowered(_without_framing(texts[0].rstrip(_ENDING)))
            text = f"{text.rstrip(_ENDING)} ({_shortened(scene, CONTEXT_CHARS)})"
        elif (found := subject(text)) and (found.acts or not acting):
            acting = found
        texts.append(text)
    return texts


def _visible(text: str) -> str:
    text = tidy(text).strip(" ,，、;；")
    return text if any(unicodedata.category(c)[0] in "LNS" for c in text) else NOTHING


def _leans(text: str) -> bool:
    """Whether *text* needs the clause before it to say who acts: it begins with a verb, "she" or "its"."""
    tokens = words(text)
    if len(tokens) > 1 and tokens[0] in PRONOUNS:
        return tokens[1] not in AUXILIARIES | {"rains", "snows", "becomes", "begins", "starts"}
    if len(tokens) > 1 and tokens[0] in POSSESSIVES:
        return True
    led = tokens[1:] if len(tokens) > 1 and tokens[0] in ADVERBS else tokens
    return bool(led) and is_verb(led, 0)


def _named(text: str, acting: str) -> str:
    """*text* with *acting* in front, or in the place of the "she" or "her" that it begins with."""
    first, _, rest = text.partition(" ")
    stands_for = first.casefold() in PRONOUNS | POSSESSIVES
    bare = re.sub(r"^(?:an?|the)\s+", "", acting, flags=re.IGNORECASE)
    theirs = bare == acting and (words(acting)[0] in DETERMINERS | PRONOUNS or not acting[0].islower())
    who = (acting[0].upper() + acting[1:] if theirs else f"The {bare}") + "’s" * (first.casefold() in POSSESSIVES)
    return f"{who} {rest if stands_for else lowered(text)}"


def _for_camera(text: str) -> bool:
    """Whether *text* tells the camera what to do without saying what it looks at ("zoom out slowly")."""
    led = CAMERA_LED.match(text)
    shown = set(words(text[led.end():])) if led else set()
    return led is not None and (not shown & DETERMINERS and len(shown) <= 4 or bool(shown & {"it", "them", "him"}))


def styled(description: str, style: Mapping[str, str]) -> str:
    """*description* with each of *style* in plain words behind it, where it does not say so already.

    At most :data:`~vidgen.request.MAX_DESCRIPTION_CHARS` characters; doing it twice changes nothing.
    """
    said = description.casefold()
    missing = [phrase for phrase in style_phrases(style) if phrase.casefold() not in said]
    return _sentence(description, missing) if missing else _shortened(description, MAX_DESCRIPTION_CHARS)


def style_phrases(style: Mapping[str, str]) -> list[str]:
    """``{"mood": "calm", "time_of_day": "dusk"}`` as ``["calm mood", "time of day: dusk"]``."""
    phrases = [_style_phrase(tidy(re.sub("[_-]+", " ", key)), tidy(value)) for key, value in style.items()]
    return [phrase for phrase in phrases if phrase]


def _style_phrase(key: str, value: str) -> str:
    if not value or key.casefold().split()[-1] in words(value):
        return value
    return f"{value} {key}" if _SAID_AFTER.fullmatch(key) and weight(value) <= 3 else f"{key}: {value}"


def title(text: str) -> str:
    """A short title out of the first clause: at most :data:`TITLE_CHARS` characters, no full stop at its end."""
    kept = _without_framing(text)
    kept = re.sub(r"^(?:an?|the)\s+(?=\S)", "", kept, flags=re.IGNORECASE)
    kept = re.split(r"(?<=\w\w)[.!?]\s|[。！？]", kept)[0]
    parts = _shortened(kept, TITLE_CHARS, mark="").split()
    if len(kept) > TITLE_CHARS:
        while len(parts) > 3 and parts[-1].casefold() in LINKS | DETERMINERS | {"very"}:
            parts.pop()
    titled = " ".join(_capital(word, i) for i, word in enumerate(parts)).strip(_ENDING + "-—–(“\"'")
    return titled if any(unicodedata.category(c)[0] in "LNS" for c in titled) else "Untitled"


def _without_framing(text: str) -> str:
    """*text* without "close-up of" or "zoom in on" at its head."""
    asked = ASKED_FRAMING.match(text) or CAMERA_LED.match(text)
    bare = re.sub(r"^\W*(?:of|on|over|across|through)\s+", "", text[asked.end():], flags=re.IGNORECASE) if asked else ""
    return bare.strip(_ENDING + "-") or text.strip(_ENDING) or text


def _capital(word: str, at: int) -> str:
    upper = word[0].upper()
    return word if at and word.casefold() in SMALL_WORDS or len(upper) != 1 else upper + word[1:]


def _sentence(text: str, tail: Sequence[str]) -> str:
    """*text* and the *tail* as one description within the bound; it is the text that gives way."""
    ending = "".join(f", {phrase}" for phrase in tail).rstrip(".") + "."
    body = _shortened(text.rstrip(_ENDING) or text, MAX_DESCRIPTION_CHARS - len(ending))
    return body + ending


def _shortened(text: str, limit: int, mark: str = "…") -> str:
    """*text* in at most *limit* characters, cut between words where it has any."""
    if len(text) <= limit:
        return text
    room = limit - len(mark)
    at = room if text[room] == " " else text.rfind(" ", 0, room)
    if at < room // 2:
        at = room
        while at > 1 and unicodedata.category(text[at])[0] == "M":
            at -= 1
    return text[:at].rstrip(_ENDING) + mark
