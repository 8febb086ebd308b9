"""Edits, retries and versions over HTTP; what they make stands in tests/engine/test_versions.py."""

import pytest

from tests.api import check
from tests.server import Server

EDIT = {"shots": [{"id": "shot_002", "description": "A gull over the sea"}]}


def edits(server: Server, job_id: str, body=EDIT, **headers: str):
    return server.post(f"/api/v1/jobs/{job_id}/edits", json=body, headers=headers)


def test_an_edit_is_a_new_job_with_its_parent(server, finished):
    answer = edits(server, finished["id"])
    assert answer.status_code == 201
    posted = answer.json()
    assert answer.headers["Location"] == f"/api/v1/jobs/{posted['id']}"
    assert (posted["parent_id"], posted["status"], posted["seed"]) == (finished["id"], "queued", finished["seed"])
    done = server.wait(posted["id"])
    texts = [shot["description"] for shot in done["storyboard"]["shots"]]
    assert texts == [finished["storyboard"]["shots"][0]["description"], "A gull over the sea"]
    assert set(done["usage"]["steps"]) == {"render_002"}
    same = [server.get(job["storyboard"]["shots"][0]["video_url"]).content for job in (done, finished)]
    assert same[0] == same[1]
    server.client.delete(f"/api/v1/jobs/{done['id']}")


def test_versions_are_listed_oldest_first(server):
    first = server.wait(server.submit(max_shots=2))
    second = server.wait(edits(server, first["id"]).json()["id"])
    third = server.wait(edits(server, second["id"], {"order": ["shot_002", "shot_001"]}).json()["id"])
    family = [first["id"], second["id"], third["id"]]
    for job_id in family:
        assert [job["id"] for job in server.get(f"/api/v1/jobs/{job_id}/versions").json()["jobs"]] == family
    server.client.delete(f"/api/v1/jobs/{first['id']}")
    assert server.get(third["output_video_url"]).status_code == 200
    assert [job["id"] for job in server.get(f"/api/v1/jobs/{third['id']}/versions").json()["jobs"]] == family[1:]


def test_a_key_makes_one_version(server, finished):
    answers = [edits(server, finished["id"], **{"Idempotency-Key": "edit-1"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    other = edits(server, finished["id"], {"shots": [{"id": "shot_001", "seed": 1}]}, **{"Idempotency-Key": "edit-1"})
    check.error(other, 409, "idempotency_mismatch")
    server.client.delete(f"/api/v1/jobs/{answers[0].json()['id']}")


def test_a_cancelled_job_is_retried(server, held):
    job_id = held()
    check.error(edits(server, job_id, {"shots": [{"id": "shot_001", "seed": 1}]}), 409, "not_ended")
    check.error(server.post(f"/api/v1/jobs/{job_id}/retry"), 409, "nothing_to_retry")
    server.wait_for_step(job_id, "Generating")
    server.post(f"/api/v1/jobs/{job_id}/cancel")
    server.wait(job_id, "cancelled")
    answers = [server.post(f"/api/v1/jobs/{job_id}/retry", headers={"Idempotency-Key": "retry-1"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    again = answers[0].json()
    assert (again["parent_id"], again["parameters"]["wait_at_step"]) == (job_id, 2)
    server.client.delete(f"/api/v1/jobs/{again['id']}")


def test_a_completed_job_is_not_retried(server, finished):
    check.error(server.post(f"/api/v1/jobs/{finished['id']}/retry"), 409, "nothing_to_retry")


@pytest.mark.parametrize(("body", "field"), [
    ({"shots": [{"id": "shot_009", "seed": 1}]}, "shots.0.id"),
    ({"shots": [{"id": "one"}]}, "shots.0.id"),
    ({"shots": [{"id": "shot_001", "seed": -1}]}, "shots.0.seed"),
    ({"shots": [{"id": "shot_001", "description": " "}]}, "shots.0.description"),
    ({"shots": [{"id": "shot_001", "duration_seconds": 61}]}, "shots.0.duration_seconds"),
    ({"shots": [{"id": "shot_001", "parameters": {"guidance_scale": 0}}]}, "shots.0.parameters.guidance_scale"),
    ({"shots": [{"id": "shot_001", "keyframe_image": "upload_00"}]}, "shots.0.keyframe_image"),
    ({"shots": [{"id": "shot_001", "video_url": None}]}, "shots.0.video_url"),
    ({"order": ["shot_001", 2]}, "order.1"),
    ({"order": ["shot_001", "shot_003"]}, "order.1"),
    ({"order": [{"description": ""}]}, "order.0.description"),
    ({"order": [{"description": "d", "parameters": {"x": 1}}]}, "order.0.parameters.x"),
    ({"order": ["shot_001"] * 13}, "order"),
    ({"order": []}, "order"),
    ({"title": ""}, "title"),
    ({"user_prompt": "x"}, "user_prompt"),
    ({}, "shots"),
    ([], "body"),
])
def test_a_wrong_edit_is_refused_by_field(server, finished, body, field):
    check.error(edits(server, finished["id"], body), 400, "invalid_input", field)


@pytest.mark.parametrize("route", ["edits", "retry", "versions"])
def test_a_job_that_is_not_there(server, route):
    path = f"/api/v1/jobs/job_0000000000000000/{route}"
    answer = server.get(path) if route == "versions" else server.post(path, json=EDIT if route == "edits" else None)
    check.error(answer, 404, "not_found")


def test_an_answer_has_what_a_duplicate_needs(server, finished):
    fits = {key: finished[key] for key in ("fit", "focus", "save_frames", "keyframe_parameters")}
    assert fits == {"fit": "exact", "focus": [0.5, 0.5], "save_frames": False, "keyframe_parameters": {}}
    shot = finished["storyboard"]["shots"][0]
    assert {key: shot[key] for key in ("parameters", "keyframe_prompt", "keyframe_image")} == {
        "parameters": {}, "keyframe_prompt": None, "keyframe_image": None,
    }
