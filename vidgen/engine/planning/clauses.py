"""A prompt's own clauses: sentences, what follows a "then" or a semicolon, the items of an enumeration.

Text in, pieces of the same text out; a word is never cut. Knows nothing of shots or cameras.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise

from vidgen.engine.planning.lexicon import DETERMINERS, DETERMINERS_ELSEWHERE, FINITE, LINKS
from vidgen.engine.planning.wording import JOINERS, has_verb, participle_at, tidy, weight, words

RUN_ON_CHARS = 600                # a clause longer than this is broken between words where shots are left over
MAX_BREAKS_TRIED = 40             # commas looked at in one clause, those nearest its middle
WRAPPED_LINE_CHARS = 50           # a line longer than this may have been broken by an editor, not by the writer

_STOP = r"(?:(?<![.!?…])[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？；;؟۔؛।॥።]+[”’」』）\"]*)"
_THEN = (
    r"\s*,?\s+(?:and\s+|but\s+)?then\b,?\s+(?=\w)|,?\s+(?:and\s+)?(?:after that|afterwards)\b,?\s+(?=\w)"
    r"|\s*(?:->|=>|→|⇒|➜)\s*|,\s+while\s+(?!\w+ing\b)"
)
_THEN_ELSEWHERE = (
    r",?\s+(?:(?:y|et|und|e|а|и)\s+)?(?:luego|después|entonces|puis|ensuite|dann|danach|poi|depois|затем|потом)\b"
    r"(?!\s+(?:de|que|di|da|do)\b),?\s+"
    r"|[，,、]?\s*(?:然后|然後|接着|接著|随后|隨後|それから|その後|そして|그리고 나서|그런 다음|그 후)[，,、]?\s*"
    r"|[،,]?\s+ثم\s+"
)
_STRONG = re.compile(
    rf"(?P<stop>{_STOP})|(?P<line>\n)|(?P<then>{_THEN})|(?P<elsewhere>{_THEN_ELSEWHERE})", re.IGNORECASE
)
_WEAK = re.compile(
    r"(?P<comma>[,،]\s+(?:and\s+)?)|(?P<wide>[，、])|(?P<dash>\s[—–]\s)|(?P<join>\s+and\s+)|(?P<during>\s+while\s+)",
    re.IGNORECASE,
)
_NOT_AN_END = re.compile(r"(?:\b(?:mr|mrs|ms|dr|st|prof|vs|e\.g|i\.e|etc|no|approx|jr|sr)|\b[A-Z])\.$", re.IGNORECASE)
_NOT_A_SEQUENCE = re.compile(r"\b(?:even|since|until|by|back|just|now|if .*)$", re.IGNORECASE)
_BULLET = re.compile(
    r"^(?:[-*•–—·]+|\(?\d{1,2}[.)]|(?:shot|scene|clip)\s*(?:#\s*)?\d{1,2}\s*[:.)–—-])\s+", re.IGNORECASE
)
_LEAD = re.compile(
    r"^(?:(?:and|but)\s+)?(?:(?:then|finally|afterwards|after that|meanwhile)\b,?"
    r"|(?:next|first|second|third|later|now),|(?:luego|después|puis|ensuite|dann|danach|poi|depois|затем|потом),?(?!\s+(?:de|que)\b)(?=\s))\s+",
    re.IGNORECASE,
)
_OPEN = dict(zip("“«「『([（《【", "”»」』)]）》】", strict=True))


@dataclass(frozen=True, slots=True)
class Clause:
    """A piece of the prompt."""

    text: str
    follows: bool = False            # a sequencing word such as "then" stood before it
    elsewhere: bool = False          # that word was not English: who acts cannot be read out of the clause


def split(prompt: str, wanted: int) -> list[Clause]:
    """*prompt* in order as 1 to *wanted* clauses, fewer only where it has no more of them."""
    text = "\n".join(_lines(prompt))
    spans = _trimmed(text, _strong(text))
    while len(spans) < wanted and (broken := _break_one(text, spans)):
        spans = broken
    return [_clause(text, group) for group in _grouped(spans, wanted)]


def _lines(prompt: str) -> Iterator[str]:
    """The prompt's lines without list marks; a sentence that an editor wrapped is one line again."""
    held = ""
    for raw in re.split(r"[\n\r\v\f\x85\u2028\u2029]", prompt):
        line = tidy(raw)
        goes_on = len(held) > WRAPPED_LINE_CHARS and line[:1].islower() and held[-1] not in ".!?;:"
        if held and not goes_on:
            yield held
            held = ""
        bare = _BULLET.sub("", line) or line
        held = f"{held} {line}" if held else bare
    if held:
        yield held


_Span = tuple[int, int, str]          # start, end, the kind of boundary before it


def _strong(text: str) -> Iterator[_Span]:
    sheltered = _sheltered(text)
    start, kind = 0, "stop"
    for match in _STRONG.finditer(text):
        if sheltered[match.start()] and match.lastgroup != "line":
            continue
        if match.lastgroup == "stop" and _NOT_AN_END.search(text, max(start, match.start() - 8), match.end()):
            continue
        if match.lastgroup == "then" and _NOT_A_SEQUENCE.search(text[start:match.start()]):
            continue
        yield start, match.end() if match.lastgroup == "stop" else match.start(), kind
        start, kind = match.end(), match.lastgroup or "stop"
    yield start, len(text), kind


