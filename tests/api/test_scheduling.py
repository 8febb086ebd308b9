"""What a real server loads, evicts, lowers, waits for and refuses on a card that the test describes; the models are
trials, which hold what they say.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api import check
from tests.api.trials import GIB, NOTEBOOK, Trials, body, until
from tests.fakes.nvml.pynvml import CODES
from tests.fakes.trial import NEEDS_IMAGE, STILL

MODES = {"whole": [12_000, 18_000], "two_pass": [6_000, 8_000]}
MODELS = {
    "one": {"modes": {"whole": [6_000, 8_000]}}, "two": {"modes": {"whole": [6_000, 8_000]}},
    "three": {"modes": {"whole": [9_000, 12_000]}},
    "big": {"modes": MODES}, "large": {"modes": {"whole": [16_000, 18_000]}},
    "huge": {"modes": {"whole": [30_000, 40_000], "two_pass": [25_000, 26_000]}},
    "grows": {"modes": {"whole": [2_000, 8_000]}},
    "still": {"modes": {"whole": [10_000, 12_000]}, "capabilities": STILL},
    "film": {
        "modes": {"whole": [16_000, 18_000]}, "capabilities": NEEDS_IMAGE, "keyframe_model": "trial:still",
        "encode_seconds": 0.05,
    },
}
STUB = "stub:animatic"


@pytest.fixture(scope="module")
def patient(tmp_path_factory) -> Iterator[Trials]:
    trials = Trials(tmp_path_factory.mktemp("patient"), MODELS)
    with trials.serving(max_concurrent_jobs=8):
        yield trials


@pytest.fixture(scope="module")
def hasty(tmp_path_factory) -> Iterator[Trials]:
    """A server that prefers no model, waits for no memory, and soon lets go what nobody uses."""
    trials = Trials(tmp_path_factory.mktemp("hasty"), MODELS)
    with trials.serving(max_concurrent_jobs=8, swap_patience_s=0, memory_wait_s=0.3, model_keep_alive_s=1.5):
        yield trials


@pytest.fixture(name="trials")
def fresh(patient) -> Trials:
    """A card that is free, and nothing loaded."""
    return cleared(patient)


def cleared(trials: Trials) -> Trials:
    trials.card()
    trials.plan()
    trials.server.post("/api/v1/queue/resume")
    trials.server.post("/api/v1/gpu/release")
    until(lambda: trials.gpu()["processes"] == [], "everything to be released")
    trials.forget()
    return trials


def loaded(trials: Trials) -> dict[str, str]:
    return {each["model_id"]: each["mode"] for each in trials.gpu()["models"]}


def free_mb(trials: Trials) -> float:
    return trials.gpu()["memory"]["free_bytes"] / 2**20


# what is loaded


def test_models_are_loaded_beside_each_other_and_the_one_not_used_for_longest_makes_room(trials):
    for name in ("one", "two", "one"):
        trials.render(name)
    assert trials.journal("load", "unload") == ["load one whole", "load two whole"]
    assert loaded(trials) == {"trial:one": "whole", "trial:two": "whole"}
    assert free_mb(trials) == 24 * 1024 - 12_000
    trials.render("three")                  # 12,000 MB at its peak beside 12,000: two was not used for longer
    assert trials.journal("load", "unload")[2:] == ["load three whole"]
    trials.render("large")
    assert trials.journal("load", "unload")[3:] == [
        "unload two keep", "unload one keep", "unload three keep", "load large whole",
    ]
    assert loaded(trials) == {"trial:large": "whole"}


def test_no_more_is_evicted_than_has_to_be(trials):
    for name in ("one", "two", "one"):
        trials.render(name)
    trials.card(others=4 * GIB)
    trials.render("three")
    assert trials.journal("load", "unload")[2:] == ["unload two keep", "load three whole"]


def test_where_others_hold_the_memory_a_model_is_loaded_one_mode_lower_and_moves_up_again(trials):
    trials.card(others=14 * GIB)
    first = trials.render("big")
    assert trials.made(first["id"]) == {"mode": "two_pass"}
    trials.card()
    second = trials.render("big")
    assert trials.made(second["id"]) == {"mode": "whole"}
    assert trials.journal("load", "unload") == ["load big two_pass", "unload big keep", "load big whole"]


# waiting and refusing


def test_a_job_waits_until_another_process_gives_memory_back(trials):
    trials.card(others=20 * GIB)
    job = trials.planned("one")
    until(lambda: "short" in trials.job(job)["current_step"] or trials.gpu()["models"] == [], "nothing is loaded")
    trials.server.wait(trials.server.submit(model_id=STUB))
    assert trials.job(job)["status"] == "processing" and trials.journal() == []
    trials.card(others=4 * GIB)
    trials.server.wait(job)
    assert trials.notes(job).count("waits_for_memory") == 1


def test_what_fits_passes_what_waits_for_memory(trials):
    trials.card(others=15 * GIB)
    short, fits = trials.planned("three", 1), trials.planned("one", 2)
    trials.server.wait(fits)
    assert trials.job(short)["status"] == "processing"
    trials.card()
    trials.server.wait(short)
    assert trials.journal("rendered") == ["rendered one 2", "rendered three 1"]


def test_a_job_that_waited_for_too_long_fails_with_the_numbers(hasty):
    cleared(hasty).card(others=20 * GIB)
    job = hasty.server.wait(hasty.submit("one"), "failed")
    assert job["error_code"] == "does_not_fit"
    for said in ("for memory: it needs at least 7.8 GB", "4.0 GB of 24.0 GB can be had",
                 "other processes hold 20.0 GB"):
        assert said in job["error_message"]
    assert hasty.journal("load") == []
    hasty.card()
    hasty.render("one")


@pytest.mark.parametrize(("job", "field", "said"), [
    (body("huge"), "model_id", ("needs at least 25.4 GB", "which is 24.0 GB", "trial:big would fit")),
    (body("grows", width=128, height=128), "model_id",
     ("needs at least 25.4 GB", "which is 24.0 GB", "96 x 96 with 5 frames would fit")),
    (body("grows", parameters={"decode_chunk_size": 32}), "model_id", ("needs at least 25.4 GB", "which is 24.0 GB")),
])
def test_a_job_that_can_never_fit_is_refused_when_it_is_posted(trials, job, field, said):
    detail = check.error(trials.server.post("/api/v1/jobs", json=job), 400, "invalid_input", field)
    assert all(words in detail for words in said), detail
    dry = trials.server.post("/api/v1/jobs", json={**job, "dry_run": True}).json()
    assert dry["fits"] is False and said[0] in dry["fit_note"]


def test_where_the_video_may_change_it_fits_and_the_recipe_says_how(trials):
    job = trials.render("grows", parameters={"decode_chunk_size": 32}, fit="adapt")
    made = {"mode": "whole", "parameters": {"decode_chunk_size": 16}}
    assert trials.made(job["id"]) == made
    again = trials.render("grows", parameters={"decode_chunk_size": 32}, fit="adapt")
    assert trials.made(again["id"]) == made, "what was measured with 16 is not what 32 take"
    dry = trials.server.post("/api/v1/jobs", json=body("grows", parameters={"decode_chunk_size": 16}, dry_run=True))
    assert (dry.json()["peak_vram_bytes"], dry.json()["peak_vram_source"]) == (14_000 * 2**20, "measured")


# an NVML that fails or lies


def test_a_driver_that_lies_by_2_gb_in_mid_render_costs_a_mode_and_no_job(trials):
    """A process takes more than NVML tells: what was there when the render began is gone."""
    trials.plan(("big/render", 2, "hold"))
    job = trials.submit("big", 1)
    trials.met("hold")
    trials.card(others=8 * GIB, lie_bytes=2 * GIB)
    trials.go()
    trials.server.wait(job)
    assert trials.made(job) == {"mode": "two_pass", "ran_out": ["render 3 of 4: whole -> two_pass"]}
    assert trials.notes(job).count("out_of_memory") == 1
    assert loaded(trials) == {"trial:big": "two_pass"}
    trials.forget()
    assert trials.made(trials.render("big", 2)["id"]) == {"mode": "two_pass"}
    assert trials.journal("load", "unload") == []


@pytest.mark.parametrize("function", ["nvmlDeviceGetMemoryInfo", "nvmlInit", "nvmlDeviceGetHandleByIndex"])
def test_no_error_of_nvml_keeps_other_work_from_going_on_while_local_work_waits(trials, function):
    trials.card(others=20 * GIB)
    job = trials.planned("one")
    for code in (*CODES.split(), "UNKNOWN"):
        trials.card(others=20 * GIB, errors={function: code, "nvmlDeviceGetMemoryInfo": code})
        assert trials.gpu()["problem"], code
        assert trials.server.get("/api/v1/health").json()["status"] == "healthy"
        assert trials.job(job)["status"] == "processing"
    trials.server.wait(trials.server.submit(model_id=STUB))
    assert trials.journal("load") == []
    trials.card()
    trials.server.wait(job)


def test_an_unknown_reading_is_never_taken_for_free_memory(hasty):
    """And is said, where the wait for it is over."""
    cleared(hasty).card(errors={"nvmlDeviceGetMemoryInfo": "GPU_IS_LOST"})
    job = hasty.server.wait(hasty.submit("one"), "failed")
    assert "how much of the device's is free is not known" in job["error_message"]
    assert hasty.journal("load") == []


# the order


def queued_behind(trials: Trials, *steps: tuple[str, int]) -> list[str]:
    """Have these jobs wait while another renders, and the models that rendered, once all have ended."""
    trials.plan(("render", 1, "hold"))
    ids = [trials.planned(*each) for each in steps]
    trials.go()
    for job_id in ids:
        trials.server.wait(job_id)
    return [" ".join(line.split()[1:]) for line in trials.journal("rendered")]


MIXED = [("large", 1), ("big", 2), ("large", 3), ("big", 4), ("large", 5)]


def test_the_model_that_is_loaded_is_preferred(trials):
    assert queued_behind(trials, *MIXED) == ["large 1", "large 3", "large 5", "big 2", "big 4"]
    assert trials.journal("load") == ["load large whole", "load big whole"]


def test_without_patience_the_order_is_by_age(hasty):
    cleared(hasty).card()
    assert queued_behind(hasty, *MIXED) == ["large 1", "big 2", "large 3", "big 4", "large 5"]


def test_all_keyframes_of_a_job_come_before_its_renders(trials):
    trials.render("film", 1, 2, 3)
    assert [line.split()[1] for line in trials.journal("render")] == ["still"] * 3 + ["film"] * 3
    assert trials.journal("load", "unload") == ["load still whole", "unload still keep", "load film whole"]


# keeping and letting go


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_models_that_nobody_uses_are_let_go_and_the_process_with_the_last(hasty):
    cleared(hasty).render("one")
    (process,) = hasty.gpu()["processes"]
    assert process["ours"] and loaded(hasty) == {"trial:one": "whole"}
    until(lambda: not alive(process["pid"]), "the process to end")
    said = hasty.gpu()
    assert said["models"] == said["processes"] == [] and said["memory"]["free_bytes"] == 24 * GIB
    hasty.render("one")


def test_one_model_is_let_go_while_another_is_used(hasty):
    cleared(hasty).plan(("one/render", 1, "hold"))
    first, then = hasty.submit("one"), hasty.planned("two", 1, 2, 3, num_inference_steps=50)
    hasty.go()                              # so that nothing is idle between the two
    for job in (first, then):
        hasty.server.wait(job)
    assert "unload one" in hasty.journal("unload")
    assert "unload two" not in hasty.journal("unload")


def test_a_release_gives_back_what_is_held_and_the_next_job_begins_anew(trials):
    trials.render("one")
    trials.render("two")
    (process,) = trials.gpu()["processes"]
    said = trials.server.post("/api/v1/gpu/release").json()
    assert said == {"released_bytes": 12_000 * 2**20, "models": ["trial:one", "trial:two"], "waits_for": None}
    assert not alive(process["pid"]) and trials.gpu()["models"] == []
    assert trials.render("one")["usage"]["steps"]["render_001"]["pid"] != process["pid"]


def test_a_release_while_a_shot_renders_waits_for_that_one_and_for_no_other(trials):
    """However many more are ready: the lane has nothing to do until the file is written, and then lets go."""
    trials.plan(("three/render", 1, "hold-render"), ("three/encode", 1, "hold-file"))
    job = trials.planned("three", 1, 2, 3)
    trials.met("hold-render")
    said = trials.server.post("/api/v1/gpu/release").json()
    assert said == {
        "released_bytes": None, "models": ["trial:three"], "waits_for": f"job {job}, which is being rendered",
    }
    trials.go("hold-render")
    trials.met("hold-file")
    trials.go()
    steps = trials.server.wait(job)["usage"]["steps"]
    pids = [steps[f"render_00{i}"]["pid"] for i in (1, 2, 3)]
    assert pids[0] != pids[1] == pids[2]


def test_a_queue_that_is_paused_can_give_the_device_away(trials):
    trials.plan(("one/render", 1, "hold"))
    job = trials.planned("one", 1, 2)
    trials.met("hold")
    trials.server.post("/api/v1/queue/pause")
    trials.go()
    until(lambda: trials.job(job)["storyboard"]["shots"][0]["status"] == "completed", "the first shot")
    said = trials.server.post("/api/v1/gpu/release").json()
    assert (said["models"], said["waits_for"], trials.gpu()["processes"]) == (["trial:one"], None, [])
    assert trials.journal("rendered") == ["rendered one 1"]
    trials.server.post("/api/v1/queue/resume")
    trials.server.wait(job)


def test_after_a_kill_what_ran_and_what_waited_for_memory_come_to_their_end(tmp_path):
    trials = Trials(tmp_path, MODELS)
    with trials.serving():
        trials.plan(("one/render", 2, "hold"))
        trials.card(others=14 * GIB)
        running, waiting = trials.planned("one", 1), trials.planned("three", 2)
        trials.met("hold")
        (_, process) = sorted(trials.gpu()["processes"], key=lambda each: each["pid"] != NOTEBOOK)
        trials.server.kill()
    until(lambda: not alive(process["pid"]), "the inference process to end with its server")
    trials.plan()
    with trials.serving():
        trials.server.wait(running)
        assert trials.job(waiting)["status"] == "processing"
        trials.card()
        trials.server.wait(waiting)
        assert trials.recipe(running)["run"]["attempts"]["render_001"] == 1


# no idle device


def test_the_next_shot_renders_while_the_clip_before_it_is_written(trials):
    """And one clip at most is being written."""
    trials.plan(("one/encode", 3, "hold"))
    job = trials.submit("one", 1, 2, 3)
    trials.until("rendered one 2")
    assert "encoded one 1" not in trials.journal() and trials.job(job)["storyboard"]["shots"][0]["video_url"] is None
    trials.go()
    steps = trials.server.wait(job)["usage"]["steps"]
    written = trials.journal("encode", "encoded")
    assert written == [f"{what} one {seed}" for seed in (1, 2, 3) for what in ("encode", "encoded")]
    journal = trials.journal()
    assert journal.index("rendered one 2") < journal.index("encoded one 1") < journal.index("encode one 2")
    assert "prepare one 2" in journal
    assert "idle_seconds" not in steps["render_001"] and steps["render_002"]["idle_seconds"] >= 0


def test_each_shot_of_a_chain_waits_for_the_frame_that_it_starts_from(trials):
    job = trials.render("one", 1, 2, 3, continuity="chain")
    whole = [f"{what} one {seed}" for seed in (1, 2, 3) for what in ("render", "rendered", "encode", "encoded")]
    assert trials.journal("render", "rendered", "encode", "encoded") == whole
    order = [said["shot_id"] for said in trials.said(job["id"]) if said["type"] == "shot_complete"]
    assert order == ["shot_001", "shot_002", "shot_003"]
