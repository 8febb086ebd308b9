"""The device's memory, watched by NVML while something runs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

LOOK_S = 0.005


class Watch:
    """How far the free memory fell, in bytes.

    :raises RuntimeError: the GPU cannot be read.
    """

    def __init__(self) -> None:
        from vidgen.engine.vram import START_WAIT_S, Vram

        self._vram = Vram("auto")
        self._over = threading.Event()
        reading = self._vram.read(wait_s=START_WAIT_S)
        if reading.free_bytes is None:
            raise RuntimeError(f"the GPU cannot be read: {reading.problem}")
        self._before = self._least = reading.free_bytes

    @property
    def taken(self) -> int:
        """At the most, since it began."""
        return self._before - self._least

    @contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self._look, name="watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            if (free := self._vram.read().free_bytes) is not None:
                self._least = min(self._least, free)
