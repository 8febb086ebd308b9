"""The ladder of loading modes: a network that runs out of memory computes the same once more, one mode lower.

Every network is entered through here. What it is given still stands in the pipeline's own frame, so nothing that the
request has made is lost.
"""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from backends.local.account import Account
from backends.local.halves import in_halves
from backends.local.memory import give_back, is_out_of_vram, let_go
from backends.local.modes import Modes, clear_cache
from vidgen.backend import WHOLE

if TYPE_CHECKING:
    from torch import nn

DENOISERS = ("unet", "transformer", "transformer_2")
"""What diffusers calls the networks that denoise; where there are two, each has a part of the steps."""

CODECS = ("encode", "decode")
"""Entries of a VAE, beside being called."""

log = logging.getLogger(__name__)


class Ladder:
    """Of one model.

    :param rungs: the modes that it can sink through, the largest first.
    :param free_others: takes idle models off the device.
    """

    def __init__(self, modes: Modes, rungs: Sequence[str], free_others: Callable[[], None]):
        self._modes = modes
        self._rungs = rungs
        self._free_others = free_others
        self._accounts: list[Account] = []  # of the requests that run, the innermost last
        self._entered: set[str] = set()
        for name, network in modes.networks.items():
            _enclose(network, functools.partial(self._enter, name))

    @contextmanager
    def request(self, account: Account) -> Iterator[None]:
        """Inside, *account* is told how far the model sinks. A request inside of which this one runs goes on in the
        mode that it had: what was too much for this one may not be for it, and if it is, it sinks for itself.
        """
        mode = self._modes.mode
        self._accounts.append(account)
        try:
            yield
        finally:
            self._accounts.pop()
            if self._accounts and self._modes.mode != mode:
                self._modes.go_on(mode)

    def _enter(self, name: str, entry: str, call: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> Any:
        if name in self._entered:           # a VAE that is called encodes and decodes
            return call(*args, **kwargs)
        self._entered.add(name)
        try:
            return self._compute(name, entry, call, args, kwargs)
        finally:
            self._entered.discard(name)

    def _compute(self, name: str, entry: str, call: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> Any:
        phase = _phase(name, entry)
        while True:
            try:
                return self._try(name, call, args, kwargs)
            except Exception as e:
                lower = self._lower()
                if not is_out_of_vram(e) or lower is None or self._is_left(phase):
                    raise
                log.warning("out of memory in %s (%s), mode %s: %s", name, phase, self._modes.mode, e)
                let_go(e)
            self._sink(name, phase, lower)

    def _try(self, name: str, call: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> Any:
        from accelerate.utils import send_to_device

        self._modes.ready(name)
        args, kwargs = send_to_device((args, kwargs), self._modes.device)   # pipelines ask where its weights are
        if self._modes.mode != WHOLE and name in DENOISERS:
            return in_halves(call, args, kwargs)
        return call(*args, **kwargs)

    def _lower(self) -> str | None:
        """The next mode down; None where there is none."""
        mode = self._modes.mode
        return next(iter(self._rungs[self._rungs.index(mode) + 1:]), None) if mode in self._rungs else None

    def _is_left(self, phase: str) -> bool:
        return bool(self._accounts) and self._accounts[-1].leaves(phase)

    def _sink(self, name: str, phase: str, lower: str) -> None:
        before = self._modes.mode
        clear_cache(self._modes.networks[name])
        self._modes.only(name)
        self._free_others()
        self._modes.go_on(lower)
        give_back()
        if self._accounts:
            self._accounts[-1].sank(phase, before, lower)


def _phase(name: str, entry: str) -> str:
    """What a network's entry is called where people read it."""
    if name in DENOISERS:
        return "render"
    return "decode" if entry == "decode" else f"{name} {entry}" if entry in CODECS else name


def _enclose(network: "nn.Module", enter: Callable[..., Any]) -> None:
    """Have *network* entered through *enter*. The object gets a class of its own, so that libraries may put hooks in
    place of its ``forward``, and others of its ``decode``, and find the signatures that they expect.
    """
    cls = type(network)

    def through(entry: str) -> Callable[..., Any]:
        method = getattr(cls, entry)

        @functools.wraps(method)
        def entered(self: Any, *args: Any, **kwargs: Any) -> Any:
            return enter(entry, functools.partial(method, self), args, kwargs)

        return entered

    entries = {entry: through(entry) for entry in ("__call__", *CODECS) if hasattr(cls, entry)}
    network.__class__ = type(cls.__name__, (cls,), {
        **entries, "__module__": cls.__module__, "__qualname__": cls.__qualname__,
    })
