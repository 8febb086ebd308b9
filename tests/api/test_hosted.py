"""Jobs on hosted models: the real server, the real SDK, a loopback Replicate. Each ends in the right state, and each
prediction is paid for once.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import replicate_acts as acts
from tests.fakes.footage import FRAMES, HEIGHT, WIDTH, small_png
from tests.fakes.replicate import PREDICT_SECONDS, TOKEN, FakeReplicate
from tests.fakes.replicate_acts import LIFE
from tests.server import Server, started
from vidgen.media.video import inspect, read_metadata

QUICK = ("succeeded",)
"""The life of a prediction that is done at the first look."""


class Studio:
    """A server and its Replicate."""

    def __init__(self, server: Server, fake: FakeReplicate):
        self.server = server
        self.fake = fake

    def submit(self, seed: int, **job: Any) -> str:
        """A job of one shot from an image: one prediction, which has the seed."""
        image = {"file": ("reference.png", small_png(), "image/png")}
        upload = self.server.post("/api/v1/upload", files=image).json()
        shots = [{"description": "a wave", "seed": seed}]
        asked = {"reference_image": upload["file_id"], "storyboard": {"title": "One", "shots": shots}, **job}
        return self.server.submit(**{**MODEL, **asked})


MODEL = {"model_id": "replicate:svd-xt", "width": None, "height": None, "num_frames": None}


@dataclass(frozen=True)
class Case:
    """One thing that goes wrong, and how its job must end."""

    status: str                             # of the job
    paid: int                               # predictions
    words: str = ""                         # in the job's error
    posts: int | None = None                # as many as were paid for, where it does not say
    life: tuple[str, ...] = QUICK
    error: str | None = None                # of the prediction
    does: Mapping[str, Sequence[acts.Act]] = field(default_factory=dict)     # by route
    for_ever: bool = False                  # the last of these goes on


PASSES = {
    "succeeded": Case("completed", 1, life=LIFE),
    "429, now": Case("completed", 1, posts=2, does={"create": [acts.busy("0")]}),
    "429, a second": Case("completed", 1, posts=3, does={"create": [acts.busy("1"), acts.busy("0")]}),
    "500, not made": Case("completed", 1, posts=2, does={"create": [acts.error(500)]}),
    "500, made": Case("completed", 1, does={"create": [acts.error_after(500)]}),
    "reset, not made": Case("completed", 1, posts=2, does={"create": [acts.reset]}),
    "reset, made": Case("completed", 1, does={"create": [acts.reset_after]}),
    "looks fail": Case("completed", 1, does={"get": [acts.error(500), acts.reset, acts.busy("0")]}),
    "downloads break off": Case("completed", 1, does={"output": [acts.truncated, acts.reset]}),
    "the output has expired": Case("completed", 2, does={"output": [acts.expired(404)]}),
    "the output is not there yet": Case("completed", 1, does={"output": [acts.error(404)]}),
    "aborted, then well": Case("completed", 2, does={"get": [acts.ends("aborted")]}),
    "failed, then well": Case("completed", 2, does={"get": [acts.ends("failed")]}),
}
FAILS = {
    "failed": Case("failed", 3, "(after 3 attempts): the prediction failed at Replicate: CUDA error",
                   life=("failed",), error="CUDA error"),
    "flagged": Case("failed", 1, "failed at Replicate: it was flagged", life=("failed",), error="it was flagged"),
    "canceled": Case("failed", 1, "canceled at Replicate", life=("canceled",)),
    "aborted": Case("failed", 3, "aborted at Replicate before it ran", life=("aborted",)),
    "unknown": Case("failed", 1, "does not know: 'on_holiday'", life=("processing", "on_holiday")),
    "429, a day": Case("failed", 0, "asks to wait for 86400 s", posts=1, does={"create": [acts.busy("86400")]}),
    "no credit": Case("failed", 0, "credit", posts=1, does={"create": [acts.error(402)]}),
    "a bad token": Case("failed", 0, "REPLICATE_API_TOKEN", posts=1, does={"create": [acts.error(401, TOKEN)]}),
    "a bad input": Case("failed", 0, "refused the input of replicate:svd-xt (status 422): no", posts=1,
                        does={"create": [acts.error(422, "no")]}),
    "a page": Case("failed", 1, "a page of text", does={"output": [acts.PAGE]}, for_ever=True),
    "never whole": Case("failed", 1, "not whole", does={"output": [acts.cut]}, for_ever=True),
    "another host": Case("failed", 1, "only https", does={"output": [acts.redirect("http://localhost:9/x")]}),
}
CASES = PASSES | FAILS
SEEDS = {name: number for number, name in enumerate(CASES, start=1001)}


@pytest.fixture(scope="module")
def studio(tmp_path_factory) -> Iterator[Studio]:
    workspace = tmp_path_factory.mktemp("hosted") / "workspace"
    settings = {"replicate_api_token": TOKEN, "max_concurrent_jobs": 16}
    with FakeReplicate() as fake, started(workspace, replicate_base_url=fake.url, **settings) as server:
        yield Studio(server, fake)


@pytest.fixture(scope="module")
def begun(studio) -> Mapping[str, str]:
    """A job for every case, all at once; their ids."""
    for name, case in CASES.items():
        script = studio.fake.script(SEEDS[name])
        script.life, script.error = case.life, case.error
        for route, acts_of_route in case.does.items():
            script.arrange(route, *acts_of_route, always=case.for_ever)
    return {name: studio.submit(seed) for name, seed in SEEDS.items()}


@pytest.mark.parametrize("name", CASES)
def test_each_job_ends_in_the_right_state_and_is_paid_once(studio, begun, name):
    case, seed = CASES[name], SEEDS[name]
    job = studio.server.wait(begun[name], case.status)
    assert case.words in (job["error_message"] or "")
    assert studio.fake.paid(seed) == case.paid
    assert studio.fake.script(seed).requests["create"] == (case.paid if case.posts is None else case.posts)
    assert (job["output_video_url"] is not None) is (case.status == "completed")
    assert TOKEN not in json.dumps(job) + studio.server.log()


def test_time_and_progress_are_in_the_job(studio, begun):
    job = studio.server.wait(begun["succeeded"])
    assert job["usage"]["predict_seconds"] == PREDICT_SECONDS
    assert job["usage"]["steps"]["render_001"]["queue_seconds"] >= 0
    said = studio.server.get(f"/api/v1/jobs/{job['id']}/events", headers={"Last-Event-ID": "0"}).text
    assert "render 10 of 25" in said


def test_a_prompt_becomes_a_video(studio, tmp_path):
    before = studio.fake.paid()
    asked = {"max_shots": 2, "user_prompt": "A lighthouse. A gull over the sea."}
    job = studio.server.wait(studio.server.submit(**{**MODEL, **asked}))
    assert all(shot["keyframe_url"] and shot["video_url"] for shot in job["storyboard"]["shots"])
    mine = [p for p in studio.fake.predictions[before:] if p["input"].get("seed") not in SEEDS.values()]
    drawn = [p for p in mine if p["model"] == "black-forest-labs/flux-schnell"]
    moved = [p for p in mine if p not in drawn]
    assert (len(drawn), len(moved)) == (2, 2)
    assert len({p["input"]["input_image"] for p in moved}) == 2
    video = tmp_path / "final.mp4"
    video.write_bytes(studio.server.get(job["output_video_url"]).content)
    found = inspect(video, num_frames=2 * FRAMES)
    assert (found.width, found.height) == (WIDTH, HEIGHT)
    recipe = json.loads(read_metadata(video)["comment"])
    assert recipe["model"]["revision"] == moved[0]["version"]
    assert recipe["keyframe_model"]["revision"] == "black-forest-labs/flux-schnell"


def test_a_wait_of_30_s_and_a_prediction_end_with_a_cancel(studio):
    waits, runs = studio.fake.script(1), studio.fake.script(2)
    waits.arrange("create", acts.busy("30"))
    runs.life = ("processing",)
    job_ids = [studio.submit(1), studio.submit(2)]
    studio.fake.wait_for(lambda: waits.requests["create"] and runs.requests["get"])
    for job_id in job_ids:
        studio.server.post(f"/api/v1/jobs/{job_id}/cancel")
        studio.server.wait(job_id, "cancelled")
    assert (studio.fake.paid(1), waits.requests["create"]) == (0, 1)
    assert [p["status"] for p in studio.fake.predictions if p["input"].get("seed") == 2] == ["canceled"]


# a server that dies


@pytest.fixture
def mortal(tmp_path) -> Iterator[Callable[..., Studio]]:
    """Start a server on the test's own workspace, again and again, with one Replicate."""
    servers = []

    def start(**settings: Any) -> Studio:
        values = {"replicate_base_url": fake.url, "replicate_api_token": TOKEN, **settings}
        servers.append(Server(tmp_path / "workspace", **values).wait_until_ready())
        return Studio(servers[-1], fake)

    with FakeReplicate() as fake:
        yield start
        for server in servers:
            server.kill()


