"""Commands that work on this machine alone: serve, weights, doctor."""

import json
import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler

import pytest

from tests.client.loopback import answering
from tests.fakes.hub import FakeHub, Repository
from tests.server import ROOT, Server
from tests.weights.conftest import REPOSITORY, Setting, files
from vidgen.cli.checks import port
from vidgen.settings import Settings

PROGRAM = ("-m", "vidgen.cli")


@pytest.fixture
def setting(tmp_path):
    with FakeHub({REPOSITORY: Repository(files())}) as hub:
        yield Setting(hub, tmp_path)


@pytest.fixture
def weights(setting):
    """Run a command on the weights of a loopback hub."""
    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        program = (sys.executable, *PROGRAM, "weights")
        return setting.run(*arguments, program=program, PYTHONPATH=ROOT, **environment)

    return run


@pytest.fixture
def doctor(vidgen, tmp_path, monkeypatch):
    """Run the doctor on a machine that has only what is set."""
    for name in os.environ.keys() & {field.upper() for field in Settings.model_fields}:
        monkeypatch.delenv(name)

    def run(*arguments: str, **settings: object):
        for name, value in {"api_port": 0, "workspace_dir": tmp_path, "min_free_mb": 0, **settings}.items():
            monkeypatch.setenv(name.upper(), str(value))
        return vidgen("doctor", *arguments)

    return run


def states(done) -> dict[str, tuple[str, str]]:
    return {each["what"]: (each["state"], each["said"]) for each in done.json()["findings"]}


def test_weights_are_listed_fetched_and_verified(setting, weights):
    card = setting.card()
    assert "clip" in (listed := weights("list")).stdout and listed.returncode == 0
    fetched = weights("download", card.id)
    assert (fetched.returncode, fetched.stderr) == (0, "")
    assert "clip is whole: 6 files" in fetched.stdout
    rows = {row["model"]: row for row in json.loads(weights("list", "--json").stdout)}
    assert rows["clip"] == {
        "model": "clip", "size": "200 MB", "here": "yes", "repository": "lab/clip",
        "licence": "Lab License, https://lab.example/licence",
    }
    assert json.loads(weights("verify", "--json").stdout) == [{"model": "clip", "ok": True, "problem": None}]
    (setting.weights / "clip/vae/vae.safetensors").unlink()
    wrong = weights("verify")
    assert wrong.returncode == 1 and "vae/vae.safetensors is missing" in wrong.stderr


def test_a_dry_run_fetches_nothing(setting, weights):
    setting.card()
    assert "nothing was fetched" in weights("download", "clip", "--dry-run").stdout
    assert not setting.weights.exists()


@pytest.mark.parametrize(("arguments", "said"), [
    (["download"], "vidgen: model: name a model, or give --all; the list says which there are\n"),
    (["download", "--all", "clip"], "vidgen: model: either --all or names\n"),
    (["verify", "nothing"], "vidgen: model: no card that names weights is called 'nothing'; there are "),
])
def test_a_wrong_name_is_bad_input(setting, weights, arguments, said):
    setting.card()
    done = weights(*arguments)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith(said)


def test_serve_takes_its_options_before_the_environment(tmp_path):
    server = Server(
        tmp_path / "unused", program=(*PROGRAM, "serve", "--port", "0", "--workspace", str(tmp_path / "here")),
        port=9, pythonpath=ROOT,
    )
    try:
        server.wait_until_ready()
        assert (tmp_path / "here" / "vidgen.db").exists() and not (tmp_path / "unused").exists()
        assert server.stop(signal.SIGINT) == 0
    finally:
        server.kill()


def test_serve_refuses_bad_settings(vidgen):
    done = vidgen("serve", "--port", "99999")
    assert done.code == 2 and "API_PORT" in done.err and "Traceback" not in done.err


def test_the_doctor_says_what_is_there_and_what_to_do(doctor):
    done = doctor("--json", anthropic_api_key="sk-secret-words", gpu_device="cpu")
    found = states(done)
    assert done.code == 0 and "sk-secret-words" not in done.out
    assert found["ffmpeg"][0] == "good" and found["ANTHROPIC_API_KEY"] == ("good", "is set")
    assert found["REPLICATE_API_TOKEN"][0] == "warning" and found["weights svd-xt"][0] == "warning"
    assert found["GPU"][0] == "good" and found["torch"][0] == "good"
    assert all(each["advice"] for each in done.json()["findings"] if each["state"] != "good")
    assert "vidgen weights download svd-xt" in doctor().out


def test_the_doctor_finds_what_is_bad(doctor, tmp_path):
    done = doctor("--json", gpu_device="7", min_free_mb=10**9)
    found = states(done)
    assert (done.code, found["GPU"][0], found["workspace"][0]) == (1, "bad", "bad")
    (tmp_path / "file").touch()
    assert states(doctor("--json", gpu_device="cpu", workspace_dir=tmp_path / "file"))["workspace"][0] == "bad"
    broken = doctor("--json", gpu_device="cpu", min_free_mb=0, imageio_ffmpeg_exe=tmp_path / "nothing")
    assert (broken.code, states(broken)["ffmpeg"][0]) == (1, "bad")


class Stranger(BaseHTTPRequestHandler):
    """Another server, which has a health too."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "15")
        self.end_headers()
        self.wfile.write(b'{"status":"ok"}')


def test_the_doctor_knows_who_has_the_port(server):
    def found(url: str):
        return port(Settings(api_port=url.rpartition(":")[2]))

    assert found(server.url).said.startswith("vidgen ")
    with answering(Stranger) as url:
        assert found(url).state == "bad"
    assert (found(url).state, found(url).said) == ("good", "is free")
    elsewhere = port(Settings(api_host="192.0.2.1"))
    assert elsewhere.state == "bad" and elsewhere.advice.startswith("set API_HOST")


def test_bad_settings_are_what_the_doctor_says_first(doctor):
    done = doctor(api_port="many", min_free_mb="few")
    assert (done.code, done.err.count("\n")) == (1, 1) and "  " not in done.err
    assert "API_PORT" in done.err and "MIN_FREE_MB" in done.err


def test_help_imports_nothing_heavy(environment):
    code = (
        "import sys; from vidgen.cli import main; main(['--help']); "
        "print([m for m in ('pydantic', 'httpx', 'rich', 'fastapi', 'torch', 'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
