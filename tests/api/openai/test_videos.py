"""OpenAI's unmodified package against the server: what a program written for /v1/videos does."""

import base64

import openai
import pytest

from tests.api.openai.conftest import KEY, NAME, SMALL, client_of, png, refused, small

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


@pytest.fixture(scope="module")
def video(client):
    """A video that is ready; tests read it and leave it alone."""
    return client.videos.create_and_poll(prompt="A lighthouse. A gull.", model=NAME, seconds="2", size="64x64",
                                         extra_body={"fps": 4, "max_shots": 2})


def from_image(client, reference):
    """A file is an argument of the package's, an object goes beside: its own check lets only files through."""
    if isinstance(reference, dict):
        return small(client, extra_body={"input_reference": reference})
    return small(client, input_reference=reference)


def named(video) -> dict:
    return {"video": {"id": video.id}}


def test_a_video_is_created_polled_and_ready(client, video):
    assert (video.object, video.status, video.progress, video.model) == ("video", "completed", 100, NAME)
    assert (video.seconds, video.size, video.prompt) == ("2", "64x64", "A lighthouse. A gull.")
    assert video.created_at <= video.completed_at
    assert video.error is video.expires_at is video.remixed_from_video_id is None
    assert client.videos.retrieve(video.id) == video


@pytest.mark.parametrize(("variant", "begins"), [
    ("video", b"ftyp"), ("thumbnail", b"\xff\xd8\xff"), ("spritesheet", b"\xff\xd8\xff"),
])
def test_each_variant_is_downloaded(client, video, variant, begins):
    content = client.videos.download_content(video.id, variant=variant)
    assert begins in content.read()[:12]
    part = client.videos.download_content(video.id, variant=variant, extra_headers={"Range": "bytes=0-2"})
    assert (part.response.status_code, part.read()) == (206, content.read()[:3])


def test_the_video_is_the_jobs(client, server, video):
    assert client.videos.download_content(video.id).read() == server.get(f"/api/v1/jobs/{video.id}/video").content


def test_a_new_video_is_queued_and_its_client_told_when_to_ask(client, held):
    running = held()
    answer = client.videos.with_raw_response.retrieve(running)
    assert answer.parse().status in ("queued", "in_progress")
    assert 250 <= int(answer.headers["openai-poll-after-ms"]) <= 5_000
    assert answer.headers["Cache-Control"] == "no-store"


def test_fields_of_a_job_pass_as_text_of_a_form(client, server):
    asked = {
        "seed": 7, "save_frames": False, "fps": 12.5, "style_preferences": {"mood": "calm"}, "priority": -3,
        "parameters": {"guidance_scale": 9.5, "motion_bucket_id": 3}, "negative_prompt": "17",
    }
    made = small(client, extra_body=asked)
    job = server.get(f"/api/v1/jobs/{made.id}").json()
    assert job["parameters"] | asked.pop("parameters") == job["parameters"]
    assert {name: job.get(name, value) for name, value in asked.items()} == asked
    assert (job["num_frames"], job["max_shots"]) == (5, 1)


@pytest.mark.parametrize("storyboard", [
    {"title": "A day", "shots": [{"description": "Dawn", "seed": 1}, {"description": "Dusk", "seed": 2}]},
    '{"title": "A day", "shots": [{"description": "Dawn", "seed": 1}, {"description": "Dusk", "seed": 2}]}',
], ids=["nested", "json"])
def test_a_storyboard_passes_too(client, server, storyboard):
    made = client.videos.create(prompt="a day", model=NAME, extra_body={
        "storyboard": storyboard, "width": 64, "height": 64, "num_frames": 5})
    shots = server.wait(made.id)["storyboard"]["shots"]
    assert [(shot["description"], shot["seed"]) for shot in shots] == [("Dawn", 1), ("Dusk", 2)]


def test_json_is_taken_as_well(server):
    body = {"prompt": "a forest", "model": NAME, "seconds": "1", "size": "64x64", "fps": 5, "priority": 1}
    answer = server.post("/v1/videos", json=body)
    assert (answer.status_code, answer.json()["seconds"]) == (200, "1")
    urlencoded = server.post("/v1/videos", data={name: str(value) for name, value in body.items()})
    assert (urlencoded.status_code, urlencoded.json()["size"]) == (200, "64x64")


@pytest.mark.parametrize("model", ["sora-2", "sora-2-pro", openai.omit])
def test_without_a_model_of_ours_the_default_serves(client, model):
    made = client.videos.create(prompt="a forest", model=model, extra_body=SMALL)
    assert made.model == NAME


