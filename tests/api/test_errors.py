"""The one shape of every error, whatever went wrong."""

import asyncio
import json
import logging
import socket

import httpx
import pytest

from tests.api import check
from vidgen.api.app import create_app
from vidgen.engine.events import Hub
from vidgen.settings import load_settings

JOB = {"user_prompt": "a forest", "model_id": "stub:animatic"}


def post(server, body, **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return server.post("/api/v1/jobs", content=data, headers={"Content-Type": "application/json", **headers})


def test_an_unknown_route(server):
    assert "/no/such" in check.error(server.get("/no/such"), 404, "not_found")


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE", "PUT"])
def test_unknown_things(server, method):
    check.error(server.client.request(method, "/api/v2/jobs"), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/api/v1/jobs", "GET, HEAD, OPTIONS, POST"),
        ("POST", "/api/v1/jobs/job_1", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("GET", "/api/v1/upload", "OPTIONS, POST"),
        ("DELETE", "/videos/a/b", "GET, HEAD, OPTIONS"),
        ("TRACE", "/api/v1/health", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_names_the_right_ones(server, method, path, allow):
    answer = server.client.request(method, path)
    check.error(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == allow


def test_options_says_what_is_possible(server):
    answer = server.client.options("/api/v1/jobs")
    assert (answer.status_code, answer.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, POST")


def test_head_is_get_without_a_body(server):
    got, head = server.get("/api/v1/jobs?page_size=1"), server.client.head("/api/v1/jobs?page_size=1")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == got.headers["Content-Length"]


@pytest.mark.parametrize(
    ("body", "fields", "words"),
    [
        (b"{", ["body"], "not JSON"),
        (b"", ["body"], "is required"),
        (b'{"user_prompt": "a", "user_prompt": "b"}', ["user_prompt"], "given twice"),
        (b'{"user_prompt": NaN}', ["body"], "NaN"),
        (b'{"fps": 1e999}', ["body"], "too large"),
        (b'{"seed": 100000000000000000000000}', ["body"], "64 bits"),
        (b'{"user_prompt": "\\ud800"}', ["body"], "surrogate"),
        (b'{"user_prompt": "\xff"}', ["body"], "UTF-8"),
        (b"[" * 100_000, ["body"], "deep"),
        (b"[]", ["body"], "must be an object"),
        (b'"text"', ["body"], "must be an object"),
        (b'{"user_prompt": "a", "parameters": ' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}", ["body"], "levels"),
    ],
)
def test_a_body_that_is_no_good(server, body, fields, words):
    assert words in check.error(post(server, body), 400, "invalid_input", *fields)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_a_content_type_that_is_not_json(server, kind):
    check.error(post(server, JOB, **{"Content-Type": kind}), 400, "invalid_input", "Content-Type")


def test_fields_are_named_where_they_are(server):
    shots = [{"description": "a", "seed": -1}, {"description": ""}]
    body = JOB | {"max_shots": "3", "storyboard": {"title": "t", "shots": shots}, "no_such": 1}
    names = ["max_shots", "storyboard.shots.0.seed", "storyboard.shots.1.description", "no_such"]
    detail = check.error(post(server, body), 400, "invalid_input", *names)
    assert "no_such: is not a field of this request" in detail


@pytest.mark.parametrize(("change", "field", "words"), [
    ({"storyboard": 3}, "storyboard", "must be an object"),
    ({"parameters": []}, "parameters", "must be an object"),
    ({"focus": "left"}, "focus", "must be a list"),
    ({"focus": [0, 0, 0]}, "focus", "must have at most 2 items, not 3"),
    ({"storyboard": {"title": "t", "shots": [{"description": "a", "video_url": "/a"}]}},
     "storyboard.shots.0.video_url", "is filled by the server; leave it out"),
    ({"model_id": "svd-xt"}, "model_id", "must be a model's id, such as stub:animatic"),
    ({"storyboard": {"title": "t", "shots": [{"description": "a", "id": "one"}]}},
     "storyboard.shots.0.id", "must be a shot's id, such as shot_001"),
    ({"style_preferences": {"a!": "b"}}, "style_preferences.a!", "must begin with a letter"),
])
def test_what_is_wrong_is_said_in_the_words_of_json(server, change, field, words):
    assert f"{field}: {words}" in check.error(post(server, JOB | change), 400, "invalid_input", field)


BODILESS = ("/api/v1/jobs/job_none/retry", "/api/v1/jobs/job_none/cancel", "/api/v1/queue/resume", "/api/v1/session")


@pytest.mark.parametrize("path", BODILESS)
def test_a_body_where_none_is_taken_is_not_ignored(server, path):
    names = check.error(server.post(path, json={"seed": 3, "priority": 5}), 400, "invalid_input", "seed", "priority")
    assert "priority: is not a field of this request" in names
    for said in (b"seed=3", b"[1]", b'"x"', b"\xff"):
        assert "leave it empty" in check.error(server.post(path, content=said), 400, "invalid_input", "body")
    for nothing in (b"", b"{}", b" \n", b"null"):
        assert server.post(path, content=nothing).status_code in (200, 404)


def test_a_missing_field_of_a_storyboard_is_named(server):
    body = JOB | {"storyboard": {"title": "t", "shots": [{"camera_move": "static"}]}}
    check.error(post(server, body), 400, "invalid_input", "storyboard.shots.0.description")


@pytest.mark.parametrize("prompt", ["", " \n", "x" * 100_000])
def test_prompts_that_are_too_short_or_too_long(server, prompt):
    before = server.get("/api/v1/jobs").json()["total"]
    check.error(post(server, JOB | {"user_prompt": prompt}), 400, "invalid_input", "user_prompt")
    assert server.get("/api/v1/jobs").json()["total"] == before


def test_many_wrong_fields_make_a_short_answer(server):
    answer = post(server, {f"field_{n}" * 50: n for n in range(2_000)})
    assert answer.status_code == 400
    assert len(answer.content) < 20_000
    assert len(answer.json()["fields"]) == 20


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page=0", "page"), ("page=-1", "page"), ("page=x", "page"), ("page=1000001", "page"), ("page=", "page"),
        ("page_size=0", "page_size"), ("page_size=101", "page_size"), ("status=done", "status"),
        ("model_id=nocolon", "model_id"), ("q=", "q"), ("q=" + "x" * 201, "q"), ("q=%00x", "q"),
        ("order=random", "order"), ("pages=1", "pages"), ("page=1&page=2", "page"),
    ],
)
def test_query_parameters_out_of_range(server, query, field):
    check.error(server.get(f"/api/v1/jobs?{query}"), 400, "invalid_input", field)


def test_what_is_not_http_gets_an_answer(server):
    host, port = server.client.base_url.host, server.client.base_url.port
    with socket.create_connection((host, port), timeout=10) as raw:
        raw.sendall(b"NONSENSE\r\n\r\n")
        head, _, body = raw.recv(65_536).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["code"] == "bad_request"


def test_headers_that_never_end_are_cut_off(server):
    host, port = server.client.base_url.host, server.client.base_url.port
    with socket.create_connection((host, port), timeout=10) as raw:
        raw.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 70_000)
        assert raw.recv(65_536).startswith(b"HTTP/1.1 431 ")


class Broken:
    """An engine whose every call fails with something that must not leave the server."""

    def __init__(self, settings):
        self.settings = settings
        self.hub = Hub()

    def __getattr__(self, name):
        raise RuntimeError("secret: /home/somebody/key")


def test_a_failure_that_is_not_ours_says_only_where_the_log_has_it(caplog):
    app = create_app(Broken(load_settings(_env_file=None)))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/api/v1/jobs/job_1")

    with caplog.at_level(logging.ERROR):
        answer = asyncio.run(ask())
    detail = check.error(answer, 500, "internal_error")
    assert "secret" not in answer.text
    (record,) = [r for r in caplog.records if hasattr(r, "error_id")]
    assert detail == f"internal error {record.error_id}"
    assert "secret" in str(record.exc_info[1])
