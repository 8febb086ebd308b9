"""Renders that go well, and predictions that end otherwise."""

import io

import pytest
from PIL import Image

from backends.replicate.waiting import Pace
from tests.backends.replicate.conftest import IMAGE_CARD, QUICK, VERSION, make_backend
from tests.fakes.footage import FPS, FRAMES, HEIGHT, WIDTH, footage, small_gif, small_webm
from tests.fakes.replicate import PREDICT_SECONDS, TOKEN
from vidgen.errors import Cancelled, Interrupted, StepFailed
from vidgen.media.video import inspect


def test_a_clip(fake, render, control, tmp_path):
    clip = render(negative_prompt="rain")
    assert (clip.width, clip.height, clip.num_frames, clip.fps) == (WIDTH, HEIGHT, FRAMES, FPS)
    found = inspect(clip.path, num_frames=clip.num_frames)
    assert (found.codec, found.pixel_format) == ("h264", "yuv420p")
    made, = fake.predictions
    assert made["version"] == VERSION
    assert made["input"] == {
        "prompt": "a forest at dawn", "negative_prompt": "rain", "seed": 7, "fps": 7, "motion_bucket_id": 127,
        "video_length": "25_frames", "guidance": 5,
    }
    assert control.steps == [("render", 10, 25)]
    assert list((tmp_path / "job").iterdir()) == [clip.path]


def test_what_a_clip_took(render):
    measured = render().measured
    assert measured.keys() == {"predict_seconds", "queue_seconds", "cost_usd"}
    assert measured["predict_seconds"] == PREDICT_SECONDS
    assert measured["cost_usd"] == pytest.approx(0.002 * PREDICT_SECONDS)


def test_the_token_goes_to_the_api_and_nowhere_else(fake, render, photo):
    render(image=photo)
    assert fake.tokens["output"] == {None}
    assert fake.tokens["create"] == fake.tokens["get"] == fake.tokens["upload"] == {f"Bearer {TOKEN}"}


def test_an_image_goes_up_cut_to_the_size_around_its_focus(fake, render, photo):
    render(image=photo, focus=(1.0, 0.5))
    sent = Image.open(io.BytesIO(fake.uploads[0]))
    assert (sent.size, sent.mode) == ((64, 36), "RGB")
    assert sent.getpixel((0, 18)) == sent.getpixel((63, 18)) == (0, 0, 255)
    assert fake.predictions[0]["input"]["input_image"] == f"{fake.url}/v1/files/file0001"


def test_a_picture_by_an_official_model(fake, backend, make_card, spec, control, tmp_path):
    output = tmp_path / "job" / ".key.part.png"
    still = backend.render(make_card(IMAGE_CARD), spec(output=output, parameters={}), control)
    assert (still.width, still.height) == (WIDTH, HEIGHT)
    with Image.open(output) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
    assert still.measured["cost_usd"] == 0.003
    assert fake.predictions[0]["model"] == "black-forest-labs/flux-schnell"
    assert fake.predictions[0]["version"] == "hidden"


@pytest.mark.parametrize("suffix", [".webm", ".gif", ".mov", ".mp4"])
def test_a_video_that_not_every_browser_plays_is_encoded_again(fake, render, suffix):
    made = {
        ".webm": small_webm, ".gif": small_gif, ".mov": lambda: footage(".mov", "-c:v", "libx265"),
        ".mp4": lambda: footage(".mp4", "-c:v", "libx264", "-pix_fmt", "yuv444p"),
    }
    fake.videos = made[suffix]()
    clip = render()
    found = inspect(clip.path, num_frames=clip.num_frames)
    assert (found.codec, found.pixel_format, found.num_frames, found.fps) == ("h264", "yuv420p", FRAMES, FPS)


def test_progress_only_grows(fake, render, control):
    bars = [
        "", "100%|████| 5/5 [loaded]", "  8%|▊   | 2/25 [a]", " 40%|██  | 10/25 [a]",
        "100%|████| 25/25 [a]\n 10%|█ | 1/10 [b]", "3/0",
    ]
    fake.logs, fake.life = tuple(bars), ("processing",) * len(bars) + ("succeeded",)
    render()
    assert control.steps == [("render", 2, 25), ("render", 10, 25)]


