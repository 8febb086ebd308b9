"""New versions of a job: only what changed is rendered, the rest is the very same file."""

import os
import subprocess
import sys

import pytest

from tests.chaos.deaths import ROOT
from tests.engine.conftest import ask, messages, wait
from tests.engine.family import PLACES, assert_same, board, edit, file, keyframed, made, mover, steps
from vidgen.request import EditRequest
from vidgen.types import EventType

# the promise


def test_one_shot_of_eight_is_edited(start):
    engine = start()
    first = made(engine)
    before = [file(engine, first, index).read_bytes() for index in range(8)]
    second = edit(engine, first, shots=[{"id": "shot_003", "description": "A gull"}])
    assert steps(engine, second) == {"render_003", "assemble"}
    assert_same(engine, second, first, {index: index for index in range(8) if index != 2})
    assert file(engine, second, 2).read_bytes() != before[2]
    assert [file(engine, first, index).read_bytes() for index in range(8)] == before
    assert engine.video(second.id).read_bytes() != engine.video(first.id).read_bytes()
    assert [shot.description for shot in second.storyboard.shots][1:4] == ["a lake", "A gull", "a town"]


def test_one_keyframe_and_one_render_where_the_model_needs_an_image(start, tmp_path):
    engine = keyframed(start, tmp_path)
    first = mover(engine)
    assert len(steps(engine, first)) == 8 + 8 + 1
    second = edit(engine, first, shots=[{"id": "shot_003", "description": "A gull"}])
    assert steps(engine, second) == {"keyframe_003", "render_003", "assemble"}
    others = {index: index for index in range(8) if index != 2}
    assert_same(engine, second, first, others, ("video", "poster", "keyframe"))
    again = edit(engine, second, shots=[{"id": "shot_001", "camera_move": "orbit"}])
    assert steps(engine, again) == {"render_001", "assemble"}
    assert_same(engine, again, first, {0: 0}, ("keyframe",))
    assert again.reused == {"render": [1, 2, 3, 4, 5, 6, 7], "keyframe": [0]}


def test_in_a_chain_what_follows_is_rendered_too(start):
    engine = start()
    first = made(engine, PLACES[:4], continuity="chain")
    second = edit(engine, first, shots=[{"id": "shot_003", "description": "A gull"}])
    assert steps(engine, second) == {"render_003", "render_004", "assemble"}
    assert_same(engine, second, first, {0: 0, 1: 1})
    assert file(engine, second, 3).read_bytes() != file(engine, first, 3).read_bytes()
    third = edit(engine, second, shots=[{"id": "shot_004", "seed": 9}])
    assert steps(engine, third) == {"render_004", "assemble"}, "the last frames were taken over too"


@pytest.mark.parametrize("values", [{}, {"continuity": "chain"}, {"keyframe_model_id": "stub:still"}])
def test_an_edited_job_has_the_bytes_of_one_that_was_posted_so(start, values):
    engine = start()
    first = made(engine, PLACES[:3], **values)
    second = edit(engine, first, shots=[{"id": "shot_002", "description": "A gull", "parameters": {
        "motion_bucket_id": 30,
    }}], title="Another day")
    shots = [{"description": shot.description, "seed": shot.seed} for shot in first.storyboard.shots]
    shots[1] |= {"description": "A gull", "parameters": {"motion_bucket_id": 30}}
    fresh, _ = engine.submit(ask(storyboard=board(*shots, title="Another day"), seed=5, **values))
    wait(engine, fresh.id)
    assert engine.recipe(second.id)["recipe"] == engine.recipe(fresh.id)["recipe"]
    assert engine.video(second.id).read_bytes() == engine.video(fresh.id).read_bytes()


def test_a_listener_hears_of_the_clips_that_were_there(start):
    engine = start()
    first = made(engine, PLACES[:3])
    second = edit(engine, first, shots=[{"id": "shot_002", "seed": None}])
    complete = [m for m in messages(engine, second.id, EventType.SHOT_COMPLETE)]
    assert sorted(m["shot_id"] for m in complete) == ["shot_001", "shot_002", "shot_003"]
    keys = [set(m) for m in complete]
    assert keys[0] == keys[1] == keys[2]
    notes = {m["code"]: m["message"] for m in messages(engine, second.id, EventType.NOTE)}
    assert notes["reused"] == "2 of 3 clips are those of earlier versions"
    percent = [m["progress"] for m in messages(engine, second.id, EventType.PROGRESS)]
    assert percent == sorted(percent) and percent[1] < 20, "only the work that is done counts"


# order, removal, addition


def test_order_removal_and_addition_render_what_is_new(start):
    engine = start()
    first = made(engine, PLACES[:3])
    second = edit(engine, first, order=["shot_003", {"description": "New"}, "shot_001"])
    assert steps(engine, second) == {"render_002", "assemble"}
    assert_same(engine, second, first, {0: 2, 2: 0})
    assert [shot.id for shot in second.storyboard.shots] == ["shot_001", "shot_002", "shot_003"]
    third = edit(engine, second, order=["shot_003"], title="One")
    assert steps(engine, third) == {"assemble"}
    assert_same(engine, third, first, {0: 0})
    assert third.storyboard.title == "One"
    back = edit(engine, third, order=["shot_001", {"description": "New", "seed": second.storyboard.shots[1].seed}])
    assert steps(engine, back) == {"assemble"}, "an aunt has it"


