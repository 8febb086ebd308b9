"""Every event exactly once and in order, whatever becomes of the connections."""

import random
import threading

import pytest

from tests.client.conftest import KEY, PROMPT, SMALL
from tests.fakes.cutting import cutting
from tests.server import Server, started
from vidgen.client import Client, NotFound
from vidgen.client.events import messages

BREAKS = 200


def test_two_hundred_connections_killed_at_random(server, client, finished):
    whole = list(finished.events())
    assert whole[-1].type == "job_complete"
    chance = random.Random(5)
    with cutting(server.url, lambda: chance.randrange(3_000)) as proxy, Client(proxy.url, KEY) as cut:
        while proxy.cuts < BREAKS:
            assert list(cut.events(finished.id)) == whole
    assert [event.seq for event in whole] == sorted({event.seq for event in whole})


def test_connections_killed_while_the_job_renders(server, client):
    """Single steps of a finished shot leave the log, so the log is held against what was heard, not the reverse."""
    chance = random.Random(6)
    with cutting(server.url, lambda: chance.randrange(400, 4_000)) as proxy, Client(proxy.url, KEY) as cut:
        job = client.generate(PROMPT, **SMALL | {"shots": 3, "num_frames": 60}, parameters={"slow_ms": 2})
        heard = list(cut.events(job.id))
        assert proxy.cuts > 1
    numbers = [event.seq for event in heard]
    assert numbers == sorted(set(numbers))
    kept = list(job.events())
    assert [event for event in heard if event.seq in {event.seq for event in kept}] == kept
    assert heard[-1].ends


def test_since_leaves_out_what_is_known(finished):
    whole = list(finished.events())
    assert list(finished.events(since=whole[2].seq)) == whole[3:]
    assert list(finished.events(since=whole[-1].seq)) == []


def test_events_are_typed(finished):
    whole = list(finished.events())
    shots = [event.shot_id for event in whole if event.type == "shot_complete"]
    assert sorted(shots) == ["shot_001", "shot_002", "shot_003"]
    assert {event.job_id for event in whole} == {finished.id}
    assert [event.progress for event in whole if event.type == "progress"][-1] == 100
    assert [event.ends for event in whole].count(True) == 1


def test_a_job_that_is_not_there(client):
    with pytest.raises(NotFound, match="job_nothing"):
        next(client.events("job_nothing"))


def test_a_server_that_dies_and_starts_again_is_waited_for(tmp_path):
    """Killed in mid-render, and started on another port behind the same address."""
    workspace = tmp_path / "workspace"
    with started(workspace, allow_test_parameters="true") as first, cutting(first.url) as proxy, \
            Client(proxy.url) as client:
        job = client.generate(PROMPT, **SMALL | {"num_frames": 40}, parameters={"slow_ms": 20})
        heard, begun, waited = [], threading.Event(), []

        def hear(event):
            heard.append(event)
            if event.phase == "render":
                begun.set()

        waiting = threading.Thread(target=lambda: waited.append(job.wait(on_event=hear).status))
        waiting.start()
        assert begun.wait(30)
        first.kill()
        second = Server(workspace, allow_test_parameters="true")
        try:
            proxy.upstream = second.wait_until_ready().url
            waiting.join(60)
            assert waited == ["completed"]
            assert [event.seq for event in heard] == sorted({event.seq for event in heard})
            assert {event.seq for event in job.events()} <= {event.seq for event in heard}
        finally:
            second.kill()


def test_waiting_has_an_end(held):
    with pytest.raises(TimeoutError):
        held.wait(timeout_s=0.3)
    assert held.refresh().status == "processing"


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_events_arrive_in_pieces_of_any_size(size):
    """What JSON does not escape and other readers of lines break at is no end of a line here."""
    text = 'retry: 2000\n\nid: 3\nevent: note\ndata: {"seq": 3, "message": "a\u2028b\x85c"}\n\n: keep-alive\n\n' \
           'id: 4\r\ndata: {"seq":\r\ndata: 4}\r\n\r\nid: 5\ndata: {"seq": 5}\n'
    data = text.encode()
    pieces = [data[at:at + size] for at in range(0, len(data), size)]
    assert list(messages(pieces)) == [{"seq": 3, "message": "a\u2028b\x85c"}, None, {"seq": 4}]
