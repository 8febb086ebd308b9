"""Versions that cannot be made, refused by the client's own field."""

import pytest

from tests.engine.conftest import ask, make_engine
from tests.engine.family import board, made
from tests.engine.test_engine import KEYFRAMED, upload
from vidgen.errors import Conflict, InvalidInput
from vidgen.request import EditRequest


@pytest.fixture(scope="module")
def completed(tmp_path_factory):
    """An engine whose only job has two shots and is done, and that job."""
    engine = make_engine(tmp_path_factory.mktemp("workspace"))
    engine.start()
    yield engine, made(engine, ["a hill", "a lake"])
    engine.close(0)


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
def test_a_change_that_cannot_be_made_is_refused_by_the_clients_own_field(completed, change, fields):
    engine, first = completed
    with pytest.raises(InvalidInput) as refused:
        engine.edit(first.id, EditRequest(**change))
    assert [f.field for f in refused.value.fields] == fields
    assert engine.jobs(page=1, page_size=1)[1] == 1


def test_what_has_not_ended_is_not_edited(start):
    engine = start()
    engine.pause()
    first, _ = engine.submit(ask(storyboard=board("a hill", "a lake")))
    with pytest.raises(Conflict) as early:
        engine.edit(first.id, EditRequest(shots=[{"id": "shot_002", "seed": 1}]))
    assert early.value.code == "not_ended"


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
