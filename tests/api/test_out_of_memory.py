"""Memory that runs out in a real server costs a job nothing but a mode, and the next one nothing at all."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy
import pytest

from scripts.make_test_weights import make
from scripts.testweights.cards import small_card
from tests.api.test_local import upload
from tests.api.trials import GIB, Trials, events
from tests.fakes import gpu
from tests.server import started

STEPS, FRAMES, CHUNK = 3, 7, 2
CHUNKS = -(-FRAMES // CHUNK)
PLAIN = {"mode": "whole"}


def sunk(where: str) -> dict[str, Any]:
    """How a clip was made that went on in two passes from there on."""
    return {"mode": "two_pass", "ran_out": [f"{where}: whole -> two_pass"]}


AT = {
    "load": ("load", 1), "image": ("image_encoder", 1), "encode": ("vae_encoder", 1),
    **{f"step{i}": ("unet", i) for i in range(1, STEPS + 1)},
    **{f"chunk{i}": ("vae_decoder", i) for i in range(1, CHUNKS + 1)},
    **{f"half{i}": ("vae_decoder", i) for i in range(1, CHUNKS)},
}
"""The models, one for each place where the memory does not suffice, since what did not is remembered for each."""


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Iterator[SimpleNamespace]:
    """A server that renders on the CPU, and the frames of the shot, undisturbed, by mode."""
    root = tmp_path_factory.mktemp("scarce")
    (root / "models").mkdir()
    make("StableVideoDiffusionPipeline", root / "weights" / "plain")
    for name in ("plain", *AT):
        fewer_frames = small_card("svd", name, "scarce").replace("min = 14", f"min = {FRAMES}")
        (root / "models" / f"{name}.toml").write_text(fewer_frames)
        if name != "plain":
            (root / "weights" / name).symlink_to(root / "weights" / "plain")
    environment = {name.lower(): value for name, value in gpu.install(root / "packages").items()}
    with started(
        root / "workspace", models_dir=root / "models", weights_dir=root / "weights", gpu_device="cpu",
        **environment,
    ) as server:
        here = SimpleNamespace(server=server, packages=root / "packages", image=upload(server), frames={})
        here.frames["whole"] = render(here, "plain")[1]
        yield here


def render(local: SimpleNamespace, name: str, **job: Any) -> tuple[dict[str, Any], numpy.ndarray, list[str]]:
    """Of a job with one shot: how it was made, its frames, and the codes of what its listeners were told."""
    server = local.server
    done = server.wait(server.submit(
        model_id=f"scarce:{name}", num_frames=FRAMES, num_inference_steps=STEPS, seed=5,
        parameters={"decode_chunk_size": CHUNK},
        storyboard={"title": "One", "shots": [{"description": "a lake", "seed": 7}]}, reference_image=local.image, **job
    ))
    recipe = server.get(f"/api/v1/jobs/{done['id']}/recipe").json()
    assert recipe["run"]["attempts"]["render_001"] == 1
    frames = numpy.load(local.packages / f"{done['id']}.npy")
    notes = [said["code"] for said in events(server, done["id"]) if said["type"] == "note"]
    return recipe["recipe"]["storyboard"]["shots"][0]["made"]["render"], frames, notes


def difference(one: numpy.ndarray, other: numpy.ndarray) -> int:
    """The largest, in levels of 255."""
    return int(numpy.abs(one.astype(int) - other.astype(int)).max())


def the_next_is_untouched(local: SimpleNamespace, name: str) -> str:
    """And is in the mode that worked, or in a better one where there is more memory by now; returns it."""
    made, frames, notes = render(local, name)
    assert made == {"mode": made["mode"]} and "out_of_memory" not in notes
    assert (frames == local.frames.setdefault(made["mode"], frames)).all()
    return made["mode"]


@pytest.mark.parametrize(("name", "where"), [
    ("image", "image_encoder"), ("encode", "vae encode"),
    *[(f"step{i}", f"render {i} of {STEPS}") for i in range(1, STEPS + 1)],
])
def test_a_network_that_finds_no_memory_goes_on_in_two_passes(local, name, where):
    gpu.plan_deaths(local.packages, (*AT[name], "scarce"))
    made, frames, notes = render(local, name)
    assert made == sunk(where) and notes.count("out_of_memory") == 1
    assert difference(frames, local.frames["whole"]) <= 2
    the_next_is_untouched(local, name)


def test_a_model_that_cannot_be_loaded_whole_is_loaded_in_two_passes(local):
    gpu.plan_deaths(local.packages, (*AT["load"], "scarce"))
    made, frames, notes = render(local, "load")
    assert made["mode"] == "two_pass" and len(made["ran_out"]) == 1 and made["ran_out"][0].startswith("whole: ")
    assert notes.count("out_of_memory") == 1
    assert difference(frames, local.frames["whole"]) <= 2
    the_next_is_untouched(local, "load")


@pytest.mark.parametrize("i", range(1, CHUNKS + 1))
def test_a_chunk_that_finds_no_memory_is_decoded_once_more_to_the_same_bits(local, i):
    name = f"chunk{i}"
    gpu.plan_deaths(local.packages, (*AT[name], "scarce"))
    made, frames, notes = render(local, name)
    assert made == sunk(f"decode {i} of {CHUNKS}") and notes.count("out_of_memory") == 1
    assert (frames == local.frames["whole"]).all()
    the_next_is_untouched(local, name)


@pytest.mark.parametrize("i", range(1, CHUNKS))
def test_where_the_video_may_change_a_chunk_that_finds_no_memory_is_halved(local, i):
    """What was decoded before it stays as it was."""
    name, before = f"half{i}", (i - 1) * CHUNK
    gpu.plan_deaths(local.packages, (*AT[name], "scarce"))
    made, frames, notes = render(local, name, fit="adapt")
    half = CHUNK // 2
    assert made == {
        **PLAIN, "parameters": {"decode_chunk_size": half},
        "ran_out": [f"decode {i} of {CHUNKS}: decode_chunk_size {CHUNK} -> {half}"],
    }
    assert notes.count("out_of_memory") == 1
    plain = local.frames["whole"]
    assert (frames[:before] == plain[:before]).all() and (frames[before:] != plain[before:]).any()
    the_next_is_untouched(local, name)


# a backend that says so itself, on a card

BIG = {"big": {"modes": {"whole": [12_000, 18_000], "two_pass": [6_000, 8_000]}}}
RAN_OUT = "whole: it needs more memory than there is"


@pytest.fixture
def trials(tmp_path) -> Trials:
    made = Trials(tmp_path, BIG)
    made.card(others=4 * GIB)
    return made


@pytest.mark.parametrize("phase", ["load", "render"])
def test_a_backend_that_gives_up_is_tried_one_mode_lower_in_the_same_attempt(trials, phase):
    with trials.serving():
        trials.plan((phase, 1, "oom"))
        job = trials.render("big", 1)
        assert trials.made(job["id"]) == {"mode": "two_pass", "ran_out": [RAN_OUT]}
        assert trials.notes(job["id"]).count("out_of_memory") == 1
        assert trials.recipe(job["id"])["run"]["attempts"]["render_001"] == 1
        assert trials.made(trials.render("big", 2)["id"]) == {"mode": "two_pass"}
    assert [line for line in trials.journal("load") if line != "load big whole"] == ["load big two_pass"]


def test_what_did_not_suffice_is_remembered_over_a_restart_and_tried_again_with_more(trials):
    with trials.serving():
        trials.plan(("render", 2, "sink"))
        job = trials.render("big", 1)
        assert trials.made(job["id"]) == {"mode": "two_pass", "ran_out": ["render 2 of 4: whole -> two_pass"]}
    trials.forget()
    with trials.serving():
        dry = trials.server.post("/api/v1/jobs", json={"user_prompt": "x", "model_id": "trial:big", "dry_run": True})
        assert dry.json()["mode"] == "two_pass"
        assert trials.made(trials.render("big", 2)["id"]) == {"mode": "two_pass"}
        assert trials.journal("load") == ["load big two_pass"]
        trials.card()
        assert trials.made(trials.render("big", 3)["id"]) == {"mode": "whole"}


def test_where_no_mode_suffices_the_job_waits_for_more_and_completes(trials):
    with trials.serving():
        trials.plan(("render", 1, "oom"), ("render", 1, "oom"))
        job = trials.submit("big", 1)
        trials.until("load big two_pass")
        trials.card()
        trials.server.wait(job)
        assert trials.notes(job).count("retry") == 1
    assert len(trials.journal("rendered")) == 1
