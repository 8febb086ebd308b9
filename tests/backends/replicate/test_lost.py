"""Finding a prediction whose id was lost, among the others of the account."""

import time
from datetime import UTC, datetime

import pytest

from backends.replicate.held import Held
from backends.replicate.lost import MAX_PAGES, SLACK_S, Lost
from backends.replicate.service import Prediction, Service
from backends.replicate.table import Table
from tests.backends.replicate.conftest import VERSION
from tests.fakes.replicate import TOKEN

NOW = 1_700_000_000.0
INPUTS = {"prompt": "a forest", "seed": 7}
TABLE = Table(model="someone/model", version=VERSION, source="https://a.example/", input={"prompt": "$prompt"})
OFFICIAL = Table(model="someone/model", source="https://a.example/", input={"prompt": "$prompt"})


def lost(table: Table = TABLE, **changes) -> Lost:
    values = {"inputs": INPUTS, "intended_at": NOW, "spent": (), "held": Held(), **changes}
    return Lost(table, **values)


def prediction(at: float = NOW, **changes) -> Prediction:
    values = {
        "id": "pred0001", "status": "processing", "model": "someone/model", "version": VERSION, "input": INPUTS,
        "created_at": datetime.fromtimestamp(at, UTC).isoformat(), **changes,
    }
    return Prediction(**values)


@pytest.mark.parametrize(
    "changes",
    [{}, {"status": "starting"}, {"status": "succeeded"}, {"model": None}, {"created_at": None}, {"at": NOW + 1e6},
     {"at": NOW - SLACK_S + 1}, {"input": INPUTS | {"a_default": 3}}, {"input": INPUTS | {"seed": 7.0}}],
)
def test_it_is_found(changes):
    assert lost().is_it(prediction(**changes))


@pytest.mark.parametrize(
    "changes",
    [{"version": "4a" * 32}, {"status": "failed"}, {"status": "canceled"}, {"status": "aborted"}, {"id": "spent"},
     {"id": "held"}, {"input": INPUTS | {"seed": 8}}, {"input": {"prompt": "a forest"}}, {"input": None},
     {"at": NOW - SLACK_S - 1}],
)
def test_another_one_is_passed_over(changes):
    held = Held()
    held.add("held")
    assert not lost(spent=("spent",), held=held).is_it(prediction(**changes))


def test_an_official_model_is_told_by_its_name():
    assert lost(OFFICIAL).is_it(prediction(version="hidden"))
    assert not lost(OFFICIAL).is_it(prediction(version="hidden", model="someone/else"))


def test_what_a_render_lets_go_is_free_again():
    held = Held()
    held.add("pred0001")
    held.discard("pred0001")
    assert lost(held=held).is_it(prediction())


@pytest.fixture
def account(fake):
    """An account with 25 predictions, five on a page, and a service that lists them."""
    for seed in range(25):
        fake.create(None, {"version": VERSION, "input": INPUTS | {"seed": seed}})
    fake.page_size = 5
    service = Service(TOKEN, fake.url)
    yield service
    service.close()


@pytest.mark.parametrize(("seed", "pages"), [(24, 1), (12, 3), (7, 4), (0, 5)])
def test_the_pages_are_gone_through(fake, account, seed, pages):
    found = lost(inputs=INPUTS | {"seed": seed}, intended_at=time.time()).find(account.page)
    assert (found.id, fake.requests["list"]) == (f"pred{seed + 1:04d}", pages)


def test_the_search_has_an_end(fake, account):
    fake.page_size = 1
    assert lost(inputs=INPUTS | {"seed": 3}, intended_at=time.time()).find(account.page) is None
    assert fake.requests["list"] == MAX_PAGES


def test_the_search_ends_before_the_intent(fake, account):
    assert lost(inputs=INPUTS | {"seed": 99}, intended_at=time.time() + 2 * SLACK_S).find(account.page) is None
    assert fake.requests["list"] == 1


def test_predictions_that_cannot_be_read_are_passed_over(fake, account):
    fake.predictions[-1]["id"] = "../../other"
    fake.predictions[-2]["status"] = "aborted"
    assert lost(inputs=INPUTS | {"seed": 22}, intended_at=time.time()).find(account.page).id == "pred0023"
