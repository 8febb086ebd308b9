"""The inference process: where torch, diffusers and the CUDA context live. Started by ``process``, never imported by
the server.

The main thread does the commands, one at a time. A second thread reads: a cancel reaches the command that runs, and
the end of the connection, which is the end of the server, ends this process at once. A third makes previews.
"""

import logging
import os
import queue
import secrets
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from vidgen import logs
from vidgen.backend import PREVIEW_INTERVAL_S, Backend, BackendConfig, Preview
from vidgen.cards import Card
from vidgen.errors import OutOfVram, StepFailed, Stopped, VidgenError
from vidgen.inference.messages import (
    Alive,
    Answer,
    Begin,
    Cancel,
    Command,
    Failed,
    GaveWay,
    Kept,
    Load,
    Loaded,
    Noted,
    OutOfMemory,
    Previewed,
    Progress,
    Ready,
    Render,
    Rendered,
    Stop,
    Unload,
    Unloaded,
)
from vidgen.registry import make_backend

NICENESS = 10
"""Rendering gives way to the threads that answer clients: beside a busy torch their latency triples otherwise."""

LOWEST = 19

ALIVE_EVERY_S = 1.0
GONE = 1
"""The exit code of a child whose server has gone."""

FATAL = 70
"""The exit code after a failure that nobody foresaw."""

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


class ChildControl:
    """The ``Control`` of one command: passes on what the backend says."""

    def __init__(self, ticket: int, line: Line, kept: Mapping[str, Any], previews: ThreadPoolExecutor):
        self.ticket = ticket
        self.kept = kept
        self._line = line
        self._previews = previews
        self._making: Future | None = None
        self._stop = threading.Event()
        self._alive_at = self._preview_at = 0.0

    def stop(self) -> None:
        """Ask the command to end; heard at its next sign of life."""
        self._stop.set()

    def check(self) -> None:
        if self._stop.is_set():
            raise Stopped("the server asked for it")

    def alive(self) -> None:
        self.check()
        if time.monotonic() - self._alive_at >= ALIVE_EVERY_S:
            self._alive_at = time.monotonic()
            self._line.send(Alive(self.ticket))

    def step(self, phase: str, i: int, n: int, preview: Preview | None = None) -> None:
        self.check()
        self._alive_at = time.monotonic()
        self._line.send(Progress(self.ticket, phase, i, n))
        if preview is not None and time.monotonic() - self._preview_at >= PREVIEW_INTERVAL_S:
            self._show(preview)

    def note(self, code: str, message: str) -> None:
        self._line.send(Noted(self.ticket, code, message))

    def keep(self, facts: Mapping[str, Any]) -> None:
        self.kept = facts
        self._line.send(Kept(self.ticket, facts))

    def _show(self, preview: Preview) -> None:
        if self._making is None or self._making.done():
            self._preview_at = time.monotonic()
            self._making = self._previews.submit(self._send, preview)

    def _send(self, preview: Preview) -> None:
        try:
            self._line.send(Previewed(self.ticket, preview if isinstance(preview, bytes) else preview()))
        except Exception:
            log.warning("a preview was lost", exc_info=True)


class Worker:
    """Does the commands on the thread that calls :meth:`run`."""

    def __init__(self, line: Line, config: BackendConfig):
        self._line = line
        self._config = config
        self._backends: dict[str, Backend] = {}
        self._commands: queue.SimpleQueue[Command | Stop] = queue.SimpleQueue()
        self._previews = ThreadPoolExecutor(1, "previews", initializer=_give_way)
        self._lock = threading.Lock()
        self._control: ChildControl | None = None
        self._cancelled: set[int] = set()

    def run(self) -> None:
        """Until the server asks for the end."""
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        while not isinstance(command := self._commands.get(), Stop):
            answer = self._answer(command)
            self._line.send(answer)
            if isinstance(answer, Failed) and answer.fatal:
                logging.shutdown()
                os._exit(FATAL)             # whatever broke may hang an orderly end too

    def _read(self) -> None:
        while True:
            message = self._line.receive()
            if isinstance(message, Cancel):
                self._cancel(message.ticket)
            else:
                self._commands.put(message)

    def _cancel(self, ticket: int) -> None:
        with self._lock:
            self._cancelled.add(ticket)
            if self._control is not None and self._control.ticket == ticket:
                self._control.stop()

    def _take(self, command: Command) -> ChildControl:
        kept = command.kept if isinstance(command, Render) else {}
        with self._lock:
            self._control = control = ChildControl(command.ticket, self._line, kept, self._previews)
            if command.ticket in self._cancelled:
                control.stop()
            self._cancelled.clear()
        return control

    def _answer(self, command: Command) -> Answer:
        """Do *command*, and turn whatever happens into its answer."""
        control = self._take(command)
        try:
            return self._do(command, control)
        except Stopped:
            return GaveWay(command.ticket)
        except OutOfVram as e:
            return OutOfMemory(command.ticket, e.detail)
        except VidgenError as e:
            return Failed(command.ticket, e.detail, e.code, not isinstance(e, StepFailed) or e.retryable)
        except Exception:
            error_id = secrets.token_hex(4)
            log.exception("internal error %s in the inference process", error_id)
            return Failed(command.ticket, f"internal error {error_id}", "internal_error", True, fatal=True)

    def _do(self, command: Command, control: ChildControl) -> Answer:
        control.check()
        backend = self._backend(command.card)
        if isinstance(command, Load):
            backend.load(command.card, command.mode, control)
            return Loaded(command.ticket)
        if isinstance(command, Unload):
            backend.unload(command.card)
            return Unloaded(command.ticket)
        return Rendered(command.ticket, backend.render(command.card, command.spec, control))

    def _backend(self, card: Card) -> Backend:
        if card.provider not in self._backends:
            self._backends[card.provider] = make_backend(card.provider, self._config)
        return self._backends[card.provider]


def _give_way() -> None:
    """The calling thread runs when the cores have nothing else to do; Linux keeps priorities by thread. A network on
    the CPU waits for the slowest of its threads, and would wait for this one.
    """
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST)


def main() -> None:
    """Serve the lane at the other end of the connection whose file number is the first argument."""
    os.nice(NICENESS)
    line = Line(Connection(int(sys.argv[1])))
    begin = line.receive()
    assert isinstance(begin, Begin)
    logs.configure(begin.log_level, begin.log_format)
    line.send(Ready())
    Worker(line, begin.config).run()


if __name__ == "__main__":
    main()
