"""Every method against a started server."""

import io
import os
import re
from textwrap import dedent

import pytest
from PIL import Image

import vidgen.client
from tests.client.conftest import KEY, PROMPT, SMALL
from vidgen.client import (
    Client,
    Conflict,
    InvalidRequest,
    Job,
    JobFailed,
    NotFound,
    QueueFull,
    Unauthorized,
    Unavailable,
)

BODY = {"user_prompt": PROMPT, "model_id": "stub:animatic", "max_shots": 1, "width": 64, "height": 64, "num_frames": 5}


def picture() -> Image.Image:
    return Image.new("RGB", (32, 24), "teal")


def png() -> bytes:
    out = io.BytesIO()
    picture().save(out, "PNG")
    return out.getvalue()


def piped(data: bytes):
    """The end of a pipe that *data* comes out of."""
    out, into = os.pipe()
    with open(into, "wb") as end:
        end.write(data)
    return open(out, "rb")


# making videos


def test_three_lines_make_a_video(client, tmp_path):
    job = client.generate("A lighthouse at dusk", **SMALL).wait()
    saved = job.download(tmp_path / "lighthouse.mp4")
    assert saved.read_bytes()[4:8] == b"ftyp"


def test_a_job_has_the_attributes_of_the_contract(client, finished):
    assert (finished.status, finished.progress_percentage, finished.ended) == ("completed", 100, True)
    assert (finished.model_id, finished.width, finished.seed) == ("stub:animatic", 64, finished.data["seed"])
    assert [shot.id for shot in finished.shots] == ["shot_001", "shot_002", "shot_003"]
    assert finished.storyboard.title
    assert finished.shots[1].video_url == f"/videos/{finished.id}/shot_002.mp4"
    assert finished.video_url == f"{client.base_url}/videos/{finished.id}/final_output.mp4"


def test_known_fields_are_those_that_the_server_sends(finished, client):
    """What the classes say is what arrives: nothing misspelt, nothing forgotten."""
    for answer in (finished, *finished.shots, *client.models(), client.upload(png())):
        assert set(answer.data) - {"storyboard"} == set(type(answer).__annotations__)


def test_fields_of_a_later_server_are_kept(client, finished):
    later = Job(client, {**finished.data, "mood": "calm"})
    assert (later.mood, "mood" in dir(later)) == ("calm", True)
    earlier = Job(client, {"id": "job_1"})
    assert (earlier.eta_seconds, earlier.shots) == (None, [])
    with pytest.raises(AttributeError, match="no 'moood'"):
        _ = later.moood


def test_any_field_can_be_given_by_its_name(client):
    job = client.generate(
        "A river", **SMALL, seed=3, style_preferences={"mood": "calm"}, parameters={"motion_bucket_id": 90}, priority=2,
    )
    assert (job.seed, job.priority, job.style_preferences) == (3, 2, {"mood": "calm"})
    assert job.parameters["motion_bucket_id"] == 90
    job.delete()


def test_a_field_given_twice_is_refused(client):
    with pytest.raises(TypeError, match="model_id"):
        client.generate("A river", model="stub:animatic", model_id="stub:animatic")


@pytest.mark.parametrize("kind", ["path", "name", "bytes", "file", "buffer", "pil", "pipe"])
def test_images_of_all_kinds(client, tmp_path, kind):
    path = tmp_path / "boat.png"
    path.write_bytes(png())
    with path.open("rb") as file, piped(png()) as pipe:
        image = {
            "path": path, "name": str(path), "bytes": png(), "file": file, "buffer": io.BytesIO(png()),
            "pil": picture(), "pipe": pipe,
        }[kind]
        upload = client.upload(image)
    assert (upload.width, upload.height) == (32, 24)
    assert upload.filename == ("boat.png" if kind in ("path", "name", "file") else "image.png")


