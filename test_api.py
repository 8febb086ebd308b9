"""Checks a running server, step by step as the API document goes: ``python test_api.py [URL]``.

The URL is the first argument, else API_URL, else http://localhost:8000. TEST_MODEL names another model than the stub,
API_KEY a key where the server needs one. Exit code 0: all passed; 1: something failed; 2: there is no server.
"""

import json
import os
import struct
import sys
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from typing import Any

from websockets.sync.client import connect

MODEL = os.environ.get("TEST_MODEL", "stub:animatic")
KEY = os.environ.get("API_KEY")
TIMEOUT_S = 600.0
"""For one job, from POST to the last message."""

BODY = {
    "user_prompt": "A peaceful forest at sunrise", "model_id": MODEL, "max_shots": 3,
    "style_preferences": {"mood": "calm", "color_palette": "warm"},
}
JOB_FIELDS = {
    "id", "status", "created_at", "updated_at", "user_prompt", "generation_mode", "model_id", "current_step",
    "progress_percentage", "output_video_url", "storyboard", "error_message",
}


class Failed(Exception):
    """A check found something else than the document says."""


class Answer:
    """A status, headers and a body."""

    def __init__(self, status: int, headers: Any, body: bytes):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Api:
    """The server under check."""

    def __init__(self, url: str):
        self.url = url.rstrip("/")
        self.headers = {"X-API-Key": KEY} if KEY else {}
        self.job_id = ""
        self.upload_id = ""

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None:
            headers.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(self.url + path, data, {**self.headers, **headers}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as e:
            return Answer(e.code, e.headers, e.read())


def expect(found: Any, wanted: Any, what: str) -> None:
    if found != wanted:
        raise Failed(f"{what}: {found!r}, not {wanted!r}")


def expect_error(answer: Answer, status: int) -> None:
    expect(answer.status, status, "status")
    missing = {"error", "detail", "timestamp", "code"} - answer.json.keys()
    expect(missing, set(), "fields missing in the error")


def image() -> bytes:
    """A PNG of 64 × 48 pixels."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes([x * 4, y * 5, 120][i] for x in range(64) for i in range(3)) for y in range(48))
    header = struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


# the checks, in order


def health(api: Api) -> str:
    answer = api.call("GET", "/api/v1/health")
    expect(answer.status, 200, "status")
    for name in ("status", "version", "timestamp", "api_keys_configured", "models_available"):
        expect(name in answer.json, True, f"health has {name}")
    return f"{answer.json['status']}, {answer.json['models_available']} models can run"


def pages(api: Api) -> str:
    for path in ("/docs", "/redoc", "/openapi.json"):
        expect(api.call("GET", path).status, 200, path)
    return "/docs, /redoc"


def list_models(api: Api) -> str:
    found = api.call("GET", "/api/v1/models?available_only=false").json
    expect(found["total"], len(found["models"]), "total")
    expect(MODEL in [model["id"] for model in found["models"]], True, f"{MODEL} is listed")
    return ", ".join(model["id"] for model in found["models"])


def read_model(api: Api) -> str:
    answer = api.call("GET", f"/api/v1/models/{MODEL}")
    expect(answer.status, 200, "status")
    expect({"capabilities", "memory_requirements"} <= answer.json.keys(), True, "capabilities and memory")
    expect(answer.json["is_available"], True, f"{MODEL} can run ({answer.json['unavailable_reason']})")
    return answer.json["name"]


def upload(api: Api) -> str:
    mark = "vidgen-test-boundary"
    body = (
        f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="reference.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    ).encode() + image() + f"\r\n--{mark}--\r\n".encode()
    answer = api.call("POST", "/api/v1/upload", body, **{"Content-Type": f"multipart/form-data; boundary={mark}"})
    expect(answer.status, 200, "status")
    api.upload_id = answer.json["file_id"]
    return answer.json["file_path"]


def create_job(api: Api) -> str:
    answer = api.call("POST", "/api/v1/jobs", BODY)
    expect(answer.status, 201, f"status ({answer.body[:200]!r})")
    expect(JOB_FIELDS - answer.json.keys(), set(), "fields missing in the job")
    api.job_id = answer.json["id"]
    return api.job_id


def list_jobs(api: Api) -> str:
    found = api.call("GET", "/api/v1/jobs?page=1&page_size=20").json
    expect(api.job_id in [job["id"] for job in found["jobs"]], True, "the job is listed")
    return f"{found['total']} in all"


def watch(api: Api) -> str:
    """The WebSocket, to the job's last message."""
    url = "ws" + api.url.removeprefix("http") + f"/ws/jobs/{api.job_id}"
    kinds: list[str] = []
    with connect(url, additional_headers=api.headers) as socket:
        deadline = time.monotonic() + TIMEOUT_S
        socket.send("ping")
        while not {"job_complete", "error"} & set(kinds):
            message = json.loads(socket.recv(timeout=max(0.0, deadline - time.monotonic())))
            kinds.append(message["type"])
    expect(kinds[0], "connected", "the first message")
    expect(kinds[-1], "job_complete", f"the last message ({message})")
    return f"{len(kinds)} messages"


def read_job(api: Api) -> str:
    job = api.call("GET", f"/api/v1/jobs/{api.job_id}").json
    expect(job["status"], "completed", "status")
    expect(job["progress_percentage"], 100.0, "progress")
    expect(job["output_video_url"], f"/videos/{api.job_id}/final_output.mp4", "output_video_url")
    return f"{len(job['storyboard']['shots'])} shots: {job['storyboard']['title']}"


def download(api: Api) -> str:
    answer = api.call("GET", f"/api/v1/jobs/{api.job_id}/video")
    expect(answer.status, 200, "status")
    expect(answer.headers["Content-Type"], "video/mp4", "type")
    expect(answer.body[4:8], b"ftyp", "an mp4's first box")
    part = api.call("GET", f"/videos/{api.job_id}/final_output.mp4", Range="bytes=0-99")
    expect((part.status, part.body), (206, answer.body[:100]), "the first 100 bytes")
    return f"{len(answer.body):,} bytes"


def from_image(api: Api) -> str:
    """A job from the uploaded image, cancelled or finished, whichever comes first."""
    body = BODY | {"reference_image": api.upload_id, "max_shots": 1}
    job = api.call("POST", "/api/v1/jobs", body)
    expect(job.status, 201, f"status ({job.body[:200]!r})")
    expect(job.json["generation_mode"], "image_to_video", "mode")
    expect(api.call("DELETE", f"/api/v1/jobs/{job.json['id']}").status, 200, "delete")
    return job.json["id"]


def bad_input(api: Api) -> str:
    expect_error(api.call("POST", "/api/v1/jobs", {"user_prompt": "", "model_id": MODEL}), 400)
    expect_error(api.call("POST", "/api/v1/jobs", BODY | {"no_such_field": 1}), 400)
    expect_error(api.call("GET", "/api/v1/jobs?page=0"), 400)
    expect_error(api.call("GET", "/api/v1/jobs/job_unknown"), 404)
    expect_error(api.call("GET", "/no/such/route"), 404)
    return "400 and 404 in the one shape"


def delete(api: Api) -> str:
    answer = api.call("DELETE", f"/api/v1/jobs/{api.job_id}")
    expect(answer.json, {"message": f"Job {api.job_id} deleted successfully"}, "answer")
    expect_error(api.call("GET", f"/api/v1/jobs/{api.job_id}"), 404)
    expect_error(api.call("GET", f"/videos/{api.job_id}/final_output.mp4"), 404)
    return "gone, with its files"


CHECKS: list[Callable[[Api], str]] = [
    health, pages, list_models, read_model, upload, create_job, list_jobs, watch, read_job, download, from_image,
    bad_input, delete,
]


def run(api: Api) -> int:
    failed = 0
    for check in CHECKS:
        name, began = check.__name__.replace("_", " "), time.monotonic()
        try:
            said = check(api)
        except Exception as e:
            failed += 1
            print(f"FAIL  {name:12} {type(e).__name__}: {e}")
        else:
            print(f"ok    {name:12} {said} ({time.monotonic() - began:.2f} s)")
    print(f"{len(CHECKS) - failed} of {len(CHECKS)} passed")
    return 1 if failed else 0


def main() -> int:
    url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("API_URL", "http://localhost:8000")
    api = Api(url)
    try:
        api.call("GET", "/api/v1/health")
    except OSError as e:
        print(f"no server answers at {url}: {e}")
        return 2
    return run(api)


if __name__ == "__main__":
    sys.exit(main())
