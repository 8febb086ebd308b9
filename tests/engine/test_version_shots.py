"""What a shot has of its own: parameters, a first image; what becomes of it in a new version."""

import pytest

from tests.engine.family import PLACES, assert_same, edit, file, keyframed, made, mover, steps
from tests.engine.test_engine import upload
from vidgen.store import jobs


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


def test_every_shot_has_an_image_of_its_own(start, tmp_path):
    engine = keyframed(start, tmp_path)
    taken = upload(engine)
    first = mover(engine, [{"description": "a hill", "keyframe_image": taken.id}])
    assert (first.keyframe_model_id, first.generation_mode) == (None, "image_to_video")
    assert steps(engine, first) == {"render_001", "assemble"}
    second = edit(engine, first, order=["shot_001", {"description": "a lake"}])
    assert steps(engine, second) == {"keyframe_002", "render_002", "assemble"}


@pytest.mark.parametrize(("fit", "done"), [("exact", {"render_001", "render_002"}), ("adapt", {"render_002"})])
def test_a_clip_that_was_changed_to_fit_is_only_for_those_who_allow_that(start, fit, done):
    engine = start()
    first = made(engine, [{"description": "a hill", "parameters": {"motion_bucket_id": 10}}, "a lake"], fit=fit)
    as_if = {"parameters": {}, "made": {"render": {"mode": "group", "parameters": {"motion_bucket_id": 10}}}}
    engine._database.write(lambda tx: jobs.update_shot(tx, first.id, 0, **as_if))
    second = edit(engine, engine.job(first.id), shots=[{"id": "shot_002", "seed": 1}])
    assert steps(engine, second) == done | {"assemble"}
    assert second.storyboard.shots[0].made == (as_if["made"] if fit == "adapt" else {})


def test_what_was_changed_to_fit_stands_for_what_was_asked_then(start):
    engine = start()
    first = made(engine, ["a hill", {"description": "a lake", "parameters": {"motion_bucket_id": 10}}], fit="adapt")
    as_if = {"parameters": {}, "made": {"render": {"mode": "group", "parameters": {"motion_bucket_id": 10}}}}
    engine._database.write(lambda tx: jobs.update_shot(tx, first.id, 1, **as_if))
    second = edit(engine, engine.job(first.id), shots=[{"id": "shot_002", "parameters": {"motion_bucket_id": 20}}])
    assert steps(engine, second) == {"render_002", "assemble"}


def test_the_recipe_says_where_each_shot_starts(start):
    """A keyframe for one shot alone, and one for each, are two videos."""
    engine = start()
    shots = ["a hill", {"description": "a lake", "keyframe_prompt": "a red lake"},
             {"description": "a town", "keyframe_image": upload(engine).id}]
    found = [
        [shot["start"] for shot in engine.recipe(made(engine, shots, **values).id)["recipe"]["storyboard"]["shots"]]
        for values in ({}, {"keyframe_model_id": "stub:still"}, {"continuity": "chain"})
    ]
    assert found == [["text", "drawn", "own"], ["drawn", "drawn", "own"], ["text", "drawn", "own"]]
