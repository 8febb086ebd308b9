"""A video's recipe read out of it, and the same video made again."""

import json

import pytest
from PIL import Image

from tests.server import ROOT
from vidgen.cli.recipe_fields import Recipe
from vidgen.media.video import read_metadata

PHOTO = ROOT / "tests" / "data" / "reference.jpg"


def of_image(server, tmp_path):
    """A video that begins with an image, and its file."""
    with PHOTO.open("rb") as photo:
        uploaded = server.post("/api/v1/upload", files={"file": ("photo.jpg", photo)}).json()["file_id"]
    job = server.wait(server.submit(reference_image=uploaded, focus=[0.2, 0.8], max_shots=2, continuity="chain"))
    video = tmp_path / "boat.mp4"
    video.write_bytes(server.get(job["output_video_url"]).content)
    return video


def test_a_recipe_is_read_without_a_server(vidgen, video, finished):
    shown = vidgen("recipe", video, "--url", "http://127.0.0.1:9")
    assert shown.code == 0 and "stub:animatic" in shown.out and str(finished["seed"]) in shown.out
    assert vidgen("recipe", video, "--json").json() == json.loads(read_metadata(video)["comment"])


@pytest.mark.parametrize("name", ["recipe", "reproduce"])
def test_what_is_no_video_of_ours_is_told(vidgen, video, tmp_path, name):
    strange = tmp_path / "strange.mp4"
    strange.write_text("no video")
    assert vidgen(name, strange).err == f"vidgen: file: {strange} is no mp4 that can be read\n"
    assert vidgen(name, strange).code == 2
    changed = tmp_path / "changed.mp4"
    for there, instead in (
        (b'"vidgen":', b'"nobody":'), (b'"focus":', b'"facus":'), (b'"fps":8.0', b'"fps":"8"'),
        (b'"start":"text"', b'"start":[    ]'),
    ):
        assert there in video.read_bytes()
        changed.write_bytes(video.read_bytes().replace(there, instead))     # of the same length: the file stays whole
        done = vidgen(name, changed)
        assert (done.code, done.out, done.err.count("\n")) == (1, "", 1) and "holds no recipe" in done.err


def test_parameters_that_a_recipe_says_a_shot_was_rendered_with_are_looked_at(video):
    recipe = json.loads(read_metadata(video)["comment"])
    assert Recipe.model_validate(recipe)
    recipe["storyboard"]["shots"][0]["made"] = {"render": {"parameters": []}}
    with pytest.raises(ValueError, match="parameters"):
        Recipe.model_validate(recipe)


def test_the_stub_gives_equal_bytes(vidgen, video, tmp_path):
    done = vidgen("reproduce", video, "-o", "again.mp4")
    assert (done.code, done.out) == (0, "equal: every byte, 10 frames\n")
    assert (tmp_path / "again.mp4").read_bytes() == video.read_bytes()
    itself = vidgen("reproduce", video, "-o", video, "--force")
    assert itself.code == 2 and itself.err.endswith("is the video to be held against\n")


def test_programs_get_the_verdict_last(vidgen, video):
    *events, verdict = vidgen("reproduce", video, "--json").lines()
    assert events[-1]["type"] == "job_complete"
    assert (verdict["equal"], verdict["different_frames"], verdict["file"]) == ("bytes", [], None)


def test_a_reference_image_is_asked_for_and_held_against_the_recipe(vidgen, server, tmp_path):
    video = of_image(server, tmp_path)
    without = vidgen("reproduce", video)
    assert without.code == 2 and "--image FILE" in without.err
    jobs = server.get("/api/v1/jobs").json()["total"]
    other = tmp_path / "other.png"
    Image.new("RGB", (64, 64), "red").save(other)
    wrong = vidgen("reproduce", video, "-i", other)
    assert wrong.code == 2 and wrong.err.startswith(f"vidgen: image: {other} is not the recipe's image")
    assert server.get("/api/v1/jobs").json()["total"] == jobs
    assert vidgen("reproduce", video, "-i", PHOTO).out.startswith("equal: every byte")
    assert vidgen("reproduce", video, "-i", other, "--any-image").code == 1


def test_an_image_that_the_video_was_made_without_is_refused(vidgen, video):
    done = vidgen("reproduce", video, "-i", PHOTO)
    assert done.code == 2 and "without a reference image" in done.err


def test_what_came_out_differently_is_told(vidgen, video, tmp_path):
    """Another seed in the recipe is another video; the recipe's own length stays, so that the file stays whole."""
    recipe = json.loads(read_metadata(video)["comment"])
    seed = str(recipe["storyboard"]["shots"][1]["seed"]).encode()
    changed = tmp_path / "changed.mp4"
    changed.write_bytes(video.read_bytes().replace(seed, seed[:-1] + (b"1" if seed[-1:] != b"1" else b"2")))
    done = vidgen("reproduce", changed, "--json")
    verdict = done.lines()[-1]
    assert (done.code, verdict["equal"], verdict["different_frames"]) == (1, "nothing", [5, 6, 7, 8, 9])
    assert "not equal: 5 of 10 frames differ, the first is number 6" in vidgen("reproduce", changed).out


def test_equal_frames_in_another_file_are_equal(vidgen, video, tmp_path):
    renamed = tmp_path / "renamed.mp4"
    renamed.write_bytes(video.read_bytes().replace(b'"freetype":"', b'"freetypo":"'))
    done = vidgen("reproduce", renamed)
    assert done.code == 0 and done.out.startswith("equal: every one of 10 frames")
    assert "model.versions.freetypo" in done.out


def test_each_shot_starts_from_what_it_started_from(vidgen, server, tmp_path):
    """From text, from a keyframe that was drawn for it, and from an image of its own, with the job's focus."""
    with PHOTO.open("rb") as photo:
        uploaded = server.post("/api/v1/upload", files={"file": ("photo.jpg", photo)}).json()["file_id"]
    shots = [
        {"description": "Waves"}, {"description": "Foam", "keyframe_prompt": "A wave"},
        {"description": "The boat", "keyframe_image": uploaded},
    ]
    job = server.wait(server.submit(storyboard={"title": "Sea", "shots": shots}, focus=[0.1, 0.9]))
    video = tmp_path / "starts.mp4"
    video.write_bytes(server.get(job["output_video_url"]).content)
    assert vidgen("reproduce", video, "--keyframe", f"3={PHOTO}").out.startswith("equal: every byte")


def test_a_shots_own_image_is_asked_for(vidgen, server, tmp_path):
    with PHOTO.open("rb") as photo:
        uploaded = server.post("/api/v1/upload", files={"file": ("photo.jpg", photo)}).json()["file_id"]
    shots = [{"description": "Waves"}, {"description": "The boat", "keyframe_image": uploaded}]
    job = server.wait(server.submit(storyboard={"title": "Sea", "shots": shots}))
    video = tmp_path / "sea.mp4"
    video.write_bytes(server.get(job["output_video_url"]).content)
    without = vidgen("reproduce", video)
    assert (without.code, without.err) == (2, "vidgen: keyframe: shot 2 began with an image: --keyframe 2=FILE\n")
    assert vidgen("reproduce", video, "--keyframe", f"1={PHOTO}").code == 2
    assert vidgen("reproduce", video, "--keyframe", f"2={PHOTO}").out.startswith("equal: every byte")
