"""What goes wrong, as exceptions; what is repeated, and what is not."""

import json
import pickle
import socket
from http.server import BaseHTTPRequestHandler

import httpx
import pytest

from tests.client.conftest import KEY
from tests.client.loopback import answering
from vidgen import client as vidgen_client
from vidgen.client import (
    ApiError,
    Client,
    ClientError,
    ConnectionFailed,
    InvalidRequest,
    JobFailed,
    Unavailable,
    WrongField,
)
from vidgen.client.errors import error_of

STATUSES = {
    400: "InvalidRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 413: "TooLarge",
    429: "QueueFull", 503: "Unavailable", 507: "DiskLow", 500: "ApiError", 418: "ApiError",
}


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
def test_errors_by_status(status, kind):
    said = {
        "error": "No", "detail": "seed: must be less", "code": "a_code", "timestamp": "2026-01-31T10:30:00Z",
        "fields": [{"field": "seed", "message": "must be less"}],
    }
    error = error_of(httpx.Response(status, json=said, headers={"Retry-After": "7"}))
    assert type(error) is getattr(vidgen_client, kind)
    assert isinstance(error, ApiError) and isinstance(error, ClientError)
    assert (str(error), error.detail, error.status, error.code) == ("seed: must be less",) * 2 + (status, "a_code")
    assert error.fields == (("seed", "must be less"),)
    assert (error.fields[0].field, error.retry_after_s) == ("seed", 7)


def test_errors_go_from_process_to_process(finished):
    error = InvalidRequest(400, "a_code", "seed: no", [WrongField("seed", "no")], 7)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (InvalidRequest, "seed: no", vars(error))
    failed = pickle.loads(pickle.dumps(JobFailed(finished)))
    assert (str(failed), failed.job) == (str(JobFailed(finished)), finished)


def test_wrong_fields_are_named_by_the_server(client):
    with pytest.raises(InvalidRequest, match="seed: ") as caught:
        client.generate("A cat", seed=-1, widht=64)
    assert {wrong.field for wrong in caught.value.fields} == {"seed", "widht"}
    with pytest.raises(InvalidRequest, match=r"storyboard\.shots\.0\.seed"):
        client.generate("A cat", storyboard={"title": "A", "shots": [{"description": "b", "seed": -1}]})


@pytest.mark.parametrize(
    "value", [float("nan"), {1, 2}, object(), "\ud800", b"bytes"], ids=["nan", "set", "object", "surrogate", "bytes"]
)
def test_what_json_cannot_say_is_named_too(client, value):
    with pytest.raises(InvalidRequest, match="parameters: must be text"):
        client.generate("A cat", parameters={"a": [value]})


@pytest.mark.parametrize("url", ["localhost:80", "ftp://a", "http://", "http://[", "http://a/?b", "http://a:99999"])
def test_addresses_that_are_none(url):
    with pytest.raises(InvalidRequest, match="base_url: "):
        Client(url)


@pytest.mark.parametrize("key", ["with space", "schlüssel", "line\nbreak"])
def test_keys_that_are_none(key):
    with pytest.raises(InvalidRequest, match="api_key: "):
        Client(api_key=key)
    with Client() as client, pytest.raises(InvalidRequest, match="idempotency_key: "):
        client.post({}, idempotency_key=key)


def test_an_empty_key_is_none(monkeypatch):
    monkeypatch.setenv("VIDGEN_API_KEY", "")
    with answering(type("Well", (Flaky,), {"asked": [(), ()]})) as url, Client(url) as client:
        assert client.job("job_1").id == "job_1"


@pytest.mark.parametrize("id", ["", ".", ".."])
def test_ids_that_would_be_another_route(client, id, tmp_path):
    for ask in (client.job, client.delete, client.recipe, client.model, client.events,
                lambda id: client.download(id, tmp_path)):
        with pytest.raises(InvalidRequest, match=r"id: must be a (job|model)'s"):
            ask(id)


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf"), 1e12])
def test_timeouts_that_are_none(timeout_s):
    with pytest.raises(InvalidRequest, match="timeout_s: "):
        Client(timeout_s=timeout_s)


def test_nobody_there_says_where_and_what_to_do(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))        # bound, and not listening: nobody else gets the port
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Client(url) as client:
            for ask in (
                client.health, lambda: next(client.events("job_1")), lambda: client.download("job_1", tmp_path / "a"),
            ):
                with pytest.raises(ConnectionFailed, match="start a server") as caught:
                    ask()
                assert url in str(caught.value)
    assert list(tmp_path.iterdir()) == []


