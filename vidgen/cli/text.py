"""Words for a terminal. What users and models wrote is shown as it reads, and never moves a cursor."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MAX_SLUG_CHARS = 40
JOINERS = "\u200c\u200d"
"""Persian words, and emoji that are made of several, are written with them; they move nothing."""


def printable(text: object) -> str:
    """*text* in one line, without what a terminal would obey: control characters, marks that turn the direction."""
    return "".join(map(_shown, str(text)))


def _shown(char: str) -> str:
    if char.isprintable() or char in JOINERS:
        return char
    return " " if char.isspace() else "\ufffd"


def shortened(text: object, chars: int) -> str:
    said = printable(text)
    return said if len(said) <= chars else f"{said[:chars - 1].rstrip()}…"


def fitted(line: str, columns: int) -> str:
    """As :func:`shortened`, by the columns of a terminal: some characters take two."""
    from rich.cells import cell_len, set_cell_size

    return line if cell_len(line) <= columns else f"{set_cell_size(line, columns - 1).rstrip()}…"


def slug(text: str) -> str:
    """The first words of *text* as part of a file's name; empty where it has none in Latin letters."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    while len("-".join(words)) > MAX_SLUG_CHARS:
        words.pop()
    return "-".join(words)


def seconds(value: float | None) -> str:
    """A time that is left or has passed: ``under 1 s``, ``41 s``, ``2 h 5 min``; empty where it is not known."""
    if value is None:
        return ""
    if value < 1:
        return "under 1 s"
    if value < 100:
        return f"{value:.0f} s"
    minutes = round(value / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def listed(values: Mapping[str, Any] | None) -> str:
    """``name=value, name=value``"""
    return ", ".join(f"{name}={value}" for name, value in (values or {}).items())


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns, as wide as what stands in them; the last one ends where its words do."""
    from rich.cells import cell_len, set_cell_size

    lines = [list(header), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    padded = (map(set_cell_size, line, widths) for line in lines)
    return "\n".join("  ".join(cells).rstrip() for cells in padded)
