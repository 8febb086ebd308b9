"""The real ``run_api.py`` as a process, for tests: start it, wait until it is ready, talk to it, stop it or kill it.

Knows the server by its command line, its environment and HTTP alone. Nothing of the developer's own configuration
reaches it: it runs beside its workspace, where no ``.env`` is, and every setting in the environment is taken out.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from vidgen.settings import Settings

ROOT = Path(__file__).parents[1]
WAIT_S = 60.0
LOOK_S, SELDOM_S = 0.02, 0.1
"""Between two looks at what may pass by, and at what stays: each look is work for the server that is waited for."""

STOP_S = 30.0
ENDED = ("completed", "failed", "cancelled")
SERVING = re.compile(r"vidgen serves on (http://\S+)")


class Server:
    """One server process. Started at once; :meth:`wait_until_ready` waits for it.

    :param port: 0 takes a free one, which is known once the server is ready.
    :param launcher: put before the command line, such as ``unshare`` with its options.
    :param program: what Python runs.
    :param settings: by their names, in lower case; None leaves one of ours out.
    """

    def __init__(
        self, workspace: Path, *, port: int = 0, launcher: Sequence[str] = (),
        program: Sequence[str] = (str(ROOT / "run_api.py"),), **settings: Any,
    ):
        self.workspace = workspace
        self.log_file = workspace.with_name(f"{workspace.name}.log")
        self.url = f"http://127.0.0.1:{port}"
        self._log_from = self.log_file.stat().st_size if self.log_file.exists() else 0
        self._client: httpx.Client | None = None
        workspace.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*launcher, sys.executable, *program], cwd=workspace.parent, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=_environment(workspace, port, settings),
            )

    # life

    def wait_until_ready(self) -> "Server":
        """Return once jobs can be taken.

        :raises AssertionError: the server ended, or takes too long.
        """
        _until(self._ready, self)
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        self.process.send_signal(number)
        return self.wait_until_gone()

    def wait_until_gone(self) -> int:
        return self.process.wait(STOP_S)

    def kill(self) -> None:
        """End the process as ``kill -9`` does; nothing to do where it has ended."""
        self.process.kill()
        self.process.wait(STOP_S)
        if self._client is not None:
            self._client.close()
            self._client = None

    def log(self) -> str:
        """What this process has written to standard output and error."""
        with self.log_file.open("rb") as file:
            file.seek(self._log_from)
            return file.read().decode("utf-8", "replace")

    # requests

    @property
    def client(self) -> httpx.Client:
        """It reads no certificates, which takes 25 ms: there is no TLS here."""
        if self._client is None:
            self._client = httpx.Client(base_url=self.url, timeout=WAIT_S, trust_env=False, verify=False)
        return self._client

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.client.post(path, **options)

    def submit(self, **job: Any) -> str:
        """Post a small job on the stub, with *job* in its body, and return its id."""
        body = {
            "user_prompt": "a forest at dawn", "model_id": "stub:animatic", "max_shots": 1, "width": 64, "height": 64,
            "num_frames": 5, **job,
        }
        answer = self.post("/api/v1/jobs", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def wait(self, job_id: str, status: str = "completed") -> dict[str, Any]:
        """The job, once it has ended as *status*."""
        _until(lambda: self.get(f"/api/v1/jobs/{job_id}").json()["status"] in ENDED, self, SELDOM_S)
        job = self.get(f"/api/v1/jobs/{job_id}").json()
        assert job["status"] == status, f"{job['status']}: {job['error_message']}\n{self.log()}"
        return job

    def wait_for_step(self, job_id: str, words: str) -> None:
        """Return once the job's current step begins with *words*."""
        _until(lambda: self.get(f"/api/v1/jobs/{job_id}").json()["current_step"].startswith(words), self)

    def wait_for_progress(self, job_id: str, percent: float) -> None:
        """Return once the job has come this far."""
        _until(lambda: self.get(f"/api/v1/jobs/{job_id}").json()["progress_percentage"] >= percent, self)

    def _ready(self) -> bool:
        if (found := SERVING.search(self.log())) is None:
            return False
        self.url = found[1]
        try:
            return self.get("/api/v1/ready").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def started(workspace: Path, **settings: Any) -> Iterator[Server]:
    """A server that is ready; killed at the end of the block, if it has not ended by then."""
    server = Server(workspace, **settings)
    try:
        yield server.wait_until_ready()
    finally:
        server.kill()


@contextmanager
def holding(server: Server) -> Iterator[Callable[..., str]]:
    """Submits jobs whose renders wait until the end of the block, where they are deleted."""
    ids: list[str] = []

    def submit(**job: Any) -> str:
        ids.append(server.submit(parameters={"wait_at_step": 2}, **job))
        return ids[-1]

    try:
        yield submit
    finally:
        for job_id in ids:
            server.client.delete(f"/api/v1/jobs/{job_id}")


def _environment(workspace: Path, port: int, settings: dict[str, Any]) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    ours = {"workspace_dir": workspace, "api_host": "127.0.0.1", "api_port": port, "min_free_mb": 0, **settings}
    return clean | {name.upper(): str(value) for name, value in ours.items() if value is not None}


def _until(condition: Any, server: Server, at_most_s: float = LOOK_S) -> None:
    """:param at_most_s: between two looks, once they have become fewer."""
    deadline, look_s = time.monotonic() + WAIT_S, LOOK_S
    while not condition():
        assert server.process.poll() is None, f"the server ended with {server.process.returncode}:\n{server.log()}"
        assert time.monotonic() < deadline, f"waited {WAIT_S:g} s in vain:\n{server.log()}"
        time.sleep(look_s)
        look_s = min(look_s * 1.2, at_most_s)
