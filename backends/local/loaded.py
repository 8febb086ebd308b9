"""One model in memory: its components, and a new pipeline object over them for each request.

A pipeline object is stateful (scheduler, guidance); the components are not, as long as what a stop leaves in them is
put right.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from backends.local.account import Account
from backends.local.call import check_call, check_settings
from backends.local.families import Family, family
from backends.local.footprint import OFFLOADED, modes_of
from backends.local.ladder import Ladder
from backends.local.layout import Layout, read_layout
from backends.local.loading import device_of, load_parts, options_of, quiet, weights_bytes
from backends.local.memory import as_out_of_vram, empty_caches, give_back, let_go
from backends.local.modes import Modes
from backends.local.residence import Residence
from backends.local.shelf import Shelf, Shelved, Stamp, stamp_of
from backends.local.table import Table
from vidgen.backend import BackendConfig, Control
from vidgen.cards import Card
from vidgen.weights import folder

if TYPE_CHECKING:
    from torch import device, nn

REMADE = ("scheduler", "guider")
"""Components that keep a request's state, and are made anew for each."""


class Loaded:
    """The components of *card*'s model. Made by :func:`load`.

    :param residences: where the weights of its networks are; None where they stay where they were loaded.
    :param stamp: of its files.
    :param shelf: whose room its copy on the host takes; *reserved* bytes already.
    :param rungs: the modes that it sinks through where the memory does not suffice; None for all that there are.
    :param free_others: takes idle models off the device then.
    """

    def __init__(
        self, card: Card, table: Table, parts: Mapping[str, Any], options: Mapping[type, Mapping[str, Any]],
        residences: Mapping[str, Residence] | None = None, *, stamp: Stamp | None = None, shelf: Shelf | None = None,
        reserved: int = 0, rungs: Sequence[str] | None = None, free_others: Callable[[], None] = lambda: None,
    ):
        self.card = card
        self.table = table
        self.family: Family = family(table.family)
        self._parts = parts
        self._options = options
        self._modes = Modes(residences or _at_home(parts))
        self._stamp = stamp
        self._shelf = shelf or Shelf(0)
        self._reserved = reserved
        rungs = modes_of(card, self.device.type) if rungs is None else rungs
        self._ladder = Ladder(self._modes, rungs, free_others)

    @property
    def classes(self) -> list[type]:
        """The pipeline class, and where there is one, the class for shots with an image."""
        return list(self._options)

    @property
    def device(self) -> "device":
        """Where it computes."""
        return self._modes.device

    @property
    def mode(self) -> str:
        """The loading mode; running out of memory lowers it."""
        return self._modes.mode

    @property
    def bytes(self) -> int:
        """Of all its weights, wherever they are."""
        return self._modes.bytes

    def networks(self) -> dict[str, "nn.Module"]:
        """The components that compute, by name."""
        return self._modes.networks

    def set_mode(self, mode: str) -> None:
        """Change the loading mode. Not while it renders.

        :raises torch.OutOfMemoryError: it does not fit; it is to be shelved or released then.
        """
        if mode != self.mode:
            self.place(mode)

    def place(self, mode: str) -> None:
        """Put its networks where *mode* has them, after :func:`load` or :meth:`shelve`; raises as :meth:`set_mode`."""
        self._modes.set(mode)
        empty_caches()

    @contextmanager
    def request(self, cls: type, overrides: Mapping[str, Mapping[str, Any]], account: Account) -> Iterator[Any]:
        """A pipeline for one request. Where that does not come to its end, the components are as before.

        :param cls: one of :attr:`classes`.
        :param overrides: of the configuration of ``scheduler`` and ``guider``, for this request.
        :param account: is told where the memory does not suffice.
        """
        remade = {name: self._remade(name, overrides.get(name, {})) for name in REMADE if name in self._parts}
        pipeline = _placed(cls, self.device)(**{**self._options[cls], **remade})
        pipeline.set_progress_bar_config(disable=True)
        self.family.prepare(pipeline)
        try:
            with self._ladder.request(account):
                yield pipeline
        except BaseException:
            pipeline.maybe_free_model_hooks()
            self._modes.put_right()
            raise
        finally:
            self._modes.rest()

    def shelve(self) -> Shelved | None:
        """Leave the device, and be kept in RAM; None where there is no room, and all is given back."""
        if self._reserve():
            self._modes.take_off()
            empty_caches()
            return Shelved(self)
        self.release()
        return None

    def fits(self, card: Card, table: Table, stamp: Stamp) -> bool:
        """Whether it is what loading *card* from files with this *stamp* would give."""
        return (self.card, self.table, self._stamp) == (card, table, stamp)

    def release(self) -> None:
        """Give the memory back. The object is of no use afterwards."""
        self._parts, self._options = {}, {}
        self._modes = Modes({})
        self._ladder = Ladder(self._modes, (), lambda: None)
        self._shelf.give_back(self._reserved)
        self._reserved = 0
        give_back()

    def _reserve(self) -> bool:
        if not self._reserved and self._shelf.reserve(self.bytes):
            self._reserved = self.bytes
        return bool(self._reserved)

    def _remade(self, name: str, overrides: Mapping[str, Any]) -> Any:
        part = self._parts[name]
        if name == "guider":
            return part.new(**overrides)
        return type(part).from_config(part.config, **overrides)


