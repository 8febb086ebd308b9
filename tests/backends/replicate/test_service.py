"""The wire to Replicate: answers that the SDK cannot read, bounds, and where the token goes."""

import httpx
import pytest

from backends.replicate.service import Page, Prediction, Service, seconds
from backends.replicate.table import Table
from backends.replicate.transport import Refused, Transport, Unreachable
from tests.fakes import replicate_acts as acts
from tests.fakes.replicate import TOKEN, FakeReplicate

TABLE = Table(model="someone/model", source="https://a.example/", input={"prompt": "$prompt"})


@pytest.fixture
def service(fake):
    made = Service(TOKEN, fake.url)
    yield made
    made.close()


@pytest.mark.parametrize("status", ["starting", "succeeded", "aborted", "on_holiday"])
def test_any_status_is_read(fake, service, status):
    fake.life = (status,)
    prediction = service.get(service.create(TABLE, {"prompt": "x"}).id)
    assert (prediction.id, prediction.status) == ("pred0001", status)


def test_addresses_that_are_null_are_no_obstacle(fake, service):
    made = service.create(TABLE, {"prompt": "x"})
    fake.predictions[0]["urls"]["stream"] = None
    assert service.get(made.id).input == {"prompt": "x"}
    assert len(service.page().results) == 1


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{}", b'{"id": "../x", "status": "starting"}', b"<html>", b"\xff"]
)
def test_an_answer_that_is_no_prediction(fake, service, body):
    fake.arrange("get", acts.gives(body, "application/json"))
    with pytest.raises(Unreachable, match="cannot be read"):
        service.get("pred0001")


def test_an_answer_without_an_end_is_cut_off(fake, service):
    fake.arrange("get", acts.gives(b" " * (33 * 2**20), "application/json"))
    with pytest.raises(Unreachable, match="too long"):
        service.get("pred0001")


def test_a_compressed_answer_is_not_unpacked(fake, service):
    fake.arrange("get", lambda handler, proceed: handler.send(200, b"x", "application/json", content_encoding="gzip"))
    with pytest.raises(Unreachable, match="compressed"):
        service.get("pred0001")


@pytest.mark.parametrize(
    ("body", "detail"),
    [(b'{"detail": "no"}', "no"), (b'{"title": "No", "status": 422}', "No"), (b"<html>", ""), (b'["x"]', ""),
     (b'{"detail": [{"loc": 1}]}', "")],
)
def test_what_an_error_says(fake, service, body, detail):
    fake.arrange("create", lambda handler, proceed: handler.send(422, body, "application/json"))
    with pytest.raises(Refused) as refused:
        service.create(TABLE, {})
    assert (refused.value.status, refused.value.detail) == (422, detail)


def test_a_redirect_is_not_followed(fake, service):
    with FakeReplicate() as other:
        fake.arrange("get", acts.redirect(f"{other.url}/v1/predictions/pred0001"))
        with pytest.raises(Refused):
            service.get("pred0001")
        assert sum(other.requests.values()) == 0


def test_of_the_next_pages_address_only_the_query_is_used(fake, service):
    with FakeReplicate() as other:
        service.page(Page(results=[], next=f"{other.url}/v1/predictions?cursor=3"))
        assert (sum(other.requests.values()), fake.requests["list"]) == (0, 1)


def test_nothing_goes_to_another_host(fake):
    with FakeReplicate() as other, httpx.Client(transport=Transport(fake.url)) as client:
        with pytest.raises(Unreachable, match="another host"):
            client.get(f"{other.url}/v1/predictions")
        assert sum(other.requests.values()) == 0


@pytest.mark.parametrize(
    ("said", "meant"),
    [("1970-01-01T00:01:00Z", 60), ("1970-01-01T00:01:00.5+00:00", 60.5), ("1970-01-01T00:01:00", 60), ("soon", None),
     ("", None), (None, None)],
)
def test_times(said, meant):
    assert seconds(said) == meant


@pytest.mark.parametrize(
    "metrics", [None, {}, {"predict_time": "long"}, {"predict_time": -1}, {"predict_time": float("inf")}]
)
def test_a_time_that_is_not_known(metrics):
    prediction = Prediction(id="x", status="succeeded", metrics=metrics, created_at="2024-01-01T00:00:00Z")
    assert (prediction.predict_seconds, prediction.queue_seconds) == (None, None)
