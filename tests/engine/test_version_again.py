"""Jobs once more: what failed or was cancelled, what is planned anew, what came twice with the same key."""

import pytest

from tests.engine.conftest import ask, until, wait
from tests.engine.family import PLACES, assert_same, board, edit, made, steps
from tests.engine.test_engine import upload
from vidgen.errors import Conflict, NotFound
from vidgen.request import EditRequest
from vidgen.store import jobs
from vidgen.types import JobStatus, ShotStatus


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


def test_a_job_of_an_older_server_is_edited_and_retried(start):
    """What the migration added is null, and what a request may say by now was not said."""
    engine = start()
    done = made(engine, PLACES[:2], continuity="chain")
    engine.pause()
    waiting, _ = engine.submit(ask(storyboard=board("a hill", "a lake")))
    engine.cancel(waiting.id)
    engine.resume()
    engine._database.write(lambda tx: [_as_older(tx, job) for job in (done, waiting)])
    second = edit(engine, engine.job(done.id), shots=[{"id": "shot_002", "seed": 1}])
    assert steps(engine, second) == {"render_001", "render_002", "assemble"}, "older clips have older keys"
    third = edit(engine, second, title="Another day")
    assert steps(engine, third) == {"assemble"}
    again, _ = engine.retry(waiting.id)
    assert [shot.description for shot in wait(engine, again.id).storyboard.shots] == ["a hill", "a lake"]
    assert engine.recipe(done.id)["recipe"]["seed"] == done.seed


def _as_older(tx, job) -> None:
    shots = [
        {name: value for name, value in shot.items() if name not in ("parameters", "keyframe_prompt", "keyframe_image")}
        for shot in job.request["storyboard"]["shots"]
    ]
    request = {**job.request, "storyboard": {**job.request["storyboard"], "shots": shots}}
    jobs.update(tx, job.id, request=request, root_id=None, reused=None)
    for index in range(len(shots)):
        jobs.update_shot(
            tx, job.id, index, key="of then", keyframe_key=None, frames=None, parameters=None, keyframe_prompt=None,
            keyframe_upload_id=None,
        )


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
