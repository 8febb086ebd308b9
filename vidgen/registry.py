"""Finds backends and model cards, and pairs them.

Backends come through the entry-point group ``vidgen.backends``, built-in ones too. Cards come from the ``models``
folder beside the built-in backends, from MODELS_DIR, and with backends of other packages. What is broken is listed
with its reason and stops nothing; two cards with one id stop the start, with both places named.
"""

import importlib.util
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from vidgen.backend import Availability, Backend, BackendConfig, no_problem
from vidgen.cards import BrokenCard, Card, read_card
from vidgen.errors import ModelUnavailable, NotFound, StartRefused
from vidgen.ram import MIB, ram
from vidgen.types import EncoderSettings, Lane

if TYPE_CHECKING:                           # the inference process makes backends with no settings of its own
    from vidgen.settings import Settings

log = logging.getLogger(__name__)

GROUP = "vidgen.backends"
CACHED_SHARE = 4
"""RAM_CACHE_MB, where nobody set it, is at most one part in so many of the machine's RAM."""

PREFERRED_LANES = (Lane.GPU, Lane.REMOTE, Lane.CPU)
"""Which kind of model serves a job that names none: local first, then hosted, then the stub."""


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of the list of models; without a card or a backend it is listed and cannot run."""

    id: str
    card: Card | None
    backend: Backend | None
    problem: str | None = None

    def availability(self) -> Availability:
        """Whether it can run now; never raises, whatever the backend does."""
        if self.problem or self.backend is None or self.card is None:
            return Availability(False, self.problem)
        try:
            return self.backend.availability(self.card)
        except Exception:
            log.exception("backend %s cannot say whether %s is available", self.backend.provider, self.id)
            return Availability(False, "its backend failed; the log says more")


class Registry:
    """The models of this server.

    :raises StartRefused: where two of them have one id.
    """

    def __init__(self, models: Iterable[Model]):
        self._models: dict[str, Model] = {}
        for model in models:
            if (other := self._models.get(model.id)) is not None:
                raise StartRefused(f"two models are named {model.id}: {_place(other)} and {_place(model)}")
            self._models[model.id] = model

    def models(self) -> list[Model]:
        """All of them, the preferred first."""
        return sorted(self._models.values(), key=_preference)

    def model(self, model_id: str) -> Model:
        """The model of this id.

        :raises NotFound: where there is none.
        """
        try:
            return self._models[model_id]
        except KeyError:
            raise NotFound(f"there is no model {model_id!r}; GET /api/v1/models lists them") from None

    def runnable(self, model_id: str) -> Model:
        """The model of this id, if it can run now.

        :raises NotFound: where there is none.
        :raises ModelUnavailable: with the reason.
        """
        model = self.model(model_id)
        if not (availability := model.availability()).ok:
            raise ModelUnavailable(f"{model_id} cannot run now: {availability.reason}")
        return model

    def default(self, wanted: str | None, *, from_image: bool = False) -> Model:
        """*wanted* where it is given, else the best video model that can run now.

        :param from_image: whether the job begins with an image; otherwise the text must do, or a keyframe made of it.
        :raises ModelUnavailable: where none can.
        """
        if wanted:
            return self.runnable(wanted)
        for model in self.models():
            if model.card and model.card.makes_video and model.availability().ok and self._begins(model, from_image):
                return model
        raise ModelUnavailable("no video model can run now; GET /api/v1/models says why")

    def text_problem(self, model: Model) -> str | None:
        """Why *model* cannot run on text alone now, where an image would do; None where it can."""
        if model.card is None or not model.card.makes_video or model.card.capabilities.text_to_video:
            return None
        if (keyframe_model := model.card.keyframe_model) is None:
            return "it needs a reference image"
        if (drawing := self._models.get(keyframe_model)) is None:
            return f"it needs a reference image: there is no {keyframe_model}, which would draw one"
        if (availability := drawing.availability()).ok:
            return None
        return f"it needs a reference image: {keyframe_model}, which would draw one, cannot run: {availability.reason}"

    def _begins(self, model: Model, from_image: bool) -> bool:
        return model.card.capabilities.image_to_video if from_image else self.text_problem(model) is None

    def lanes(self) -> set[Lane]:
        """The lanes that some model renders on."""
        return {model.backend.lane for model in self._models.values() if model.backend}


def discover(settings: "Settings", device_problem: Callable[[], str | None] = no_problem) -> Registry:
    """The registry of what is installed and of what MODELS_DIR holds.

    :param device_problem: why the device that local models run on cannot be used now.
    """
    backends = dict(_backends(config_of(settings, device_problem)))
    return Registry(_models(backends, [*_card_files(settings), *_own_cards(backends)]))


def config_of(settings: "Settings", device_problem: Callable[[], str | None] = no_problem) -> BackendConfig:
    """What backends are handed of *settings*."""
    tokens, base_urls = {"replicate": settings.replicate_api_token}, {"replicate": settings.replicate_base_url}
    return BackendConfig(
        weights_dir=settings.weights_dir.absolute(),
        device=settings.gpu_device,
        tokens={name: token.get_secret_value() for name, token in tokens.items() if token},
        base_urls={name: url for name, url in base_urls.items() if url},
        encoder=EncoderSettings(settings.encoder_preset, settings.encoder_crf, settings.encoder_threads),
        ffmpeg_timeout_s=settings.ffmpeg_timeout_s,
        ram_cache_bytes=ram_cache_bytes(settings),
        device_problem=device_problem,
    )


def ram_cache_bytes(settings: "Settings") -> int:
    """What RAM_CACHE_MB comes to on this machine: as it was set, or else not too much of a small one's RAM; nothing
    where the CPU renders, since what is kept there would only fill the memory that it renders in.
    """
    if settings.gpu_device == "cpu":
        return 0
    asked, there = settings.ram_cache_mb * MIB, ram().total_bytes
    if "ram_cache_mb" in settings.model_fields_set or there is None:
        return asked
    return min(asked, there // CACHED_SHARE)


def _backends(config: BackendConfig) -> Iterator[tuple[str, Backend | str]]:
    """Each provider's backend, or the reason why it cannot be used."""
    seen: set[str] = set()
    for entry in entry_points(group=GROUP):
        if entry.name in seen:
            log.warning("a second backend is named %s; the first one is used", entry.name)
            continue
        seen.add(entry.name)
        try:
            yield entry.name, _made(entry, config)
        except Exception as e:
            log.exception("backend %s cannot be used", entry.name)
            yield entry.name, f"its backend cannot be used: {type(e).__name__}"


