"""Events as they happen: the WebSocket and the event stream, against the real server."""

import json
import socket

import pytest
import websocket

from tests.api import check
from tests.server import started

WAIT_S = 30


@pytest.fixture
def connect():
    """Open a WebSocket; all are closed at the end."""
    opened = []

    def connect(server, job_id, query="") -> websocket.WebSocket:
        url = f"{server.url.replace('http', 'ws')}/ws/jobs/{job_id}{query}"
        opened.append(websocket.create_connection(url, timeout=WAIT_S))
        return opened[-1]

    yield connect
    for ws in opened:
        ws.shutdown()


def hear(ws, *until: str) -> list[dict]:
    """Messages up to the first of the types *until*."""
    said = [json.loads(ws.recv())]
    while said[-1]["type"] not in until:
        said.append(json.loads(ws.recv()))
    return said


def closed(ws) -> int | None:
    """The code with which the server closes."""
    while True:
        opcode, data = ws.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            return int.from_bytes(data[:2], "big") if data else None


def stream(server, job_id, query="", **headers):
    with server.client.stream("GET", f"/api/v1/jobs/{job_id}/events{query}", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        text = "".join(answer.iter_text())
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in text.strip().split("\n\n")]
    events = [block for block in blocks if "data" in block]
    for event in events:
        message = json.loads(event["data"])
        number = None if message["type"] == "connected" else str(message["seq"])
        assert (event.get("id"), event["event"]) == (number, message["type"])
    return [json.loads(event["data"]) for event in events]


def only_grows(said) -> bool:
    numbers = [message["seq"] for message in said]
    return numbers == sorted(numbers)


def test_a_job_is_heard_from_its_beginning_to_its_end(connect, server):
    server.post("/api/v1/queue/pause")
    job_id = server.submit(max_shots=2)
    ws = connect(server, job_id)
    said = hear(ws, "progress")
    assert said[0] | {"seq": 0} == {
        "type": "connected", "job_id": job_id, "message": f"Connected to job {job_id}", "seq": 0
    }
    assert said[0]["seq"] > 0
    server.post("/api/v1/queue/resume")
    said += hear(ws, "job_complete", "error")
    kinds = [message["type"] for message in said]
    assert kinds[-1] == "job_complete" and kinds.count("shot_complete") == 2
    assert only_grows(said) and all(message["job_id"] == job_id for message in said)
    percents = [message["progress"] for message in said if message["type"] == "progress"]
    assert percents == sorted(percents) and percents[-1] == 100.0
    assert said[-1]["output_path"] == f"/workspace/videos/{job_id}/final_output.mp4"


def test_a_newcomer_hears_how_the_job_ended(connect, server, finished):
    ws = connect(server, finished["id"])
    assert [message["type"] for message in hear(ws, "job_complete")] == ["connected", "job_complete"]


