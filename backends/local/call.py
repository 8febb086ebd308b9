"""What one request hands to its pipeline: the card's constants, what the shot says, and the card's parameters.

Nothing is dropped in silence. What a card gives and the call does not take is refused when the model is loaded; of
what the shot says, a call gets what it takes: the frame rate of most models is that of the file alone.
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backends.local.table import SAID_BY_SHOT, Table, file_of
from vidgen.cards import Card
from vidgen.errors import StepFailed
from vidgen.types import RenderSpec

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(slots=True)
class Call:
    """One call of a pipeline: its arguments, and what it sets in the configuration of parts that are made for it."""

    arguments: dict[str, Any] = field(default_factory=dict)
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict)

    def give(self, name: str, value: Any) -> None:
        part, dot, key = name.partition(".")
        if dot:
            self.overrides.setdefault(part, {})[key] = value
        else:
            self.arguments[name] = value


def taken_by(cls: type) -> frozenset[str]:
    """The names that a pipeline's call takes; what it would swallow under any name is not among them."""
    return frozenset(
        name for name, parameter in inspect.signature(cls.__call__).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    )


def make_call(cls: type, table: Table, shot: RenderSpec, image: "Image | None") -> Call:
    """The call of *cls* that renders *shot*.

    :param image: RGB, of the shot's size.
    """
    takes, call = taken_by(cls), Call(dict(table.arguments))
    for name, value in _said(shot, image).items():
        name = table.names.get(name, name)
        if value is not None and (name in takes or "." in name):
            call.give(name, value)
    for name, value in shot.parameters.items():
        call.give(table.names.get(name, name), value)
    return call


def check_call(cls: type, card: Card, table: Table) -> None:
    """Refuse a card that gives what the call of *cls* does not take.

    :raises StepFailed: naming the card's file and field.
    """
    takes = taken_by(cls)
    for where, name in _given(card, table):
        if name not in takes and "." not in name:
            raise StepFailed(f"{file_of(card)}: {where}: {cls.__name__} takes no {name!r}", retryable=False)


def check_settings(card: Card, table: Table, parts: Mapping[str, Any]) -> None:
    """Refuse a card that sets what the configuration of a part does not have: the libraries would ignore it.

    :raises StepFailed: naming the card's file and field.
    """
    for name in table.dtypes.keys() - parts.keys():
        raise StepFailed(f"{file_of(card)}: backend.dtypes.{name}: these weights have no {name}", retryable=False)
    dotted = {f"backend.names.{ours}": name for ours, name in table.names.items() if "." in name}
    own = {f"backend.scheduler.{key}": f"scheduler.{key}" for key in table.scheduler.overrides}
    for where, name in {**dotted, **own}.items():
        part, _, key = name.partition(".")
        if part not in parts:
            raise StepFailed(f"{file_of(card)}: {where}: these weights have no {part}", retryable=False)
        cls = type(parts[part])
        if key not in inspect.signature(cls.__init__).parameters:
            raise StepFailed(f"{file_of(card)}: {where}: {cls.__name__} takes no {key!r}", retryable=False)


def needs(cls: type, name: str) -> bool:
    """Whether the call of *cls* cannot do without this argument."""
    parameter = inspect.signature(cls.__call__).parameters.get(name)
    return parameter is not None and parameter.default is parameter.empty


def _said(shot: RenderSpec, image: "Image | None") -> dict[str, Any]:
    """What the shot says, by our names; None where it leaves a thing to the pipeline."""
    said = {name: getattr(shot, name) for name in SAID_BY_SHOT}
    return {**said, "image": image, "fps": int(shot.fps) if shot.fps == int(shot.fps) else shot.fps}


def _given(card: Card, table: Table) -> Iterator[tuple[str, str]]:
    """What the card gives to every call: where it stands in the card, and its name in the call."""
    yield from ((f"backend.arguments.{name}", name) for name in table.arguments)
    yield from ((f"backend.names.{ours}", name) for ours, name in table.names.items())
    needed = [
        *(("parameters." + name, name) for name in card.parameters),
        *([("steps", "num_inference_steps")] if card.steps else []),
        *([("capabilities.negative_prompt", "negative_prompt")] if card.capabilities.negative_prompt else []),
        *([("frames", "num_frames")] if card.frames and card.frames.min != card.frames.max else []),
    ]
    yield from ((where, table.names.get(name, name)) for where, name in needed)
