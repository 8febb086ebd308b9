"""Outputs on their way here, from hosts that may give anything."""

import pytest
from PIL import Image

from backends.replicate import download
from backends.replicate.download import Download
from tests.backends.replicate.conftest import IMAGE_CARD
from tests.fakes import replicate_acts as acts
from tests.fakes.footage import FRAMES, footage
from tests.fakes.replicate import FakeReplicate
from vidgen.errors import Cancelled, StepFailed


def failure(render) -> StepFailed:
    with pytest.raises(StepFailed) as failed:
        render()
    return failed.value


@pytest.mark.parametrize(
    "act", [acts.truncated, acts.reset, acts.error(500), acts.error(429), acts.gives(b"", "video/mp4")]
)
def test_a_download_that_breaks_off_is_repeated(fake, render, act):
    fake.arrange("output", act)
    assert render().num_frames == FRAMES
    assert (len(fake.predictions), fake.requests["output"]) == (1, 2)


@pytest.mark.parametrize("act", [acts.truncated, acts.reset])
def test_a_download_that_never_ends_well_is_left_to_the_next_attempt(fake, render, act):
    fake.arrange("output", act, always=True)
    failed = failure(render)
    assert ("broke off" in failed.detail, failed.retryable) == (True, True)
    fake.calm()
    assert render().num_frames == FRAMES
    assert (len(fake.predictions), fake.requests["create"]) == (1, 1)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (acts.PAGE, "a page of text"), (acts.gives(b"{}", "application/json"), "a page of text"),
        (acts.gives(b"<html>", "video/mp4"), "not a video"), (acts.gives(b"<html>", "x/y"), "not a video"),
        (acts.cut, "not whole"),
        (acts.gives(b"\x1a\x45\xdf\xa3" + bytes(99), "video/webm"), "cannot be read"),
    ],
)
def test_what_is_not_a_video_fails_in_words_and_is_asked_for_again(fake, render, act, words):
    fake.arrange("output", act, always=True)
    failed = failure(render)
    assert (words in failed.detail, failed.retryable) == (True, True), failed.detail
    fake.calm()
    assert render().num_frames == FRAMES
    assert len(fake.predictions) == 1


def test_redirects_within_bounds_are_followed(fake, render):
    on = acts.redirect("/output/pred0001")
    fake.arrange("output", on, on, on)
    assert render().num_frames == FRAMES
    fake.arrange("output", on, always=True)
    assert "without an end" in failure(render).detail


@pytest.mark.parametrize("host", ["http://127.0.0.1:{port}/output/pred0001", "http://localhost:{own}/output/pred0001"])
def test_a_redirect_to_another_host_over_plain_http_is_refused(fake, render, host):
    with FakeReplicate() as other:
        own, port = fake.url.rpartition(":")[2], other.url.rpartition(":")[2]
        fake.arrange("output", acts.redirect(host.format(port=port, own=own)), always=True)
        failed = failure(render)
        assert ("only https" in failed.detail, failed.retryable) == (True, False)
        assert (other.requests["output"], fake.requests["output"], len(fake.predictions)) == (0, 1, 1)


@pytest.mark.parametrize(
    "address",
    ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:video/mp4;base64,AAAA", "http://", "//x", "http://[", "x y"],
)
def test_an_output_that_is_no_address_is_refused(fake, tmp_path, address):
    with pytest.raises(StepFailed, match="only https"):
        Download(address, tmp_path / "file", fake.url, 0.01).run()
    assert not (tmp_path / "file").exists()


def test_plain_http_is_for_the_api_of_the_settings_alone(fake, tmp_path):
    with pytest.raises(StepFailed, match="only https"):
        Download(f"{fake.url}/output/pred0001", tmp_path / "file", None, 0.01).run()
    assert fake.requests["output"] == 0


@pytest.mark.parametrize("output", [None, [], {}, ["a", "b"], {"video": "https://a.example/"}, 7, [7], ""])
def test_an_output_that_is_not_one_file_is_refused(fake, render, output):
    _give(fake, output=output)
    failed = failure(render)
    assert ("exactly one file" in failed.detail, failed.retryable) == (True, False)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_an_output_that_has_expired_is_made_anew_once(fake, render, status):
    fake.arrange("output", acts.expired(status))
    assert render().num_frames == FRAMES
    assert len(fake.predictions) == 2


@pytest.mark.parametrize("status", [403, 404, 410])
def test_an_output_that_is_not_handed_out_yet_is_fetched_by_the_next_attempt(fake, render, status):
    fake.arrange("output", acts.error(status))
    failed = failure(render)
    assert ("does not hand it out" in failed.detail, failed.retryable) == (True, True)
    assert render().num_frames == FRAMES
    assert (len(fake.predictions), fake.requests["create"]) == (1, 1)


def test_an_output_that_is_never_there_is_not_paid_for_again_and_again(fake, render):
    fake.arrange("output", acts.expired(404), always=True)
    failed = failure(render)
    assert (failed.retryable, len(fake.predictions)) == (False, 2)


def test_an_output_whose_data_was_removed_is_made_anew(fake, render):
    _give(fake, only="pred0001", output=None, data_removed=True)
    assert render().num_frames == FRAMES
    assert len(fake.predictions) == 2


def test_an_output_that_is_announced_too_large_is_not_fetched(fake, render):
    def large(handler, proceed):
        handler.send(200, b"", "video/mp4", content_length=str(download.MAX_OUTPUT_BYTES + 1))
        handler.close_connection = True

    fake.arrange("output", large, always=True)
    failed = failure(render)
    assert ("larger than 2 GB" in failed.detail, failed.retryable, fake.requests["output"]) == (True, False, 1)


def test_a_cancel_is_heard_while_the_output_hangs(fake, render, control):
    def stalls(handler, proceed):
        handler.send(200, b"\0", "video/mp4", content_length="1000")
        handler.fake.ending.wait()

    fake.arrange("output", stalls)
    control.cancel_when(lambda: fake.requests["output"] == 1)
    with pytest.raises(Cancelled):
        render()


# pictures


@pytest.mark.parametrize(
    ("act", "words"),
    [(acts.gives(b"GIF89a" + bytes(20), "image/gif"), "must be a JPEG, PNG or WebP image"),
     (acts.gives(b"\x89PNG\r\n\x1a\n" + bytes(40), "image/png"), "Replicate's output"),
     (acts.gives(bytes(11 * 2**20), "image/png"), "too large")],
)
def test_what_is_not_a_picture_fails_in_words(fake, backend, make_card, spec, control, act, words):
    fake.arrange("output", act, always=True)
    failed = failure(lambda: backend.render(make_card(IMAGE_CARD), spec(parameters={}), control))
    assert words in failed.detail
    assert len(fake.predictions) == 1


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_pictures_become_rgb_pngs(fake, backend, make_card, spec, control, suffix):
    fake.arrange("output", acts.gives(footage(suffix, "-frames:v", "1"), "application/octet-stream"))
    still = backend.render(make_card(IMAGE_CARD), spec(parameters={}), control)
    with Image.open(still.path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")


def _give(fake: FakeReplicate, only: str | None = None, **fields) -> None:
    """Have predictions say something else once they have succeeded."""
    real = fake.advance

    def advance(prediction: dict) -> None:
        real(prediction)
        if prediction["status"] == "succeeded" and only in (None, prediction["id"]):
            prediction |= fields

    fake.advance = advance
