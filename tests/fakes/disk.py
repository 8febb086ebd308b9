"""A small disk that a test can fill: a real one where the system lets us mount it, else one that only pretends.

The real one is a tmpfs inside a mount namespace of the server's own, so nothing is mounted on the machine and nothing
has to be taken away. The pretended one is this file as a script in front of the server: it stands between Python and
the operating system, and between SQLAlchemy and SQLite. Knows nothing of vidgen.
"""

import builtins
import errno
import io
import os
import runpy
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

MOUNT = 'mount -t tmpfs -o size="$0" tmpfs "$1" && shift && exec "$@"'
WRITE_BYTES = 8192
"""What one pretended write takes."""


class SmallDisk:
    """A disk of *size_bytes* at *folder*, as the server that :attr:`launcher` starts will see it."""

    def __init__(self, folder: Path, size_bytes: int):
        folder.mkdir(parents=True)
        self._folder = folder
        self.launcher: Sequence[str] = ("unshare", "-Urm", "sh", "-c", MOUNT, str(size_bytes), str(folder))
        self.settings: dict[str, Any] = {}

    def attach(self, pid: int) -> None:
        """The server runs; from now on the disk can be reached."""
        self.root = Path(f"/proc/{pid}/root{self._folder}")

    def free(self) -> int:
        about = os.statvfs(self.root)
        return about.f_bavail * about.f_frsize

    def leave(self, free_bytes: int) -> None:
        """Fill the disk, but for *free_bytes*."""
        with (self.root / "ballast").open("wb", buffering=0) as ballast:
            ballast.write(bytes(max(0, self.free() - free_bytes)))

    def release(self) -> None:
        (self.root / "ballast").unlink()


class PretendedDisk:
    """The same, as far as a program can tell, where nothing can be mounted."""

    def __init__(self, folder: Path, size_bytes: int):
        folder.mkdir(parents=True)
        self.root = folder
        self._switch = folder.with_name(f"{folder.name}.full")
        self.leave(size_bytes)
        wrapper = folder.with_name(f"{folder.name}.ffmpeg")
        wrapper.write_text(_FFMPEG.format(switch=self._switch, real=_real_ffmpeg()))
        wrapper.chmod(0o755)
        self.launcher: Sequence[str] = (sys.executable, __file__, str(self._switch))
        self.settings = {"imageio_ffmpeg_exe": wrapper}

    def attach(self, pid: int) -> None:
        pass

    def free(self) -> int:
        return self._switch.stat().st_size * WRITE_BYTES if self._switch.exists() else sys.maxsize

    def leave(self, free_bytes: int) -> None:
        fresh = self._switch.with_suffix(".new")
        fresh.write_bytes(bytes(free_bytes // WRITE_BYTES))
        fresh.replace(self._switch)

    def release(self) -> None:
        self._switch.unlink()


_FFMPEG = """#!/bin/sh
if [ -e "{switch}" ] && [ ! -s "{switch}" ]; then
    echo "No space left on device" >&2
    exit 228
fi
exec "{real}" "$@"
"""


def small_disk(folder: Path, size_bytes: int) -> SmallDisk | PretendedDisk:
    """The best that this machine allows."""
    return SmallDisk(folder, size_bytes) if _can_mount() else PretendedDisk(folder, size_bytes)


@cache
def _can_mount() -> bool:
    try:
        command = ["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/tmp"]
        return subprocess.run(command, capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def _real_ffmpeg() -> str:
    from imageio_ffmpeg import get_ffmpeg_exe

    return get_ffmpeg_exe()


class Pretender:
    """The other side of :class:`PretendedDisk`, inside the server's process.

    :param switch: a file with a byte for each write that still fits; there is room for all where it is missing.
    """

    def __init__(self, switch: Path):
        self._switch = switch
        self._lock = threading.Lock()

    def full(self) -> bool:
        """Whether the next write fails; if not, it is counted."""
        with self._lock:
            try:
                left = os.stat(self._switch).st_size
                os.truncate(self._switch, max(0, left - 1))
            except FileNotFoundError:
                return False
            return left == 0

    def install(self) -> None:
        for name in ("fsync", "mkdir", "link"):
            setattr(os, name, self._guarded(getattr(os, name), lambda *_: True))
        opened = self._guarded(io.open, lambda file, mode="r", *_: set(mode) & set("wxa") and str(file) != os.devnull)
        io.open = builtins.open = opened
        self._guard_sqlite()

    def _guarded(self, original: Callable[..., Any], writes: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*args: Any, **options: Any) -> Any:
            if writes(*args) and self.full():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return original(*args, **options)

        return guarded

    def _guard_sqlite(self) -> None:
        import sqlalchemy as sa

        before: dict[sqlite3.Connection, int] = {}

        def execute(cursor: sqlite3.Cursor, statement: str, parameters: Any, context: Any) -> None:
            changes = cursor.connection.total_changes
            if statement == "BEGIN IMMEDIATE":
                before[cursor.connection] = changes
            if statement == "COMMIT" and changes != before.get(cursor.connection, changes) and self.full():
                cursor.execute("ROLLBACK")
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_FULL, "SQLITE_FULL"
                raise error

        sa.event.listen(sa.Engine, "do_execute", execute)


if __name__ == "__main__":
    Pretender(Path(sys.argv[1])).install()
    script = sys.argv[-1]
    sys.argv = [script]
    sys.path.insert(0, str(Path(script).parent))
    runpy.run_path(script, run_name="__main__")
