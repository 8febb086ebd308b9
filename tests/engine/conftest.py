"""A real engine with the stub backend, in a workspace of its own."""

import time
from collections.abc import Callable

import pytest

from vidgen.engine.engine import Engine
from vidgen.media.files import Workspace
from vidgen.registry import discover
from vidgen.request import JobRequest
from vidgen.settings import load_settings
from vidgen.types import EventType, Job, JobStatus

SMALL = {"width": 64, "height": 64, "num_frames": 4}
WAIT_S = 30


def make_engine(root, **settings) -> Engine:
    values = {"workspace_dir": root, "min_free_mb": 0, "allow_test_parameters": True, "drain_s": 5, **settings}
    loaded = load_settings(_env_file=None, **values)
    workspace = Workspace(root)
    workspace.prepare()
    return Engine(loaded, discover(loaded), workspace)


@pytest.fixture
def start(tmp_path):
    """Start an engine on the test's workspace; all are closed afterwards."""
    running = []

    def start(**settings) -> Engine:
        engine = make_engine(tmp_path / "workspace", **settings)
        engine.start()
        running.append(engine)
        return engine

    yield start
    for engine in running:
        if engine.ready():
            engine.close(0)


def ask(**values) -> JobRequest:
    asked = {"user_prompt": "a forest at dawn", "model_id": "stub:animatic", "max_shots": 1, **SMALL, **values}
    return JobRequest.model_validate_json(JobRequest(**asked).model_dump_json(exclude_unset=True))


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S} s for: {what}"
        time.sleep(0.02)


def wait(engine: Engine, job_id: str, status: JobStatus = JobStatus.COMPLETED) -> Job:
    until(lambda: engine.job(job_id).status.ended, f"{job_id} to end")
    job = engine.job(job_id)
    assert job.status is status, job.error_message
    return job


def messages(engine: Engine, job_id: str, type_: EventType | None = None) -> list[dict]:
    return [e.message() for e in engine.hub.read(job_id, 0) if type_ in (None, e.type)]
