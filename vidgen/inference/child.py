"""The inference process: where torch, diffusers and the CUDA context live. Started by ``process``, never imported by
the server.

The main thread does the commands, one at a time; what is urgent it does inside of the render that runs, between two
denoising steps. ``reader`` listens: a cancel reaches whichever command it is for, and the end of the connection, which
is the end of the server, ends this process at once. ``finisher`` writes the file of the last render while the next one
runs, ``previews`` makes previews, ``preparing`` does what a hint asks for.
"""

import logging
import os
import queue
import secrets
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection

from vidgen import logs
from vidgen.backend import BackendConfig, Held, Unfinished
from vidgen.errors import OutOfVram, StepFailed, Stopped, VidgenError
from vidgen.inference.control import ChildControl, Line
from vidgen.inference.messages import (
    Answer,
    Begin,
    Begun,
    Cancel,
    ClipReady,
    Command,
    Done,
    Failed,
    GaveWay,
    Holds,
    Load,
    OutOfMemory,
    Prepare,
    Ready,
    Render,
    Rendered,
    Run,
    Stop,
    Unload,
)
from vidgen.inference.runtime import Runtime
from vidgen.types import Clip, Still

NICENESS = 10
"""Rendering gives way to the threads that answer clients: beside a busy torch their latency triples otherwise."""

FINISHER_NICENESS = 13
"""Half the share of a core that the thread gets which keeps the device busy."""

LOWEST = 19

LOOK_S = 0.05
"""The longest that a cancel waits while a clip waits for the one before it."""

FOLLOWS_S = 1.0
"""How long a render stays interrupted for the next urgent command, once a model was loaded inside of it."""

FATAL = 70
"""The exit code after a failure that nobody foresaw."""

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Task:
    """One command on its way."""

    command: Command
    control: ChildControl
    idle_s: float | None = None             # for how long nothing rendered before it, with its model loaded
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _begun: bool = False
    _withdrawn: bool = False

    @property
    def ticket(self) -> int:
        return self.command.ticket

    def measured(self, result: Clip | Still) -> Clip | Still:
        """*result*, with what was measured here; the backend's own word goes first."""
        ours = {"idle_seconds": self.idle_s, "interrupted_seconds": self.control.interrupted_s or None}
        known = {name: value for name, value in ours.items() if value is not None}
        return replace(result, measured={**known, **result.measured})

    def begin(self) -> bool:
        """Whether it is to be done: nobody has withdrawn it."""
        with self._lock:
            self._begun = True
            return not self._withdrawn

    def withdraw(self) -> bool:
        """Whether it has not begun, and will not be."""
        with self._lock:
            self._withdrawn = not self._begun
            return self._withdrawn


