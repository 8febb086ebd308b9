"""The engine from a request to an mp4, with the stub."""

import io
import json

import pytest
from PIL import Image, ImageChops, ImageStat

from tests.engine.conftest import ask, make_engine, messages, until, wait
from vidgen.errors import Conflict, InvalidInput, ModelUnavailable, NotFound, QueueFull
from vidgen.media.video import inspect, read_metadata
from vidgen.request import PlanRequest, StoryboardRequest
from vidgen.types import Continuity, EventType, GenerationMode, JobStatus, ShotStatus

KEYFRAMED = """
provider = "stub"
name = "mover"
title = "Mover"
description = "moves an image, reads no text"
keyframe_model = "stub:still"
[capabilities]
image_to_video = true
reads_text = false
[width]
default = 64
min = 64
max = 128
[height]
default = 64
min = 64
max = 128
[frames]
default = 5
min = 1
max = 25
step = 4
[fps]
default = 8
min = 1
max = 30
"""


def upload(engine, color="red", size=(120, 80)):
    data = io.BytesIO()
    Image.new("RGB", size, color).save(data, "PNG")
    size_bytes = data.tell()
    data.seek(0)
    return engine.add_upload("my photo.png", data, size_bytes)


def picture(engine, job_id, name) -> Image.Image:
    with Image.open(engine.file(job_id, name)) as opened:
        return opened.convert("RGB")


def distance(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures' upper halves, where no caption is, in units of 255."""
    upper = (0, 0, 64, 30)
    return sum(ImageStat.Stat(ImageChops.difference(one.crop(upper), other.crop(upper))).mean) / 3


def test_a_prompt_becomes_a_video(start):
    engine = start()
    job, new = engine.submit(ask(max_shots=2))
    assert new
    done = wait(engine, job.id)
    assert done.progress == 100
    assert [shot.status for shot in done.storyboard.shots] == [ShotStatus.COMPLETED] * 2
    assert inspect(engine.video(job.id), num_frames=8).num_frames == 8
    for shot in done.storyboard.shots:
        for name in (shot.video, shot.poster):
            assert engine.file(job.id, name).stat().st_size > 0
    assert engine.file(job.id, "poster.jpg").read_bytes() == engine.file(job.id, "shot_001_poster.jpg").read_bytes()


def test_the_log_tells_the_story_in_order_and_ends_with_the_video(start):
    engine = start()
    job, _ = engine.submit(ask(max_shots=2))
    wait(engine, job.id)
    said = messages(engine, job.id)
    assert [m["seq"] for m in said] == sorted({m["seq"] for m in said})
    assert said[0]["step"] == "initializing"
    assert said[-1]["type"] == EventType.JOB_COMPLETE
    assert sum(m["type"] == EventType.SHOT_COMPLETE for m in said) == 2
    percent = [m["progress"] for m in said if m["type"] == EventType.PROGRESS]
    assert percent == sorted(percent)
    assert percent[-1] == 100
    assert "planner_offline" in [m.get("code") for m in said]


def test_a_live_listener_is_told_every_frame_though_the_log_folds_them(start):
    engine = start()
    heard = []
    job, _ = engine.submit(ask(num_frames=12, parameters={"slow_ms": 20}))
    engine.hub.subscribe(job.id, lambda: heard.extend(engine.hub.read(job.id, heard[-1].seq if heard else 0)))
    wait(engine, job.id)
    until(lambda: heard and heard[-1].type is EventType.JOB_COMPLETE, "the last event")
    frames = [e.body["phase_step"] for e in heard if e.body.get("phase") == "render"]
    assert frames == list(range(frames[0], 13))
    assert len(frames) >= 11
    kept = [m for m in messages(engine, job.id) if m.get("phase") == "render"]
    assert len(kept) == 1


def test_the_recipe_is_in_the_mp4_and_beside_it(start):
    engine = start()
    job, _ = engine.submit(ask(seed=7, parameters={"motion_bucket_id": 50}))
    wait(engine, job.id)
    inside = json.loads(read_metadata(engine.video(job.id))["comment"])
    beside = json.loads(engine.file(job.id, "final_output.json").read_text())
    assert inside == beside["recipe"] == engine.recipe(job.id)["recipe"]
    assert (inside["seed"], inside["model"]["id"]) == (7, "stub:animatic")
    assert inside["effective"]["parameters"]["motion_bucket_id"] == 50
    assert job.id not in json.dumps(inside)
    assert beside["run"]["job_id"] == job.id


def test_same_determinants_same_bytes(start):
    engine = start()
    videos = []
    for _ in range(2):
        job, _ = engine.submit(ask(seed=42, max_shots=2, num_frames=6))
        wait(engine, job.id)
        videos.append(engine.video(job.id).read_bytes())
    other, _ = engine.submit(ask(seed=43, max_shots=2, num_frames=6))
    wait(engine, other.id)
    assert videos[0] == videos[1]
    assert videos[0] != engine.video(other.id).read_bytes()


def test_a_reference_image_makes_an_image_to_video_job(start):
    engine = start()
    taken = upload(engine)
    for reference in (taken.id, engine.workspace.public(taken.path)):
        job, _ = engine.submit(ask(reference_image=reference))
        assert job.generation_mode is GenerationMode.IMAGE_TO_VIDEO
        wait(engine, job.id)
        red, green, blue = picture(engine, job.id, "poster.jpg").getpixel((32, 12))
        assert red > 2 * max(green, blue), "the red reference is what is seen"


@pytest.mark.parametrize("reference", ["upload_0000000000000000", "/workspace/uploads/../vidgen.db", "/etc/passwd"])
def test_an_upload_is_looked_up_and_never_opened(start, reference):
    with pytest.raises(InvalidInput, match="reference_image"):
        start().submit(ask(reference_image=reference))


def test_an_image_model_draws_the_first_image_where_the_video_model_needs_one(start, tmp_path):
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "mover.toml").write_text(KEYFRAMED)
    engine = start(models_dir=tmp_path / "cards")
    job, _ = engine.submit(ask(model_id="stub:mover", num_frames=5, max_shots=2))
    assert job.keyframe_model_id == "stub:still"
    assert job.generation_mode is GenerationMode.TEXT_TO_VIDEO
    done = wait(engine, job.id)
    for shot in done.storyboard.shots:
        assert picture(engine, job.id, shot.keyframe).size == (64, 64)


