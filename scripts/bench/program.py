"""A program in a process of its own, which is told something and answers (see ``lines.py``)."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from bench.server import ROOT

END_S = 20.0


class Program:
    """``scripts.NAME`` with *said* as its first argument. A context manager, which waits until it is ready.

    :raises RuntimeError: it ended before it answered, with the end of what it wrote.
    """

    def __init__(self, name: str, said: Mapping[str, Any], environment: Mapping[str, str]):
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the program
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"scripts.{name}", json.dumps(dict(said))], cwd=ROOT, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env=os.environ | dict(environment),
        )

    def __enter__(self) -> "Program":
        self.ready = self._answer()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait(END_S)
        for stream in (self.process.stdin, self.process.stdout, self._errors):
            stream.close()

    def ask(self, **order: Any) -> Any:
        self.process.stdin.write(json.dumps(order) + "\n")
        return self._answer()

    def _answer(self) -> Any:
        if line := self.process.stdout.readline():
            return json.loads(line)
        self.process.wait(END_S)
        self._errors.seek(0)
        raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {self._errors.read()[-1500:]}")