def make_backend(provider: str, config: BackendConfig) -> Backend:
    """The backend of *provider*, made anew; the inference process makes its own this way.

    :raises LookupError: none is installed.
    """
    for entry in entry_points(group=GROUP, name=provider):
        return _made(entry, config)
    raise LookupError(f"no backend for {provider!r} models is installed")


def _made(entry: EntryPoint, config: BackendConfig) -> Backend:
    backend = entry.load()(config)
    if backend.provider != entry.name:
        raise TypeError(f"entry point {entry.name!r} offers a backend for {backend.provider!r} models")
    return backend


def _card_files(settings: "Settings") -> Iterator[Path]:
    spec = importlib.util.find_spec("backends")
    folders = [Path(place) / "models" for place in (spec.submodule_search_locations or ())] if spec else []
    if settings.models_dir is not None:
        if not settings.models_dir.is_dir():
            raise StartRefused("bad settings:\n  MODELS_DIR: is not a folder")
        folders.append(settings.models_dir)
    for folder in folders:
        yield from sorted(folder.glob("*.toml"))


def _own_cards(backends: dict[str, Backend | str]) -> Iterator[Path]:
    """The cards that backends bring along."""
    for backend in backends.values():
        if isinstance(backend, Backend):
            try:
                yield from [Path(card) for card in backend.cards()]
            except Exception:
                log.exception("backend %s cannot list its cards", backend.provider)


def _models(backends: dict[str, Backend | str], files: Iterable[Path]) -> Iterator[Model]:
    broken: dict[str, int] = {}
    for file in files:
        try:
            card = read_card(file)
        except BrokenCard as e:
            log.warning("a model card is broken: %s", e)
            broken[file.stem] = number = broken.get(file.stem, 0) + 1
            name = file.stem if number == 1 else f"{file.stem}-{number}"
            yield Model(f"broken:{name}", None, None, f"its card is broken: {e}")
            continue
        yield _paired(card, backends.get(card.provider))


def _paired(card: Card, backend: Backend | str | None) -> Model:
    if not isinstance(backend, Backend):
        return Model(card.id, card, None, backend or f"no backend for {card.provider!r} models is installed")
    try:
        backend.check(card)
    except BrokenCard as e:
        log.warning("a model card is broken: %s", e)
        return Model(card.id, card, None, f"its card is broken: {e}")
    except Exception:
        log.exception("backend %s cannot check the card of %s", backend.provider, card.id)
        return Model(card.id, card, None, "its backend failed; the log says more")
    return Model(card.id, card, backend)


def _preference(model: Model) -> tuple[int, int, str]:
    lane = PREFERRED_LANES.index(model.backend.lane) if model.backend else len(PREFERRED_LANES)
    return lane, -(model.card.preference if model.card else 0), model.id


def _place(model: Model) -> str:
    return str(model.card.source) if model.card else model.id
