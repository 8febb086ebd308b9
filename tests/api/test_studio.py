"""The studio's serving, and signing in with a browser."""

import base64
import gzip
import hashlib
import json
import re
from contextlib import contextmanager

import httpx
import pytest
import websocket

from tests.api import check
from tests.server import started
from vidgen.api import studio
from vidgen.api.keys import Keys
from vidgen.errors import NotFound

KEY, OTHER = "correct-horse", "other-key"
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
EVIL = {"Origin": "https://evil.example"}
SMALL = {
    "user_prompt": "a forest", "model_id": "stub:animatic", "max_shots": 1, "width": 64, "height": 64, "num_frames": 5,
}
TOTAL_BYTES = 150_000
REFERENCE = re.compile(r"""(?:src|href)="(/[^"#]+)"|from "\./([\w.]+)"|@import "([^"]+)""")


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    with started(tmp_path_factory.mktemp("keyed") / "workspace", api_keys=f"{OTHER},{KEY}") as running:
        yield running


@pytest.fixture
def browser(keyed):
    """A client that keeps cookies, as a browser does."""
    with httpx.Client(base_url=keyed.url, trust_env=False) as client:
        yield client


@pytest.fixture
def signed_in(browser, keyed):
    answer = browser.post("/api/v1/session", headers={"X-API-Key": KEY, "Origin": keyed.url})
    assert answer.status_code == 200, answer.text
    return browser


# serving


def test_the_page(server):
    answer = server.get("/", headers=HTML)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["Content-Security-Policy"]
    assert {"default-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"} <= set(policy.split("; "))
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"


def test_all_that_it_loads_is_there(server):
    """Every address that the page, its scripts and its styles name, and what these name in turn."""
    wanted, seen = ["/"], set()
    while wanted:
        path = wanted.pop()
        answer = server.get(path)
        assert answer.status_code == 200, path
        seen.add(path)
        for absolute, module, style in REFERENCE.findall(answer.text):
            found = absolute or f"{path.rpartition('/')[0]}/{module or style}"
            if found not in seen and found not in wanted:
                wanted.append(found)
    assert {"/studio/js/main.js", "/studio/js/gallery.js", "/studio/css/studio.css"} <= seen


def test_it_is_small_and_loads_nothing_from_elsewhere():
    assets = studio.read_assets()
    assert sum(len(asset.body) for asset in assets.values()) < TOTAL_BYTES
    for name, asset in assets.items():
        elsewhere = set(re.findall(r"(?:https?|wss?)://[^\s\"'`)]+", asset.body.decode()))
        assert elsewhere <= {"http://www.w3.org/2000/svg"}, name


@pytest.mark.parametrize(
    ("path", "kind"), [("/studio/js/dom.js", "text/javascript"), ("/studio/css/studio.css", "text/css")]
)
def test_types(server, path, kind):
    assert server.get(path).headers["Content-Type"] == f"{kind}; charset=utf-8"


def test_packed_and_plain(server):
    url = f"{server.url}/studio/js/dom.js"
    with httpx.stream("GET", url, headers={"Accept-Encoding": "gzip"}, trust_env=False) as packed:
        body = b"".join(packed.iter_raw())
    plain = server.get("/studio/js/dom.js", headers={"Accept-Encoding": "br, gzip;q=0"})
    assert packed.headers["Content-Encoding"] == "gzip" and "Content-Encoding" not in plain.headers
    assert gzip.decompress(body) == plain.content == (studio.FOLDER / "js" / "dom.js").read_bytes()
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"


def test_a_browser_asks_again_and_is_told_that_nothing_changed(server):
    first = server.get("/studio/js/dom.js")
    assert first.headers["Cache-Control"] == "no-cache"
    again = server.get("/studio/js/dom.js", headers={"If-None-Match": f'"other", {first.headers["ETag"]}'})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert server.get("/studio/js/dom.js", headers={"If-None-Match": '"other"'}).status_code == 200


def test_head(server):
    answer = server.client.head("/")
    assert answer.status_code == 200 and answer.content == b"" and int(answer.headers["Content-Length"]) > 0


def test_it_takes_no_posts(server):
    check.error(server.post("/"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    "name",
    ["", "none.js", "js", "js/", "../api/keys.py", "%2e%2e/api/keys.py", "js/../../api/keys.py", "/etc/passwd",
     "js//dom.js", "JS/dom.js", "js/dom.js%00", "js\\dom.js"],
)
def test_nothing_else_is_served(server, name):
    check.error(httpx.get(f"{server.url}/studio/{name}", trust_env=False), 404, "not_found")


def test_only_files_of_known_kinds_are_read(tmp_path):
    (tmp_path / "js").mkdir()
    for name in ("js/a.js", "js/a.js~", ".hidden", "notes.txt"):
        (tmp_path / name).write_text("let a;")
    assert list(studio.read_assets(tmp_path)) == ["js/a.js"]


def test_a_file_that_is_missing_is_said_so():
    with pytest.raises(NotFound, match="no file 'index.html'"):
        studio.find({}, "index.html")


# signing in


def test_without_a_key_the_page_asks_for_one(keyed):
    answer = keyed.get("/", headers=HTML)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.headers["Content-Type"].startswith("text/html") and '<label for="key">' in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


def test_nothing_runs_on_that_page_but_what_it_holds(keyed):
    answer = keyed.get("/", headers=HTML)
    policy = answer.headers["Content-Security-Policy"]
    inline = dict(re.findall(r"<(style|script)>(.*?)</\1>", answer.text, re.DOTALL))
    assert set(inline) == {"style", "script"} and not re.search(r'\s(?:style|src|href|on\w+)=', answer.text)
    for kind, text in inline.items():
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy and "unsafe" not in policy


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/", {}), ("/", {"Accept": "application/json"}), ("/studio/js/main.js", HTML), ("/docs", HTML),
     ("/api/v1/jobs", HTML), ("/api/v1/session", HTML)],
)
def test_programs_are_told_as_ever(keyed, path, headers):
    check.error(keyed.get(path, headers=headers), 401, "unauthorized")


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_the_session_needs_a_key(keyed, method):
    answer = keyed.client.request(method, "/api/v1/session", headers={"X-API-Key": "wrong", "Origin": keyed.url})
    check.error(answer, 401, "unauthorized")
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(("origin", "is_secure"), [("http://localhost", False), ("https://films.example", True)])
def test_the_cookie(keyed, origin, is_secure):
    answer = keyed.post("/api/v1/session", headers={"X-API-Key": KEY, "Origin": origin})
    cookie = answer.headers["Set-Cookie"]
    keyed.client.cookies.clear()
    assert KEY not in cookie
    parts = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert parts == {"httponly", "path=/", "samesite=strict"} | ({"secure"} if is_secure else set())


