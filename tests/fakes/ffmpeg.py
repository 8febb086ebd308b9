"""An ffmpeg that misbehaves when it is told to: a wrapper executable in front of the real one.

A test makes one in a folder of its own and points IMAGEIO_FFMPEG_EXE at it. What it does next stands in that folder's
``plan.json``, which is read anew by every run, so that it can change while a server runs. Every run is written down
in ``runs.jsonl``. Run as a script, this file is the wrapper itself; it uses the standard library only, and little of
it, since most runs hand over to the real one at once.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

TORN = b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + b"\0\0\0\x08free" + b"\0\0\0\0mdat"
"""The 48 bytes that a killed ffmpeg leaves behind."""

SECRET = "/home/someone/secret.key"
"""Stands in what the failing wrapper says; must never reach a client."""


class FakeFfmpeg:
    """The test's side.

    :param folder: where the executable and its notes go.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.executable = folder / "ffmpeg"
        self.executable.write_text(f'#!/bin/sh\nexec "{sys.executable}" -ISs "{__file__}" "{folder}" "$@"\n')
        self.executable.chmod(0o755)
        self.behave("well")

    def behave(
        self, how: str, *, kind: str = "encode", frame: int = 0, code: int = 1, times: int | None = None,
        where: str = "",
    ) -> None:
        """What runs of *kind* do from now on; all others behave well.

        :param kind: ``encode``, ``inspect``, ``list``, ``join`` (by copying or encoding) or ``metadata``.
        :param how: a method of :class:`Wrapper`.
        :param frame: at which frame, where it matters.
        :param times: how often before it behaves well again; None: always.
        :param where: holds for runs with this in their arguments, beside what was said for others before.
        """
        plan = {"how": how, "kind": kind, "frame": frame, "code": code, "times": times, "real": _real()}
        self._plans = {**(self._plans if where else {}), where: plan}
        fresh = self.folder / "plan.new"
        fresh.write_text(json.dumps(self._plans))
        (self.folder / f"times{where}").unlink(missing_ok=True)
        fresh.replace(self.folder / "plan.json")

    def runs(self, kind: str | None = None) -> list[dict]:
        """Every run so far: ``kind``, ``pid``, ``arguments``."""
        try:
            lines = (self.folder / "runs.jsonl").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [run for run in map(json.loads, lines) if kind in (None, run["kind"])]

    def forget(self) -> None:
        (self.folder / "runs.jsonl").unlink(missing_ok=True)


def _real() -> str:
    """The real ffmpeg, whatever the environment says now."""
    from imageio_ffmpeg import _utils

    return _utils._get_ffmpeg_exe()


def kind_of(arguments: list[str]) -> str:
    if "rawvideo" in arguments:
        return "encode"
    if "ffmetadata" in arguments:
        return "join" if "mp4" in arguments else "metadata"
    if "wrapped_avframe" in arguments:
        return "inspect"
    return "list" if "framecrc" in arguments else "other"


class Wrapper:
    """The other side: one run."""

    def __init__(self, folder: Path, arguments: list[str]):
        self.folder = folder
        self.arguments = arguments
        plans = json.loads((folder / "plan.json").read_text())
        self.where = max((where for where in plans if where in " ".join(arguments)), key=len)
        self.plan = plans[self.where]
        self.kind = kind_of(arguments)

    def run(self) -> None:
        note = {"kind": self.kind, "pid": os.getpid(), "arguments": self.arguments}
        with (self.folder / "runs.jsonl").open("a") as log:
            log.write(json.dumps(note) + "\n")
        getattr(self, self.plan["how"] if self._is_meant() else "well")()

    def _is_meant(self) -> bool:
        if self.kind != self.plan["kind"]:
            return False
        if self.plan["times"] is None:
            return True
        with (self.folder / f"times{self.where}").open("a+") as times:
            times.write("x")
            return times.tell() <= self.plan["times"]

    # behaviours

    def well(self) -> None:
        os.execv(self.plan["real"], [self.plan["real"], *self.arguments])

    def die(self) -> None:
        """Killed at a frame; runs that read files are killed as they start."""
        self._pass(self._start(), self.plan["frame"])
        os.killpg(0, signal.SIGKILL)

    def die_after_last(self) -> None:
        """Killed when all frames were taken: what is on disk is 48 bytes."""
        self._swallow()
        self._output().write_bytes(TORN)
        os.kill(os.getpid(), signal.SIGKILL)

    def torn(self) -> None:
        """Leaves 48 bytes and says that all is well."""
        self._swallow()
        self._output().write_bytes(TORN)

    def short(self) -> None:
        """Writes a good file of fewer frames and says that all is well."""
        real = self._start()
        self._pass(real, self.plan["frame"])
        real.stdin.close()
        self._swallow()
        sys.exit(real.wait())

    def cut(self) -> None:
        """Does all, then takes the last bytes off the file, and says that all is well."""
        code = self._start(fed=False).wait()
        with self._output().open("rb+") as file:
            file.truncate(file.seek(0, 2) - self.plan["frame"])
        sys.exit(code)

    def exit(self) -> None:
        sys.stderr.write(f"cannot open {SECRET}\n")
        sys.exit(self.plan["code"])

    def hang(self) -> None:
        """Reads nothing, ends by no polite signal."""
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)
        time.sleep(3600)

    def hang_at_end(self) -> None:
        self._swallow()
        self.hang()

    def deaf(self) -> None:
        """Closes its input at a frame, and stays."""
        self._take(self.plan["frame"])
        os.close(0)
        self.hang()

    def chatter(self) -> None:
        """Says 8 MB before it does its work."""
        for _ in range(8):
            os.write(2, b"warning: all is well\n" * (2**20 // 21))
        self.well()

    def flood(self) -> None:
        """Says the same thing for ever."""
        while True:
            os.write(1, b"0, 0, 0, 1, 1, 0x00000000\n" * 4096)

    # means

    def _output(self) -> Path:
        return Path(self.arguments[self.arguments.index("-y") + 1].removeprefix("file:"))

    def _frame_bytes(self) -> int:
        width, height = map(int, self.arguments[self.arguments.index("-video_size") + 1].split("x"))
        pixel_format = self.arguments[self.arguments.index("-pixel_format") + 1]
        return width * height * 3 // (2 if pixel_format == "yuv420p" else 1)

    def _start(self, *, fed: bool = True):
        """The real one; *fed* by this process, or with its own input."""
        import subprocess

        command = [self.plan["real"], *self.arguments]
        return subprocess.Popen(command, stdin=subprocess.PIPE if fed else None)

    def _take(self, frames: int) -> bytes:
        return b"".join(self._exactly(self._frame_bytes()) for _ in range(frames))

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size and (more := os.read(0, size - len(data))):
            data += more
        return bytes(data)

    def _pass(self, real, frames: int) -> None:
        if self.kind == "encode":
            real.stdin.write(self._take(frames))
            real.stdin.flush()

    def _swallow(self) -> None:
        while os.read(0, 1 << 20):
            pass


if __name__ == "__main__":
    Wrapper(Path(sys.argv[1]), sys.argv[2:]).run()
