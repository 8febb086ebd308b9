"""What a server is asked of a job: how long it took, how it was made, which bytes came out, where it is."""

import hashlib
import http.client
import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.server import Client, Server

JOB_S = 400
LOOK_S = 0.01
ENDED = ("completed", "failed", "cancelled")


def done(client: Client, job: dict[str, Any]) -> str:
    """The id of *job*, which has been posted and completed.

    :raises RuntimeError: it failed, or takes too long.
    """
    job_id = client.post(**job)
    client.wait_for(job_id, JOB_S)
    return job_id


def ended(client: Client, job_id: str) -> dict[str, Any]:
    """The job once it has ended, however.

    :raises RuntimeError: it takes too long.
    """
    deadline = time.monotonic() + JOB_S
    while (job := client.job(job_id))["status"] not in ENDED:
        if time.monotonic() > deadline:
            raise RuntimeError(f"job {job_id} is {job['status']} after {JOB_S} s")
        time.sleep(LOOK_S)
    return job


def recipe(client: Client, job_id: str) -> dict[str, Any]:
    return client.call("GET", f"/api/v1/jobs/{job_id}/recipe")


def seconds(client: Client, job_id: str, since: str = "created_at") -> float:
    """From the job's acknowledgement, or its start, to its end; as its own sheet has them."""
    run = recipe(client, job_id)["run"]
    return (datetime.fromisoformat(run["ended_at"]) - datetime.fromisoformat(run[since])).total_seconds()


def made(client: Client, job_id: str) -> dict[str, Any]:
    """How the first shot was really rendered: ``mode``, and where there is something to say ``ran_out``."""
    return recipe(client, job_id)["recipe"]["storyboard"]["shots"][0]["made"]["render"]


def measured(client: Client, job_id: str) -> list[dict[str, float]]:
    """Of each render, what was measured."""
    steps = client.job(job_id)["usage"]["steps"]
    return [steps[name] for name in sorted(steps) if name.startswith("render")]


def clip(server: Server, job_id: str) -> str:
    """The digest of the first shot's file."""
    file: Path = server.workspace / "videos" / job_id / "shot_001.mp4"
    return hashlib.sha256(file.read_bytes()).hexdigest()


def messages(server: Server, job_id: str) -> Iterator[dict[str, Any]]:
    """What the server says of the job as it goes on, until it ends."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=JOB_S)
    try:
        connection.request("GET", f"/api/v1/jobs/{job_id}/events")
        for line in connection.getresponse():
            if line.startswith(b"data: "):
                yield json.loads(line[6:])
    finally:
        connection.close()


def wait_for_phase(server: Server, job_id: str, phase: str, at_least: int = 0) -> bool:
    """Return once the job's render has come to this *phase* and this unit of it; False where it ended before."""
    return any(
        said.get("phase") == phase and said.get("phase_step", 0) >= at_least for said in messages(server, job_id)
    )
