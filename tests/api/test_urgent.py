"""Something urgent passes a render that is going on, in a real server: both come out as if they had been alone."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from scripts.make_test_weights import make
from scripts.testweights.cards import small_card
from tests.api.test_local import upload
from tests.api.trials import GIB, Trials, body, until
from tests.fakes.trial import NEEDS_IMAGE, STILL

STEPS = 4
LONG = 200
"""Denoising steps, of 20 ms, of a render inside of which something certainly comes to run."""

Post = Callable[[], str]
"""Posts a job; its id."""

MODELS = {
    "one": {}, "two": {}, "still": {"capabilities": STILL},
    "three": {"capabilities": NEEDS_IMAGE, "keyframe_model": "trial:still"},
}


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Trials]:
    """One job at a time is let in."""
    trials = Trials(tmp_path_factory.mktemp("urgent"), MODELS, total=None)
    with trials.serving(max_concurrent_jobs=1, stall_s=20):
        yield trials


@pytest.fixture
def trials(served) -> Trials:
    served.plan()
    served.forget()
    return served


def attempts(trials: Trials, job: dict) -> int:
    return trials.recipe(job["id"])["run"]["attempts"]["render_001"]


def is_rendering(trials: Trials, job_id: str) -> bool:
    return trials.job(job_id)["current_step"].startswith("Generating")


def interrupt(trials: Trials, step: int, long: Post, urgent: Post, model: str = "") -> tuple[str, str]:
    """Post a job, and one that is more urgent so that the lane finds it once *step* of the first is done.

    :param model: of the first, where the phases of both have to be told apart: ``one/``.
    """
    before, after = (f"{model}load", 1) if step == 1 else (f"{model}render", step - 1), (f"{model}render", step)
    trials.plan((*before, "hold-before"), (*after, "hold-after"))
    outer = long()
    trials.met("hold-before")
    if step == STEPS:       # the report of the step before, if it is read late, must not find it
        trials.go("hold-before")
        trials.met("hold-after")
        inner = trials.once_planned(urgent())
    else:
        inner = trials.once_planned(urgent())
        trials.go("hold-before")
        until(lambda: is_rendering(trials, inner), "the inner one")
    trials.go("hold-after")
    return outer, inner


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_an_urgent_job_passes_at_any_step_and_both_videos_are_as_undisturbed(trials, step):
    """Found at the last step, it comes too late to run inside, and runs next."""
    alone = [trials.video(trials.render("one", 1)), trials.video(trials.render("two", 2))]
    trials.server.post("/api/v1/gpu/release")       # so that loading can be held
    trials.forget()
    posts = partial(trials.submit, "one", 1), partial(trials.submit, "two", 2, priority=5)
    long, urgent = (trials.server.wait(each) for each in interrupt(trials, step, *posts, model="one/"))
    assert [trials.video(long), trials.video(urgent)] == alone
    assert attempts(trials, long) == attempts(trials, urgent) == 1
    done = trials.journal("render", "rendered")
    inside = ["render one 1", "render two 2", "rendered two 2", "rendered one 1"]
    assert done == (inside if step < STEPS else ["render one 1", "rendered one 1", "render two 2", "rendered two 2"])
    assert ("interrupted_seconds" in long["usage"]["steps"]["render_001"]) == (step < STEPS)


def test_an_urgent_job_is_let_in_beyond_the_places_and_others_wait(trials):
    trials.plan(("one/render", 1, "hold"))
    long = trials.submit("one", 1, num_inference_steps=LONG)
    trials.until("render one 1")
    usual, urgent = trials.submit("two", 2), trials.submit("two", 3, priority=1)
    until(lambda: trials.job(urgent)["status"] == "processing", "the urgent one")
    assert trials.job(usual)["status"] == "queued"
    trials.go()
    for job_id in (long, usual, urgent):
        trials.server.wait(job_id)
    assert trials.journal("rendered") == ["rendered two 3", "rendered one 1", "rendered two 2"]


def test_one_that_needs_a_keyframe_passes_once_for_each_step(trials):
    trials.plan(("one/render", 1, "hold"))
    long = trials.submit("one", 1, num_inference_steps=LONG)
    trials.until("render one 1")
    urgent = trials.planned("three", 3, priority=1)
    trials.go()
    for job_id in (long, urgent):
        trials.server.wait(job_id)
    models = [line.split()[:2] for line in trials.journal("render", "rendered")]
    assert models == [[what, which] for what, which in (
        ("render", "one"), ("render", "still"), ("rendered", "still"), ("render", "three"), ("rendered", "three"),
        ("rendered", "one"),
    )]


def test_nothing_passes_what_passes(trials):
    """One deep."""
    trials.plan(("one/render", 1, "hold-1"), ("two/render", 1, "hold-2"))
    long = trials.submit("one", 1, num_inference_steps=LONG)
    trials.until("render one 1")
    urgent = trials.submit("two", 2, priority=1, num_inference_steps=20)
    trials.go("hold-1")
    trials.until("render two 2")
    more_urgent = trials.planned("one", 3, priority=2)
    trials.go("hold-2")
    for job_id in (long, urgent, more_urgent):
        trials.server.wait(job_id)
    assert trials.journal("rendered") == ["rendered two 2", "rendered one 3", "rendered one 1"]


def test_one_that_kills_the_process_is_charged_and_what_it_passed_is_not(trials):
    trials.plan(("one/render", 1, "hold"), ("two/render", 2, "SIGKILL"))
    alone = trials.submit("one", 1, num_inference_steps=LONG)
    trials.until("render one 1")
    urgent = trials.planned("two", 2, priority=1)
    trials.go()
    long, urgent = trials.server.wait(alone), trials.server.wait(urgent)
    assert (attempts(trials, long), attempts(trials, urgent)) == (1, 2)
    assert "retry" not in trials.notes(long["id"]) and "retry" in trials.notes(urgent["id"])
    assert trials.journal("render").count("render one 1") == 2


def test_one_that_was_passed_and_is_cancelled_meanwhile_ends_when_the_other_has(trials):
    trials.plan(("one/render", 1, "hold-1"), ("two/render", 2, "hold-2"))
    long = trials.submit("one", 1, num_inference_steps=LONG)
    trials.until("render one 1")
    urgent = trials.planned("two", 2, priority=1)
    trials.go("hold-1")
    trials.until("render two 2")
    answer = trials.server.post(f"/api/v1/jobs/{long}/cancel").json()
    assert answer["status"] == "processing"
    trials.go("hold-2")
    trials.server.wait(urgent)
    trials.server.wait(long, "cancelled")
    assert trials.journal("rendered") == ["rendered two 2"]
    pid = trials.gpu()["processes"][0]["pid"]
    after = trials.render("one", 1, num_inference_steps=1)
    assert after["usage"]["steps"]["render_001"]["pid"] == pid, "the process that went on is still there"


def test_where_both_do_not_fit_the_urgent_one_goes_next(tmp_path):
    halves = {name: {"modes": {"whole": [10_000, 16_000]}} for name in ("one", "two")}
    trials = Trials(tmp_path, halves, total=24 * GIB)
    with trials.serving(max_concurrent_jobs=4):
        trials.plan(("one/render", 1, "hold"))
        jobs = [trials.submit("one", 1, num_inference_steps=40)]
        trials.until("render one 1")
        jobs += [trials.planned("one", 2), trials.planned("two", 3, priority=1)]
        trials.go()
        for job in jobs:
            assert "out_of_memory" not in trials.notes(trials.server.wait(job)["id"])
    assert trials.journal("rendered") == ["rendered one 1", "rendered two 3", "rendered one 2"]


def test_with_the_real_backend_both_videos_are_as_undisturbed_at_any_step(tmp_path):
    """Two small models like Stable Video Diffusion, on the CPU."""
    trials = Trials(tmp_path, {}, total=None)
    make("StableVideoDiffusionPipeline", tmp_path / "weights" / "outer")
    (tmp_path / "weights" / "inner").symlink_to(tmp_path / "weights" / "outer")
    for name in ("outer", "inner"):
        (tmp_path / "models" / f"{name}.toml").write_text(small_card("svd", name, "mortal"))
    with trials.serving(max_concurrent_jobs=1, weights_dir=tmp_path / "weights") as served:
        image = upload(served.server)

        def post(name: str, seed: int, **job) -> str:
            said = {"num_frames": 14, "reference_image": image, **job}
            return served.server.submit(**{**body("", seed, **said), "model_id": f"mortal:{name}"})

        videos: dict[str, set[bytes]] = {"outer": set(), "inner": set()}
        for step in range(1, STEPS + 1):
            posts = partial(post, "outer", 1), partial(post, "inner", 2, priority=1)
            outer, inner = interrupt(trials, step, *posts)
            for name, job in (("outer", outer), ("inner", inner)):
                done = served.server.wait(job)
                videos[name].add(trials.video(done))
                usage = done["usage"]["steps"]["render_001"]
                assert ("interrupted_seconds" in usage) == (name == "outer" and step < STEPS)
        for name, seed in (("outer", 1), ("inner", 2)):
            videos[name].add(trials.video(served.server.wait(post(name, seed))))
        assert [len(each) for each in videos.values()] == [1, 1]
