"""The one place that starts ffmpeg: finds it, feeds it, drains it, and never waits for it without an end.

Knows nothing of what it is asked to do; arguments come from ``encode``, ``probe`` and ``join``.

While we wait, ``tick`` is called at least every 0.1 s; what it raises kills ffmpeg and goes on up. That is how a
cancel reaches an encoder that hangs.
"""

import fcntl
import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from vidgen.errors import DiskLow, EncodeFailed
from vidgen.leash import leash

Tick = Callable[[], None]

TIMEOUT_S = 120.0
"""How long ffmpeg may make no progress, unless the caller says otherwise."""

_SLICE_S = 0.05                     # the longest wait between two ticks
_NICENESS = 10                      # ffmpeg gives way to the threads that answer clients
_LAST_WORDS_S = 2.0                 # from closing its input early to its exit
_PIPE_BYTES = 1 << 20               # half a frame of 1024x576 rather than a thirtieth
_READ_BYTES = 1 << 16
_MAX_STDOUT_BYTES = 64 << 20        # a list of 600,000 frames
_MAX_STDERR_BYTES = 1 << 20         # the tail that is kept
_LOGGED_CHARS = 2_000
_ENOSPC_CODE = 256 - 28             # ffmpeg's exit code is the low byte of the error number

log = logging.getLogger(__name__)


def nothing() -> None:
    """The tick of those who have none."""


class Output(NamedTuple):
    """What a run that succeeded has said."""

    stdout: bytes
    stderr: str


def run(arguments: Sequence[str], *, tick: Tick = nothing, timeout_s: float = TIMEOUT_S) -> Output:
    """Run ffmpeg with no input but its files, to its end.

    :raises EncodeFailed: it failed, or made no progress for *timeout_s*.
    """
    with Child(["-nostdin", *arguments], tick=tick, timeout_s=timeout_s) as child:
        return child.finish()


def local(path: Path) -> str:
    """*path* as ffmpeg reads it: never an option, never a protocol other than ``file``."""
    return f"file:{Path(path).absolute()}"


