"""Starting, refusing to start, and stopping: the real process."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
import websocket

from tests.server import ROOT, started
from vidgen.api.serve import bind, port_of
from vidgen.errors import StartRefused
from vidgen.main import refuse_default
from vidgen.registry import discover
from vidgen.settings import load_settings, url_of


def run(folder, *command: str, **settings: object) -> subprocess.CompletedProcess:
    """Run the server's command line to its end."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("API_", "WORKSPACE_"))}
    given = {"WORKSPACE_DIR": str(folder / "workspace")} | {k.upper(): str(v) for k, v in settings.items()}
    return subprocess.run(
        [sys.executable, *(command or (str(ROOT / "run_api.py"),))], cwd=folder, env=clean | given, timeout=60,
        capture_output=True, text=True,
    )


def test_a_bad_setting_is_named_and_nothing_else_is_said(tmp_path):
    """The module is the same program as run_api.py, which the other refusals come from."""
    ended = run(tmp_path, "-m", "vidgen.main", api_port="many", encoder_crf=99)
    assert ended.returncode == 2
    assert ended.stderr.startswith("vidgen cannot start: bad settings:\n")
    assert "API_PORT" in ended.stderr and "ENCODER_CRF" in ended.stderr and "Traceback" not in ended.stderr


def test_a_port_that_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        ended = run(tmp_path, api_port=other.getsockname()[1])
    assert (ended.returncode, "Traceback" in ended.stderr) == (2, False)
    assert "cannot listen on 127.0.0.1" in ended.stderr


def test_an_address_that_is_not_ours(tmp_path):
    ended = run(tmp_path, api_host="no.such.host.invalid")
    assert ended.returncode == 2 and "cannot listen on no.such.host.invalid" in ended.stderr


def test_a_name_that_no_host_can_have():
    with pytest.raises(StartRefused, match="API_HOST is no host name"):
        bind("x" * 64 + ".example", 0)


@pytest.mark.parametrize(("model_id", "words"), [
    ("foo:bar", "there is no model 'foo:bar'; there are .*stub:animatic"), ("stub:still", "makes images, not video"),
])
def test_a_default_model_that_can_serve_no_job(model_id, words):
    with pytest.raises(StartRefused, match=f"DEFAULT_MODEL: .*{words}"):
        refuse_default(model_id, discover(load_settings(_env_file=None)))


@pytest.mark.parametrize("model_id", [None, "stub:animatic", "local:svd-xt"])
def test_a_default_model_that_may_run_one_day(model_id):
    refuse_default(model_id, discover(load_settings(_env_file=None)))


def test_the_default_model_is_looked_at_before_anything_is_served(tmp_path):
    ended = run(tmp_path, api_port=0, default_model="foo:bar")
    assert ended.returncode == 2 and "DEFAULT_MODEL" in ended.stderr and "Traceback" not in ended.stderr


def test_a_key_file_that_holds_no_key(tmp_path):
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "api_key").write_text("short\n")
    ended = run(tmp_path, api_host="0.0.0.0", api_port=0)
    assert ended.returncode == 2 and "holds no key" in ended.stderr


def test_the_log_says_where_it_serves_and_that_it_stopped(tmp_path):
    with started(tmp_path / "workspace", log_format="json") as running:
        assert running.stop(signal.SIGINT) == 0
        events = [json.loads(line) for line in running.log().splitlines() if line.startswith("{")]
    (serving,) = [event for event in events if event["message"] == "serving"]
    assert serving["url"] == running.url and serving["logger"] == "vidgen.main" and serving["level"] == "info"
    assert "stopped" in [event["message"] for event in events]


def test_open_sockets_and_streams_do_not_hold_it_up(tmp_path):
    with started(tmp_path / "workspace", allow_test_parameters="true", drain_s=0) as running:
        job_id = running.submit(parameters={"wait_at_step": 2})
        ws = websocket.create_connection(f"{running.url.replace('http', 'ws')}/ws/jobs/{job_id}", timeout=30)
        with running.client.stream("GET", f"/api/v1/jobs/{job_id}/events") as stream:
            lines = stream.iter_lines()
            assert next(lines) == "retry: 2000"
            running.process.send_signal(signal.SIGTERM)
            assert list(lines)
        while ws.recv_data()[0] != websocket.ABNF.OPCODE_CLOSE:
            pass
        ws.shutdown()
        assert running.wait_until_gone() == 0
        assert "Traceback" not in running.log()


def test_addresses():
    bound = bind("127.0.0.1", 0)
    port = port_of(bound)
    assert port > 0 and port_of([]) == 0
    for one in bound:
        one.close()
    assert url_of("0.0.0.0", 8000) == "http://127.0.0.1:8000"
    assert url_of("::", 8000) == "http://[::1]:8000"
    assert url_of("studio", 80) == "http://studio:80"


def test_the_documents_smoke_test_passes(server):
    ended = subprocess.run(
        [sys.executable, str(ROOT / "test_api.py"), server.url], capture_output=True, text=True, timeout=110
    )
    assert ended.returncode == 0, ended.stdout
    assert "FAIL" not in ended.stdout and ended.stdout.rstrip().endswith("passed")


def test_the_smoke_test_says_when_nobody_answers():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    command = [sys.executable, str(ROOT / "test_api.py"), f"http://127.0.0.1:{port}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2 and "no server answers" in ended.stdout