def test_a_server_that_is_killed_pays_for_nothing_twice(mortal):
    studio = mortal()
    lost, runs = studio.fake.script(1), studio.fake.script(2)
    lost.arrange("create", acts.silence)    # made, and its id never arrives
    runs.life = ("processing",)
    job_ids = [studio.submit(1), studio.submit(2)]
    studio.fake.wait_for(lambda: studio.fake.paid(1) and runs.requests["get"] >= 1)
    studio.server.kill()
    runs.life = QUICK
    again = mortal()
    for job_id in job_ids:
        again.server.wait(job_id)
    assert (again.fake.paid(1), again.fake.paid(2)) == (1, 1)
    assert (lost.requests["create"], runs.requests["create"], len(again.fake.uploads)) == (1, 1, 2)


def test_a_server_that_is_stopped_leaves_the_prediction_running(mortal):
    studio = mortal(drain_s=0)
    studio.fake.life = ("processing",)
    job_id = studio.submit(1)
    studio.fake.wait_for(lambda: studio.fake.requests["get"] == 1)
    assert studio.server.stop() == 0
    assert (studio.fake.requests["cancel"], studio.fake.predictions[0]["status"]) == (0, "processing")
    studio.fake.life = QUICK
    again = mortal()
    again.server.wait(job_id)
    assert (again.fake.paid(), again.fake.requests["create"]) == (1, 1)


