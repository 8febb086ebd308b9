"""A loopback Hugging Face hub that the real huggingface_hub talks to: lists of files, bytes of files, ranges, refusals.

    with FakeHub({"lab/clip": Repository({"model_index.json": b"{}", "unet/w.safetensors": data})}) as hub:
        Hub(endpoint=hub.url)               # or HF_ENDPOINT=hub.url in a process's environment

Large files are sent on to a second port, as the hub sends them on to its CDN; that host must never see a token.
What goes wrong is set on the repository (``changed``, ``lost``, ``gated``) or on the hub (``cut``, ``pace``, ``busy``).
"""

import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

PIECE_BYTES = 256 << 10
LARGE = (".safetensors", ".bin")            # kept as LFS objects: listed by SHA-256, sent by the CDN
TOKEN = "hf_right"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
_LISTED = re.compile(r"/api/models/([^/]+/[^/]+)/revision/([^/?]+)")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Repository:
    """What the hub says of a repository, and what it has."""

    files: dict[str, bytes]
    commit: str = COMMIT
    gated: bool = False                     # until ``accepted``, no file is given away
    accepted: bool = False
    changed: dict[str, bytes] = field(default_factory=dict)     # what is sent instead of what is listed
    lost: set[str] = field(default_factory=set)                 # listed and not there
    listed: dict[str, int] = field(default_factory=dict)        # sizes that are listed instead of the true ones

    def listing(self, name: str) -> dict[str, Any]:
        siblings = [self._sibling(path, data) for path, data in self.files.items()]
        return {
            "id": name, "sha": self.commit, "private": False, "gated": "auto" if self.gated else False,
            "siblings": siblings,
        }

    def _sibling(self, path: str, data: bytes) -> dict[str, Any]:
        size = self.listed.get(path, len(data))
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        sibling = {"rfilename": path, "size": size, "blobId": blob}
        if path.endswith(LARGE):
            sibling["lfs"] = {"size": size, "sha256": hashlib.sha256(data).hexdigest(), "pointerSize": 134}
        return sibling


class FakeHub:
    """The hub, while its block runs.

    ``requests`` are (method, path, headers) as they came; ``served`` are the bytes of each file that clients took.

    :ivar pace: seconds to wait before each piece of a large file.
    :ivar cut: bytes of a large file after which the line breaks, once for each entry.
    :ivar busy: how many requests for files are answered with 503.
    :ivar ranges: whether parts of files are served.
    :ivar instead: what every request is answered with, where this is no hub at all.
    :ivar before_file: called before the first byte of each large file.
    """

    def __init__(self, repositories: Mapping[str, Repository]):
        self.repositories = repositories
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.served: Counter[str] = Counter()
        self.pace = 0.0
        self.cut: list[int] = []
        self.busy = 0
        self.ranges = True
        self.before_file: Callable[[], None] = lambda: None
        self.instead: bytes | None = None
        self._listings: dict[tuple[str, str], bytes] = {}
        self._servers = [_Server(self, _Handler), _Server(self, _CdnHandler)]
        self.url, self.cdn = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)

    def __enter__(self) -> "FakeHub":
        self._threads = [
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}) for server in self._servers
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()

    def listing(self, name: str) -> bytes:
        """Hashed once a commit, as at the hub."""
        key = name, self.repositories[name].commit
        if key not in self._listings:
            self._listings[key] = json.dumps(self.repositories[name].listing(name)).encode()
        return self._listings[key]

    def asked_for(self, path: str) -> list[dict[str, str]]:
        """The headers of each request that the CDN got for this file."""
        return [headers for _, asked, headers in self.requests if asked == f"cdn:{path}"]


class _Server(ThreadingHTTPServer):
    daemon_threads = True                   # a client that was killed leaves its thread in a send

    def __init__(self, hub: FakeHub, handler: type[BaseHTTPRequestHandler]):
        super().__init__(("127.0.0.1", 0), handler)
        self.hub = hub

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass                                # clients that are killed are part of the tests