@pytest.mark.parametrize(
    ("status", "error", "retryable", "words"),
    [
        ("failed", "CUDA error: out of luck", True, "failed at Replicate: CUDA error"),
        ("failed", "The input or output was flagged as sensitive. (E005)", False, "flagged as sensitive"),
        ("failed", None, True, "the prediction failed at Replicate"),
        ("canceled", None, False, "canceled at Replicate"),
        ("aborted", None, True, "aborted at Replicate before it ran"),
        ("on_holiday", None, False, "'on_holiday'"),
    ],
)
def test_a_prediction_that_ends_otherwise(fake, render, control, status, error, retryable, words):
    fake.life, fake.error = ("processing", status), error
    with pytest.raises(StepFailed, match=words) as failed:
        render()
    assert failed.value.retryable is retryable
    assert len(fake.predictions) == 1
    assert control.kept["prediction"] is None and control.kept["digest"] is None
    fake.life = ("processing", "succeeded")
    render()
    assert len(fake.predictions) == 2


def test_a_prediction_of_unknown_status_is_ended_at_replicate(fake, render):
    fake.life = ("processing", "on_holiday")
    with pytest.raises(StepFailed):
        render()
    assert fake.requests["cancel"] == 1


def test_a_prediction_that_does_not_end_is_given_up(fake, tmp_path, card, spec, control):
    fake.life = ("processing",)
    pace = Pace(first_poll_s=0.02, longest_poll_s=0.05, prediction_s=0.3)
    with pytest.raises(StepFailed, match="did not end within") as failed:
        make_backend(fake, tmp_path, pace).render(card, spec(), control)
    assert (failed.value.retryable, fake.requests["cancel"], len(fake.predictions)) == (False, 1, 1)


# ends that come from our side


def test_a_cancel_is_passed_on(fake, render, control):
    fake.life = ("processing",)
    control.cancel_when(lambda: fake.requests["get"] >= 2)
    with pytest.raises(Cancelled):
        render()
    assert fake.predictions[0]["status"] == "canceled"
    assert fake.requests["cancel"] == 1


def test_a_cancel_during_the_post_waits_for_the_id_and_is_passed_on(fake, render, control):
    def slow(handler, proceed):
        control.cancel_when(lambda: True)
        handler.fake.ending.wait(0.5)
        proceed()

    fake.arrange("create", slow)
    with pytest.raises(Cancelled):
        render()
    assert fake.predictions[0]["status"] == "canceled"


def test_a_server_that_goes_down_leaves_the_prediction_running(fake, render, control):
    fake.life = ("processing",)
    control.interrupt_when(lambda: fake.requests["get"] >= 1)
    with pytest.raises(Interrupted):
        render()
    assert (fake.requests["cancel"], control.kept["prediction"]) == (0, "pred0001")
    control.end = lambda: None
    fake.life = ("processing", "succeeded")
    assert render().num_frames == FRAMES
    assert len(fake.predictions) == 1


def test_a_model_without_a_seed_says_so(fake, backend, make_card, spec, control):
    backend.render(make_card(IMAGE_CARD, ('seed = "$seed"', "")), spec(parameters={}), control)
    assert control.notes == ["no_seed"]


def test_no_token(fake, tmp_path, card, spec, control):
    backend = make_backend(fake, tmp_path, QUICK, token="")
    backend.config.tokens.clear()
    assert "REPLICATE_API_TOKEN is not set" in backend.availability(card).reason
    with pytest.raises(StepFailed, match="REPLICATE_API_TOKEN is not set"):
        backend.render(card, spec(), control)
    assert sum(fake.requests.values()) == 0


def test_what_renders_is_named(backend, card, make_card):
    assert backend.availability(card).ok
    assert backend.revision(card) == VERSION
    assert backend.revision(make_card(IMAGE_CARD)) == "black-forest-labs/flux-schnell"
    assert backend.versions() == {}