def test_an_image_comes_as_a_file_as_a_data_url_or_as_an_upload(client, server):
    upload = server.post("/api/v1/upload", files={"file": ("a.png", png())}).json()["file_id"]
    url = f"data:image/png;base64,{base64.b64encode(png()).decode()}"
    for reference in (("seen.png", png()), {"image_url": url}, {"file_id": upload}):
        job = server.wait(from_image(client, reference).id)
        assert job["generation_mode"] == "image_to_video"
        assert (job["reference_image"] == upload) is (reference == {"file_id": upload})


@pytest.mark.parametrize(("reference", "words"), [
    ({"image_url": "https://example.org/a.png"}, "no URL is opened"),
    ({"image_url": "data:image/png,abc"}, "base64"),
    ({"image_url": "data:image/png;base64,%%%"}, "is not base64"),
    ({"file_id": "upload_none"}, "no such upload"),
    (("a.png", b"not an image"), "must be a JPEG, PNG or WebP image"),
    (("a.png", b""), "is empty"),
])
def test_a_reference_that_is_no_image_is_refused_in_words(client, server, reference, words):
    with pytest.raises(openai.BadRequestError) as caught:
        from_image(client, reference)
    code = "unsupported_image" if b"not an image" in reference else "invalid_input"
    assert words in refused(caught.value, 400, code, "input_reference")


def test_an_image_that_no_job_came_to_use_is_forgotten(client, server):
    before = set((server.workspace / "uploads").iterdir())
    with pytest.raises(openai.BadRequestError):
        small(client, input_reference=("a.png", png()), extra_body={"keyframe_model_id": "stub:still"})
    assert set((server.workspace / "uploads").iterdir()) == before


@pytest.mark.parametrize(("fields", "param", "words"), [
    ({"prompt": " "}, "prompt", "at least 1 character"),
    ({"prompt": "x" * 4_001}, "prompt", "at most 4000 characters"),
    ({"seconds": "4000"}, "seconds", "less than or equal to 720"),
    ({"seconds": "-1"}, "seconds", "greater than 0"),
    ({"seconds": "soon"}, "seconds", "must be a valid number"),
    ({"seconds": "9", "extra_body": {"max_shots": 2, "num_frames": 8, "fps": 8}}, "seconds", "at most 2 s"),
    ({"seconds": "4", "extra_body": {"storyboard": {"title": "a", "shots": [{"description": "b"}]}}}, "seconds",
     "leave one of them out"),
    ({"size": "99x64"}, "size", "the nearest is 100x64"),
    ({"size": "wide"}, "size", "such as 1280x720"),
    ({"size": "64x64", "extra_body": {"width": 64}}, "size", "leave one of them out"),
    ({"extra_body": {"colour": "red"}}, "colour", "is not a field of this request"),
    ({"extra_body": {"seed": "abc"}}, "seed", "must be a valid integer"),
    ({"extra_body": {"seed": -1}}, "seed", "greater than or equal to 0"),
    ({"extra_body": {"width": 8}}, "width", "greater than or equal to 16"),
    ({"extra_body": {"save_frames": "maybe"}}, "save_frames", "must be a valid boolean"),
    ({"extra_body": {"user_prompt": "x"}}, "user_prompt", "is called prompt here"),
    ({"extra_body": {"dry_run": True}}, "dry_run", "POST /api/v1/jobs takes it"),
    ({"extra_body": {"parameters": {"guidance_scale": 99}}}, "parameters.guidance_scale", "at most 20"),
    ({"extra_body": {"parameters": {"sparkle": 1}}}, "parameters.sparkle", "takes no such parameter"),
    ({"extra_body": {"focus": [0.5, 0.5]}}, "focus", "no reference_image to crop"),
    ({"extra_body": {"storyboard": '{"title": 1,,}'}}, "storyboard", "is not JSON"),
    ({"extra_body": {"storyboard": {"title": "a", "shots": [{"description": "b", "seed": 1}, {"description": "c"}]}}},
     "storyboard.shots", "cannot be told apart"),
    ({"extra_body": {"a[[b": "c"}}, "a[[b", "is not a field of this request"),
])
def test_a_wrong_field_is_named(client, fields, param, words):
    with pytest.raises(openai.BadRequestError) as caught:
        client.videos.create(**{"prompt": "a forest", "model": NAME} | fields)
    assert words in refused(caught.value, 400, "invalid_input", param)