def test_a_name_on_the_disk_may_be_no_text(client, tmp_path):
    path = tmp_path / "boat\udcff.png"
    path.write_bytes(png())
    assert client.upload(path).filename == "boat?.png"


def test_a_video_starts_from_an_image(client):
    job = client.generate("A boat", image=picture(), **SMALL)
    assert (job.generation_mode, job.reference_image[:7]) == ("image_to_video", "upload_")
    again = client.generate("A boat", image=client.upload(png(), filename="harbour.png"), **SMALL)
    assert again.generation_mode == "image_to_video"
    for made in (job, again):
        made.delete()


def test_what_is_no_image(client, tmp_path):
    with pytest.raises(InvalidRequest, match="file: "):
        client.upload(b"text")
    with pytest.raises(InvalidRequest, match="image: must be a path"):
        client.upload(7)
    with pytest.raises(FileNotFoundError):
        client.generate("A boat", image=tmp_path / "none.png", **SMALL)
    with pytest.raises(OSError, match="no file that can be sent"):
        client.upload("/dev/zero")


def test_posting_again_with_a_key_gives_the_first_job(client):
    first = client.post(BODY, idempotency_key="only-once")
    assert client.post(BODY, idempotency_key="only-once").id == first.id
    with pytest.raises(Conflict):
        client.post({**BODY, "seed": 1}, idempotency_key="only-once")
    assert client.post(BODY).wait().id != first.wait().id


def test_a_dry_run_and_a_plan_make_nothing(client):
    before = client.queue()["queued"]
    assert client.dry_run(BODY)["effective"]["width"] == 64
    plan = client.plan("A cat. A dog.", max_shots=2)
    assert len(plan["shots"]) == 2
    with pytest.raises(InvalidRequest, match="dry_run"):
        client.post({**BODY, "dry_run": True})
    assert client.queue()["queued"] == before
    job = client.generate("A cat. A dog.", **SMALL | {"shots": 2}, storyboard=plan)
    assert [shot.description for shot in job.wait().shots] == [shot["description"] for shot in plan["shots"]]


# jobs


def test_a_job_is_found_by_its_id_and_in_lists(client, finished):
    assert client.job(finished.id) == finished
    for found in (client.jobs(status="completed"), client.jobs(q="gull over"), client.jobs(model_id="stub:animatic")):
        assert finished.id in [job.id for job in found]
    newest, oldest = list(client.jobs()), list(client.jobs(order="oldest"))
    assert [job.id for job in newest] == [job.id for job in reversed(oldest)]
    with pytest.raises(InvalidRequest, match="status"):
        list(client.jobs(status="done"))


def test_lists_go_over_all_pages(client, finished, monkeypatch):
    whole = [job.id for job in client.jobs()]
    monkeypatch.setattr("vidgen.client.client.PAGE_SIZE", 1)
    assert [job.id for job in client.jobs()] == whole


def test_a_list_leaves_out_nothing_while_jobs_go(client, paused, monkeypatch):
    made = [client.generate(f"soon gone {i}", **SMALL).id for i in range(4)]
    monkeypatch.setattr("vidgen.client.client.PAGE_SIZE", 2)
    for job in client.jobs(q="soon gone"):
        made.remove(job.id)
        job.delete()
    assert made == []


def test_a_cancelled_job_is_a_failure_for_who_waits(client):
    job = client.generate("a river", **SMALL, parameters={"wait_at_step": 2})
    with pytest.raises(JobFailed, match="cancelled") as caught:
        job.wait(on_event=lambda event: event.phase and job.cancel())
    assert (caught.value.job.status, caught.value.job.error_code) == ("cancelled", "cancelled")
    assert job.cancel().status == "cancelled"


def test_a_job_that_has_ended_is_never_late(finished):
    heard = []
    assert finished.wait(timeout_s=0, on_event=heard.append) is finished
    assert heard == list(finished.events())


