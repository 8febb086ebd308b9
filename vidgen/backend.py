"""What a model backend must offer, and what it is handed.

A backend is a runtime (stub, replicate, local diffusers); a model is one card that it serves. Backends see this
module, ``vidgen.types``, ``vidgen.errors``, ``vidgen.cards`` and ``vidgen.media``, and nothing above.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from vidgen.cards import Card
from vidgen.types import Clip, EncoderSettings, Lane, RenderSpec, Still

WHOLE = "whole"
"""The loading mode that needs the most memory and is the quickest; the only one of most backends."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a model can run now; if not, why, and what would help."""

    ok: bool
    reason: str | None = None


AVAILABLE = Availability(True)


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a render needs beside the disk, in bytes. The device's memory is the GPU's, or RAM with GPU_DEVICE=cpu."""

    resident_bytes: int = 0                 # of the device's memory, for as long as the model is loaded
    peak_bytes: int = 0                     # of the device's memory while it renders, the resident part included
    ram_bytes: int = 0                      # of the machine's memory, beside that


@dataclass(frozen=True, slots=True)
class Held:
    """What a backend's runtime holds now, in bytes."""

    device_bytes: int = 0                   # of the device's memory, as its allocator counts: models, and what is spare
    spare_bytes: int = 0                    # of these: held by the allocator, and free for the next render
    shelf_bytes: int = 0                    # weights of models that are not loaded, kept in RAM
    models: Mapping[str, str] | None = None # card id -> mode, of those loaded; None: as load and unload left it


def no_problem() -> None:
    """The device can be used, as far as is known."""


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """What a backend needs of the settings; it reads no environment of its own."""

    weights_dir: Path
    device: str = "auto"                    # the setting GPU_DEVICE
    tokens: Mapping[str, str] = field(default_factory=dict)     # by the service's name
    base_urls: Mapping[str, str] = field(default_factory=dict)  # likewise, where not the service's own
    encoder: EncoderSettings = EncoderSettings()
    ffmpeg_timeout_s: float = 120.0
    ram_cache_bytes: int = 0                # for the weights of models that are not loaded
    device_problem: Callable[[], str | None] = no_problem   # why the device cannot be used now; asked in the server


PREVIEW_INTERVAL_S = 1.0
"""Between one preview of a render and the next."""

Preview = bytes | Callable[[], bytes]
"""A small image (JPEG or WebP), or what makes it; that is called off the rendering thread, and not at all where a
preview was shown less than a second ago."""


Unfinished = Callable[[], Clip | Still]
"""What writes the file of a render whose frames are made."""


class Control(Protocol):
    """A render's only line to the engine."""

    kept: Mapping[str, Any]
    """What earlier attempts at this step gave to :meth:`keep`."""

    def step(self, phase: str, i: int, n: int, preview: Preview | None = None) -> None:
        """Report that *i* of *n* units of *phase* are done. Never waits for a commit. In the phase ``render`` of the
        GPU lane, something more urgent may run, with models of the same backend, before it returns.

        :param phase: ``load``, ``render``, ``decode``, ``encode``, …: a word that people read.
        :param preview: of what is being made.
        :raises Cancelled: the client asked for the job to end.
        :raises Interrupted: the server is going down.
        :raises Overdue: the phase outlived its deadline.
        """

    def check(self) -> None:
        """Raise as :meth:`step` would, and report nothing; for loops that wait."""

    def alive(self) -> None:
        """A sign of life with nothing to report, for work whose single units take minutes. Raises as :meth:`step`."""

    def keep(self, facts: Mapping[str, Any]) -> None:
        """Keep *facts* (JSON; they replace ``kept``) for the next attempt, which may be after a restart. Committed
        when this returns, but for backends on the GPU lane, whose word is passed on and not waited for.
        """

    def note(self, code: str, message: str) -> None:
        """Tell the job's listeners something worth knowing that ends nothing."""