def test_what_is_taken_over_outlives_its_parent(start):
    engine = start()
    first = made(engine, PLACES[:2])
    second = edit(engine, first, shots=[{"id": "shot_002", "seed": None}])
    engine.delete(first.id)
    assert file(engine, second, 0).stat().st_nlink == 1
    third = edit(engine, second, shots=[{"id": "shot_001", "seed": None}])
    assert steps(engine, third) == {"render_001", "assemble"}
    assert [job.id for job in engine.versions(third.id)] == [second.id, third.id]
    assert (second.root_id, third.root_id) == (first.id, first.id)


def test_a_parent_that_is_gone_before_the_plan_costs_its_renders(start):
    engine = start()
    first = made(engine, PLACES[:2])
    engine.pause()
    second, _ = engine.edit(first.id, EditRequest(shots=[{"id": "shot_002", "seed": 1}]))
    engine.delete(first.id)
    engine.resume()
    assert steps(engine, wait(engine, second.id)) == {"render_001", "render_002", "assemble"}
    assert engine.job(second.id).reused == {"render": [], "keyframe": []}


@pytest.mark.parametrize("files", ["shot_001.mp4", "shot_001_poster.jpg"])
def test_a_clip_whose_file_is_gone_is_rendered(start, files):
    engine = start()
    first = made(engine, PLACES[:2])
    engine.file(first.id, files).unlink()
    second = edit(engine, first, shots=[{"id": "shot_002", "seed": 1}])
    assert steps(engine, second) == {"render_001", "render_002", "assemble"}


def test_a_clip_that_lost_its_end_is_rendered(start):
    engine = start()
    first = made(engine, PLACES[:2])
    os.truncate(file(engine, first, 0), 2_000)
    second = edit(engine, first, shots=[{"id": "shot_002", "seed": 1}])
    assert steps(engine, second) == {"render_001", "render_002", "assemble"}


def test_of_equal_keyframes_the_parents_is_taken_with_its_clip(start, tmp_path):
    """A hosted image model may draw the same words twice, and differently."""
    engine = keyframed(start, tmp_path)
    first = mover(engine, PLACES[:2])
    second = edit(engine, first, shots=[{"id": "shot_002", "seed": 1}])
    other = tmp_path / "other.png"
    other.write_bytes(file(engine, first, 1, "keyframe").read_bytes())
    other.replace(file(engine, second, 0, "keyframe"))
    third = edit(engine, first, shots=[{"id": "shot_002", "seed": 2}])
    assert steps(engine, third) == {"keyframe_002", "render_002", "assemble"}
    assert_same(engine, third, first, {0: 0}, ("video", "keyframe"))


def test_frames_are_kept_over_versions(start):
    engine = start()
    first = made(engine, PLACES[:2], save_frames=True)
    second = edit(engine, first, shots=[{"id": "shot_002", "seed": 1}])
    assert steps(engine, second) == {"render_002", "assemble"}
    assert_same(engine, second, first, {0: 0}, ("frames",))


def test_until_it_starts_a_version_is_expected_to_take_what_is_rendered(start):
    engine = start()
    first = made(engine)
    engine.pause()
    second, _ = engine.edit(first.id, EditRequest(shots=[{"id": "shot_003", "seed": 1}]))
    again, _ = engine.submit(ask(storyboard=board(*PLACES), seed=5))
    assert second.reused["render"] == [0, 1, 3, 4, 5, 6, 7]
    assert second.forecast["by_kind"]["render"] < again.forecast["by_kind"]["render"] / 2
    engine.resume()
    assert wait(engine, second.id).reused["render"] == second.reused["render"]


# deaths

DIES = """
import sys
from tests.chaos.die_at import watch
watch(("rename", "after", int(sys.argv[3])))
from pathlib import Path
from tests.engine.conftest import make_engine, wait
from vidgen.request import EditRequest
engine = make_engine(Path(sys.argv[1]))
engine.start()
job, _ = engine.edit(sys.argv[2], EditRequest(shots=[{"id": "shot_002", "seed": 1}]), "key")
wait(engine, job.id)
"""


@pytest.mark.parametrize("number", [3, 4])
def test_a_death_between_the_links_and_their_commit_costs_nothing(start, tmp_path, number):
    """A link is two renames in the eyes of the reaper: the third is the poster's, the fourth its final name."""
    engine = start()
    first = made(engine, PLACES[:2])
    engine.close(1)
    died = subprocess.run(
        [sys.executable, "-c", DIES, str(engine.workspace.root), first.id, str(number)], cwd=ROOT, timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True,
    )
    assert died.returncode == -9, died.stderr
    again = start()
    second = next(job for job in again.versions(first.id) if job.id != first.id)
    done = wait(again, second.id)
    assert steps(again, done) == {"render_002", "assemble"}
    assert_same(again, done, first, {0: 0})
    assert not list(again.workspace.job_dir(done.id).glob(".*"))
