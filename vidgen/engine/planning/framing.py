"""How a clause is shown: which part of it the frame holds, and how the camera moves.

Rules over the words of ``lexicon.py``; what the prompt itself says of the camera comes first. No two
neighbours get the same framing or the same move unless the prompt asks for it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from vidgen.engine.planning.lexicon import (
    ASKED_FRAMING,
    ASKED_MOVES,
    AUXILIARIES,
    BASES,
    CALM_WORDS,
    CAMERA_LED,
    CLOSE_WORDS,
    DETAILS,
    DETERMINERS,
    KNOWN,
    LINKS,
    MOVES,
    WIDE_WORDS,
)
from vidgen.engine.planning.wording import is_verb, words
from vidgen.types import CameraMove as Move


class Framing(Enum):
    WIDE = "Wide shot"
    MEDIUM = "Medium shot"
    CLOSE = "Close-up"


@dataclass(frozen=True, slots=True)
class View:
    """One way of showing a clause: words that go with it, how much the frame holds, moves that suit it, best first."""

    label: str
    framing: Framing
    moves: tuple[Move, ...]
    joint: str = "of"                 # "of" before a thing, ":" before anything, "after": the label comes last
    heeds: bool = True                # whether words such as "runs" may choose the move


PLAIN_MOVES = {
    Framing.WIDE: (Move.PAN_RIGHT, Move.PUSH_IN, Move.PULL_OUT),
    Framing.MEDIUM: (Move.PUSH_IN, Move.ORBIT, Move.PAN_LEFT),
    Framing.CLOSE: (Move.STATIC, Move.PUSH_IN, Move.ORBIT),
}
OPENING = View("Wide establishing shot", Framing.WIDE, (Move.PAN_RIGHT, Move.PUSH_IN))
DETAIL = View("Close-up on", Framing.CLOSE, (Move.PUSH_IN, Move.STATIC), ":", heeds=False)
CLOSING = View("Final wide shot, drawing away", Framing.WIDE, (Move.PULL_OUT,), ":", heeds=False)
COVERAGE = (
    View("Wide shot", Framing.WIDE, (Move.PAN_RIGHT, Move.PUSH_IN)),
    View("Medium shot", Framing.MEDIUM, (Move.ORBIT, Move.PAN_LEFT)),
    DETAIL,
    View("Low-angle shot", Framing.MEDIUM, (Move.TILT_UP,), heeds=False),
    View("High-angle view", Framing.WIDE, (Move.TILT_DOWN,), heeds=False),
    View("Side view", Framing.MEDIUM, (Move.PAN_LEFT, Move.PAN_RIGHT)),
    View("Extreme close-up of light and texture", Framing.CLOSE, (Move.STATIC,), ":", heeds=False),
    View("View from behind", Framing.MEDIUM, (Move.PUSH_IN,), ":"),
    View("Ground-level view", Framing.CLOSE, (Move.PAN_RIGHT,)),
    View("Circling shot", Framing.MEDIUM, (Move.ORBIT,), heeds=False),
    View("View through the foreground", Framing.WIDE, (Move.STATIC, Move.PAN_LEFT), ":"),
)
ANGLES = (
    "", "seen from a low angle", "seen from the side", "seen from slightly above", "seen from behind",
    "seen at an angle", "seen past the foreground", "seen a moment later", "seen from the other side",
    "seen from the ground", "seen against the light", "seen one last time",
)
"""What sets shots apart whose framing the prompt itself has chosen."""

_ASKED_CLOSE = re.compile("close|macro|tight")
_ASKED_WIDE = re.compile("wide|long|establish|aerial|drone|bird|overhead|panoram")


def views(text: str, count: int, last: View | None) -> list[View]:
    """*count* different views of the clause *text*; *last* is the view before them, None at the beginning."""
    if asked := ASKED_FRAMING.search(text):
        return _asked(_asked_framing(asked.group().casefold()), count)
    if CAMERA_LED.match(text):
        return _asked(_next_in_turn(text, last).framing, count)
    if count == 1:
        return [_next_in_turn(text, last)]
    return _coverage(text, count, opening=last is None)


def _asked_framing(said: str) -> Framing:
    if _ASKED_CLOSE.search(said):
        return Framing.CLOSE
    return Framing.WIDE if _ASKED_WIDE.search(said) else Framing.MEDIUM


def _asked(framing: Framing, count: int) -> list[View]:
    """The clause from *count* sides where the text has its own words for the camera already."""
    return [View(angle, framing, PLAIN_MOVES[framing], "after") for angle in ANGLES[:count]]


def _next_in_turn(text: str, last: View | None) -> View:
    """The framing that the words suggest, else wide, medium, close in turn."""
    order = list(Framing)
    following = order[(order.index(last.framing) + 1) % 3] if last else Framing.WIDE
    said = set(words(text))
    wanted = Framing.CLOSE if said & CLOSE_WORDS else Framing.WIDE if said & WIDE_WORDS else following
    framing = following if last and wanted is last.framing else wanted
    return OPENING if framing is Framing.WIDE and not last else View(framing.value, framing, PLAIN_MOVES[framing])


def _coverage(text: str, count: int, *, opening: bool) -> list[View]:
    """The clause as a whole, nearer, in detail, then from other sides; from four on, the last draws away."""
    first = OPENING if opening else COVERAGE[0]
    if count == 2:
        chosen = [first, DETAIL]
    else:
        chosen = [first, *COVERAGE[1:count - 1], CLOSING] if count > 3 else [first, *COVERAGE[1:count]]
    return [_detailed(view, words(text)) if view is DETAIL else view for view in chosen]


def _detailed(view: View, said: Sequence[str]) -> View:
    detail = next((DETAILS[word] for word in said if word in DETAILS), "the finest details")
    moves = (Move.STATIC, *view.moves) if CALM_WORDS & set(said) else view.moves
    return replace(view, label=f"{view.label} {detail}", moves=moves)


def asked_move(text: str) -> Move | None:
    """The camera move that *text* names in so many words."""
    return next((move for pattern, move in ASKED_MOVES if pattern.search(text)), None)


def choose_move(text: str, view: View, used: Sequence[Move], last: Move | None) -> Move:
    """What the prompt asks for, else what its words and the view suggest; fresh among *used*, never *last* again."""
    if asked := asked_move(text):
        return asked
    candidates = dict.fromkeys([*(_suggested(text) if view.heeds else ()), *view.moves,
                                *PLAIN_MOVES[view.framing], *Move])
    return min((move for move in candidates if move is not last), key=used.count)


def _suggested(text: str) -> list[Move]:
    said = words(text)
    moves = [MOVES[word] for word in said if word in MOVES]
    return [Move.PAN_LEFT if move is Move.PAN_RIGHT and "left" in said else move for move in moves]


def framed(view: View, text: str) -> str:
    """*text* with the view's words, as a person would write them on a shot list."""
    if view.joint == "after":
        return ", ".join(filter(None, [text[:1].upper() + text[1:], view.label]))
    of = view.joint == "of" and _is_thing(text)
    return f"{view.label}{' of' if of else ':'} {lowered(text)}"


def _is_thing(text: str) -> bool:
    """Whether "shot of" can stand before *text*: a noun phrase for certain, not a sentence."""
    tokens = words(text)
    plain = text.isascii() and not re.search(r"[.!?;]\s|[:\"]", text) and 0 < len(tokens) <= 25
    return plain and tokens[0] in DETERMINERS and not any(_may_act(tokens, i) for i in range(len(tokens)))


def _may_act(tokens: Sequence[str], at: int) -> bool:
    if is_verb(tokens, at) or tokens[at] in AUXILIARIES:
        return True
    if at == 0 or tokens[at - 1] in LINKS | DETERMINERS:
        return False
    return tokens[at] in BASES or (2 <= at < len(tokens) - 1 and tokens[at].endswith("s"))


def lowered(text: str) -> str:
    """*text* without its first capital, unless that word may be a name."""
    first = re.match(r"[A-Z][a-z]*(?=[\s,.-]|$)", text)
    return text[0].lower() + text[1:] if first and first.group().lower() in KNOWN else text
