"""A network and a service that misbehave: how each render ends, and how many predictions were paid for."""

import pytest

from backends.replicate.waiting import USUAL, Pace
from tests.backends.replicate.conftest import VERSION, VIDEO_CARD, Recorder, make_backend
from tests.fakes import replicate_acts as acts
from tests.fakes.footage import FRAMES
from tests.fakes.replicate import FakeReplicate
from vidgen.errors import Cancelled, StepFailed

EXPECTED = {
    "prompt": "a forest at dawn", "seed": 7, "fps": 7, "motion_bucket_id": 127, "video_length": "25_frames",
    "guidance": 5,
}
"""The inputs of the shot that these tests render."""


@pytest.fixture
def refused(render, control):
    """Render, and give back how it failed."""
    def refused(**changes) -> StepFailed:
        with pytest.raises(StepFailed) as failed:
            render(**changes)
        return failed.value

    return refused


# what Replicate refuses


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (302, "REPLICATE_BASE_URL"), (400, "refused the input of replicate:clip (status 400): what"),
        (401, "REPLICATE_API_TOKEN must be a valid one"), (402, "credit"), (403, "does not let"),
        (404, "does not know replicate:clip"),
        (422, "refused the input of replicate:clip (status 422): what the service says"),
    ],
)
def test_a_request_that_is_refused_is_not_repeated(fake, refused, control, status, words):
    fake.arrange("create", acts.error(status), always=True)
    failure = refused()
    assert words in failure.detail
    assert (failure.retryable, fake.requests["create"], fake.requests["list"]) == (False, 1, 0)
    assert control.kept["digest"] is None


def test_what_replicate_says_is_cleaned(fake, refused):
    said = "input.seed: no\x00\n\n such thing r8_Abc123 at https://a.example/b?c=d or /usr/lib/x.py " + "long " * 200
    fake.arrange("create", acts.error(422, said), always=True)
    said = refused().detail
    assert "input.seed: no such thing … at … or …" in said
    assert len(said) < 400


def test_an_image_that_is_refused(fake, refused, photo):
    fake.arrange("upload", acts.error(422), always=True)
    assert refused(image=photo).retryable is False
    assert fake.requests["create"] == 0


# too many requests


@pytest.mark.parametrize("retry_after", ["0", "1", "Fri, 31 Dec 1999 23:59:59 GMT", "soon"])
def test_a_post_is_repeated_after_429(fake, render, retry_after):
    fake.arrange("create", acts.busy(retry_after), acts.busy("0"))
    assert render().num_frames == FRAMES
    assert (fake.requests["create"], len(fake.predictions), fake.requests["list"]) == (3, 1, 0)


def test_a_wait_of_30_s_is_kept_and_can_be_cancelled(fake, tmp_path, card, spec, control):
    fake.arrange("create", acts.busy("30"))
    control.cancel_when(lambda: fake.requests["create"] == 1 and control.looks > 5)
    with pytest.raises(Cancelled):
        make_backend(fake, tmp_path, USUAL).render(card, spec(), control)
    assert (fake.requests["create"], len(fake.predictions)) == (1, 0)


def test_a_wait_of_a_day_is_refused(fake, refused):
    fake.arrange("create", acts.busy("86400"), always=True)
    failure = refused()
    assert "asks to wait for 86400 s" in failure.detail
    assert (failure.retryable, fake.requests["create"]) == (False, 1)


def test_429_without_an_end(fake, refused):
    fake.arrange("create", acts.busy("1"), always=True)
    failure = refused()
    assert (failure.code, failure.retryable, len(fake.predictions)) == ("service_busy", True, 0)


@pytest.mark.parametrize("retry_after", ["0", "1", "86400"])
def test_429_on_a_look_is_waited_out_in_bounds(fake, render, retry_after):
    fake.arrange("get", acts.busy(retry_after))
    assert render().num_frames == FRAMES
    assert (len(fake.predictions), fake.requests["get"]) == (1, 3)


# a service that stumbles


@pytest.mark.parametrize(
    "act", [acts.error(500), acts.error(503), acts.reset, acts.gives(b"<p>", "text/html")]
)
def test_looks_that_fail_are_repeated(fake, render, act):
    fake.arrange("get", act, act)
    assert render().num_frames == FRAMES
    assert len(fake.predictions) == 1


def test_a_service_that_stays_away_is_waited_for_and_the_prediction_kept(fake, refused, render, control):
    fake.arrange("get", acts.error(500), always=True)
    failure = refused()
    assert (failure.code, failure.retryable) == ("service_unreachable", True)
    assert control.kept["prediction"] == "pred0001"
    fake.calm()
    assert render().num_frames == FRAMES
    assert (len(fake.predictions), fake.requests["create"]) == (1, 1)


