"""Jobs over HTTP."""

import json

import pytest

from tests.api import check
from tests.server import started

SMALL = {"user_prompt": "a forest at dawn", "model_id": "stub:animatic", "max_shots": 1, "width": 64, "height": 64,
         "num_frames": 5}
DOCUMENT = {
    "user_prompt": "A peaceful forest at sunrise", "model_id": "stub:animatic", "max_shots": 3,
    "style_preferences": {"mood": "calm", "color_palette": "warm"},
}
DOCUMENTED = {
    "id", "status", "created_at", "updated_at", "user_prompt", "generation_mode", "model_id", "current_step",
    "progress_percentage", "output_video_url", "storyboard", "error_message",
}


@pytest.fixture
def paused(server):
    """The queue stands still for the test."""
    server.post("/api/v1/queue/pause")
    yield server
    server.post("/api/v1/queue/resume")


def post(server, body, **headers):
    return server.post("/api/v1/jobs", json=body, headers=headers)


def remove(server, *ids):
    for job_id in ids:
        assert server.client.delete(f"/api/v1/jobs/{job_id}").status_code == 200


def test_a_new_job_is_as_the_document_shows_it(paused):
    answer = post(paused, DOCUMENT)
    job = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/api/v1/jobs/{job['id']}"
    assert job.keys() >= DOCUMENTED
    assert (job["status"], job["current_step"], job["progress_percentage"]) == ("queued", "initializing", 0.0)
    assert job["generation_mode"] == "text_to_video"
    assert job["output_video_url"] is job["storyboard"] is job["error_message"] is None
    assert job["position"] == 1 and job["video_ready"] is False
    assert job["style_preferences"] == DOCUMENT["style_preferences"]
    assert paused.get(f"/api/v1/jobs/{job['id']}").json() == job
    remove(paused, job["id"])


def test_a_finished_job_names_its_files(finished):
    folder = f"/videos/{finished['id']}"
    assert finished["output_video_url"] == f"{folder}/final_output.mp4"
    assert finished["poster_url"] == f"{folder}/poster.jpg"
    assert finished["video_ready"] is True and finished["progress_percentage"] == 100.0
    shots = finished["storyboard"]["shots"]
    assert [shot["id"] for shot in shots] == ["shot_001", "shot_002"]
    assert shots[1]["video_url"] == f"{folder}/shot_002.mp4"
    assert finished["position"] is None and finished["error_code"] is None


