"""Who may speak: host names, pages, keys, and how much may be said."""

import asyncio
import json
import socket
import stat
from contextlib import contextmanager

import httpx
import pytest
import websocket

from tests.api import check
from tests.server import started
from vidgen.api.cors import Origins
from vidgen.api.guard import Guard, Hosts, from_loopback
from vidgen.api.keys import Keys
from vidgen.settings import load_settings

KEY = "correct-horse"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    """A server that takes two keys."""
    with started(tmp_path_factory.mktemp("keyed") / "workspace", api_keys=f"other-key,{KEY}") as running:
        yield running


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    """A server that only one page may use."""
    workspace = tmp_path_factory.mktemp("closed") / "workspace"
    with started(workspace, cors_origins="https://app.example", allowed_hosts="films.example") as running:
        yield running


# hosts


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1:80", "[::1]:8000", "127.1.2.3", "localhost."])
def test_loopback_names_are_taken(server, host):
    assert server.get("/api/v1/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1", "", "[::2]", "127.0.0.1.x.io"])
def test_other_names_are_not(server, host):
    check.error(server.get("/api/v1/jobs", headers={"Host": host}), 403, "forbidden")


def test_a_configured_name_is_taken(closed):
    assert closed.get("/api/v1/health", headers={"Host": "films.example:80"}).status_code == 200


def test_beyond_loopback_addresses_are_taken_and_names_are_not():
    hosts = Hosts(load_settings(_env_file=None, api_host="0.0.0.0"))
    assert [hosts.allow(h) for h in ("192.168.1.9:8000", "[fe80::1]:8000", "evil.example")] == [True, True, False]


# keys


@pytest.mark.parametrize(
    "headers", [{"Authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}, {"X-API-Key": "other-key"}]
)
def test_a_key_opens(keyed, headers):
    assert keyed.get("/api/v1/jobs", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}, {"X-API-Key": KEY[:-1]}, {"X-API-Key": ""},
     {"X-API-Key": KEY + "\xe9"}],
)
def test_without_a_key_nothing_opens(keyed, headers):
    answer = keyed.get("/api/v1/jobs", headers={k: v.encode("latin-1") for k, v in headers.items()})
    check.error(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/api/v1/health", "/api/v1/ready"])
def test_health_and_ready_need_no_key(keyed, path):
    assert keyed.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/no/such", "/videos/a/b.mp4", "/api/v1/health/"])
def test_everything_else_does(keyed, path):
    check.error(keyed.get(path), 401, "unauthorized")


def test_a_keyed_server_describes_its_keys(keyed):
    described = keyed.get("/openapi.json", headers={"X-API-Key": KEY}).json()
    assert described["paths"]["/api/v1/jobs"]["get"]["security"] == [{"bearer": []}, {"header": []}]
    assert "security" not in described["paths"]["/api/v1/health"]["get"]


@contextmanager
def socket_to(server, path="/ws/jobs/job_none", **options):
    ws = websocket.create_connection(server.url.replace("http", "ws") + path, timeout=10, **options)
    try:
        yield ws
    finally:
        ws.shutdown()


@pytest.mark.parametrize("offered", [[f"vidgen.key.{KEY}"], ["vidgen", "vidgen.key.correct%2Dhorse"]])
def test_a_websocket_brings_its_key_as_a_subprotocol(keyed, offered):
    with socket_to(keyed, subprotocols=offered) as ws:
        assert ws.getsubprotocol() == offered[0]
        assert json.loads(ws.recv())["code"] == "not_found"


def test_a_websocket_brings_its_key_as_a_header(keyed):
    with socket_to(keyed, header={"X-API-Key": KEY}) as ws:
        assert json.loads(ws.recv())["code"] == "not_found"


def test_a_websocket_without_a_key_is_refused(keyed):
    wrong = socket_to(keyed, subprotocols=["vidgen.key.wrong"])
    with pytest.raises(websocket.WebSocketBadStatusException, match="401") as refused, wrong:
        pass
    assert json.loads(refused.value.resp_body)["code"] == "unauthorized"


def test_bound_beyond_loopback_the_server_makes_a_key_and_keeps_it(tmp_path):
    with started(tmp_path / "workspace", api_host="0.0.0.0") as running:
        key_file = running.workspace / "api_key"
        key = key_file.read_text().strip()
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        assert key in running.log()
        assert running.get("/api/v1/jobs").status_code == 200
        proxied = {"X-Forwarded-For": "127.0.0.1"}
        check.error(running.get("/api/v1/jobs", headers=proxied), 401, "unauthorized")
        assert running.get("/api/v1/jobs", headers=proxied | {"X-API-Key": key}).status_code == 200
        running.stop()
    with started(tmp_path / "workspace", api_host="0.0.0.0") as again:
        assert key_file.read_text().strip() == key
        again.stop()


def test_with_keys_of_its_own_loopback_needs_one_too(tmp_path):
    with started(tmp_path / "workspace", api_host="0.0.0.0", api_keys=KEY) as running:
        check.error(running.get("/api/v1/jobs"), 401, "unauthorized")
        assert not (running.workspace / "api_key").exists()
        running.stop()


def scope(client="127.0.0.1", path="/api/v1/jobs", kind="http", **headers):
    given = {"host": "localhost", **headers}
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()]
    return {"type": kind, "method": "GET", "path": path, "client": (client, 1), "headers": raw}