def test_it_opens_everything_to_the_studio(signed_in, keyed):
    for path in ("/", "/studio/js/main.js", "/api/v1/jobs", "/docs", "/openapi.json"):
        assert signed_in.get(path, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200, path
    assert signed_in.get("/", headers=HTML | {"Sec-Fetch-Site": "none"}).text.startswith("<!doctype html>")
    created = signed_in.post("/api/v1/jobs", json=SMALL, headers={"Origin": keyed.url})
    assert created.status_code == 201
    with socket_to(keyed, signed_in, created.json()["id"], keyed.url) as ws:
        assert json.loads(ws.recv())["type"] == "connected"
        while json.loads(ws.recv())["type"] != "job_complete":
            pass
    part = signed_in.get(f"/videos/{created.json()['id']}/final_output.mp4", headers={"Range": "bytes=0-3"})
    assert (part.status_code, len(part.content)) == (206, 4)


@contextmanager
def socket_to(server, browser, job_id, origin):
    """A WebSocket as a page of *origin* opens it; None for what is no page."""
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    url = server.url.replace("http", "ws") + f"/ws/jobs/{job_id}"
    ws = websocket.create_connection(url, timeout=30, origin=origin, suppress_origin=origin is None, cookie=cookie)
    try:
        yield ws
    finally:
        ws.shutdown()


@pytest.mark.parametrize(
    "headers",
    [EVIL, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"}, {"Sec-Fetch-Site": "cross-site"},
     {"Sec-Fetch-Site": "same-site"}, EVIL | {"Sec-Fetch-Site": "cross-site"}],
)
def test_a_page_from_elsewhere_gains_nothing_by_it(signed_in, headers):
    asked = ("GET /api/v1/jobs", "GET /", "POST /api/v1/queue/pause", "DELETE /api/v1/session")
    for method, path in map(str.split, asked):
        answer = signed_in.request(method, path, headers=headers)
        check.error(answer, 401, "unauthorized")
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "none"}])
def test_what_changes_something_says_which_page_it_comes_from(signed_in, headers):
    assert signed_in.get("/api/v1/jobs", headers=headers).status_code == 200
    check.error(signed_in.post("/api/v1/queue/pause", headers=headers), 401, "unauthorized")


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", None])
def test_nor_does_a_websocket_from_elsewhere(signed_in, keyed, origin):
    refused = socket_to(keyed, signed_in, "job_none", origin)
    with pytest.raises(websocket.WebSocketBadStatusException, match="401"), refused:
        pass


def test_signing_out(signed_in, keyed):
    answer = signed_in.delete("/api/v1/session", headers={"Origin": keyed.url})
    assert answer.json() == {"message": "Signed out"}
    assert not signed_in.cookies
    check.error(signed_in.get("/api/v1/jobs"), 401, "unauthorized")


def test_a_cookie_that_was_made_up(signed_in):
    name, value = next(iter(signed_in.cookies.items()))
    nonce, _, proof = value.partition(".")
    forgeries = (f"{nonce}.", f"{nonce}x.{proof}", f"{nonce}.{'0' * 64}", proof, KEY, "", "é", f"{value}.", f".{proof}")
    for forged in forgeries:
        cookie = f"{name}={forged}".encode()
        answer = httpx.get(f"{signed_in.base_url}/api/v1/jobs", headers={"Cookie": cookie}, trust_env=False)
        check.error(answer, 401, "unauthorized")


def test_where_no_key_is_needed_there_is_no_cookie(server):
    answer = server.post("/api/v1/session", headers={"X-API-Key": "any"})
    assert (answer.json(), "Set-Cookie" in answer.headers) == ({"message": "No key is needed here"}, False)


def test_a_cookie_opens_for_as_long_as_its_key():
    before = Keys([KEY, OTHER], loopback_free=False)
    name, value = before.cookie(["wrong", KEY])
    assert before.cookie(["wrong"]) is None
    assert before.match_cookies({"a": "b", name: value})
    assert Keys([KEY], loopback_free=False).match_cookies({name: value})
    assert not Keys([OTHER], loopback_free=False).match_cookies({name: value})
    assert before.cookie([OTHER])[0] != name and before.cookie([KEY])[1] != value
