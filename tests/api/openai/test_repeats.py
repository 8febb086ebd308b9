"""Creates that are sent again, and lists that are read while they change: nothing twice, nothing left out."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.api.openai.conftest import NAME, SMALL, client_of, jobs_of, png, small
from tests.fakes.cutting import cutting
from tests.server import Server, started

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")

MANY = 250
FORM = {"prompt": "", "model": NAME, **{name: str(value) for name, value in SMALL.items()}}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Its queue stands still: here jobs are counted, not rendered."""
    with started(tmp_path_factory.mktemp("repeats") / "workspace") as running:
        running.post("/api/v1/queue/pause")
        yield running


def post(server: Server, prompt: str, repeat: int = 0, **headers) -> str:
    """Create as OpenAI's client does, and return the id."""
    parts = {name: (None, text) for name, text in {**FORM, "prompt": prompt}.items()}
    headers = {"x-stainless-retry-count": str(repeat), **headers}
    answer = server.post("/v1/videos", files=parts, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


PICTURE = png()
MAKE = {
    "text": lambda client, prompt, source: small(client, prompt),
    "image": lambda client, prompt, source: small(client, prompt, input_reference=("a.png", PICTURE)),
    "remix": lambda client, prompt, source: client.videos.remix(source, prompt=prompt),
}


@pytest.mark.parametrize("make", MAKE)
@pytest.mark.parametrize("losses", [1, 2])
def test_the_packages_own_repeats_make_one_job(server, make, losses):
    prompt, source = f"lost {losses} times, {make}", post(server, "to be remixed")
    passed = iter([1] * losses + [None])        # bytes of the answers to each try
    with cutting(server.url, lambda: next(passed)) as proxy, client_of(proxy) as client:
        made = MAKE[make](client, prompt, source)
        assert proxy.cuts == losses
    assert [job["id"] for job in jobs_of(server, prompt)] == [made.id]


def test_equal_creates_that_are_meant_make_two_jobs(server):
    with client_of(server) as client:
        assert small(client, "twice").id != small(client, "twice").id


def test_a_repeat_of_something_else_or_of_nothing_makes_a_job(server):
    first = post(server, "one")
    assert post(server, "one", 1) == first
    assert len({first, post(server, "another", 1), post(server, "one")}) == 3


def test_of_several_equal_creates_each_repeat_gets_one(server):
    made = {post(server, "four at once") for _ in range(4)}
    assert {post(server, "four at once", 1) for _ in range(4)} == made
    assert {post(server, "four at once", 2) for _ in range(4)} == made
    assert post(server, "four at once", 1) not in made


def test_a_repeat_that_overlaps_the_first_one_makes_no_second(server):
    with ThreadPoolExecutor(8) as pool:
        for number in range(10):
            made = set(pool.map(partial(post, server, f"overlap {number}"), range(1, 9)))
            assert len(made) == 1 == len(jobs_of(server, f"overlap {number}"))


def test_an_idempotency_key_is_kept(server):
    first = post(server, "with a key", **{"Idempotency-Key": "a"})
    assert post(server, "with a key", **{"Idempotency-Key": "a"}) == first
    assert post(server, "with a key", 1, **{"Idempotency-Key": "b"}) != first
    answer = server.post("/v1/videos", data={**FORM, "prompt": "other"}, headers={"Idempotency-Key": "a"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "idempotency_mismatch")
    assert answer.headers["x-should-retry"] == "false"


def test_a_repeat_is_known_after_a_death_of_the_server(tmp_path):
    with started(tmp_path / "workspace") as server:
        server.post("/api/v1/queue/pause")
        first, keyed = post(server, "before"), post(server, "keyed", **{"Idempotency-Key": "a"})
        server.kill()
    with started(tmp_path / "workspace") as server:
        assert post(server, "before", 1) == first
        assert post(server, "keyed", **{"Idempotency-Key": "a"}) == keyed


def test_a_list_of_many_is_read_to_its_end_while_it_changes(server):
    with client_of(server) as client:
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda number: post(server, f"video {number}"), range(MANY)))
        in_order = [video.id for video in client.videos.list(order="asc", limit=100)]
        assert sorted(in_order[-MANY:]) == sorted(made)
        assert [video.id for video in client.videos.list(limit=100)] == in_order[::-1]
        page = client.videos.list(limit=100, order="asc")
        assert (page.data[0].id, page.data[-1].id) == (page.first_id, page.last_id) == (in_order[0], in_order[99])
        assert page.has_more and not client.videos.list(after=in_order[-1], order="asc").data

        read = []
        for number, video in enumerate(client.videos.list(limit=20)):
            read.append(video.id)
            if number % 20 == 19:               # the very one that the next page follows
                client.videos.delete(video.id)
                post(server, f"meanwhile {number}")
        assert read == in_order[::-1]
        assert len(list(client.videos.list(limit=100))) == len(in_order)


def test_a_video_that_cannot_be_taken_now_is_tried_again_later_or_not_at_all(strict):
    nothing = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    assert strict.get("/v1/videos").json() == nothing
    post(strict, "first")
    answer = strict.post("/v1/videos", json={"prompt": "second"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (429, "rate_limit_error")
    assert int(answer.headers["Retry-After"]) > 0 and "x-should-retry" not in answer.headers
    answer = strict.post("/v1/videos", json={"prompt": "second", "model": "local:svd-xt"})
    assert (answer.status_code, answer.headers["x-should-retry"]) == (503, "false")
