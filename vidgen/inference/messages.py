"""What the GPU lane and its child say to each other. Frames never cross: the child writes files under temporary names.

Every command carries a ticket, and is answered by exactly one :data:`Answer` with that ticket; before it come any
number of :data:`Sign`. The child does one command at a time, in the order in which they came, with two exceptions:
:class:`Run` goes inside of the render that runs, and after :class:`Rendered` the clip is finished beside the next
command.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vidgen.backend import BackendConfig, Held
from vidgen.cards import Card
from vidgen.types import Clip, RenderSpec, Still

# lane to child


@dataclass(frozen=True, slots=True)
class Begin:
    """The first message: what the backends need of the settings, and how to log."""

    config: BackendConfig
    log_level: str
    log_format: str


@dataclass(frozen=True, slots=True)
class Load:
    ticket: int
    card: Card
    mode: str


@dataclass(frozen=True, slots=True)
class Unload:
    """``keep``: its weights may stay in RAM."""

    ticket: int
    card: Card
    keep: bool


@dataclass(frozen=True, slots=True)
class Render:
    ticket: int
    card: Card
    spec: RenderSpec
    kept: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """Do *command* inside of the render that runs, at its next denoising step; at once where none runs. One deep."""

    command: "Load | Unload | Render"


@dataclass(frozen=True, slots=True)
class Prepare:
    """A hint, never answered: this will probably be rendered next."""

    card: Card
    spec: RenderSpec


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the command with this ticket at its next sign of life; at once where it has not begun."""

    ticket: int


@dataclass(frozen=True, slots=True)
class Stop:
    """End in order, once the commands that came before have been answered."""


# child to lane


@dataclass(frozen=True, slots=True)
class Ready:
    """The child has started, and takes commands."""


@dataclass(frozen=True, slots=True)
class Holds:
    """What the child holds now, said whenever it has changed: before the answer to the command that changed it, and
    before the word that a denoising step is done.
    """

    held: Held


@dataclass(frozen=True, slots=True)
class Begun:
    """The child does this command now; what comes before waits for others."""

    ticket: int


@dataclass(frozen=True, slots=True)
class Progress:
    ticket: int
    phase: str
    i: int
    n: int


@dataclass(frozen=True, slots=True)
class Previewed:
    ticket: int
    image: bytes


@dataclass(frozen=True, slots=True)
class Alive:
    ticket: int


@dataclass(frozen=True, slots=True)
class Noted:
    ticket: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Kept:
    ticket: int
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Waits:
    """The frames are made, and the clip before it is still being written: that one's signs of life are its own."""

    ticket: int


@dataclass(frozen=True, slots=True)
class Rendered:
    """The frames are made; the child takes the next command while their file is written. Not yet the answer."""

    ticket: int


@dataclass(frozen=True, slots=True)
class Done:
    """The model is loaded, or unloaded."""

    ticket: int


@dataclass(frozen=True, slots=True)
class ClipReady:
    """The file is whole and closed, under its temporary name."""

    ticket: int
    result: Clip | Still


@dataclass(frozen=True, slots=True)
class GaveWay:
    """The command ended because it was asked to; the model is as good as before."""

    ticket: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The command failed.

    ``fatal``: not in a way that its backend foresaw, so that nobody knows what state it left; the child ends itself.
    """

    ticket: int
    detail: str
    code: str
    retryable: bool
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """The command ran out of the device's memory; its model is no longer loaded."""

    ticket: int
    detail: str


# the reader's own


@dataclass(frozen=True, slots=True)
class Died:
    """Nothing more will come; said by the thread that reads, not by the child.

    ``charged`` is the ticket of what is held to be the cause; the others were bystanders.
    """

    reason: str
    charged: int | None


Command = Load | Unload | Render
Sign = Begun | Progress | Previewed | Alive | Noted | Kept | Waits | Rendered
Answer = Done | ClipReady | GaveWay | Failed | OutOfMemory
