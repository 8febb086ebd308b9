"""How the server process begins and ends: signals, draining, and one server a workspace.

That a killed server leaves no lock behind, every start after a ``kill -9`` shows: ``tests/api/test_hosted.py`` and
``tests/chaos`` have them.
"""

import signal

import httpx
import pytest

from tests.chaos.autopsy import examine
from tests.server import Server, started

REFUSED = 2
LONG_DRAIN_S = 300                          # far longer than a test waits for the end of a process
SLOW = {"slow_ms": 100}


@pytest.fixture
def workspace(tmp_path):
    return tmp_path / "workspace"


def stopped_well(server, number=signal.SIGTERM):
    """End it by this signal, in order."""
    assert server.stop(number) == 0
    assert "stopped" in server.log() and "Traceback" not in server.log()


def wait_for_log(server, words):
    while words not in server.log():
        assert server.process.poll() is None
        signal.sigtimedwait([], 0.02)


def test_the_shot_that_runs_is_finished_first_and_the_next_start_does_the_rest(workspace):
    with started(workspace, allow_test_parameters=True) as server:
        job_id = server.submit(
            user_prompt="a lake, then a hill", max_shots=2, continuity="chain", num_frames=6, parameters=SLOW
        )
        server.wait_for_step(job_id, "Generating shot 1")
        assert server.stop() == 0
    stopped = examine(workspace)
    assert stopped.faults == []
    assert [shot["status"] for shot in stopped.shots.values()] == ["completed", "pending"]
    with started(workspace, allow_test_parameters=True) as server:
        server.wait(job_id)
        run = server.get(f"/api/v1/jobs/{job_id}/recipe").json()["run"]
        assert run["attempts"] == {"plan": 1, "render_001": 1, "render_002": 1, "assemble": 1}
        stopped_well(server, signal.SIGINT)
    assert examine(workspace).files[job_id, "shot_001.mp4"] == stopped.files[job_id, "shot_001.mp4"]


def test_a_shot_that_outlasts_the_drain_goes_back_and_its_attempt_is_not_counted(workspace):
    settings = {"allow_test_parameters": True, "drain_s": 0.1}
    with started(workspace, **settings) as server:
        job_id = server.submit(num_frames=12, parameters=SLOW)
        server.wait_for_step(job_id, "Generating")
        assert server.stop() == 0
    stopped = examine(workspace)
    assert stopped.jobs == {job_id: "processing"}
    assert [(step["status"], step["attempts"]) for step in stopped.renders.values()] == [("ready", 0)]
    assert list((workspace / "videos" / job_id).iterdir()) == []
    with started(workspace, **settings) as server:
        server.wait(job_id)
        assert server.get(f"/api/v1/jobs/{job_id}/recipe").json()["run"]["attempts"]["render_001"] == 1


def test_while_it_drains_it_takes_no_requests_and_a_second_signal_ends_it_at_once(workspace):
    with started(workspace, allow_test_parameters=True, drain_s=LONG_DRAIN_S) as server:
        job_id = server.submit(parameters={"wait_at_step": 2})
        server.wait_for_step(job_id, "Generating")
        server.process.send_signal(signal.SIGTERM)
        wait_for_log(server, "stopping")
        signal.sigtimedwait([], 0.5)
        assert server.process.poll() is None
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{server.url}/api/v1/health", trust_env=False)
        stopped_well(server)
    assert examine(workspace).jobs == {job_id: "processing"}


def test_listeners_do_not_keep_the_server_from_ending(workspace):
    with started(workspace) as server:
        server.post("/api/v1/queue/pause")
        job_id = server.submit()
        with server.client.stream("GET", f"/api/v1/jobs/{job_id}/events") as stream:
            lines = stream.iter_lines()
            assert next(lines)
            stopped_well(server)


def test_a_second_server_on_one_workspace_is_refused_and_told_who_holds_it(workspace):
    with started(workspace) as first:
        second = Server(workspace)
        assert second.wait_until_gone() == REFUSED
        assert f"in use by process {first.process.pid} at {first.url}" in second.log()
        assert "Traceback" not in second.log()
        first.wait(first.submit())
        stopped_well(first)
