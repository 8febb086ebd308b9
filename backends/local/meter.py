"""Takes the time and the memory of one request: what is its own, and not what others use or what runs inside of it."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from backends.local.footprint import taken

if TYPE_CHECKING:
    from torch import nn


class Meter:
    """One request's. It begins to count when it is made.

    :param cuda: ``torch.cuda``; None where the device is the CPU, whose memory is not measured.
    :param own: says how many bytes of the request's own model are on the device now.
    """

    def __init__(
        self, cuda: Any | None, own: Callable[[], int] = lambda: 0, clock: Callable[[], float] = time.monotonic
    ):
        self._cuda = cuda
        self._own = own if cuda else lambda: 0      # looking at every tensor takes as long as a small step
        self._clock = clock
        self._interrupted_s = 0.0
        self._began = clock()
        self._peak = 0
        self._others = self._allocated() - self._own()
        self._forget_peak()

    def now(self) -> float:
        """Seconds since it began, without those in which something else ran."""
        return self._clock() - self._began - self._interrupted_s

    def settle(self) -> None:
        """Wait until the device has done what it was given, so that the clock is read at the right time."""
        if self._cuda:
            self._cuda.synchronize()

    @contextmanager
    def interrupted(self) -> Iterator[None]:
        """Inside, another request runs: neither its time nor its memory is counted, nor what it leaves loaded."""
        self.settle()
        self._keep_peak()
        began, activations = self._clock(), self._allocated() - self._own() - self._others
        try:
            yield
        finally:
            self._interrupted_s += self._clock() - began
            self._others = self._allocated() - self._own() - activations
            self._forget_peak()

    def read(self, at: Mapping[str, float]) -> dict[str, float]:
        """What the request took; decoding begins with the last step. The peak is of the device's memory as a whole
        process would take it that did nothing else.

        :param at: when each phase was last heard of, by :meth:`now`.
        """
        denoised = at.get("render", 0.0)
        measured = {"denoise_seconds": denoised, "decode_seconds": self.now() - denoised}
        if self._interrupted_s:
            measured["interrupted_seconds"] = self._interrupted_s
        if self._cuda:
            self._keep_peak()
            measured["peak_vram_bytes"] = float(taken(self._peak))
        return measured

    def _allocated(self) -> int:
        return self._cuda.memory_allocated() if self._cuda else 0

    def _keep_peak(self) -> None:
        if self._cuda:
            self._peak = max(self._peak, self._cuda.max_memory_allocated() - self._others)

    def _forget_peak(self) -> None:
        if self._cuda:
            self._cuda.reset_peak_memory_stats()


def on_device(networks: Iterable["nn.Module"]) -> int:
    """The bytes of the networks' values that are on a GPU."""
    return sum(
        tensor.nbytes for network in networks for tensor in (*network.parameters(), *network.buffers())
        if tensor.is_cuda
    )
