"""The thread on which a rendered clip becomes a finished step, while its lane renders the next one."""

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidgen.engine.lanes import Outcome

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Later:
    """What a step returns where the rest of it needs its lane no longer: waiting for the file, checking, publishing.

    ``finish`` returns what to commit, and raises as a step may.
    """

    finish: "Callable[[], Outcome]"


class Finisher:
    """One thread; one piece of work at a time, and none waiting."""

    def __init__(self, name: str):
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._free = threading.Semaphore()
        threading.Thread(target=self._loop, name=name, daemon=True).start()

    def hand_over(self, work: Callable[[], None]) -> None:
        """Have *work* done. Waits while the one before it is being done, so that at most one clip is in flight."""
        self._free.acquire()
        self._work.put(work)

    def _loop(self) -> None:
        while True:
            work = self._work.get()
            try:
                work()
            except Exception:
                log.exception("finishing a step failed")
            finally:
                self._free.release()