class Backend(ABC):
    """A runtime that renders the models whose cards name it as their ``provider``."""

    provider: ClassVar[str]                  # the part of a model id before ":"
    lane: ClassVar[Lane]                     # GPU, REMOTE or CPU

    def __init__(self, config: BackendConfig):
        self.config = config

    def cards(self) -> Iterable[Path]:
        """The card files that come with this backend, beside those in the built-in folder and in MODELS_DIR."""
        return ()

    def check(self, model: Card) -> None:  # noqa: B027
        """Whether *model*'s card is one that this backend can read; called once, when the server starts.

        :raises BrokenCard: naming file, field and what was expected.
        """

    @abstractmethod
    def availability(self, model: Card) -> Availability:
        """Whether *model* can run now. Cheap and pure: imports nothing heavy, asks no network."""

    def modes(self, model: Card) -> Sequence[str]:
        """The ways in which *model* can be loaded on this device, the quickest and largest first. The video is the same
        in all of them, but for rounding. Pure.
        """
        return (WHOLE,)

    def footprint(self, model: Card, shot: RenderSpec, mode: str = WHOLE) -> Footprint:
        """What rendering *shot* would need. Pure."""
        return Footprint(ram_bytes=int(model.memory.ram_gb * 2**30))

    def lighter(self, model: Card, shot: RenderSpec) -> RenderSpec | None:
        """*shot* with the next parameter that needs less memory and changes the video; None where there is none. Pure.
        """
        return None

    def load(self, model: Card, mode: str, control: Control) -> None:  # noqa: B027
        """Make *model* ready to render, beside those that are loaded; nothing to do where there are no weights. A model
        that is loaded in another mode changes it. Only the GPU lane calls this.

        :raises Stopped: as *control* raised it; it is not loaded then.
        :raises OutOfVram: the device's memory did not suffice; it is not loaded then.
        :raises StepFailed: the weights cannot be loaded.
        """

    def unload(self, model: Card, *, keep: bool = False) -> None:  # noqa: B027
        """Give back what :meth:`load` took of the device's memory.

        :param keep: whether the weights may stay in RAM, within ``ram_cache_bytes``, so that loading is a copy.
        """

    def prepare(self, model: Card, shot: RenderSpec) -> None:  # noqa: B027
        """*shot* will probably be rendered next: do beforehand what disturbs no render. Called on another thread."""

    def held(self) -> Held:
        """What this runtime holds now. Cheap."""
        return Held()

    @abstractmethod
    def render(self, model: Card, shot: RenderSpec, control: Control) -> "Clip | Still | Unfinished":
        """Render *shot* into ``shot.output`` and say what was written.

        A video model returns a :class:`Clip`, a text-to-image model a :class:`Still`. On the GPU lane it may return as
        soon as the device is free, with what finishes the file: that is called once, on another thread, while the next
        shot is rendered, and may raise as this method does.

        Where ``shot.frames`` is a path, the frames of a clip are to be kept there, which ``ClipWriter`` does. A backend
        that leaves that out has them taken from its clip.

        :raises Stopped: as ``control.step`` raised it; nothing needs to be cleaned up but open resources.
        :raises OutOfVram: the device's memory did not suffice in any mode; the model is not loaded any more.
        :raises StepFailed: with ``retryable`` false where another attempt cannot help.
        """

    def price_usd(self, model: Card, shot: RenderSpec) -> float | None:
        """What rendering *shot* costs, by the card; None where that is not known, or nothing. Pure."""
        return None

    def abandon(self, model: Card, kept: Mapping[str, Any]) -> None:  # noqa: B027
        """A step was cancelled while it did not run: end what still runs elsewhere on its account. May block.

        :param kept: what the step gave to :meth:`Control.keep`.
        """

    def revision(self, model: Card) -> str:
        """Which version of *model* would render now, for the recipe."""
        return model.revision

    def versions(self) -> Mapping[str, str]:
        """The library versions that determine the frames, for the recipe."""
        return {}
