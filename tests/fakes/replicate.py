"""A loopback server that speaks Replicate's protocol to the real SDK, and writes down all that it is asked.

    with FakeReplicate() as fake:
        Settings(replicate_api_token=TOKEN, replicate_base_url=fake.url)

A prediction starts as ``starting``; each look at it takes it one status further in ``fake.life``. What goes wrong is
arranged with :meth:`FakeReplicate.arrange` and the acts of ``replicate_acts``. Knows nothing of vidgen.
"""

import json
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.footage import small_mp4, small_png
from tests.fakes.replicate_acts import RUNNING, Script

TOKEN = "r8_a_token_for_tests"
PREDICT_SECONDS = 12.5

ROUTES = {
    "create": re.compile(r"POST /v1/(?:models/(?P<model>[^/]+/[^/]+)/)?predictions"),
    "list": re.compile(r"GET /v1/predictions"),
    "get": re.compile(r"GET /v1/predictions/(?P<id>\w+)"),
    "cancel": re.compile(r"POST /v1/predictions/(?P<id>\w+)/cancel"),
    "upload": re.compile(r"POST /v1/files"),
    "output": re.compile(r"GET /output/(?P<id>\w+)"),
}
"""What is asked for, by names of ours."""


class FakeReplicate(Script):
    """The server, while its block runs, and what it has seen. It is itself the script of all requests that have none
    of their own; ``requests`` counts those of every script.

    ``predictions`` are those that were made, which is what is paid for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.predictions: list[dict[str, Any]] = []
        self.uploads: list[bytes] = []
        self.tokens: dict[str, set[str | None]] = {name: set() for name in ROUTES}
        self.videos: bytes | None = None        # what every video model makes; None: a small mp4
        self.image_models = {"black-forest-labs/flux-schnell"}
        self.page_size = 100
        self.ending = threading.Event()
        self.lock = threading.RLock()
        self._scripts: dict[int, Script] = {}
        self._looks: dict[str, int] = {}
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.fake = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "FakeReplicate":
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.ending.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def script(self, seed: int) -> Script:
        """The script of all requests that are about a prediction with this seed among its inputs."""
        return self._scripts.setdefault(seed, Script())

    def script_of(self, prediction: dict[str, Any] | None) -> Script:
        return self._scripts.get(prediction["input"].get("seed"), self) if prediction else self

    def paid(self, seed: int | None = None) -> int:
        """How many predictions were made, in all or with this seed."""
        return len([p for p in self.predictions if seed in (None, p["input"].get("seed"))])

    def wait_for(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"in vain; requests so far: {self.requests}"
            time.sleep(0.01)

    # what the service does

    def create(self, model: str | None, body: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            number = len(self.predictions) + 1
            made = {
                "id": f"pred{number:04d}", "model": model or "someone/model",
                "version": body.get("version", "hidden"), "input": body["input"], "status": "starting", "output": None,
                "logs": "", "error": None, "metrics": {}, "created_at": _now(), "started_at": None,
                "completed_at": None, "data_removed": False, "source": "api",
            }
            made["urls"] = {"get": f"{self.url}/v1/predictions/{made['id']}"}
            self.predictions.append(made)
            return made

    def find(self, prediction_id: str | None) -> dict[str, Any] | None:
        with self.lock:
            return next((p for p in self.predictions if p["id"] == prediction_id), None)

    def advance(self, prediction: dict[str, Any]) -> None:
        """Take the prediction one status further, as a look at it does."""
        with self.lock:
            if prediction["status"] not in RUNNING:
                return
            script = self.script_of(prediction)
            look = self._looks[prediction["id"]] = self._looks.get(prediction["id"], -1) + 1
            prediction["status"] = status = script.life[min(look, len(script.life) - 1)]
            prediction["logs"] = script.logs[min(look, len(script.logs) - 1)]
            prediction["started_at"] = prediction["started_at"] or _now()
            if status == "succeeded":
                address = f"{self.url}/output/{prediction['id']}"
                is_image = prediction["model"] in self.image_models
                prediction |= {"output": [address] if is_image else address, "completed_at": _now()}
                prediction["metrics"] = {"predict_time": PREDICT_SECONDS}
            elif status not in RUNNING:
                prediction |= {"error": script.error, "completed_at": _now()}

    def page(self, offset: int) -> dict[str, Any]:
        with self.lock:
            newest = self.predictions[::-1][offset:]
            more = len(newest) > self.page_size
            after = f"https://api.replicate.com/v1/predictions?cursor={offset + self.page_size}" if more else None
            return {"previous": None, "next": after, "results": newest[:self.page_size]}

    def output(self, prediction: dict[str, Any]) -> tuple[bytes, str]:
        if prediction["model"] in self.image_models:
            return small_png(), "image/png"
        return self.videos or small_mp4(), "video/mp4"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    fake: FakeReplicate

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass                                # clients that give up are part of the tests


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    @property
    def fake(self) -> FakeReplicate:
        return self.server.fake

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = urlsplit(self.path)
        asked = {route: pattern.fullmatch(f"{self.command} {path.path}") for route, pattern in ROUTES.items()}
        route, found = next(((route, found) for route, found in asked.items() if found), (None, None))
        if route is None:
            return self.send_json(404, {"detail": "there is no such route"})
        token = self.headers.get("authorization")
        self.fake.tokens[route].add(token)
        about = json.loads(body) if route == "create" else self.fake.find(found.groupdict().get("id"))
        script = self.fake.script_of(about)
        for counted in {self.fake, script}:
            counted.count(route)
        act = script.act(route)

        def proceed() -> None:
            if route != "output" and token != f"Bearer {TOKEN}":
                return self.send_json(401, {"title": "Unauthenticated", "detail": f"no such token: {token}"})
            return getattr(self, f"_{route}")(body, path.query, **found.groupdict())

        return proceed() if act is None else act(self, proceed)

    do_GET = do_POST = _handle

    def _create(self, body: bytes, query: str, model: str | None) -> None:
        self.send_json(201, self.fake.create(model, json.loads(body)))

    def _list(self, body: bytes, query: str) -> None:
        self.send_json(200, self.fake.page(int(parse_qs(query).get("cursor", ["0"])[0])))

    def _get(self, body: bytes, query: str, id: str) -> None:
        if (prediction := self.fake.find(id)) is None:
            return self.send_json(404, {"detail": "not found"})
        self.fake.advance(prediction)
        return self.send_json(200, prediction)

    def _cancel(self, body: bytes, query: str, id: str) -> None:
        prediction = self.fake.find(id)
        if prediction["status"] in RUNNING:
            prediction["status"] = "canceled"
        self.send_json(200, prediction)

    def _upload(self, body: bytes, query: str) -> None:
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        part, = BytesParser().parsebytes(head + body).get_payload()
        self.fake.uploads.append(part.get_payload(decode=True))
        name = f"file{len(self.fake.uploads):04d}"
        urls = {"get": f"{self.fake.url}/v1/files/{name}"}
        self.send_json(201, {"id": name, "name": part.get_filename(), "urls": urls})

    def _output(self, body: bytes, query: str, id: str) -> None:
        content, kind = self.fake.output(self.fake.find(id))
        self.send(200, content, kind)

    def send_json(self, status: int, body: Any, **headers: str) -> None:
        self.send(status, json.dumps(body).encode(), "application/json", **headers)

    def send(self, status: int, body: bytes, content_type: str, **headers: str) -> None:
        """Answer; a header's underscores become dashes."""
        self.send_response(status)
        for name, value in {"content_type": content_type, "content_length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