def test_a_keyframe_model_that_cannot_run_is_a_503_with_the_reason(start, tmp_path):
    (tmp_path / "mover.toml").write_text(KEYFRAMED.replace("stub:still", "dream:still"))
    (tmp_path / "still.toml").write_text(
        KEYFRAMED.replace("mover", "still").replace('"stub"', '"dream"').replace("image_to_video", "text_to_image")
    )
    engine = start(models_dir=tmp_path)
    with pytest.raises(ModelUnavailable, match="dream:still, which would draw it, cannot run now"):
        engine.submit(ask(model_id="stub:mover", num_frames=5))


def test_in_a_chain_each_shot_starts_from_the_last_frame_of_the_one_before(start):
    engine = start()
    prompt = "a red desert at noon, then a dark forest at night"
    found = {}
    for continuity in Continuity:
        job, _ = engine.submit(ask(user_prompt=prompt, max_shots=2, continuity=continuity, seed=5, num_frames=6))
        wait(engine, job.id)
        found[continuity] = picture(engine, job.id, "shot_002_poster.jpg")
    last = picture(engine, job.id, "shot_001_last.png")     # of the chain, the second of the two
    assert distance(last, found[Continuity.CHAIN]) < distance(last, found[Continuity.INDEPENDENT]) / 2


def test_the_clients_own_storyboard_is_rendered_as_it_is(start):
    engine = start()
    own = StoryboardRequest(title="Mine", shots=[
        {"description": "first", "duration_seconds": 0.5, "seed": 5}, {"description": "second", "camera_move": "orbit"},
    ])
    job, _ = engine.submit(ask(storyboard=own, fps=8))
    done = wait(engine, job.id)
    first, second = done.storyboard.shots
    assert (first.description, first.num_frames, first.seed) == ("first", 4, 5)
    assert (second.camera_move, second.num_frames) == ("orbit", 4)
    assert done.storyboard.title == "Mine"


def test_a_plan_can_be_sent_back_as_it_is(start):
    engine = start()
    plan = engine.plan(PlanRequest(user_prompt="a forest, then a lake", max_shots=2))
    body = {"title": plan.title, "id": plan.id, "shots": [
        {"id": s.id, "index": s.index, "description": s.description, "camera_move": s.camera_move, "seed": s.seed,
         "duration_seconds": s.duration_seconds, "status": s.status, "keyframe_url": None}
        for s in plan.shots
    ]}
    job, _ = engine.submit(ask(storyboard=StoryboardRequest(**body), num_frames=None, fps=None))
    job = wait(engine, job.id)
    assert [s.seed for s in job.storyboard.shots] == [s.seed for s in plan.shots]


def test_an_idempotency_key_gives_the_first_job_again(start):
    engine = start()
    first, new = engine.submit(ask(seed=1), "key-1")
    again, new_again = engine.submit(ask(seed=1), "key-1")
    assert (first.id, new, new_again) == (again.id, True, False)
    with pytest.raises(Conflict, match="another request"):
        engine.submit(ask(seed=2), "key-1")


def test_a_full_queue_refuses_and_keeps_what_it_has(start):
    engine = start(max_queued_jobs=2)
    engine.pause()
    ids = [engine.submit(ask())[0].id for _ in range(2)]
    with pytest.raises(QueueFull):
        engine.submit(ask())
    assert [job.id for job in engine.queue().jobs] == ids
    engine.resume()
    for job_id in ids:
        wait(engine, job_id)


