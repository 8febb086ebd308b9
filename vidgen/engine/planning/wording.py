"""Words and what they do: cleaning text, counting words, telling verbs and subjects from their places.

English where it reads meaning, any script where it only counts and cleans. Knows nothing of shots.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from vidgen.engine.planning.lexicon import (
    ADVERBS,
    AUXILIARIES,
    BASES,
    DETERMINERS,
    FINITE,
    LINKS,
    PARTICIPLES,
    PLURALS,
    POSSESSIVES,
)

JOINERS = "\u200c\u200d"          # zero-width, but part of how words and emoji are written

_WIDE = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003fffd"
_UNSPACED = re.compile(rf"[{_WIDE}\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
_WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")
_SEEN = re.compile(r"^(?:(?:we|you|i) (?:see|watch|follow)|there(?: is| are|'s|’s)) (?=\w)", re.IGNORECASE)


def tidy(text: str) -> str:
    """One line of *text*: no control, format or lone surrogate characters, runs of space made one."""
    kept = (c if c in JOINERS or unicodedata.category(c) not in ("Cf", "Cs", "Cc", "Zl", "Zp") else
            " " if c.isspace() else "" for c in text)
    return " ".join("".join(kept).split())


def words(text: str) -> list[str]:
    """The words of *text* in lower case, without punctuation."""
    return [word.casefold() for word in _WORD.findall(text)]


def weight(text: str) -> float:
    """How many words *text* has; in scripts without spaces two characters count as one."""
    unspaced = len(_UNSPACED.findall(text))
    return unspaced / 2 + len(_WORD.findall(_UNSPACED.sub(" ", text)))


def is_verb(tokens: Sequence[str], at: int) -> bool:
    """Whether the word at *at* seems to say what somebody does (``runs``, ``birds fly``, ``plants a flag``)."""
    before = tokens[at - 1] if at else ""
    after = tokens[at + 1] if at + 1 < len(tokens) else ""
    if before in DETERMINERS and before not in ("one", "each", "both", "many", "some", "another"):
        return False
    if tokens[at] in FINITE:
        return True
    if tokens[at] in BASES and (before in PLURALS or before.endswith("s") and not before.endswith("ss")):
        return True
    ends = tokens[at].endswith("s") and not tokens[at].endswith(("ss", "us", "is"))
    return ends and at >= 2 and before not in LINKS and after in DETERMINERS


def has_verb(text: str) -> bool:
    tokens = words(text)
    return any(is_verb(tokens, i) for i in range(len(tokens))) or participle_at(tokens) is not None


def participle_at(tokens: Sequence[str]) -> int | None:
    """Where one of the first words is a participle that says what happens (``birds singing in``)."""
    for i, token in enumerate(tokens[:4]):
        after = tokens[i + 1] if i + 1 < len(tokens) else None
        happens = token in PARTICIPLES or (len(token) > 5 and token.endswith("ing"))
        closed = after is None or after in LINKS or after in DETERMINERS or after in ADVERBS
        if happens and closed and not (i == 0 and after is None):
            return i
    return None


@dataclass(frozen=True, slots=True)
class Subject:
    """Who or what a clause is about, as it is written there."""

    text: str
    acts: bool                       # a verb follows: it may be a "he" or a "she" later on


def subject(text: str) -> Subject | None:
    """The subject of *text*, where it can be told."""
    text = _SEEN.sub("", text)
    if (first := words(text)[:1]) and first[0] in LINKS:
        _, aside, text = text.partition(", ")
        return subject(text) if aside and words(text)[:1] and words(text)[0] in DETERMINERS else None
    found = list(_WORD.finditer(text))
    tokens = [m.group().casefold() for m in found]
    at, acts = _end_of_subject(tokens)
    said = text[: found[at - 1].end()] if at else ""
    if not said or "camera" in tokens[:at] or tokens[0] in POSSESSIVES or re.search("[,;:]", said):
        return None
    return Subject(said, acts)


def _end_of_subject(tokens: Sequence[str]) -> tuple[int, bool]:
    """How many of the words name the subject (0: none can be told), and whether a verb comes next."""
    reach = range(1, min(len(tokens), 8))
    at = next((i for i in reach if is_verb(tokens, i)), 0)
    if at:
        while at > 1 and tokens[at - 1] in ADVERBS | AUXILIARIES:
            at -= 1
        return at, True
    thing = bool(tokens) and tokens[0] in DETERMINERS
    end = next((i for i in reach if tokens[i] in LINKS | PARTICIPLES | AUXILIARIES), len(tokens))
    return (end, False) if thing and 2 <= end <= 6 else (0, False)
