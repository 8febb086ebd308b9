"""A terminal (pty) with one program on it: what it shows, what is typed, how wide it is."""

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

WAIT_S = 60.0
CONTROL_C = "\x03"

CONTROLLED = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
"""Makes the terminal the one whose keys reach the program as signals, then becomes the program."""


class Terminal:
    """The program is started at once. :meth:`close` ends it, if it has not ended by then."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]):
        self.shown = ""
        self._main, end = os.openpty()
        self.resize(100)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", CONTROLLED, *command], cwd=folder, env=environment, stdin=end, stdout=end,
                stderr=end, start_new_session=True,
            )
        finally:
            os.close(end)

    def resize(self, columns: int, rows: int = 30) -> None:
        fcntl.ioctl(self._main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self._main, keys.encode())

    def wait_for(self, words: str) -> None:
        """Return once the program has shown *words*."""
        self._read_until(lambda: words in self.shown, words)

    def wait(self) -> int:
        """The exit code, at the end of all that was shown."""
        self._read_until(lambda: False, None)
        return self._process.wait(WAIT_S)

    def close(self) -> None:
        self._process.kill()
        self._process.wait(WAIT_S)
        os.close(self._main)

    def _read_until(self, done, words: str | None) -> None:
        deadline = time.monotonic() + WAIT_S
        while not done():
            ready, _, _ = select.select([self._main], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"waited {WAIT_S:g} s for {words or 'the end'}:\n{self.shown}"
            try:
                data = os.read(self._main, 65536)
            except OSError:                 # how Linux tells that nobody holds the other end any more
                data = b""
            if not data:
                assert words is None, f"ended without {words!r}:\n{self.shown}"
                return
            self.shown += data.decode("utf-8", "replace")