def test_since_replays_the_log(connect, server, finished):
    ws = connect(server, finished["id"], "?since=0")
    said = hear(ws, "job_complete")
    assert {"connected", "note", "progress", "shot_complete", "job_complete"} == {m["type"] for m in said}
    assert only_grows(said[1:])
    middle = said[len(said) // 2]["seq"]
    ws = connect(server, finished["id"], f"?since={middle}")
    assert hear(ws, "job_complete")[1:] == [m for m in said[1:] if m["seq"] > middle]


@pytest.mark.parametrize("query", ["?since=x", "?since=-1", "?since=", "?since=1&since=2", "?since=" + "9" * 30])
def test_a_bad_since(connect, server, finished, query):
    ws = connect(server, finished["id"], query)
    said = json.loads(ws.recv())
    assert (said["type"], said["code"]) == ("error", "invalid_input") and "since" in said["error"]
    assert closed(ws) == 4400


@pytest.mark.parametrize("job_id", ["job_none", "job_0000000000000000", "%ff", "a" * 5_000])
def test_an_unknown_job(connect, server, job_id):
    ws = connect(server, job_id)
    said = json.loads(ws.recv())
    assert (said["type"], said["code"]) == ("error", "not_found")
    assert closed(ws) == 4404


@pytest.mark.parametrize("ping", ["ping", " ping\n", '{"type": "ping"}'])
def test_ping_is_answered_in_json(connect, server, held, ping):
    ws = connect(server, held())
    ws.send(ping)
    assert hear(ws, "pong")[-1] == {"type": "pong"}


@pytest.mark.parametrize("said", ["hello", "{", "[1]", '{"type": "other"}', "{" * 1_000])
def test_other_words_do_no_harm(connect, server, held, said):
    ws = connect(server, held())
    ws.send(said)
    ws.send("ping")
    assert hear(ws, "pong")


def test_a_cancelled_job_ends_with_an_error(connect, server, held):
    job_id = held()
    ws = connect(server, job_id)
    server.post(f"/api/v1/jobs/{job_id}/cancel")
    said = hear(ws, "error", "job_complete")
    assert (said[-1]["type"], said[-1]["code"]) == ("error", "cancelled")


def test_there_is_no_other_websocket(server):
    with pytest.raises(websocket.WebSocketBadStatusException, match="404") as refused:
        websocket.create_connection(f"{server.url.replace('http', 'ws')}/ws/other", timeout=WAIT_S)
    assert json.loads(refused.value.resp_body)["code"] == "not_found"


# clients that misbehave


def test_binary_is_refused(connect, server, held):
    ws = connect(server, held())
    ws.send_binary(b"\0\1")
    assert closed(ws) == 1003


def test_a_message_that_is_too_large_is_refused(connect, server, held):
    ws = connect(server, held())
    ws.send("x" * 5_000)
    assert closed(ws) == 1009


def test_a_flood_is_refused(connect, server, held):
    ws = connect(server, held())
    for _ in range(100):
        ws.send("ping")
    assert closed(ws) == 1008


def test_a_flood_of_bytes_is_cut_off(connect, server, held):
    ws = connect(server, held())
    with pytest.raises((OSError, websocket.WebSocketException)):
        for _ in range(1_000_000):
            ws.ping("x" * 100)
        closed(ws)
        raise websocket.WebSocketException


def test_fragments_without_end_are_refused(connect, server, held):
    ws = connect(server, held())
    ws.send_frame(websocket.ABNF(0, 0, 0, 0, websocket.ABNF.OPCODE_TEXT, 1, b"x"))
    for _ in range(40):
        ws.send_frame(websocket.ABNF(0, 0, 0, 0, websocket.ABNF.OPCODE_CONT, 1, b""))
    assert closed(ws) == 1009


def is_open(raw: socket.socket) -> bool:
    """Whether the other end has kept the connection, without reading from it."""
    return raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1


def test_who_never_reads_is_dropped_and_harms_nobody(connect, server):
    job_id = server.submit(parameters={"slow_ms": 100}, num_frames=400)
    ws = connect(server, job_id)
    with socket.create_connection((server.client.base_url.host, server.client.base_url.port)) as deaf:
        deaf.sendall((
            f"GET /ws/jobs/{job_id} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode())
        heard = [json.loads(ws.recv())]
        while is_open(deaf):
            heard.append(json.loads(ws.recv()))
    server.client.delete(f"/api/v1/jobs/{job_id}")
    assert heard[-1]["type"] == "progress" and only_grows(heard)


def test_after_the_last_message_the_connection_stays_until_it_is_idle(connect, tmp_path):
    with started(tmp_path / "workspace", websocket_idle_s=2) as server:
        job_id = server.submit()
        server.wait(job_id)
        ws = connect(server, job_id)
        hear(ws, "job_complete")
        ws.send("ping")
        assert hear(ws, "pong")
        assert closed(ws) == 1000


# server-sent events


def test_a_stream_ends_with_the_job(server):
    job_id = server.submit()
    said = stream(server, job_id)
    assert said[0]["type"] == "connected" and said[-1]["type"] == "job_complete"
    assert only_grows(said)


def test_a_stream_of_an_ended_job(server, finished):
    assert [message["type"] for message in stream(server, finished["id"])] == ["connected", "job_complete"]


def test_a_stream_goes_on_where_it_was_lost(server, finished):
    whole = stream(server, finished["id"], "?since=0")
    middle = str(whole[len(whole) // 2]["seq"])
    rest = [message for message in whole[1:] if message["seq"] > int(middle)]
    assert stream(server, finished["id"], f"?since={middle}")[1:] == rest
    assert stream(server, finished["id"], "?since=0", **{"Last-Event-ID": middle})[1:] == rest


def test_a_stream_that_has_ended_is_not_opened_again(server, finished):
    last = stream(server, finished["id"])[-1]["seq"]
    answer = server.get(f"/api/v1/jobs/{finished['id']}/events", headers={"Last-Event-ID": str(last)})
    assert (answer.status_code, answer.content) == (204, b"")


def test_streams_of_nothing(server, finished):
    check.error(server.get("/api/v1/jobs/job_none/events"), 404, "not_found")
    check.error(server.get(f"/api/v1/jobs/{finished['id']}/events?since=x"), 400, "invalid_input", "since")
    bad = server.get(f"/api/v1/jobs/{finished['id']}/events", headers={"Last-Event-ID": "x"})
    check.error(bad, 400, "invalid_input", "last-event-id")


def test_head_of_a_stream_ends_at_once(server, held):
    answer = server.client.head(f"/api/v1/jobs/{held()}/events")
    assert (answer.status_code, answer.content) == (200, b"")
