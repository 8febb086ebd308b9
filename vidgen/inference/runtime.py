"""The backends of the inference process, and what they hold together."""

import logging
from dataclasses import dataclass, field

from vidgen.backend import Backend, BackendConfig, Control, Held, Unfinished
from vidgen.cards import Card
from vidgen.errors import OutOfVram
from vidgen.registry import make_backend
from vidgen.types import Clip, RenderSpec, Still

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Used:
    """One backend, and the models that are loaded as far as its answers tell."""

    backend: Backend
    modes: dict[str, str] = field(default_factory=dict)


class Runtime:
    """Makes each backend when a model of it is first needed. On the main thread, where not said otherwise."""

    def __init__(self, config: BackendConfig):
        self._config = config
        self._used: dict[str, _Used] = {}

    def load(self, card: Card, mode: str, control: Control) -> None:
        used = self._of(card)
        used.modes.pop(card.id, None)       # wherever it fails, it is not loaded
        used.backend.load(card, mode, control)
        used.modes[card.id] = mode

    def unload(self, card: Card, *, keep: bool) -> None:
        used = self._of(card)
        used.backend.unload(card, keep=keep)
        used.modes.pop(card.id, None)

    def render(self, card: Card, spec: RenderSpec, control: Control) -> Clip | Still | Unfinished:
        used = self._of(card)
        try:
            return used.backend.render(card, spec, control)
        except OutOfVram:
            used.modes.pop(card.id, None)
            raise

    def prepare(self, card: Card, spec: RenderSpec) -> None:
        """On a thread of its own; a hint, whose failure is nobody's."""
        if (used := self._used.get(card.provider)) is not None:
            try:
                used.backend.prepare(card, spec)
            except Exception:
                log.warning("%s could not be prepared", card.id, exc_info=True)

    def held(self) -> Held:
        """What all backends hold; a backend that does not say which models are loaded is taken at its answers."""
        each = [(used, used.backend.held()) for used in self._used.values()]
        return Held(
            device_bytes=sum(held.device_bytes for _, held in each),
            spare_bytes=sum(held.spare_bytes for _, held in each),
            shelf_bytes=sum(held.shelf_bytes for _, held in each),
            models={
                name: mode for used, held in each
                for name, mode in (used.modes if held.models is None else held.models).items()
            },
        )

    def _of(self, card: Card) -> _Used:
        if card.provider not in self._used:
            self._used[card.provider] = _Used(make_backend(card.provider, self._config))
        return self._used[card.provider]
