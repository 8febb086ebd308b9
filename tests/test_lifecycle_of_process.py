"""How the server process begins and ends: signals, draining, and one server a workspace."""

import signal
import time

import pytest

from tests.chaos.autopsy import examine
from tests.server import Server, started

REFUSED = 2
LONG_DRAIN_S = 300                          # far longer than a test waits for the end of a process
SLOW = {"slow_ms": 100}


@pytest.fixture
def workspace(tmp_path):
    return tmp_path / "workspace"


def still_runs(server):
    time.sleep(0.5)
    return server.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_idle_server_with_0(workspace, number):
    with started(workspace) as server:
        assert server.stop(number) == 0
        assert "stopped" in server.log()


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


def test_a_second_signal_ends_the_draining_at_once(workspace):
    with started(workspace, allow_test_parameters=True, drain_s=LONG_DRAIN_S) as server:
        job_id = server.submit(parameters={"wait_at_step": 2})
        server.wait_for_step(job_id, "Generating")
        server.process.send_signal(signal.SIGTERM)
        assert still_runs(server)
        assert server.stop() == 0
    assert examine(workspace).jobs == {job_id: "processing"}


def test_listeners_do_not_keep_the_server_from_ending(workspace):
    with started(workspace) as server:
        server.post("/api/v1/queue/pause")
        job_id = server.submit()
        with server.client.stream("GET", f"/api/v1/jobs/{job_id}/events") as stream:
            lines = stream.iter_lines()
            assert next(lines)
            assert server.stop() == 0


def test_a_second_server_on_one_workspace_is_refused_and_told_who_holds_it(workspace):
    with started(workspace) as first:
        second = Server(workspace)
        assert second.wait_until_gone() == REFUSED
        assert f"in use by process {first.process.pid} at {first.url}" in second.log()
        assert "Traceback" not in second.log()
        first.wait(first.submit())
        assert first.stop() == 0


def test_a_killed_server_leaves_no_lock_behind(workspace):
    with started(workspace) as server:
        job_id = server.submit(max_shots=2)
        server.kill()
    with started(workspace) as server:
        server.wait(job_id)