@pytest.mark.parametrize(
    ("client", "headers", "near"),
    [
        ("127.0.0.1", {}, True), ("127.9.9.9", {}, True), ("::1", {}, True), ("::ffff:127.0.0.1", {}, True),
        ("192.168.1.2", {}, False), ("::ffff:10.0.0.1", {}, False), ("nonsense", {}, False),
        ("127.0.0.1", {"x_forwarded_for": "127.0.0.1"}, False), ("127.0.0.1", {"forwarded": "for=_x"}, False),
        ("127.0.0.1", {"via": "1.1 proxy"}, False), ("127.0.0.1", {"x_real_ip": "127.0.0.1"}, False),
        ("127.0.0.1", {"x_forwarded_proto": "https"}, False), ("127.0.0.1", {"cf_connecting_ip": "1.1.1.1"}, False),
    ],
)
def test_who_is_on_this_machine(client, headers, near):
    assert from_loopback(scope(client, **headers)) is near


def test_a_caller_from_elsewhere_needs_the_key_that_the_server_made():
    settings = load_settings(_env_file=None, api_host="0.0.0.0")
    reached = []

    async def inside(scope, receive, send):
        reached.append(scope["client"])

    async def send(message):
        statuses.append(message.get("status"))

    statuses: list[int | None] = []
    guard = Guard(inside, settings, Keys([KEY], loopback_free=True), Origins(True, ["*"]))
    for asked in (scope("10.0.0.2"), scope("10.0.0.3", x_api_key=KEY), scope("127.0.0.1")):
        asyncio.run(guard(asked, None, send))
    assert reached == [("10.0.0.3", 1), ("127.0.0.1", 1)]
    assert statuses[0] == 401


# pages


def test_all_pages_may_speak_by_default(server):
    for path in ("/api/v1/jobs", "/no/such", "/api/v1/jobs?page=0"):
        answer = server.get(path, headers={"Origin": "https://any.example"})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]


def preflight(server, origin):
    return server.client.options("/api/v1/jobs", headers={
        "Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type",
    })


def test_a_preflight_needs_no_key(keyed):
    answer = preflight(keyed, "https://any.example")
    assert answer.status_code == 204
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "X-API-Key" in answer.headers["Access-Control-Allow-Headers"]


