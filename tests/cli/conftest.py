"""A started server, and the command line: called in this process, as a process with pipes, or on a terminal."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import Terminal
from tests.server import ROOT, Server, holding, started
from vidgen.cli import main

SMALL = ("-m", "stub:animatic", "--width", "64", "--height", "64", "--frames", "5")
WAIT_S = 60


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output, which must be one line of JSON."""
        [line] = self.out.splitlines()
        return json.loads(line)

    def lines(self) -> list[Any]:
        """Standard output, of which each line must be JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """What is started here hears Ctrl-C, though a shell that starts the tests in the background has them ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    """The real server, with test parameters allowed."""
    workspace = tmp_path_factory.mktemp("cli") / "workspace"
    with started(workspace, allow_test_parameters="true", max_concurrent_jobs=3) as running:
        yield running


@pytest.fixture(scope="session")
def finished(server) -> dict:
    """A job that has completed; tests read it and leave it alone."""
    return server.wait(server.submit(max_shots=2, user_prompt="A lighthouse. A gull over the sea."))


@pytest.fixture
def video(server, finished, tmp_path) -> Path:
    """The file of that job."""
    path = tmp_path / "lighthouse.mp4"
    path.write_bytes(server.get(finished["output_video_url"]).content)
    return path


@pytest.fixture
def held(server) -> Iterator[Callable[..., str]]:
    """Submit a job whose render waits until the test ends."""
    with holding(server) as submit:
        yield submit


@pytest.fixture
def vidgen(server, tmp_path, monkeypatch, capsys) -> Callable[..., Done]:
    """Run a command to its end, in this process and an empty folder."""
    for name in [name for name in os.environ if name.startswith(("VIDGEN_", "API_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("VIDGEN_URL", server.url)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        code = main(list(map(str, arguments)))
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def environment(server, tmp_path) -> dict[str, str]:
    """What a process of the command line is given."""
    keep = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "HOME", "LD_LIBRARY_PATH")}
    return {**keep, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "VIDGEN_URL": server.url, "TERM": "xterm"}


@pytest.fixture
def piped(environment, tmp_path):
    """Start a command whose output goes into pipes."""
    processes = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        processes.append(subprocess.Popen(
            [sys.executable, "-m", "vidgen.cli", *arguments], cwd=tmp_path, env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ))
        return processes[-1]

    yield start
    for process in processes:
        with process:                       # closes its pipes
            process.kill()


@pytest.fixture
def terminal(environment, tmp_path):
    """Start a command on a terminal of its own."""
    opened: list[Terminal] = []

    def start(*arguments: str, **more: str) -> Terminal:
        opened.append(Terminal([sys.executable, "-m", "vidgen.cli", *arguments], tmp_path, environment | more))
        return opened[-1]

    yield start
    for one in opened:
        one.close()