class _Answering(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True          # else each small answer waits 40 ms for an acknowledgement

    @property
    def hub(self) -> FakeHub:
        return self.server.hub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status: int, code: str | None, message: str) -> None:
        """An error as the hub words it: a code and a sentence in headers, the sentence in the body again."""
        headers = {"x_error_message": message} | ({"x_error_code": code} if code else {})
        self.send(status, json.dumps({"error": message}).encode(), content_type="application/json", **headers)

    def send_file(self, path: str, data: bytes) -> None:
        """*data*, or the range of it that was asked for."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", "")) if self.hub.ranges else None
        start = int(asked[1]) if asked else 0
        if start >= len(data) > 0:
            return self.refuse(416, None, "Range Not Satisfiable")
        self.send_response(206 if asked else 200)
        self.send_header("content-length", str(len(data) - start))
        if asked:
            self.send_header("content-range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        return self._send_pieces(path, memoryview(data)[start:])

    def _send_pieces(self, path: str, data: memoryview) -> None:
        cut = self.hub.cut.pop(0) if self.hub.cut and path.endswith(LARGE) else None
        for at in range(0, len(data), PIECE_BYTES):
            time.sleep(self.hub.pace)
            piece = data[at:at + PIECE_BYTES][: None if cut is None else max(0, cut - at)]
            self.wfile.write(piece)
            self.hub.served[path] += len(piece)
            if cut is not None and at + PIECE_BYTES >= cut:
                self.close_connection = True
                return
            self._wait_until_read()

    def _wait_until_read(self) -> None:
        """So that what was served is what the client took, and not what the kernel still holds for it."""
        while _unread(self.client_address[1], self.connection.getsockname()[1]):
            time.sleep(0.002)


class _Handler(_Answering):
    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(("GET", path, {name.lower(): value for name, value in self.headers.items()}))
        if (token := self.headers.get("authorization")) not in (None, f"Bearer {TOKEN}"):
            return self.refuse(401, None, "Invalid credentials in Authorization header")
        if self.hub.instead is not None:
            return self.send(200, self.hub.instead)
        if found := _LISTED.fullmatch(path):
            return self._list(found[1], found[2], token)
        if found := _FILE.fullmatch(path):
            return self._file(found[1], found[3], token)
        return self.send(404, b"not found")

    def _list(self, name: str, revision: str, token: str | None) -> None:
        if (repository := self.hub.repositories.get(name)) is None:
            return self.refuse(404 if token else 401, "RepoNotFound", "Repository not found")
        if revision not in ("main", repository.commit):
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return self.send(200, self.hub.listing(name), content_type="application/json")

    def _file(self, name: str, path: str, token: str | None) -> None:
        repository = self.hub.repositories[name]
        if self.hub.busy:
            self.hub.busy -= 1
            return self.refuse(503, None, "Service Unavailable")
        if repository.gated and not (token and repository.accepted):
            message = f"Access to model {name} is restricted"
            return self.refuse(403 if token else 401, "GatedRepo", message)
        if path in repository.lost or path not in repository.files:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        if path.endswith(LARGE):
            return self.send(302, location=f"{self.hub.cdn}/{name}/{path}")
        return self.send_file(path, repository.changed.get(path, repository.files[path]))


class _CdnHandler(_Answering):
    def do_GET(self) -> None:
        owner, name, path = self.path.removeprefix("/").split("/", 2)
        self.hub.requests.append(("GET", f"cdn:{path}", {k.lower(): v for k, v in self.headers.items()}))
        self.hub.before_file()
        repository = self.hub.repositories[f"{owner}/{name}"]
        self.send_file(path, repository.changed.get(path, repository.files[path]))


def _unread(client_port: int, server_port: int) -> int:
    """Bytes that have reached the client's socket and that it has not read; 0 once the client is gone."""
    ends = f" 0100007F:{client_port:04X} 0100007F:{server_port:04X} "
    for line in Path("/proc/net/tcp").read_text().splitlines():
        if ends in line:
            return int(line.split()[4].partition(":")[2], 16)
    return 0