def load(
    card: Card, table: Table, config: BackendConfig, mode: str, control: Control, shelf: Shelf,
    free_others: Callable[[], None] = lambda: None,
) -> Loaded:
    """*card*'s model in *mode*: from *shelf* where it is there, which takes no time to speak of, else from its folder.

    :raises Stopped: as *control* raised it.
    :raises StepFailed: the weights cannot be loaded, or the card asks of the pipeline what it does not have.
    :raises OutOfVram: it does not fit; nothing is left on the device.
    """
    try:
        return _load(card, table, config, mode, control, shelf, free_others)
    except BaseException as e:
        said = as_out_of_vram(e)
        let_go(e)                           # whatever it was: its frames hold what had been read
        give_back()
        if said is None:
            raise
        raise said from None


def _load(
    card: Card, table: Table, config: BackendConfig, mode: str, control: Control, shelf: Shelf,
    free_others: Callable[[], None],
) -> Loaded:
    stamp = stamp_of(card, config.weights_dir)
    loaded = _from(shelf, card, table, stamp)
    if loaded is None:
        loaded = _read(card, table, config, mode, control, shelf, stamp, free_others)
    try:
        loaded.place(mode)
    except BaseException:
        if (shelved := loaded.shelve()) is not None:
            shelf.put(card.id, shelved)     # the next mode down need not read it again
        raise
    return loaded


def _from(shelf: Shelf, card: Card, table: Table, stamp: Stamp) -> Loaded | None:
    """The model as it was shelved; None where it is not there, or is another by now."""
    shelved = shelf.take(card.id)
    if shelved is None or shelved.loaded.fits(card, table, stamp):
        return shelved and shelved.loaded
    shelved.release()
    return None


def _read(
    card: Card, table: Table, config: BackendConfig, mode: str, control: Control, shelf: Shelf, stamp: Stamp,
    free_others: Callable[[], None],
) -> Loaded:
    """The model from its folder; where *mode* has all of it on the device, each network goes there once it is read."""
    import diffusers

    quiet()
    layout = read_layout(folder(card, config.weights_dir))
    classes = [getattr(diffusers, name) for name in table.pipelines.values()]
    for cls in classes:
        check_call(cls, card, table)
    device = device_of(config.device)
    residences: dict[str, Residence] = {}
    with _room(shelf, layout, table, device) as reserved:

        def settle(name: str, network: "nn.Module") -> None:
            residences[name] = Residence(network, device)
            if reserved or mode in OFFLOADED:
                residences[name].keep()
            if mode not in OFFLOADED:
                residences[name].bring()

        parts = load_parts(layout, table, device, control, settle)
        parts["scheduler"] = _scheduler(parts["scheduler"], table)
        check_settings(card, table, parts)
        options = {cls: options_of(cls, layout, parts) for cls in classes}
        return Loaded(
            card, table, parts, options, residences, stamp=stamp, shelf=shelf, reserved=reserved,
            free_others=free_others,
        )


@contextmanager
def _room(shelf: Shelf, layout: Layout, table: Table, device: "device") -> Iterator[int]:
    """Bytes that are reserved for a copy on the host, which makes taking the model off the device free; 0 where there
    is no room, or where device and host are one. Given back where loading fails.
    """
    size = weights_bytes(layout, table) if device.type == "cuda" else 0
    reserved = size if shelf.reserve(size) else 0
    try:
        yield reserved
    except BaseException:
        shelf.give_back(reserved)
        raise


def _at_home(parts: Mapping[str, Any]) -> dict[str, Residence]:
    import torch

    return {
        name: Residence(part, torch.device("cpu")) for name, part in parts.items() if isinstance(part, torch.nn.Module)
    }


@cache
def _placed(cls: type, device: "device") -> type:
    """*cls* on *device*, wherever the weights are at the moment: it asks them, and some of them are on the host."""
    here = property(lambda self: device)
    return type(cls.__name__, (cls,), {
        "__module__": cls.__module__, "_execution_device": here, "device": here,
    })


def _scheduler(released: Any, table: Table) -> Any:
    """The released scheduler as the card changes it."""
    import diffusers

    cls = getattr(diffusers, table.scheduler.class_name) if table.scheduler.class_name else type(released)
    return cls.from_config(released.config, **table.scheduler.overrides)
