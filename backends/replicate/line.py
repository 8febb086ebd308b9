"""A render's line to Replicate: calls that can be interrupted, and that are repeated where that is safe."""

import time
from collections.abc import Callable
from typing import TypeVar

from backends.replicate.transport import Refused, ServiceError, Unreachable
from backends.replicate.waiting import Background, Backoff, Pace, TooLate, pause
from vidgen.backend import Control
from vidgen.errors import Stopped

T = TypeVar("T")


class Line:
    def __init__(self, control: Control, pace: Pace):
        self.control = control
        self.pace = pace

    def ask(self, call: Callable[[], T]) -> T:
        """What one call gives; whatever Replicate answers is a sign of life.

        :raises ServiceError: it failed.
        """
        return self._heard(Background(call))

    def ask_once(self, call: Callable[[], T], late: Callable[[T], None]) -> T:
        """The same, for a call that must not be made twice.

        :param late: is given what came after the wait was ended by a cancel or by the server's going down.
        """
        work = Background(call)
        try:
            return self._heard(work)
        except Stopped:
            if (result := work.late(self.pace.parting_s)) is not None:
                late(result)
            raise

    def insist(self, call: Callable[[], T]) -> T:
        """What the call gives, made again and again while its failure may pass.

        :raises ServiceError: it fails for good, or Replicate has been out of reach for too long.
        """
        backoff = Backoff(self.pace.first_poll_s, self.pace.longest_poll_s)
        until = time.monotonic() + self.pace.outage_s
        while True:
            try:
                return self.ask(call)
            except ServiceError as e:
                if not e.passing or time.monotonic() > until:
                    raise
                self.pause(max(backoff.next(), min(e.retry_after_s or 0.0, self.pace.longest_wait_s)))

    def pause(self, seconds: float) -> None:
        pause(self.control, seconds)

    def _heard(self, work: Background[T]) -> T:
        try:
            result = work.wait(self.pace.call_s, self.control.check)
        except TooLate as e:
            raise Unreachable("no answer in time") from e
        except Refused:
            self.control.alive()
            raise
        self.control.alive()
        return result
