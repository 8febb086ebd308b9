"""Waiting without being deaf: work that blocks runs in a thread of its own, and whoever waits for it ticks.

Knows nothing of Replicate.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from vidgen.backend import Control

TICK_S = 0.1
"""The longest time between two looks at whether a step must end."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient a render is, in seconds."""

    first_poll_s: float = 0.5
    longest_poll_s: float = 5.0
    looks_s: tuple[float, ...] = (0.5, 1.5, 3.0)    # before each look for a prediction whose id was lost
    longest_wait_s: float = 60.0                    # of what a Retry-After may ask for
    crowd_s: float = 300.0                          # of waiting in all, until a prediction can be created
    outage_s: float = 300.0                         # without any answer that can be used
    call_s: float = 60.0                            # one call, however slowly its answer trickles in
    prediction_s: float = 3600.0                    # one prediction; Replicate ends most after half an hour
    parting_s: float = 4.0                          # for passing on a cancel


USUAL = Pace()


class TooLate(Exception):
    """Work took longer than it was given."""


class Background(Generic[T]):
    """*work*, started at once in a thread that nobody needs to wait for."""

    def __init__(self, work: Callable[[], T]):
        self._work = work
        self._over = threading.Event()
        self._result: T | None = None
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="replicate", daemon=True).start()

    def wait(self, limit_s: float, tick: Callable[[], None] = lambda: None) -> T:
        """What *work* returned; what it raised is raised.

        :param tick: called every :data:`TICK_S`; what it raises ends the wait, not the work.
        :raises TooLate: it takes longer than *limit_s*.
        """
        deadline = time.monotonic() + limit_s
        while not self._over.wait(TICK_S):
            tick()
            if time.monotonic() > deadline:
                raise TooLate
        if self._error is not None:
            raise self._error
        return self._result

    def late(self, within_s: float) -> T | None:
        """What *work* returned, if it does within *within_s*; for those whose wait was ended."""
        self._over.wait(within_s)
        return self._result

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as e:
            self._error = e
        finally:
            self._over.set()


class Backoff:
    """Delays that grow by half each time, from *first_s* to *longest_s*; a tenth of each is chance."""

    def __init__(self, first_s: float, longest_s: float):
        self._next_s = first_s
        self._longest_s = longest_s

    def next(self) -> float:
        delay, self._next_s = self._next_s, min(self._next_s * 1.5, self._longest_s)
        return delay * random.uniform(0.9, 1.0)


def pause(control: Control, seconds: float) -> None:
    """Wait on purpose: the step is alive all the while, and hears at once that it must end."""
    until = time.monotonic() + seconds
    control.alive()
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, TICK_S))
        control.alive()