@pytest.mark.parametrize(("fields", "param"), [
    ([("model", NAME)], "prompt"), ([("prompt", "a"), ("prompt", "b")], "prompt"),
    ([("prompt", "a"), ("seed", "1"), ("seed", "2")], "seed"), ([("a", "1"), ("a[b]", "2")], "a.b"),
])
def test_what_is_missing_or_twice_is_named(server, fields, param):
    answer = server.post("/v1/videos", files=[(name, (None, text)) for name, text in fields])
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_each_error_has_its_class(client, server, held):
    with pytest.raises(openai.NotFoundError) as caught:
        client.videos.retrieve("job_none")
    assert "job_none" in refused(caught.value, 404, "not_found")
    with pytest.raises(openai.NotFoundError) as caught:
        client.videos.create(prompt="x", model="gpt-video")
    assert "gpt-video" in refused(caught.value, 404, "not_found")
    with pytest.raises(openai.ConflictError) as caught:
        client.videos.download_content(held())
    refused(caught.value, 409, "not_finished")
    assert caught.value.response.headers["x-should-retry"] == "false"
    with pytest.raises(openai.BadRequestError) as caught:
        client.videos.list(limit=101)
    refused(caught.value, 400, "invalid_input", "limit")
    with pytest.raises(openai.BadRequestError) as caught:
        client.videos.list(after="job_none")
    refused(caught.value, 400, "invalid_input", "after")
    with pytest.raises(openai.APIStatusError) as caught:
        client.videos.create(prompt="x", input_reference=("big.png", bytes(11 * 2**20)))
    refused(caught.value, 413, "too_large")


def test_what_cannot_be_done_is_said(client, video):
    for call in (
        lambda: client.videos.extend(prompt="on", seconds="4", video=openai.omit, extra_body=named(video)),
        lambda: client.videos.create_character(name="Ann", video=("a.mp4", b"...")),
        lambda: client.videos.get_character("char_1"),
    ):
        with pytest.raises(openai.APIStatusError) as caught:
            call()
        assert "not possible here" in refused(caught.value, 501, "not_implemented")
    with pytest.raises(openai.BadRequestError) as caught:
        client.videos.edit(prompt="on", video=("a.mp4", b"..."))
    assert "name a video that was made here" in refused(caught.value, 400, "invalid_input", "video")


def test_paths_and_methods_that_are_not_there_answer_in_the_same_shape(server):
    for method, path, status in (
        ("GET", "/v1/nothing", 404), ("PUT", "/v1/videos", 405), ("GET", "/v1", 404), ("GET", "/v1/videos/edits", 405),
    ):
        answer = server.client.request(method, path)
        assert (answer.status_code, answer.json().keys()) == (status, {"error"})
    assert server.get("/api/v1/nothing").json().keys() >= {"error", "detail", "timestamp"}


def test_keys_and_hosts_are_refused_in_the_same_shape(strict):
    with client_of(strict) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            client.models.list()
        refused(caught.value, 401, "unauthorized")
        known = client.with_options(api_key=KEY)
        assert NAME in [model.id for model in known.models.list()]
        with pytest.raises(openai.PermissionDeniedError) as caught:
            known.videos.list(extra_headers={"Host": "example.org"})
        refused(caught.value, 403, "forbidden")


@pytest.mark.parametrize("make", [
    lambda client, video: client.videos.remix(video.id, prompt="The same at night"),
    lambda client, video: client.videos.edit(
        prompt="The same at night", video=openai.omit, extra_body=named(video)),
], ids=["remix", "edit"])
def test_another_prompt_makes_a_new_video_of_the_same_settings(client, server, video, make):
    made = make(client, video)
    assert made.id != video.id and made.remixed_from_video_id == video.id
    job, before = server.wait(made.id), server.get(f"/api/v1/jobs/{video.id}").json()
    same = ("model_id", "width", "height", "fps", "num_frames", "max_shots", "seed", "parameters")
    assert {name: job[name] for name in same} == {name: before[name] for name in same}
    assert job["user_prompt"] == "The same at night"
    assert client.videos.retrieve(made.id).seconds == video.seconds
    with pytest.raises(openai.NotFoundError):
        client.videos.remix("job_none", prompt="x")


def test_a_failed_and_a_cancelled_video_say_why(client, server):
    failed = small(client, extra_body={"parameters": {"fail_fatal": True}})
    end = client.videos.poll(failed.id)
    assert (end.status, end.error.code) == ("failed", server.wait(failed.id, "failed")["error_code"])
    assert end.error.message and end.completed_at is None
    cancelled = small(client, extra_body={"parameters": {"wait_at_step": 2}})
    server.post(f"/api/v1/jobs/{cancelled.id}/cancel")
    end = client.videos.poll(cancelled.id)
    assert (end.status, end.error.code) == ("failed", "cancelled")


def test_a_deleted_video_is_gone(client):
    made = small(client)
    gone = client.videos.delete(made.id)
    assert (gone.id, gone.object, gone.deleted) == (made.id, "video.deleted", True)
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(made.id)


def test_models_are_those_that_a_create_takes(client):
    listed = {model.id: model for model in client.models.list()}
    assert (listed[NAME].object, listed[NAME].owned_by) == ("model", "stub")
    assert "stub:still" not in listed       # draws images
    assert client.models.retrieve(NAME) == listed[NAME]
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("sora-2")