class Child:
    """One ffmpeg process. A context manager: on leaving, the process is gone, whatever happened.

    :param feed: whether :meth:`feed` will be used; otherwise its input is empty.
    :param timeout_s: how long it may take no input and give no output.
    :raises EncodeFailed: it cannot be started.
    """

    def __init__(self, arguments: Sequence[str], *, feed: bool = False, tick: Tick = nothing,
                 timeout_s: float = TIMEOUT_S):
        self._tick = tick
        self._timeout_s = timeout_s
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._process = _start(arguments, feed)
        self._poll = select.poll()
        self._sinks: dict[int, bytearray] = {}
        self._feeding = False
        self._progress_at = time.monotonic()
        for pipe, sink in ((self._process.stdout, self._stdout), (self._process.stderr, self._stderr)):
            os.set_blocking(pipe.fileno(), False)
            self._sinks[pipe.fileno()] = sink
            self._poll.register(pipe, select.POLLIN)
        if feed:
            _widen(self._process.stdin.fileno())

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def feed(self, data: memoryview) -> None:
        """Hand all of *data* (bytes, flat) to ffmpeg's input.

        :raises EncodeFailed: ffmpeg died, closed its input, or took nothing for the timeout.
        """
        fd = self._process.stdin.fileno()
        self._progress_at = time.monotonic()
        self._poll.register(fd, select.POLLOUT)
        self._feeding = True
        try:
            while data:
                self._wait()
                with suppress(BlockingIOError):
                    taken = os.write(fd, data)
                    data = data[taken:]
                    self._progress_at = time.monotonic()
        except BrokenPipeError:
            self._stopped_reading()
        finally:
            self._poll.unregister(fd)
            self._feeding = False

    def read(self, size: int) -> bytes:
        """The next *size* bytes of ffmpeg's output, fewer only where it ends; they are left out of :meth:`finish`.

        :raises EncodeFailed: ffmpeg gave nothing for the timeout.
        """
        while len(self._stdout) < size and self._process.stdout.fileno() in self._sinks:
            self._wait()
        taken = bytes(self._stdout[:size])
        del self._stdout[:size]
        return taken

    def finish(self) -> Output:
        """Close ffmpeg's input, wait for its end, and check how it ended.

        :raises EncodeFailed: its exit code is not 0, a signal killed it, or it did not end.
        """
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._progress_at = time.monotonic()
        while self._process.poll() is None:
            self._wait()
        self._drain(list(self._sinks))
        if self._process.returncode != 0:
            raise self._failed()
        return Output(bytes(self._stdout), self._said())

    def kill(self) -> None:
        """End ffmpeg, and whatever it started, now."""
        with suppress(ProcessLookupError):
            if self._process.returncode is None:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _wait(self) -> None:
        """Wait for something to happen, a slice at most; take in what ffmpeg says; tick; look at the clock."""
        if self._sinks or self._feeding:
            ready = self._poll.poll(_SLICE_S * 1000)
            self._drain([fd for fd, _ in ready if fd in self._sinks])
        else:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_SLICE_S)
        self._tick()
        if time.monotonic() - self._progress_at > self._timeout_s:
            raise self._failed(f"ffmpeg made no progress for {self._timeout_s:g} s")

    def _drain(self, fds: Sequence[int]) -> None:
        for fd in fds:
            self._take_from(fd)
        del self._stderr[:-_MAX_STDERR_BYTES]
        if len(self._stdout) > _MAX_STDOUT_BYTES:
            raise self._failed("ffmpeg said far more than was asked for")

    def _take_from(self, fd: int) -> None:
        """Read what is there, up to a bound, so that a flood cannot keep us from ticking."""
        with suppress(BlockingIOError):
            for _ in range(64):
                said = os.read(fd, _READ_BYTES)
                if not said:
                    self._poll.unregister(fd)
                    del self._sinks[fd]
                    return
                self._sinks[fd] += said
                if self._sinks.get(fd) is self._stdout:
                    self._progress_at = time.monotonic()

    def _stopped_reading(self) -> None:
        """ffmpeg closed its input: mostly because it is about to end with an exit code that says why."""
        deadline = time.monotonic() + _LAST_WORDS_S
        while self._process.poll() is None and time.monotonic() < deadline:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_SLICE_S)
            self._tick()
        self._drain(list(self._sinks))
        raise self._failed("ffmpeg stopped reading" if self._process.poll() is None else None)

    def _failed(self, what: str | None = None) -> EncodeFailed:
        """The failure in our words; ffmpeg's own go to the log."""
        code = self._process.returncode
        if what is None:
            what = f"ffmpeg was killed by signal {-code}" if code < 0 else f"ffmpeg ended early with code {code}"
        log.warning("%s; its last words: %s", what, self._said()[-_LOGGED_CHARS:].strip() or "none")
        if code == _ENOSPC_CODE or "No space left on device" in self._said():
            return EncodeFailed("there is no space left on the workspace's disk", code=DiskLow.code)
        return EncodeFailed(what)

    def _said(self) -> str:
        return self._stderr.decode("utf-8", "replace")


def _start(arguments: Sequence[str], feed: bool) -> subprocess.Popen:
    """On a leash; where there is none, a fed ffmpeg ends by itself as its input ends with us, and the others are short
    and write to temporary names only.
    """
    command = [*leash(), _executable(), "-hide_banner", "-nostats", *arguments]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE if feed else subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, bufsize=0, process_group=0,
        )
    except OSError as e:
        log.warning("ffmpeg cannot be started: %s", e)
        raise EncodeFailed("ffmpeg cannot be started") from e
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, _NICENESS)
    return process


def _executable() -> str:
    """The ffmpeg that imageio-ffmpeg ships, or the one that IMAGEIO_FFMPEG_EXE names."""
    from imageio_ffmpeg import get_ffmpeg_exe

    try:
        return get_ffmpeg_exe()
    except RuntimeError as e:
        raise EncodeFailed("there is no ffmpeg on this machine", retryable=False) from e


@cache
def version() -> str:
    """The version of ffmpeg; with its settings, it determines the bytes.

    :raises EncodeFailed: there is no ffmpeg, or it does not run.
    """
    said = run(["-version"]).stdout.decode("utf-8", "replace")
    return said.split()[2] if said.startswith("ffmpeg version ") else "unknown"


def _widen(fd: int) -> None:
    """Make a pipe that never blocks us and, where the system allows it, holds more."""
    os.set_blocking(fd, False)
    with suppress(OSError, AttributeError):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