class Flaky(BaseHTTPRequestHandler):
    """Breaks the first two connections, then answers; notes what it was asked."""

    asked: list[tuple[str, str, str | None]]

    def do_GET(self):
        key = self.headers.get("Idempotency-Key")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append((self.command, self.path, key))
        if len(self.asked) > 2:
            self.answer(201, {"id": "job_1", "body": body.decode()})

    do_POST = do_DELETE = do_GET

    def answer(self, status, said, **headers):
        content = json.dumps(said).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def flaky():
    handler = type("ThisFlaky", (Flaky,), {"asked": []})
    with answering(handler) as url, Client(url) as client:
        yield client, handler.asked


def test_reads_are_repeated_over_broken_connections(flaky):
    client, asked = flaky
    assert client.job("job_1").id == "job_1"
    assert asked == [("GET", "/api/v1/jobs/job_1", None)] * 3


def test_a_job_is_posted_again_under_the_same_key(flaky):
    client, asked = flaky
    assert json.loads(client.generate("A cat").body) == {"user_prompt": "A cat"}
    assert len(asked) == 3
    assert len({key for _, _, key in asked}) == 1 and asked[0][2]


def test_edits_and_retries_carry_a_key(flaky):
    client, asked = flaky
    client.edit("job_1", title="A")
    client.retry("job_1")
    assert len(asked) == 4
    assert [key is not None for _, _, key in asked] == [True] * 4
    assert len({key for _, _, key in asked}) == 2


def test_what_may_have_been_done_is_not_repeated(flaky):
    client, asked = flaky
    with pytest.raises(ConnectionFailed, match="may have been done"):
        client.delete("job_1")
    assert len(asked) == 1


class Restarting(Flaky):
    """503 with Retry-After, as proxies answer while a server starts; then the answer."""

    def do_GET(self):
        self.asked.append((self.command, self.path, None))
        if len(self.asked) < 3:
            self.answer(503, {"detail": "starting"}, Retry_After=0)
        else:
            self.answer(200, {"status": "healthy"})


class Unable(Flaky):
    """503 without it: a model that cannot run now will not run in a second either."""

    def do_GET(self):
        self.asked.append((self.command, self.path, None))
        self.answer(503, {"detail": "no token"})


@pytest.mark.parametrize(("kind", "times"), [(Restarting, 3), (Unable, 1)])
def test_answers_that_say_when_to_come_back_are_asked_for_again(kind, times):
    handler = type("This", (kind,), {"asked": []})
    with answering(handler) as url, Client(url) as client:
        if kind is Unable:
            with pytest.raises(Unavailable, match="no token"):
                client.health()
        else:
            assert client.health() == {"status": "healthy"}
    assert len(handler.asked) == times


class Ending(Flaky):
    """Well at first; then a proxy answers in its place that it is away."""

    def do_GET(self):
        self.asked.append((self.command, self.path, None))
        self.answer(*((200, {}) if len(self.asked) == 1 else (503, {"detail": "away"})))


def test_a_server_that_stays_away_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("vidgen.client.connection.GIVE_UP_S", 1)
    handler = type("ThisEnding", (Ending,), {"asked": []})
    with answering(handler) as url:
        client = Client(url)
        client.health()
        with pytest.raises(Unavailable, match="away"):
            next(client.events("job_1"))
        assert len(handler.asked) > 2
    with client, pytest.raises(ConnectionFailed, match="nothing answers"):
        client.download("job_1", tmp_path)
    assert list(tmp_path.iterdir()) == []


class Stranger(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(301 if self.path.endswith("gpu") else 200)
        self.send_header("Location", "https://elsewhere.example/")
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"<html")


def test_a_server_of_another_kind_is_told_apart():
    with answering(Stranger) as url, Client(url) as client:
        for ask in (client.queue, client.gpu):
            with pytest.raises(ApiError, match="does not answer as a vidgen server does") as caught:
                ask()
            assert caught.value.code == "not_vidgen"


class Silent(BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(1)                  # until the client goes


def test_a_server_without_tls_is_not_taken_for_none():
    with answering(Silent) as url, Client(url.replace("http:", "https:")) as client, \
            pytest.raises(ConnectionFailed, match="no TLS with"):
        client.health()


def test_an_answer_that_does_not_come():
    with answering(Silent) as url, Client(url, timeout_s=0.1) as client, \
            pytest.raises(ConnectionFailed, match=r"within 0\.1 s"):
        client.health()


def test_another_process_has_connections_of_its_own(client, finished):
    there = pickle.loads(pickle.dumps(finished))
    assert there == finished and there.recipe() == finished.recipe()
    assert there._client is not client
    there._client.close()


def test_a_closed_client_says_so(server, finished, tmp_path):
    with Client(server.url, KEY) as closed:
        job = closed.job(finished.id)
    for ask in (job.refresh, job.wait, lambda: job.download(tmp_path), lambda: job.content(job.poster_url, 1)):
        with pytest.raises(ConnectionFailed, match="is closed"):
            ask()
    job.data = {**job.data, "status": "processing"}
    assert "is closed" in job._repr_mimebundle_()["text/html"]