def test_a_job_that_is_cancelled_while_nothing_runs_it_ends_its_prediction(mortal):
    """The queue stays paused over the restart, so that no lane has the step again when the cancel comes."""
    studio = mortal()
    studio.fake.life = ("processing",)
    job_id = studio.submit(1)
    studio.fake.wait_for(lambda: studio.fake.requests["get"] >= 1)
    studio.server.post("/api/v1/queue/pause")
    studio.server.kill()
    again = mortal()
    again.server.post(f"/api/v1/jobs/{job_id}/cancel")
    again.server.wait(job_id, "cancelled")
    again.fake.wait_for(lambda: again.fake.predictions[0]["status"] == "canceled")
    assert again.fake.paid() == 1


# cards


def test_a_hosted_model_is_one_card(tmp_path):
    cards = tmp_path / "cards"
    cards.mkdir()
    _write(cards / "mine.toml", "mine", "someone/tiny-video")
    _write(cards / "broken.toml", "broken", "nobody")
    with FakeReplicate() as fake, started(
        tmp_path / "workspace", models_dir=cards, replicate_base_url=fake.url, replicate_api_token=TOKEN
    ) as server:
        fake.life = QUICK
        listed = {model["id"]: model for model in server.get("/api/v1/models").json()["models"]}
        assert listed["replicate:mine"]["is_available"] is True
        assert "broken.toml: backend.model: " in listed["replicate:broken"]["unavailable_reason"]
        server.wait(server.submit(**{**MODEL, "model_id": "replicate:mine"}))
        assert [p["model"] for p in fake.predictions] == ["someone/tiny-video"]


def test_without_a_token_a_job_is_refused_with_what_helps(server):
    answer = server.post("/api/v1/jobs", json={"user_prompt": "a forest", "model_id": "replicate:svd-xt"})
    assert answer.status_code == 503
    assert "REPLICATE_API_TOKEN is not set" in answer.json()["detail"]


def _write(path: Path, name: str, model: str) -> None:
    path.write_text(f"""
        provider = "replicate"
        name = "{name}"
        title = "Mine"
        description = "A model of mine"
        width = {{ default = 64, min = 64, max = 64 }}
        height = {{ default = 36, min = 36, max = 36 }}
        frames = {{ default = 25, min = 25, max = 25 }}
        fps = {{ default = 25, min = 25, max = 25 }}
        capabilities = {{ text_to_video = true }}
        [backend]
        model = "{model}"
        source = "https://example.com/schema"
        input = {{ prompt = "$prompt", seed = "$seed" }}
    """)