def _sheltered(text: str) -> list[bool]:
    """For each character, whether it stands inside quotation marks or brackets that are closed again."""
    inside = [False] * len(text)
    marks = [i for i, c in enumerate(text) if c == '"']
    closed = list(zip(marks[::2], marks[1::2], strict=False))
    waiting: dict[str, list[int]] = {}
    for i, c in enumerate(text):
        if c in _OPEN:
            waiting.setdefault(_OPEN[c], []).append(i)
        elif waiting.get(c):
            closed.append((waiting[c].pop(), i))
    for start, end in closed:
        inside[start:end] = [True] * (end - start)
    return inside


def _trimmed(text: str, spans: Iterator[_Span]) -> list[_Span]:
    """The spans that hold a word or a picture, without spaces, loose commas and words such as "Then" at their head."""
    kept = []
    for start, end, kind in spans:
        piece = text[start:end]
        lead = _LEAD.match(piece.lstrip())
        if lead and lead.end() < len(piece.strip()):
            start += len(piece) - len(piece.lstrip()) + lead.end()
            kind = "then" if re.search("then|after", lead.group(), re.IGNORECASE) else kind
        while start < end and text[start] in " \n,，、;；":
            start += 1
        while start < end and text[end - 1] in " \n,，、;；":
            end -= 1
        if any(c.isalnum() or unicodedata.category(c) == "So" for c in text[start:end]):
            kept.append((start, end, kind))
    return kept or [(0, len(text), "stop")]


def _break_one(text: str, spans: list[_Span]) -> list[_Span] | None:
    """One more span, from the longest that can be broken; None where none can."""
    for breaks in (_weak_breaks, _run_on_breaks):
        for i in sorted(range(len(spans)), key=lambda i: spans[i][0] - spans[i][1]):
            start, end, kind = spans[i]
            if found := next(breaks(text, spans[i]), None):
                left, right = found
                return [*spans[:i], (start, left, kind), (right, end, "comma"), *spans[i + 1:]]
    return None


def _weak_breaks(text: str, span: _Span) -> Iterator[tuple[int, int]]:
    """Commas and "and"s at which the span can be broken, the one nearest its middle first."""
    start, end, kind = span
    piece = text[start:end]
    sheltered = _sheltered(piece)
    found = list(pairwise([*(m for m in _WEAK.finditer(piece) if not sheltered[m.start()]), None]))
    middle = len(piece) / 2
    for match, following in sorted(found, key=lambda pair: abs(pair[0].start() - middle))[:MAX_BREAKS_TRIED]:
        right = piece[match.end():following.start() if following else None]
        boundary = "item" if match.lastgroup == "join" and kind == "comma" else str(match.lastgroup)
        if _stands_alone(boundary, piece[: match.start()], right, piece[match.end():]):
            yield start + match.start(), start + match.end()


def _stands_alone(boundary: str, left: str, right: str, rest: str) -> bool:
    """Whether what is *right* of a comma or an "and" is a picture of its own, not a part of what is *left* of it."""
    if boundary == "wide":
        return len(left.strip()) >= 2 and len(right.strip()) >= 2
    before, after = words(left), words(right)
    if weight(left) < 2 or not after or after[0] in LINKS:
        return False
    if boundary == "item" and before[0] in DETERMINERS and after[0] in DETERMINERS:
        return not any(word in LINKS for word in before + after) and not has_verb(right)
    if boundary in ("join", "item", "during"):
        return weight(left) >= 3 and weight(right) >= 2 and has_verb(left) and has_verb(right)
    if before[0] in LINKS and not has_verb(left):
        return False
    if after[0] in DETERMINERS | DETERMINERS_ELSEWHERE or participle_at(after) is not None:
        return True
    if after[0] in FINITE or boundary == "dash":
        return weight(right) >= 2
    return weight(left) >= 4 and weight(rest) >= 4 and weight(right) >= 3


def _run_on_breaks(text: str, span: _Span) -> Iterator[tuple[int, int]]:
    start, end, _ = span
    if end - start <= RUN_ON_CHARS:
        return
    spaces = [(start + m.start(), start + m.end()) for m in re.finditer(r"(?<=\S)\s+(?=\S)", text[start:end])]
    middle = (start + end) // 2
    yield min(spaces, key=lambda cut: abs(cut[0] - middle)) if spaces else _between_characters(text, middle)


def _between_characters(text: str, at: int) -> tuple[int, int]:
    """The nearest place at or before *at* that parts no character from its marks."""
    while at > 1 and (unicodedata.category(text[at])[0] == "M" or JOINERS.find(text[at]) >= 0
                      or JOINERS.find(text[at - 1]) >= 0):
        at -= 1
    return at, at


def _grouped(spans: list[_Span], wanted: int) -> list[list[_Span]]:
    """Neighbours put together until there are *wanted* groups of about the same length."""
    count = min(len(spans), wanted)
    reached = list(accumulate(end - start for start, end, _ in spans))
    groups, first = [], 0
    for group in range(1, count + 1):
        goal = reached[-1] * group / count
        last = min(range(first, len(spans) - count + group), key=lambda i: abs(reached[i] - goal))
        last = len(spans) - 1 if group == count else last
        groups.append(spans[first:last + 1])
        first = last + 1
    return groups


def _clause(text: str, group: list[_Span]) -> Clause:
    (start, _, kind), end = group[0], group[-1][1]
    joined = re.sub(r"(?<=[^.!?…。！？;；,，])\s*\n", ", ", text[start:end]).replace("\n", " ")
    return Clause(joined, follows=kind in ("then", "elsewhere"), elsewhere=kind == "elsewhere")
