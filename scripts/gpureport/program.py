"""A program of its own process that is told something and answers, a line of JSON each."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

from bench.server import ROOT

END_S = 20.0


def orders() -> Iterator[dict[str, Any]]:
    """In the program: what it is told, until nobody is there any more."""
    for line in sys.stdin:
        yield json.loads(line)


def answer(said: Any) -> None:
    """In the program: its answer to what it was told last."""
    print(json.dumps(said), flush=True)


class Program:
    """``scripts.gpureport.NAME`` with *said* as its first argument. A context manager, which waits until it is ready.

    :raises RuntimeError: it ended before it answered, with the end of what it wrote.
    """

    def __init__(self, name: str, said: Mapping[str, Any], environment: Mapping[str, str]):
        self._errors = tempfile.TemporaryFile("w+")
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"scripts.gpureport.{name}", json.dumps(dict(said))], cwd=ROOT, text=True, bufsize=1,
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
