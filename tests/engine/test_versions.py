"""New versions of a job: only what changed is rendered, the rest is the very same file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.deaths import ROOT
from tests.engine.conftest import ask, messages, until, wait
from tests.engine.test_engine import KEYFRAMED, upload
from vidgen.engine.engine import Engine
from vidgen.errors import Conflict, InvalidInput, NotFound
from vidgen.request import EditRequest
from vidgen.store import jobs
from vidgen.types import EventType, Job, JobStatus, ShotStatus

PLACES = ("a hill", "a lake", "the sea", "a town", "a desert", "a forest", "a harbour", "a road")


def board(*shots, title="A day"):
    return {"title": title, "shots": [{"description": each} if isinstance(each, str) else each for each in shots]}


def made(engine: Engine, shots=PLACES, status=JobStatus.COMPLETED, **values) -> Job:
    job, _ = engine.submit(ask(storyboard=board(*shots), seed=5, **values))
    return wait(engine, job.id, status)


def edit(engine: Engine, parent: Job, **change) -> Job:
    job, new = engine.edit(parent.id, EditRequest(**change))
    assert new and job.parent_id == parent.id
    return wait(engine, job.id)


def steps(engine: Engine, job: Job) -> set[str]:
    """What was done for the job, beside its plan."""
    attempts = engine.recipe(job.id)["run"]["attempts"]
    assert set(attempts.values()) == {1}
    return set(attempts) - {"plan"}


def file(engine: Engine, job: Job, index: int, kind: str = "video") -> Path:
    return engine.file(job.id, getattr(job.storyboard.shots[index], kind))


def assert_same(engine: Engine, one: Job, other: Job, places: dict[int, int], kinds=("video", "poster")) -> None:
    """The files of shots of *one* are those of *other*; *places* has the index in each."""
    for mine, theirs in places.items():
        for kind in kinds:
            found, before = file(engine, one, mine, kind), file(engine, other, theirs, kind)
            assert found.stat().st_ino == before.stat().st_ino and found.read_bytes() == before.read_bytes()


@pytest.fixture
def keyframed(start, tmp_path) -> Engine:
    """With ``stub:mover``, which needs a first image for each shot."""
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "mover.toml").write_text(KEYFRAMED)
    return start(models_dir=tmp_path / "cards")


def mover(engine: Engine, shots=PLACES, **values) -> Job:
    return made(engine, shots, model_id="stub:mover", num_frames=5, **values)


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


def test_one_keyframe_and_one_render_where_the_model_needs_an_image(keyframed):
    first = mover(keyframed)
    assert len(steps(keyframed, first)) == 8 + 8 + 1
    second = edit(keyframed, first, shots=[{"id": "shot_003", "description": "A gull"}])
    assert steps(keyframed, second) == {"keyframe_003", "render_003", "assemble"}
    others = {index: index for index in range(8) if index != 2}
    assert_same(keyframed, second, first, others, ("video", "poster", "keyframe"))
    again = edit(keyframed, second, shots=[{"id": "shot_001", "camera_move": "orbit"}])
    assert steps(keyframed, again) == {"render_001", "assemble"}
    assert_same(keyframed, again, first, {0: 0}, ("keyframe",))
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


# what a shot has of its own


def test_a_shots_own_parameters(start):
    engine = start()
    first = made(engine, ["a hill", {"description": "a lake", "parameters": {"motion_bucket_id": 200}}])
    assert [shot.parameters for shot in first.storyboard.shots] == [{}, {"motion_bucket_id": 200}]
    said = engine.recipe(first.id)["recipe"]["storyboard"]["shots"]
    assert "parameters" not in said[0] and said[1]["parameters"] == {"motion_bucket_id": 200}
    second = edit(engine, first, shots=[{"id": "shot_002", "parameters": None}])
    assert steps(engine, second) == {"render_002", "assemble"}
    assert second.storyboard.shots[1].parameters == {}


def test_a_keyframe_of_its_own_by_upload(start):
    engine = start()
    first = made(engine, PLACES[:2], continuity="chain")
    taken = upload(engine)
    second = edit(engine, first, shots=[{"id": "shot_002", "keyframe_image": taken.id}])
    assert steps(engine, second) == {"render_002", "assemble"}
    shot = second.storyboard.shots[1]
    assert (shot.keyframe, shot.keyframe_upload_id) == ("shot_002_keyframe.png", taken.id)
    assert file(engine, second, 1, "keyframe").stat().st_ino == taken.path.stat().st_ino
    assert engine.recipe(second.id)["recipe"]["storyboard"]["shots"][1]["keyframe_image_sha256"] == taken.sha256
    third = edit(engine, second, shots=[{"id": "shot_001", "seed": 3}])
    assert steps(engine, third) == {"render_001", "assemble"}, "the chain begins anew at the second shot"
    back = edit(engine, third, shots=[{"id": "shot_002", "keyframe_image": None}])
    assert back.storyboard.shots[1].keyframe is None and steps(engine, back) == {"render_002", "assemble"}


def test_a_keyframe_of_its_own_by_words(start):
    engine = start()
    first = made(engine, PLACES[:2])
    second = edit(engine, first, shots=[{"id": "shot_002", "keyframe_prompt": "a red lake"}])
    assert steps(engine, second) == {"keyframe_002", "render_002", "assemble"}
    assert second.keyframe_model_id == "stub:still"
    third = edit(engine, second, shots=[{"id": "shot_002", "description": "a lake at dusk"}])
    assert steps(engine, third) == {"render_002", "assemble"}, "the image is drawn from the same words"
    assert_same(engine, third, second, {1: 1}, ("keyframe",))
    taken = upload(engine)
    fourth = edit(engine, third, shots=[{"id": "shot_002", "keyframe_image": taken.id}])
    assert fourth.storyboard.shots[1].keyframe_prompt is None and fourth.keyframe_model_id is None


def test_words_for_one_keyframe_beside_a_reference_image(start):
    engine = start()
    shots = ["a hill", {"description": "a lake", "keyframe_prompt": "a red lake"}]
    first = made(engine, shots, reference_image=upload(engine).id, focus=(0.2, 0.5))
    assert steps(engine, first) == {"keyframe_002", "render_001", "render_002", "assemble"}
    second = edit(engine, first, shots=[{"id": "shot_001", "seed": 3}])
    assert steps(engine, second) == {"render_001", "assemble"}
    assert second.request["focus"] == [0.2, 0.5]


def test_every_shot_has_an_image_of_its_own(keyframed):
    taken = upload(keyframed)
    first = mover(keyframed, [{"description": "a hill", "keyframe_image": taken.id}])
    assert (first.keyframe_model_id, first.generation_mode) == (None, "image_to_video")
    assert steps(keyframed, first) == {"render_001", "assemble"}
    second = edit(keyframed, first, order=["shot_001", {"description": "a lake"}])
    assert steps(keyframed, second) == {"keyframe_002", "render_002", "assemble"}


@pytest.mark.parametrize(("fit", "done"), [("exact", {"render_001", "render_002"}), ("adapt", {"render_002"})])
def test_a_clip_that_was_changed_to_fit_is_only_for_those_who_allow_that(start, fit, done):
    engine = start()
    first = made(engine, [{"description": "a hill", "parameters": {"motion_bucket_id": 10}}, "a lake"], fit=fit)
    as_if = {"parameters": {}, "made": {"render": {"mode": "group", "parameters": {"motion_bucket_id": 10}}}}
    engine._database.write(lambda tx: jobs.update_shot(tx, first.id, 0, **as_if))
    second = edit(engine, engine.job(first.id), shots=[{"id": "shot_002", "seed": 1}])
    assert steps(engine, second) == done | {"assemble"}
    assert second.storyboard.shots[0].made == (as_if["made"] if fit == "adapt" else {})


# again


def test_what_made_a_job_fail_is_changed_and_the_rest_is_kept(start):
    engine = start(max_concurrent_jobs=1)
    fails = {"description": "a lake", "parameters": {"fail_at_step": 2, "fail_fatal": True}}
    first = made(engine, ["a hill", fails], JobStatus.FAILED, continuity="chain")
    assert [shot.status for shot in first.storyboard.shots] == [ShotStatus.COMPLETED, ShotStatus.FAILED]
    fixed = edit(engine, first, shots=[{"id": "shot_002", "parameters": {}}])
    assert steps(engine, fixed) == {"render_002", "assemble"}
    with pytest.raises(Conflict, match="only a job that failed or was cancelled") as refused:
        engine.retry(fixed.id)
    assert refused.value.code == "nothing_to_retry"


def test_a_cancelled_job_is_tried_again_from_where_it_stood(start):
    engine = start()
    slow = {"description": "a lake", "parameters": {"slow_ms": 400}}
    first, _ = engine.submit(ask(storyboard=board("a hill", slow), continuity="chain"))
    until(lambda: (story := engine.job(first.id).storyboard) and story.shots[0].video, "the first shot")
    engine.cancel(first.id)
    wait(engine, first.id, JobStatus.CANCELLED)
    again, new = engine.retry(first.id, "again")
    assert new and engine.retry(first.id, "again")[0].id == again.id
    done = wait(engine, again.id)
    assert steps(engine, done) == {"render_002", "assemble"}
    assert_same(engine, done, engine.job(first.id), {0: 0})


def test_a_job_that_was_never_planned_is_planned_when_it_is_retried(start):
    engine = start()
    engine.pause()
    first, _ = engine.submit(ask(max_shots=2, style_preferences={"mood": "calm"}, reference_image=upload(engine).id))
    engine.cancel(first.id)
    with pytest.raises(Conflict) as refused:
        engine.edit(first.id, EditRequest(shots=[{"id": "shot_001", "seed": 1}]))
    assert refused.value.code == "not_planned"
    again, _ = engine.retry(first.id)
    own, _ = engine.submit(ask(storyboard=board("a hill")))
    engine.cancel(own.id)
    own_again, _ = engine.retry(own.id)
    engine.resume()
    done = wait(engine, again.id)
    assert (done.seed, len(done.storyboard.shots)) == (first.seed, 2)
    assert done.request["style_preferences"] == {"mood": "calm"}
    assert wait(engine, own_again.id).storyboard.shots[0].description == "a hill"


# a new version with a new plan


def test_a_remix_belongs_to_the_family(start):
    engine = start()
    first = made(engine, PLACES[:1])
    second, new = engine.submit(ask(user_prompt="a lake"), "key", first.id)
    assert new and (second.parent_id, second.root_id) == (first.id, first.id)
    assert engine.submit(ask(user_prompt="a lake"), "key", first.id) == (engine.job(second.id), False)
    with pytest.raises(Conflict, match="another request"):
        engine.submit(ask(user_prompt="a lake"), "key")
    with pytest.raises(NotFound):
        engine.submit(ask(), None, "job_0000000000000000")
    assert [job.id for job in engine.versions(second.id)] == [first.id, second.id]
    wait(engine, second.id)


def test_a_key_stands_for_one_change_of_one_job(start):
    engine = start()
    first, other = made(engine, PLACES[:1]), made(engine, PLACES[1:2])
    change = EditRequest(shots=[{"id": "shot_001", "seed": None}])
    second, new = engine.edit(first.id, change, "key")
    assert new and engine.edit(first.id, change, "key")[0].id == second.id
    for job_id, asked in ((other.id, change), (first.id, EditRequest(shots=[{"id": "shot_001", "seed": 1}]))):
        with pytest.raises(Conflict, match="another request"):
            engine.edit(job_id, asked, "key")
    engine.delete(first.id)
    assert not engine.edit(first.id, change, "key")[1]
    wait(engine, second.id)


# what is refused


@pytest.mark.parametrize(("change", "fields"), [
    ({"shots": [{"id": "shot_009", "seed": 1}]}, ["shots.0.id"]),
    ({"shots": [{"id": "shot_001", "seed": 1}, {"id": "shot_001", "seed": 2}]}, ["shots.1.id"]),
    ({"order": ["shot_001", "shot_004"]}, ["order.1"]),
    ({"order": ["shot_001", "shot_001"]}, ["order.1"]),
    ({"order": ["shot_001"], "shots": [{"id": "shot_002", "seed": 1}]}, ["shots.0.id"]),
    ({"shots": [{"id": "shot_001", "description": None}]}, ["shots.0.description"]),
    ({}, ["shots"]),
    ({"priority": 3}, ["shots"]),
    ({"shots": [{"id": "shot_001", "description": "a hill"}], "order": ["shot_001", "shot_002"]}, ["shots"]),
    ({"shots": [{"id": "shot_002", "parameters": {"x": 1}}]}, ["shots.0.parameters.x"]),
    ({"order": ["shot_001", {"description": "d", "parameters": {"motion_bucket_id": 0}}]},
     ["order.1.parameters.motion_bucket_id"]),
    ({"shots": [{"id": "shot_002", "keyframe_image": "upload_00"}]}, ["shots.0.keyframe_image"]),
    ({"shots": [{"id": "shot_002", "keyframe_image": "upload_00", "keyframe_prompt": "red"}]},
     ["shots.0.keyframe_prompt", "shots.0.keyframe_image"]),
    ({"order": ["shot_002", {"description": "d", "duration_seconds": 0.001}]}, ["order.1.duration_seconds"]),
])
def test_a_change_that_cannot_be_made_is_refused_by_the_clients_own_field(start, change, fields):
    engine = start()
    engine.pause()
    first, _ = engine.submit(ask(storyboard=board("a hill", "a lake")))
    with pytest.raises(Conflict) as early:
        engine.edit(first.id, EditRequest(**change))
    assert early.value.code == "not_ended"
    engine.resume()
    wait(engine, first.id)
    with pytest.raises(InvalidInput) as refused:
        engine.edit(first.id, EditRequest(**change))
    assert [f.field for f in refused.value.fields] == fields
    assert engine.jobs(page=1, page_size=1)[1] == 1


@pytest.mark.parametrize(("values", "field"), [
    ({"storyboard": board({"description": "d", "parameters": {"x": 1}})}, "storyboard.shots.0.parameters.x"),
    ({"storyboard": board({"description": "d", "keyframe_image": "x"})}, "storyboard.shots.0.keyframe_image"),
    ({"model_id": "stub:mute", "storyboard": board("c", {"description": "d", "keyframe_prompt": "x"})},
     "storyboard.shots.1.keyframe_prompt"),
    ({"model_id": "stub:mover", "num_frames": 5, "storyboard": board({"description": "d", "keyframe_prompt": "x"})},
     "storyboard.shots.0.keyframe_prompt"),
])
def test_what_a_shot_of_its_own_cannot_have(start, tmp_path, values, field):
    (tmp_path / "mute.toml").write_text(
        KEYFRAMED.replace("mover", "mute").replace("image_to_video", "text_to_video").replace('"stub:still"', '"x:y"')
    )
    (tmp_path / "mover.toml").write_text(KEYFRAMED.replace('keyframe_model = "stub:still"\n', ""))
    with pytest.raises(InvalidInput) as refused:
        start(models_dir=tmp_path).submit(ask(**{"num_frames": 5, **values}))
    assert [f.field for f in refused.value.fields] == [field]


def test_images_for_all_shots_leave_nothing_to_draw(start):
    engine = start()
    own = {"description": "a hill", "keyframe_image": upload(engine).id}
    with pytest.raises(InvalidInput, match="keyframe_model_id: the shots' keyframe_image is the first image"):
        engine.submit(ask(storyboard=board(own), keyframe_model_id="stub:still"))


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
