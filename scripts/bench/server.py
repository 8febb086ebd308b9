"""The real server, started and stopped from outside: ``run_api.py`` in a workspace of its own."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0
KEPT_ALIVE_S = 2.0                          # a connection that was idle for longer is opened again
LOOK_S = 0.002                              # between two tries to reach a server that is starting


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Client:
    """One kept-alive connection that speaks JSON."""

    def __init__(self, port: int):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._used = time.monotonic()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON.

        :raises RuntimeError: where the status is an error.
        """
        if time.monotonic() - self._used > KEPT_ALIVE_S:
            self._connection.close()
        self._used = time.monotonic()
        raw = None if body is None else json.dumps(body).encode()
        self._connection.request(method, path, raw, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        said = json.loads(answer.read())
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {said}")
        return said

    def post(self, **job: Any) -> str:
        """Post a job and return its id."""
        return self.call("POST", "/api/v1/jobs", job)["id"]

    def job(self, job_id: str) -> dict[str, Any]:
        return self.call("GET", f"/api/v1/jobs/{job_id}")

    def wait_for(self, job_id: str, timeout_s: float = 120) -> dict[str, Any]:
        """The job once it has completed.

        :raises RuntimeError: it failed, or takes too long.
        """
        deadline = time.monotonic() + timeout_s
        while (job := self.job(job_id))["status"] in ("queued", "processing"):
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        if job["status"] != "completed":
            raise RuntimeError(f"job {job_id} is {job['status']}: {job['error_message']}")
        return job

    def close(self) -> None:
        self._connection.close()


class Server:
    """``run_api.py`` as a child process. A context manager.

    :param settings: environment variables beside the defaults.
    :param workspace: one that is kept; left out, a new one that goes with the server.
    :param flags: for Python itself.
    """

    def __init__(self, *flags: str, workspace: Path | None = None, **settings: object):
        self._own = None if workspace else Path(tempfile.mkdtemp(prefix="vidgen-bench-"))
        self.workspace = workspace or self._own
        self.workspace.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._flags = flags
        self._settings = {"API_PORT": self.port, "WORKSPACE_DIR": self.workspace, "LOG_FORMAT": "json"} | settings

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()
        if self._own:
            shutil.rmtree(self._own, ignore_errors=True)

    def start(self) -> float:
        """Start, and wait for the first 200 of health. Returns the seconds from exec to that answer."""
        plain = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "TMPDIR")}
        environment = plain | {key: str(value) for key, value in self._settings.items()}
        with open(self.log, "ab") as log:
            began = time.monotonic()
            self._child = subprocess.Popen(
                [sys.executable, *self._flags, str(ROOT / "run_api.py")], cwd=self.workspace, env=environment,
                stdout=subprocess.DEVNULL, stderr=log,
            )
        self._wait_until_healthy(began)
        took = time.monotonic() - began
        self.process = psutil.Process(self._child.pid)
        return took

    def stop(self) -> None:
        """SIGTERM twice: what still runs goes back to the queue."""
        for _ in range(2):
            if self._child.poll() is None:
                self._child.send_signal(signal.SIGTERM)
                time.sleep(0.2)
        try:
            self._child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def client(self) -> Client:
        return Client(self.port)

    @property
    def log(self) -> Path:
        return self.workspace / "server.log"

    @property
    def database(self) -> Path:
        return self.workspace / "vidgen.db"

    def log_lines(self) -> list[dict[str, Any]]:
        """What the server logged; lines of other makers are left out."""
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def cpu_s(self) -> tuple[float, float]:
        """Seconds of CPU that the server itself, and the children that have ended, have used."""
        times = self.process.cpu_times()
        return times.user + times.system, times.children_user + times.children_system

    def _wait_until_healthy(self, began: float) -> None:
        while not self._healthy():
            if self._child.poll() is not None:
                raise RuntimeError(f"the server ended as it started:\n{self.log.read_text()[-2000:]}")
            if time.monotonic() - began > START_TIMEOUT_S:
                self.stop()
                raise RuntimeError(f"the server did not start within {START_TIMEOUT_S:g} s")
            time.sleep(LOOK_S)

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/api/v1/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