def test_a_pause_outlives_the_server(start, tmp_path):
    engine = start()
    engine.pause()
    job, _ = engine.submit(ask())
    engine.close(1)
    again = start()
    assert again.queue().paused
    assert again.job(job.id).status is JobStatus.QUEUED
    again.resume()
    wait(again, job.id)


def test_while_paused_no_queued_job_takes_the_place_of_one_that_ends(start):
    engine = start(max_concurrent_jobs=1)
    first, _ = engine.submit(ask(num_frames=10, parameters={"slow_ms": 30}))
    second, _ = engine.submit(ask())
    engine.pause()
    engine.cancel(first.id)
    wait(engine, first.id, JobStatus.CANCELLED)
    assert engine.job(second.id).status is JobStatus.QUEUED
    engine.resume()
    wait(engine, second.id)


def test_a_dry_run_queues_nothing(start):
    engine = start()
    said = engine.dry_run(ask(seed=3, dry_run=True))
    assert said["model_id"] == "stub:animatic"
    assert said["effective"]["num_frames"] == 4
    assert engine.jobs(page=1, page_size=10) == ([], 0)


def test_cancelling_a_render_stops_it_and_leaves_no_temporary_file(start):
    engine = start()
    job, _ = engine.submit(ask(parameters={"wait_at_step": 2}))
    until(lambda: engine.job(job.id).current_step.startswith("Generating"), "the render to start")
    engine.cancel(job.id)
    done = wait(engine, job.id, JobStatus.CANCELLED)
    assert done.error_code == "cancelled"
    assert not list(engine.workspace.job_dir(job.id).glob(".*"))


def test_deleting_a_running_job_stops_it_and_removes_everything(start):
    engine = start()
    job, _ = engine.submit(ask(parameters={"wait_at_step": 2}))
    until(lambda: engine.job(job.id).current_step.startswith("Generating"), "the render to start")
    engine.delete(job.id)
    with pytest.raises(NotFound):
        engine.job(job.id)
    assert not engine.workspace.job_dir(job.id).exists()


def test_a_failing_render_is_tried_again_and_the_job_completes(start):
    engine = start()
    job, _ = engine.submit(ask(parameters={"fail_at_step": 2, "fail_times": 1}))
    wait(engine, job.id)
    assert engine.recipe(job.id)["run"]["attempts"]["render_001"] == 2
    assert [m["code"] for m in messages(engine, job.id, EventType.NOTE)] == ["planner_offline", "retry"]


def test_a_render_that_never_ends_is_overdue_and_fails_with_the_reason(start):
    engine = start(stall_s=0.3)
    job, _ = engine.submit(ask(parameters={"wait_at_step": 2}))
    done = wait(engine, job.id, JobStatus.FAILED)
    assert "render made no progress for 0.3 s" in done.error_message
    assert done.error_code == "overdue"


def test_closing_gives_running_work_back_and_the_next_start_finishes_it(start):
    engine = start()
    job, _ = engine.submit(ask(parameters={"wait_at_step": 2}))
    until(lambda: engine.job(job.id).current_step.startswith("Generating"), "the render to start")
    engine.close(0)
    again = make_engine(engine.workspace.root)
    again.start()
    try:
        assert again.recipe(job.id)["run"]["attempts"]["render_001"] <= 1
        again.cancel(job.id)
        wait(again, job.id, JobStatus.CANCELLED)
    finally:
        again.close(0)


def test_the_video_of_an_unfinished_job_is_a_conflict(start):
    engine = start()
    engine.pause()
    job, _ = engine.submit(ask())
    with pytest.raises(Conflict, match="queued"):
        engine.video(job.id)


@pytest.mark.parametrize(("values", "field"), [
    ({"focus": (0.2, 0.2)}, "focus"),
    ({"model_id": "stub:still"}, "model_id"),
    ({"keyframe_model_id": "stub:animatic"}, "keyframe_model_id"),
    ({"keyframe_model_id": "stub:nothing"}, "keyframe_model_id"),
    ({"keyframe_parameters": {"x": 1}}, "keyframe_parameters"),
    ({"storyboard": {"title": "t", "shots": [{"description": "d", "duration_seconds": 0.001}]}},
     "storyboard.shots.0.duration_seconds"),
])
def test_what_cannot_be_served_is_refused_by_field_and_nothing_is_kept(start, values, field):
    engine = start()
    with pytest.raises(InvalidInput) as caught:
        engine.submit(ask(**values))
    assert [f.field for f in caught.value.fields] == [field]
    assert engine.jobs(page=1, page_size=1)[1] == 0


def test_a_model_that_cannot_run_is_refused_with_the_reason(start):
    with pytest.raises(ModelUnavailable, match="replicate:svd-xt cannot run now: REPLICATE_API_TOKEN is not set"):
        start().submit(ask(model_id="replicate:svd-xt"))