def test_the_same_key_gives_the_same_job(paused):
    first = post(paused, SMALL, **{"Idempotency-Key": "k-1"})
    again = post(paused, SMALL, **{"Idempotency-Key": "k-1"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    check.error(post(paused, SMALL | {"seed": 1}, **{"Idempotency-Key": "k-1"}), 409, "idempotency_mismatch")
    remove(paused, first.json()["id"])


@pytest.mark.parametrize("key", ["", "x" * 201, "a b", "caf\xe9"])
def test_a_key_has_bounds(server, key):
    answer = post(server, SMALL, **{"Idempotency-Key": key.encode("latin-1")})
    check.error(answer, 400, "invalid_input", "idempotency-key")


def test_a_dry_run_queues_nothing(server):
    before = server.get("/api/v1/jobs").json()["total"]
    answer = post(server, SMALL | {"dry_run": True, "max_shots": 2})
    assert answer.status_code == 200
    assert answer.json()["num_shots"] == 2 and answer.json()["effective"]["width"] == 64
    assert server.get("/api/v1/jobs").json()["total"] == before


def test_a_dry_run_says_how_long_and_how_much(server, finished):
    asked = {"user_prompt": finished["user_prompt"], "max_shots": 2}
    said = post(server, SMALL | asked | {"dry_run": True}).json()
    assert said["source"] == "measured" and said["seconds"] > 0
    assert said["by_kind"].keys() == {"plan", "render", "assemble"}
    assert said["seconds"] == pytest.approx(sum(said["by_kind"].values()), abs=0.02)
    assert said["eta_seconds"] == pytest.approx(said["wait_seconds"] + said["seconds"], abs=0.02)
    assert said["fits"] is True and check.UTC.fullmatch(said["estimated_start"])
    assert [said[name] for name in ("mode", "peak_vram_bytes", "price_usd", "fit_note")] == [None] * 4
    longer = post(server, SMALL | asked | {"num_frames": 50, "dry_run": True}).json()
    assert longer["source"] == "estimated"
    assert longer["by_kind"]["render"] > 3 * said["by_kind"]["render"]


def test_jobs_say_when_they_start_and_end(server, finished, held):
    running = [held(), held()]
    for job_id in running:
        server.wait_for_step(job_id, "Generating")
    waiting = post(server, SMALL).json()
    assert (waiting["status"], waiting["position"]) == ("queued", 1)
    assert waiting["eta_seconds"] > 0 and check.UTC.fullmatch(waiting["estimated_start"])
    queue = {job["id"]: job for job in server.get("/api/v1/queue").json()["jobs"]}
    listed = {job["id"]: job for job in server.get("/api/v1/jobs").json()["jobs"]}
    for job_id in running:
        job = server.get(f"/api/v1/jobs/{job_id}").json()
        assert job["estimated_start"] is queue[job_id]["estimated_start"] is None
        assert job["eta_seconds"] >= 0 and queue[job_id]["eta_seconds"] >= 0 and listed[job_id]["eta_seconds"] >= 0
    assert queue[waiting["id"]]["eta_seconds"] > 0 and listed[waiting["id"]]["eta_seconds"] > 0
    server.post("/api/v1/queue/pause")
    unsure = server.get(f"/api/v1/jobs/{waiting['id']}").json()
    server.post("/api/v1/queue/resume")
    assert (unsure["position"], unsure["eta_seconds"], unsure["estimated_start"]) == (1, None, None)
    assert (finished["eta_seconds"], finished["estimated_start"]) == (None, None)
    remove(server, waiting["id"])


def test_every_progress_message_says_when(server, finished):
    job_id = server.submit(max_shots=2, user_prompt=finished["user_prompt"])
    server.wait(job_id)
    lines = server.get(f"/api/v1/jobs/{job_id}/events?since=0").text.splitlines()
    said = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    progress = [message for message in said if message["type"] == "progress"]
    assert progress[0]["position"] == 1 and check.UTC.fullmatch(progress[0]["estimated_start"])
    assert progress[0]["eta_seconds"] > 0 and progress[-1]["eta_seconds"] == 0
    for message in progress[1:]:
        assert message["position"] is message["estimated_start"] is None and message["eta_seconds"] >= 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"width": 63}, "width"), ({"num_frames": 10_000}, "num_frames"), ({"fps": 0}, "fps"),
        ({"max_shots": 13}, "max_shots"), ({"max_shots": True}, "max_shots"), ({"seed": 2**32}, "seed"),
        ({"parameters": {"no_such": 1}}, "parameters.no_such"), ({"focus": [0, 2]}, "focus.1"),
        ({"parameters": {"motion_bucket_id": "x"}}, "parameters.motion_bucket_id"),
        ({"priority": 11}, "priority"), ({"continuity": "loop"}, "continuity"), ({"model_id": "nocolon"}, "model_id"),
        ({"reference_image": "upload_0000000000000000"}, "reference_image"),
        ({"reference_image": "/etc/passwd"}, "reference_image"),
        ({"style_preferences": {"mood": ""}}, "style_preferences.mood"),
    ],
)
def test_what_cannot_be_is_named(server, change, field):
    answer = post(server, SMALL | change)
    assert answer.status_code in (400, 404), answer.text
    assert field in answer.json()["detail"]


def test_models_that_are_not_there_or_cannot_run(server):
    check.error(post(server, SMALL | {"model_id": "stub:none"}), 404, "not_found")
    answer = post(server, {"user_prompt": "a", "model_id": "local:svd-xt"})
    assert "local:svd-xt" in check.error(answer, 503, "model_unavailable")


def test_the_list_pages_and_filters(paused):
    ids = [post(paused, SMALL | {"user_prompt": f"needle {n}"}).json()["id"] for n in range(3)]
    newest = paused.get("/api/v1/jobs?q=needle&page_size=2").json()
    assert [job["id"] for job in newest["jobs"]] == [ids[2], ids[1]]
    assert (newest["total"], newest["page"], newest["page_size"]) == (3, 1, 2)
    oldest = paused.get("/api/v1/jobs?q=NEEDLE&order=oldest&page=2&page_size=2").json()
    assert [job["id"] for job in oldest["jobs"]] == [ids[2]]
    assert paused.get("/api/v1/jobs?q=needle&status=completed").json()["total"] == 0
    assert paused.get("/api/v1/jobs?q=needle&model_id=stub:animatic").json()["total"] == 3
    assert paused.get("/api/v1/jobs?q=needle&model_id=stub:still").json()["total"] == 0
    assert paused.get("/api/v1/jobs?q=%25").json()["total"] == 0
    assert paused.get("/api/v1/jobs?page=1000000&page_size=100").json()["jobs"] == []
    remove(paused, *ids)