class Worker:
    """Does the commands on the thread that calls :meth:`run`."""

    def __init__(self, line: Line, config: BackendConfig):
        self._line = line
        self._runtime = Runtime(config)
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._urgent: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._tasks: dict[int, Task] = {}
        self._previews = ThreadPoolExecutor(1, "previews", initializer=partial(_run_at, LOWEST))
        self._preparing = ThreadPoolExecutor(1, "preparing", initializer=partial(_run_at, LOWEST))
        self._finisher = ThreadPoolExecutor(1, "finisher", initializer=partial(_run_at, FINISHER_NICENESS))
        self._finishing: Future | None = None
        self._hint: Future = Future()
        self._held = Held()
        self._idle_since: float | None = None   # the end of the last render; None where something was loaded after it

    def run(self) -> None:
        """Until the server asks for the end, and the last clip is written."""
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        while (work := self._queue.get()) is not None:
            work()
        self._finisher.shutdown()

    # the reader's thread

    def _read(self) -> None:
        while True:
            match self._line.receive():
                case Cancel(ticket):
                    self._cancel(ticket)
                case Run(command):
                    self._urgent.put(self._new_task(command))
                    self._queue.put(partial(self._do_urgent, nested=False))     # unless a render comes first
                case Prepare(card, spec):
                    self._hint.cancel()             # where it has not begun: it is out of date
                    self._hint = self._preparing.submit(self._runtime.prepare, card, spec)
                case Stop():
                    self._queue.put(None)
                case command:
                    self._queue.put(partial(self._attend, self._new_task(command)))

    def _new_task(self, command: Command) -> Task:
        kept = command.kept if isinstance(command, Render) else {}
        task = Task(command, ChildControl(command.ticket, self._line, kept, self._previews))
        self._tasks[command.ticket] = task
        return task

    def _cancel(self, ticket: int) -> None:
        if (task := self._tasks.get(ticket)) is None:
            return
        task.control.stop()
        if task.withdraw():
            self._answer(GaveWay(ticket))

    # the main thread

    def nest(self) -> bool:
        """Do what is urgent, inside of the render that calls this; whether there was anything."""
        return self._do_urgent(nested=True)

    def say_held(self) -> None:
        """Say what is held now, where that has changed."""
        if (held := self._runtime.held()) != self._held:
            self._held = held
            self._line.send(Holds(held))

    def _do_urgent(self, nested: bool) -> bool:
        done = None
        while (task := self._next_urgent(follows=nested and done is not None and isinstance(done.command, Load))):
            self._attend(task, nested)
            done = task
        return done is not None

    def _next_urgent(self, *, follows: bool) -> Task | None:
        """:param follows: whether one probably comes soon: what is loaded inside of a render is rendered with there."""
        try:
            return self._urgent.get(timeout=FOLLOWS_S) if follows else self._urgent.get_nowait()
        except queue.Empty:
            return None

    def _attend(self, task: Task, nested: bool = False) -> None:
        """Do one command, and answer it. Of a render that is to be finished, the finisher answers."""
        if not task.begin():
            return
        self._line.send(Begun(task.ticket))
        done = self._tried(task, lambda: self._do(task, nested))
        if not _is_fatal(done):             # after a fault of the device, asking what is held there may fail or hang
            self.say_held()
        if isinstance(done, ClipReady) or callable(done):
            self._line.send(Rendered(task.ticket))
        if callable(done):
            self._finishing = self._finisher.submit(self._finish, task, done)
        else:
            self._answer(done)

    def _do(self, task: Task, nested: bool) -> Answer | Unfinished:
        task.control.check()
        match task.command:
            case Load(_, card, mode):
                self._idle_since = None
                self._runtime.load(card, mode, task.control)
            case Unload(_, card, keep):
                self._runtime.unload(card, keep=keep)
            case Render():
                made = self._render(task, nested)
                if not callable(made):
                    return ClipReady(task.ticket, task.measured(made))
                self._wait_for_finisher(task.control)
                return made
        return Done(task.ticket)

    def _render(self, task: Task, nested: bool) -> Clip | Still | Unfinished:
        """Have the frames made. Unless this is nested itself, what is urgent may run inside of it."""
        render = partial(self._runtime.render, task.command.card, task.command.spec, task.control)
        if nested:
            return render()
        task.idle_s = None if self._idle_since is None else time.monotonic() - self._idle_since
        task.control.outer = self
        try:
            return render()
        finally:
            task.control.outer = None
            self._idle_since = time.monotonic()

    def _wait_for_finisher(self, control: ChildControl) -> None:
        """Until the clip before this one is written: one at most is in flight."""
        if self._finishing is None or self._finishing.done():
            return
        control.wait()
        while wait([self._finishing], LOOK_S).not_done:
            control.check()

    # the main thread and the finisher's

    def _finish(self, task: Task, unfinished: Unfinished) -> None:
        self._answer(self._tried(task, lambda: ClipReady(task.ticket, task.measured(unfinished()))))

    def _tried(self, task: Task, work: Callable[[], Answer | Unfinished]) -> Answer | Unfinished:
        """Do *work*, and turn whatever happens into its answer."""
        try:
            return work()
        except Stopped:
            return GaveWay(task.ticket)
        except OutOfVram as e:
            return OutOfMemory(task.ticket, e.detail)
        except VidgenError as e:
            return Failed(task.ticket, e.detail, e.code, not isinstance(e, StepFailed) or e.retryable)
        except Exception:
            error_id = secrets.token_hex(4)
            log.exception("internal error %s in the inference process", error_id)
            return Failed(task.ticket, f"internal error {error_id}", "internal_error", True, fatal=True)

    def _answer(self, answer: Answer) -> None:
        self._tasks.pop(answer.ticket)
        self._line.send(answer)
        if _is_fatal(answer):
            logging.shutdown()
            os._exit(FATAL)                 # whatever broke may hang an orderly end too


def _is_fatal(answer: Answer | Unfinished) -> bool:
    return isinstance(answer, Failed) and answer.fatal


def _run_at(niceness: int) -> None:
    """The calling thread gives way; Linux keeps priorities by thread. A network on the CPU waits for the slowest of its
    threads, and would wait for this one.
    """
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, max(niceness, os.getpriority(os.PRIO_PROCESS, thread)))


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
