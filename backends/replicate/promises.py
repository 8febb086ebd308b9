"""Whether a hosted model's card keeps its promises: what a client may ask for reaches the model, nothing is lost."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from backends.replicate.table import SHOT_FIELDS, Table
from vidgen.card_parts import Range
from vidgen.cards import BrokenCard, Card

MAX_VALUES = 10_000
"""As many numbers of frames of one card are looked at."""


def read_table(card: Card) -> Table:
    """The table of *card*, held against what the rest of the card promises.

    :raises BrokenCard: naming the file, the field and what was expected.
    """
    file = card.source.name if card.source else card.id
    try:
        table = Table(**card.backend)
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(["backend", *map(str, first["loc"])])
        raise BrokenCard(f"{file}: {where}: {first['msg']}") from e
    for field, expected in _problems(card, table):
        raise BrokenCard(f"{file}: {field}: {expected}")
    return table


def _problems(card: Card, table: Table) -> Iterator[tuple[str, str]]:
    """Each field that is wrong, and what was expected of it."""
    yield from _unknown_fields(card, table)
    yield from _unkept_promises(card, table)
    yield from _lost_numbers(card, table)
    yield from _wrong_keys(card, table)


def _unknown_fields(card: Card, table: Table) -> Iterator[tuple[str, str]]:
    for name, field in table.asked.items():
        if field not in SHOT_FIELDS and field not in card.parameters:
            yield f"backend.input.{name}", f"${field} is neither a field of a shot nor a parameter of the card"
    for name in card.parameters:
        if name in SHOT_FIELDS:
            yield f"parameters.{name}", "a shot has a field of this name; name the parameter differently"
        if name in table.input and table.asked.get(name) != name:
            yield f"parameters.{name}", f"backend.input.{name} says otherwise what is sent under this name"


def _unkept_promises(card: Card, table: Table) -> Iterator[tuple[str, str]]:
    """What a client may ask for reaches the model; what reaches the model, a client may ask for."""
    can = card.capabilities
    promises = {
        "image": ("capabilities.image_to_video", can.image_to_video),
        "prompt": ("capabilities.reads_text", can.reads_text),
        "negative_prompt": ("capabilities.negative_prompt", can.negative_prompt),
        "num_inference_steps": ("steps", card.steps is not None),
    }
    for field, (where, promised) in promises.items():
        sent = field in table.asked.values()
        if promised and not sent:
            yield where, f"an input in [backend.input] that is ${field}"
        if sent and not promised:
            yield where, f"[backend.input] sends ${field}, so the card must offer it"


def _lost_numbers(card: Card, table: Table) -> Iterator[tuple[str, str]]:
    """Numbers that a client may choose and that would not reach the model."""
    sent = set(table.asked.values())
    follows_image = "image" in sent and not card.capabilities.text_to_video
    if not (table.sizes or {"width", "height"} <= sent or follows_image or _is_one_size(card)):
        yield "backend.sizes", "what is sent for each size, or $width and $height in [backend.input]"
    if not card.makes_video:
        return
    if not (table.lengths or sent & {"num_frames", "seconds"} or len(_values(card.frames)) == 1):
        yield "backend.lengths", "what is sent for each number of frames, or $num_frames or $seconds in [backend.input]"
    if "fps" not in sent and card.fps.min != card.fps.max:
        yield "fps", "one value, or $fps in [backend.input]"
    if "seconds" in sent and (odd := _broken_seconds(card)):
        yield "frames", f"whole seconds, since $seconds is sent; {odd:g} frames at {card.fps.default:g} fps are not"


def _wrong_keys(card: Card, table: Table) -> Iterator[tuple[str, str]]:
    """The keys of the two tables, held against the sizes and lengths that the card offers."""
    if table.sizes:
        if not card.sizes and not _is_one_size(card):
            yield "sizes", "the list of the sizes that [backend.sizes] has entries for"
        sizes = card.sizes or [(int(card.width.default), int(card.height.default))]
        yield from _differences("backend.sizes", {f"{width}x{height}" for width, height in sizes}, table.sizes)
    if table.lengths and card.makes_video:
        yield from _differences("backend.lengths", {f"{value:g}" for value in _values(card.frames)}, table.lengths)


def _differences(where: str, offered: set[str], table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in sorted(offered - table.keys()):
        yield where, f"an entry for {key}"
    for key in sorted(table.keys() - offered):
        yield f"{where}.{key}", "the card does not offer it"


def _is_one_size(card: Card) -> bool:
    return card.width.min == card.width.max and card.height.min == card.height.max


def _values(numbers: Range) -> list[float]:
    """The legal values, as far as they are looked at; a range without steps stands for its ends."""
    if not numbers.step:
        return sorted({numbers.min, numbers.max})
    count = min(int((numbers.max - numbers.min) / numbers.step + 1e-9) + 1, MAX_VALUES)
    return [numbers.min + i * numbers.step for i in range(count)]


def _broken_seconds(card: Card) -> float | None:
    """A number of frames that is more than a frame away from whole seconds."""
    fps = card.fps.default
    return next((n for n in _values(card.frames) if abs(n / fps - round(n / fps)) > 1.001 / fps), None)
