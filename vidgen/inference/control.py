"""What a backend in the inference process is handed: the ``Control`` of one command, at the child's end of the line."""

import logging
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, Protocol

from vidgen.backend import PREVIEW_INTERVAL_S, Preview
from vidgen.errors import Stopped
from vidgen.inference.messages import Alive, Kept, Noted, Previewed, Progress, Waits

ALIVE_EVERY_S = 1.0
GONE = 1
"""The exit code of a child whose server has gone."""

NESTS = "render"
"""The phase between whose units something more urgent may run."""

log = logging.getLogger(__name__)


class Line:
    """The connection to the server; any thread may send."""

    def __init__(self, connection: Connection):
        self._connection = connection
        self._sending = threading.Lock()

    def send(self, message: object) -> None:
        try:
            with self._sending:
                self._connection.send(message)
        except OSError:
            os._exit(GONE)

    def receive(self) -> object:
        try:
            return self._connection.recv()
        except (EOFError, OSError):
            os._exit(GONE)


class Outer(Protocol):
    """What a render is that something more urgent may run inside of."""

    def say_held(self) -> None:
        """Say what is held now; whoever decides what is urgent wants to know."""

    def nest(self) -> bool:
        """Do what is urgent; whether there was anything."""


class ChildControl:
    """The ``Control`` of one command: passes on what the backend says. While something more urgent runs inside of a
    step, the control is asleep: it says nothing, and hears a cancel when it wakes.
    """

    def __init__(self, ticket: int, line: Line, kept: Mapping[str, Any], previews: ThreadPoolExecutor):
        self.ticket = ticket
        self.kept = kept
        self.interrupted_s = 0.0            # how long it was asleep, in all
        self.outer: Outer | None = None     # while this is a render that is not itself inside of another
        self._line = line
        self._previews = previews
        self._making: Future | None = None
        self._stop = threading.Event()
        self._asleep = False
        self._alive_at = self._preview_at = 0.0

    def stop(self) -> None:
        """Ask the command to end; heard at its next sign of life."""
        self._stop.set()

    def check(self) -> None:
        if self._stop.is_set() and not self._asleep:
            raise Stopped("the server asked for it")

    def alive(self) -> None:
        self.check()
        if not self._asleep and time.monotonic() - self._alive_at >= ALIVE_EVERY_S:
            self._alive_at = time.monotonic()
            self._line.send(Alive(self.ticket))

    def step(self, phase: str, i: int, n: int, preview: Preview | None = None) -> None:
        if self._asleep:
            return
        self.check()
        outer = self.outer if phase == NESTS else None
        if outer is not None:
            outer.say_held()
        self._alive_at = time.monotonic()
        self._line.send(Progress(self.ticket, phase, i, n))
        if preview is not None and time.monotonic() - self._preview_at >= PREVIEW_INTERVAL_S:
            self._show(preview)
        if outer is not None:
            self._sleep(outer)
            self.check()

    def wait(self) -> None:
        """Say that from here on only the clip before this one gives signs of life."""
        self._line.send(Waits(self.ticket))

    def note(self, code: str, message: str) -> None:
        self._line.send(Noted(self.ticket, code, message))

    def keep(self, facts: Mapping[str, Any]) -> None:
        self.kept = facts
        self._line.send(Kept(self.ticket, facts))

    def _sleep(self, outer: Outer) -> None:
        began, self._asleep = time.monotonic(), True
        try:
            if outer.nest():
                self.interrupted_s += time.monotonic() - began
        finally:
            self._asleep = False

    def _show(self, preview: Preview) -> None:
        if self._making is None or self._making.done():
            self._preview_at = time.monotonic()
            self._making = self._previews.submit(self._send, preview)

    def _send(self, preview: Preview) -> None:
        try:
            self._line.send(Previewed(self.ticket, preview if isinstance(preview, bytes) else preview()))
        except Exception:
            log.warning("a preview was lost", exc_info=True)