def test_priority_moves_a_job(paused):
    first, second = (post(paused, SMALL).json()["id"] for _ in range(2))
    moved = paused.client.patch(f"/api/v1/jobs/{second}", json={"priority": 10})
    assert (moved.status_code, moved.json()["priority"], moved.json()["position"]) == (200, 10, 1)
    assert [job["id"] for job in paused.get("/api/v1/queue").json()["jobs"]] == [second, first]
    check.error(paused.client.patch(f"/api/v1/jobs/{second}", json={"priority": 11}), 400, "invalid_input", "priority")
    check.error(paused.client.patch(f"/api/v1/jobs/{second}", json={}), 400, "invalid_input", "priority")
    check.error(paused.client.patch("/api/v1/jobs/job_none", json={"priority": 1}), 404, "not_found")
    remove(paused, first, second)


def test_the_queue_says_what_waits(paused):
    job_id = post(paused, SMALL).json()["id"]
    queue = paused.get("/api/v1/queue").json()
    assert (queue["paused"], queue["queued"], queue["processing"]) == (True, 1, 0)
    assert queue["jobs"][0]["id"] == job_id and queue["jobs"][0]["position"] == 1
    assert paused.post("/api/v1/queue/resume").json()["paused"] is False
    paused.wait(job_id)


def test_cancel_waiting_running_and_ended(server, held):
    running = held()
    server.wait_for_step(running, "Generating")
    assert server.post(f"/api/v1/jobs/{running}/cancel").status_code == 200
    job = server.wait(running, "cancelled")
    assert job["video_ready"] is False
    assert server.post(f"/api/v1/jobs/{running}/cancel").status_code == 200


def test_what_has_ended_cannot_be_cancelled_or_moved(server, finished):
    check.error(server.post(f"/api/v1/jobs/{finished['id']}/cancel"), 409, "job_ended")
    check.error(server.client.patch(f"/api/v1/jobs/{finished['id']}", json={"priority": 1}), 409, "job_ended")


def test_delete_removes_a_running_job_and_its_files(server, held):
    job_id = held()
    server.wait_for_step(job_id, "Generating")
    answer = server.client.delete(f"/api/v1/jobs/{job_id}")
    assert answer.json() == {"message": f"Job {job_id} deleted successfully"}
    check.error(server.get(f"/api/v1/jobs/{job_id}"), 404, "not_found")
    check.error(server.client.delete(f"/api/v1/jobs/{job_id}"), 404, "not_found")
    assert not (server.workspace / "videos" / job_id).exists()


def test_the_recipe_says_what_determined_the_video(server, finished):
    recipe = server.get(f"/api/v1/jobs/{finished['id']}/recipe").json()
    assert str(finished["seed"]) in str(recipe) and "stub:animatic" in str(recipe)
    check.error(server.get("/api/v1/jobs/job_none/recipe"), 404, "not_found")


def test_a_storyboard_can_be_sent_back_as_it_came(server):
    planned = server.post("/api/v1/storyboards", json={"user_prompt": "A harbour. A boat leaves.", "max_shots": 2})
    assert planned.status_code == 200
    job = server.wait(server.submit(storyboard=planned.json(), user_prompt="A harbour. A boat leaves."))
    said = [shot["description"] for shot in job["storyboard"]["shots"]]
    assert said == [shot["description"] for shot in planned.json()["shots"]]
    check.error(server.post("/api/v1/storyboards", json={"user_prompt": ""}), 400, "invalid_input", "user_prompt")


def test_a_full_queue_says_when_to_come_back(tmp_path):
    with started(tmp_path / "workspace", max_queued_jobs=2) as small:
        small.post("/api/v1/queue/pause")
        small.submit(), small.submit()
        answer = post(small, SMALL)
        check.error(answer, 429, "queue_full")
        assert int(answer.headers["Retry-After"]) > 0
        assert small.get("/api/v1/jobs").json()["total"] == 2


def test_too_little_disk(tmp_path):
    with started(tmp_path / "workspace", min_free_mb=10**9) as full:
        check.error(post(full, SMALL), 507, "disk_low")
        health = full.get("/api/v1/health").json()
        assert health["status"] == "degraded" and "free" in health["reasons"][0]
        assert full.get("/api/v1/jobs").json()["total"] == 0