def test_a_failed_job_says_why(client):
    job = client.generate("a river", **SMALL, parameters={"fail_at_step": 2, "fail_fatal": True})
    with pytest.raises(JobFailed) as caught:
        job.wait()
    assert str(caught.value) == job.error_message
    assert job.status == "failed"


def test_a_deleted_job_is_gone(client):
    job = client.generate("a river", **SMALL, parameters={"wait_at_step": 2})
    job.delete()
    with pytest.raises(NotFound, match=job.id):
        job.refresh()
    with pytest.raises(NotFound):
        client.delete(job.id)


def test_priority_and_the_queue(client, paused):
    jobs = [client.generate(f"number {i}", **SMALL) for i in range(2)]
    assert jobs[1].set_priority(5).priority == 5
    queue = client.queue()
    assert queue["paused"]
    assert [entry["id"] for entry in queue["jobs"]] == [jobs[1].id, jobs[0].id]
    with pytest.raises(InvalidRequest, match="priority"):
        client.set_priority(jobs[0].id, 11)


def test_a_full_queue_says_when_to_come_back(client, paused):
    with pytest.raises(QueueFull) as caught:
        for i in range(5):
            client.generate(f"number {i}", **SMALL)
    assert caught.value.retry_after_s >= 1


def test_one_shot_again_makes_a_new_version(client, finished):
    better = finished.edit(shots=[{"id": "shot_002", "description": "A gull lands on the rail"}])
    assert better.parent_id == finished.id
    assert [shot.description for shot in better.wait().shots][1] == "A gull lands on the rail"
    assert [job.id for job in better.versions()] == [job.id for job in finished.versions()] == [finished.id, better.id]
    with pytest.raises(InvalidRequest, match=r"shots\.0\.id"):
        finished.edit(shots=[{"id": "shot_009"}])
    better.delete()


def test_a_failed_job_once_more(client, finished):
    job = client.generate("a river", **SMALL, parameters={"wait_at_step": 2})
    with pytest.raises(JobFailed):
        job.cancel().wait()
    again = job.retry()
    assert (again.parent_id, again.id == job.id) == (job.id, False)
    with pytest.raises(Conflict):
        finished.retry()
    for made in (again, job):
        made.delete()


def test_recipes(client, finished):
    assert finished.recipe() == client.recipe(finished.id)
    assert finished.recipe()["recipe"]["seed"] == finished.seed


# the server


def test_models(client):
    listed = client.models()
    assert "stub:animatic" in [model.id for model in client.models(available_only=True)]
    assert all(model.is_available for model in client.models(available_only=True))
    assert client.model("stub:animatic") == next(model for model in listed if model.id == "stub:animatic")
    with pytest.raises(NotFound):
        client.model("stub:nothing")
    with pytest.raises(Unavailable, match="svd-xt"):
        client.generate("A boat", model="replicate:svd-xt")


def test_the_device_and_the_health(client):
    assert client.gpu()["device"]["kind"] in ("cpu", "cuda")
    assert client.release_gpu()["models"] == []
    assert client.health()["status"] == "healthy"
    assert client.pause()["paused"] and not client.resume()["paused"]


def test_keys(server, client, monkeypatch):
    with Client(server.url) as without:
        assert without.health()["status"] == "healthy"
        for ask in (without.queue, lambda: next(without.events("job_1")), lambda: without.content("/videos/a", 1)):
            with pytest.raises(Unauthorized, match="API key"):
                ask()
    monkeypatch.setenv("VIDGEN_URL", server.url + "/")
    monkeypatch.setenv("VIDGEN_API_KEY", KEY)
    with Client() as found:
        assert (found.base_url, found.queue()["paused"]) == (server.url, False)


def test_the_examples_of_the_page_are_python():
    blocks = re.findall(r"::\n\n((?:    .*\n|\n)+)", vidgen.client.__doc__)
    assert len(blocks) == 6
    for block in blocks:
        compile(dedent(block), "vidgen.client", "exec")