@pytest.mark.parametrize("act", [acts.error(500), acts.error(502), acts.reset, acts.gives(b"{", "text/html")])
def test_a_post_that_was_heard_is_not_repeated(fake, render, act):
    def heard(handler, proceed):
        handler.fake.create(None, {"version": VERSION, "input": EXPECTED})
        act(handler, lambda: None)

    fake.arrange("create", heard)
    assert render().num_frames == FRAMES
    assert (len(fake.predictions), fake.requests["create"]) == (1, 1)


@pytest.mark.parametrize("act", [acts.error(500), acts.reset])
def test_a_post_that_was_not_heard_is_repeated_once_the_list_was_looked_through(fake, render, act):
    fake.arrange("create", act)
    assert render().num_frames == FRAMES
    assert (len(fake.predictions), fake.requests["create"], fake.requests["list"]) == (1, 2, 3)


def test_posts_that_fail_without_an_end(fake, refused, control):
    fake.arrange("create", acts.reset, always=True)
    failure = refused()
    assert (failure.retryable, fake.requests["create"], len(fake.predictions)) == (True, 2, 0)
    assert control.kept["digest"]


def test_a_service_that_says_nothing(fake, tmp_path, card, spec, control):
    pace = Pace(first_poll_s=0.02, looks_s=(0.02,), call_s=0.3)
    fake.arrange("create", acts.silence)
    assert make_backend(fake, tmp_path, pace).render(card, spec(), control).num_frames == FRAMES
    assert (len(fake.predictions), fake.requests["create"]) == (1, 1)


def test_nobody_listens(tmp_path, card, spec, control):
    with FakeReplicate() as fake:
        backend = make_backend(fake, tmp_path)
    control.cancel_when(lambda: control.looks > 20)
    with pytest.raises(Cancelled):
        backend.render(card, spec(), control)
    assert control.kept["prediction"] is None


def test_a_cancel_is_heard_while_replicate_says_nothing(fake, render, control):
    fake.arrange("get", acts.silence)
    control.cancel_when(lambda: fake.requests["get"] == 1)
    with pytest.raises(Cancelled):
        render()
    assert fake.predictions[0]["status"] == "canceled"


def test_a_cancel_finds_the_prediction_whose_id_never_came(fake, render, control):
    fake.arrange("create", acts.silence)
    control.cancel_when(lambda: len(fake.predictions) == 1)
    with pytest.raises(Cancelled):
        render()
    assert fake.predictions[0]["status"] == "canceled"


def test_a_cancel_that_replicate_does_not_take(fake, render, control):
    fake.life = ("processing",)
    fake.arrange("cancel", acts.error(500), always=True)
    control.cancel_when(lambda: fake.requests["get"] == 1)
    with pytest.raises(Cancelled):
        render()


# ids that were lost


def test_an_attempt_that_knows_the_id_never_posts(fake, render, control):
    fake.life = ("processing",)
    control.end = lambda: StepFailed("overdue") if fake.requests["get"] else None
    with pytest.raises(StepFailed):
        render()
    control.end, fake.life = lambda: None, ("succeeded",)
    render()
    assert (fake.requests["create"], fake.requests["list"]) == (1, 0)


def test_an_attempt_that_lost_the_id_finds_the_prediction(fake, backend, card, spec, photo, control):
    fake.arrange("create", acts.silence)
    control.interrupt_when(lambda: len(fake.predictions) == 1)
    with pytest.raises(Exception, match="going down"):
        backend.render(card, spec(image=photo), control)
    fresh = Recorder({**control.kept, "prediction": None})
    assert fresh.kept["digest"] and fresh.kept["image_url"]
    assert backend.render(card, spec(image=photo), fresh).num_frames == FRAMES
    assert (fake.requests["create"], len(fake.predictions), len(fake.uploads)) == (1, 1, 1)


def test_an_attempt_whose_post_was_never_heard_makes_one(fake, backend, card, spec, control):
    fake.arrange("create", acts.reset, always=True)
    with pytest.raises(StepFailed):
        backend.render(card, spec(), control)
    fake.calm()
    assert backend.render(card, spec(), control).num_frames == FRAMES
    assert len(fake.predictions) == 1


def test_a_prediction_that_replicate_has_forgotten_is_made_anew(fake, render, control):
    render()
    control.keep({**control.kept, "prediction": "pred0099"})
    render()
    assert len(fake.predictions) == 2


def test_a_card_that_changed_makes_a_new_prediction(fake, backend, make_card, spec, control):
    fake.life = ("processing",)
    control.interrupt_when(lambda: fake.requests["get"] >= 1)
    with pytest.raises(Exception, match="going down"):
        backend.render(make_card(), spec(), control)
    control.end, fake.life = lambda: None, ("succeeded",)
    backend.render(make_card(VIDEO_CARD, (VERSION, "4a" * 32)), spec(), control)
    assert [p["version"] for p in fake.predictions] == [VERSION, "4a" * 32]


def test_what_was_kept_by_another_version_is_no_obstacle(fake, backend, card, spec):
    assert backend.render(card, spec(), Recorder({"prediction": 7, "spent": "x"})).num_frames == FRAMES