def test_a_page_may_send_headers_of_its_own(server):
    wanted = "x-requested-with,x-stainless-retry-count"
    answer = server.client.options("/v1/videos", headers={
        "Origin": "https://any.example", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": wanted,
    })
    allowed = {name.strip() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert {*wanted.split(","), "Authorization"} <= allowed
    assert "Access-Control-Request-Headers" in answer.headers["Vary"]
    read = server.get("/v1/models", headers={"Origin": "https://any.example"})
    assert "openai-poll-after-ms" in read.headers["Access-Control-Expose-Headers"]


def test_a_refusal_reaches_the_page_too(keyed):
    answer = keyed.get("/api/v1/jobs", headers={"Origin": "https://any.example"})
    check.error(answer, 401, "unauthorized")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_only_listed_pages_may_speak(closed):
    answer = closed.get("/api/v1/jobs", headers={"Origin": "https://app.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "Origin" in answer.headers["Vary"]
    refused = closed.get("/api/v1/jobs", headers={"Origin": "https://evil.example"})
    check.error(refused, 403, "forbidden")
    assert "Access-Control-Allow-Origin" not in refused.headers
    assert "Access-Control-Allow-Origin" not in preflight(closed, "https://evil.example").headers


def test_the_servers_own_page_always_may(closed):
    assert closed.get("/api/v1/jobs", headers={"Origin": closed.url}).status_code == 200


@pytest.mark.parametrize(("origin", "taken"), [("https://app.example", True), ("https://evil.example", False)])
def test_the_same_list_governs_websockets(closed, origin, taken):
    if taken:
        with socket_to(closed, origin=origin) as ws:
            assert json.loads(ws.recv())["code"] == "not_found"
    else:
        with pytest.raises(websocket.WebSocketBadStatusException, match="403"), socket_to(closed, origin=origin):
            pass


def test_an_origin_that_is_no_url(closed):
    for origin in ("http://[", "null", "", "://"):
        check.error(closed.get("/api/v1/jobs", headers={"Origin": origin}), 403, "forbidden")


def test_without_cors_only_the_servers_own_pages():
    origins = Origins(False, ["*"])
    assert origins.allow("http://localhost:8000", "localhost:8000")
    assert not origins.allow("http://localhost:3000", "localhost:8000")
    assert not origins.allow("null", "localhost:8000")
    assert not origins.allow("", "")


# sizes


def send_raw(server, head: str, body: bytes = b"") -> bytes:
    with socket.create_connection((server.client.base_url.host, server.client.base_url.port), timeout=20) as raw:
        raw.sendall(f"{head}\r\nHost: localhost\r\n\r\n".encode() + body)
        return raw.recv(65_536)


def test_a_body_that_says_it_is_too_large_is_refused_unread(server):
    head = "POST /api/v1/jobs HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 99999999999999999999999"
    assert send_raw(server, head).startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 400 "))
    head = head.replace("99999999999999999999999", "1048577")
    assert send_raw(server, head).startswith(b"HTTP/1.1 413 ")


def test_a_body_is_counted_as_it_arrives(server):
    def chunks():
        for _ in range(40):
            yield b" " * 65_536

    answer = server.post("/api/v1/jobs", content=chunks(), headers={"Content-Type": "application/json"})
    check.error(answer, 413, "too_large")


def test_a_body_that_never_ends_is_cut_off(server):
    def endless():
        while True:
            yield b"x" * 1_000_000

    try:
        answer = server.post("/api/v1/jobs", content=endless(), headers={"Content-Type": "application/json"})
    except httpx.TransportError:
        return
    check.error(answer, 413, "too_large")


def test_answers_of_the_api_are_not_kept(server):
    assert server.get("/api/v1/jobs").headers["Cache-Control"] == "no-store"


def test_every_answer_forbids_sniffing(server):
    for path in ("/api/v1/health", "/no/such", "/docs"):
        assert server.get(path).headers["X-Content-Type-Options"] == "nosniff"
