"""The loading modes of one model: which of its networks are on the device, and when.

    whole, two_pass     all of them, for as long as the model is loaded
    component           the one that computes
    group, sequential   of a large network what computes and what comes next, or what computes alone; diffusers and
                        accelerate do that. The others as in ``component``

What a library's hooks do belongs to the loaded model and never to a request: a request that runs inside of another
would switch them under its feet.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from backends.local.footprint import GROUP, OFFLOADED, VAE
from backends.local.residence import Residence
from vidgen.backend import WHOLE

if TYPE_CHECKING:
    from torch import device, nn


class Modes:
    """Of the model whose networks have *residences*, by name; all are as they were loaded until :meth:`set`."""

    def __init__(self, residences: Mapping[str, Residence]):
        self.mode = WHOLE
        self._residences = residences
        self._hooked: set[str] = set()

    @property
    def device(self) -> "device":
        """Where they compute."""
        return next(iter(self._residences.values())).device

    @property
    def networks(self) -> "dict[str, nn.Module]":
        return {name: residence.network for name, residence in self._residences.items()}

    @property
    def bytes(self) -> int:
        """Of all weights."""
        return sum(residence.bytes for residence in self._residences.values())

    def set(self, mode: str) -> None:
        """Put every network where *mode* has it.

        :raises torch.OutOfMemoryError: they do not fit.
        """
        self._unhook()
        self.mode = mode
        if mode not in OFFLOADED:
            for residence in self._residences.values():
                residence.bring()
            return
        self.take_off()
        if mode != OFFLOADED[0]:
            self._hook()

    def go_on(self, mode: str) -> None:
        """Go on in *mode* while requests run. Nothing is brought to the device before it computes."""
        if mode in OFFLOADED:
            self.set(mode)
        else:
            self._unhook()
            self.mode = mode

    def ready(self, name: str) -> None:
        """*name* is about to compute.

        :raises torch.OutOfMemoryError: it does not fit.
        """
        if self.mode in OFFLOADED:
            self.only(name)
        if name not in self._hooked:
            self._residences[name].bring()

    def only(self, name: str) -> None:
        """Take the other networks off the device. Where the mode keeps them there, they come back when they compute."""
        for other, residence in self._residences.items():
            if other != name and other not in self._hooked:
                residence.take_off()

    def rest(self) -> None:
        """A request has ended: what the mode does not keep on the device leaves it."""
        if self.mode in OFFLOADED:
            self.only("")

    def put_right(self) -> None:
        """A request has ended before its time: undo what that left behind in the networks and in the hooks."""
        hooked = bool(self._hooked)
        self._unhook()
        for residence in self._residences.values():
            clear_cache(residence.network)
            residence.put_right()
        if hooked:
            self.set(self.mode)

    def take_off(self) -> None:
        """Take everything off the device. Before it is used again, :meth:`set` says how."""
        self._unhook()
        for residence in self._residences.values():
            residence.take_off()

    def _hook(self) -> None:
        for name, residence in self._residences.items():
            if name != VAE and not _reaches_inside(residence.network):
                residence.keep()
                self._hooked.add(name)      # before, so that one that fails halfway is unhooked
                _apply(self.mode, residence)

    def _unhook(self) -> None:
        for name in self._hooked:
            _remove_hooks(self._residences[name].network)
            self._residences[name].collect()
        self._hooked.clear()


def clear_cache(network: "nn.Module") -> None:
    """Let go of the frames that a causal VAE keeps for the next ones; others keep nothing."""
    if hasattr(network, "clear_cache"):
        network.clear_cache()


def _apply(mode: str, residence: Residence) -> None:
    """Have a library move the layers of a network that is on the host. The libraries share its tensors there."""
    import torch
    from accelerate import cpu_offload
    from diffusers.hooks import apply_group_offloading

    network, device = residence.network, residence.device
    if mode != GROUP:
        cpu_offload(network, execution_device=device)
        return
    # Without record_stream diffusers waits for each layer before it takes it off. With it the host would run ahead of
    # the device, and layers whose memory is not free yet would pile up there, as many as it happens to be ahead.
    apply_group_offloading(
        network, onload_device=device, offload_device=torch.device("cpu"), offload_type="leaf_level",
        use_stream=device.type == "cuda", record_stream=False, low_cpu_mem_usage=not residence.pinned,
    )


def _remove_hooks(network: "nn.Module") -> None:
    from accelerate.hooks import remove_hook_from_module

    remove_hook_from_module(network, recurse=True)
    for module in network.modules():
        if (registry := getattr(module, "_diffusers_hook", None)) is not None:
            for name in reversed(list(registry.hooks)):
                registry.remove_hook(name, recurse=False)


def _reaches_inside(network: "nn.Module") -> bool:
    """Whether a layer computes with the weights of another without calling it, so that no hook can bring them."""
    from torch import nn

    return any(isinstance(module, nn.MultiheadAttention) for module in network.modules())
