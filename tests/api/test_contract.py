"""What the project's contract adds to the API document, where the other files of this folder do not hold it already."""

import io
import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
import websocket
from PIL import Image

from tests.api import check
from tests.server import ENDED, started

SMALL = {"user_prompt": "a harbour at night", "max_shots": 1, "width": 64, "height": 64, "num_frames": 5}
MB = 1024 * 1024
WAIT_S = 30


def post(server, body, **headers):
    return server.post("/api/v1/jobs", json=body, headers=headers)


@pytest.fixture
def paused(server):
    """The queue stands still for the test; what it left waiting is taken away."""
    server.post("/api/v1/queue/pause")
    yield server
    for job in server.get("/api/v1/jobs?status=queued&page_size=100").json()["jobs"]:
        server.client.delete(f"/api/v1/jobs/{job['id']}")
    server.post("/api/v1/queue/resume")


# models


def test_the_model_may_be_left_out(server):
    answer = post(server, SMALL | {"dry_run": True})
    assert (answer.status_code, answer.json()["model_id"]) == (200, "stub:animatic")


def test_the_models_that_are_to_come_say_why_they_cannot_run(server):
    for model_id in ("replicate:svd-xt", "local:svd-xt"):
        model = server.get(f"/api/v1/models/{model_id.replace(':', '%3A')}").json()
        assert (model["id"], model["is_available"]) == (model_id, False)
        assert model["unavailable_reason"] in check.error(post(server, SMALL | {"model_id": model_id}), 503,
                                                          "model_unavailable")


def test_a_default_model_that_cannot_run_is_not_replaced(tmp_path):
    with started(tmp_path / "workspace", default_model="local:svd-xt") as server:
        assert "local:svd-xt" in check.error(post(server, SMALL), 503, "model_unavailable")
        assert post(server, SMALL | {"model_id": "stub:animatic", "dry_run": True}).status_code == 200
        assert server.get("/api/v1/health").json()["status"] == "healthy"


# jobs


def test_one_key_posted_by_many_at_once_makes_one_job(paused):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(paused, SMALL, **{"Idempotency-Key": "all-at-once"}), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1


def test_a_dry_run_leaves_the_key_free(paused):
    assert post(paused, SMALL | {"dry_run": True}, **{"Idempotency-Key": "dry"}).status_code == 200
    assert post(paused, SMALL, **{"Idempotency-Key": "dry"}).status_code == 201


def test_the_answer_to_a_post_is_the_job_as_it_was_taken(server):
    job = post(server, SMALL).json()
    assert (job["status"], job["progress_percentage"], job["started_at"]) == ("queued", 0.0, None)
    server.wait(job["id"])


def test_times_are_utc(finished):
    times = [finished[name] for name in ("created_at", "started_at", "ended_at", "updated_at")]
    assert all(check.UTC.fullmatch(time) for time in times)
    assert times == sorted(times)


def test_every_job_shows_its_seed_and_what_it_renders_with(paused):
    job = post(paused, SMALL | {"seed": 7, "parameters": {"motion_bucket_id": 9}, "fps": 12}).json()
    assert (job["seed"], job["fps"], job["width"], job["num_frames"]) == (7, 12, 64, 5)
    assert job["parameters"]["motion_bucket_id"] == 9 and "guidance_scale" in job["parameters"]
    assert post(paused, SMALL).json()["seed"] != post(paused, SMALL).json()["seed"]


def test_an_integer_may_be_written_with_a_fraction_of_nothing(paused):
    headers = {"Content-Type": "application/json"}
    body = json.dumps(SMALL)[:-1] + ', "seed": 12.0, "priority": 1e0, "parameters": {"motion_bucket_id": 9.0}}'
    answer = paused.post("/api/v1/jobs", content=body, headers=headers)
    assert (answer.status_code, answer.json()["seed"], answer.json()["priority"]) == (201, 12, 1)


def test_positions_are_those_of_the_queue(paused):
    ids = [post(paused, SMALL | {"priority": priority}).json()["id"] for priority in (0, -3, 5)]
    queue = paused.get("/api/v1/queue").json()["jobs"]
    assert [job["id"] for job in queue] == [ids[2], ids[0], ids[1]]
    assert [job["position"] for job in queue] == [1, 2, 3]
    for job in queue:
        assert paused.get(f"/api/v1/jobs/{job['id']}").json()["position"] == job["position"]


def test_a_waiting_job_is_cancelled_at_once(paused):
    job_id = post(paused, SMALL).json()["id"]
    job = paused.post(f"/api/v1/jobs/{job_id}/cancel").json()
    assert (job["status"], job["error_code"], job["position"]) == ("cancelled", "cancelled", None)
    check.error(paused.get(f"/api/v1/jobs/{job_id}/video"), 409, "not_finished")


def test_a_pause_outlives_the_server(tmp_path):
    with started(tmp_path / "workspace") as server:
        server.post("/api/v1/queue/pause")
        job_id = server.submit()
        server.stop()
    with started(tmp_path / "workspace") as server:
        assert server.get("/api/v1/queue").json()["paused"] is True
        assert server.get(f"/api/v1/jobs/{job_id}").json()["status"] == "queued"
        server.post("/api/v1/queue/resume")
        server.wait(job_id)


def test_a_finished_jobs_storyboard_makes_the_same_shots(server, finished):
    shots = [{name: shot[name] for name in ("description", "camera_move", "duration_seconds", "seed")}
             for shot in finished["storyboard"]["shots"]]
    own = {"title": finished["storyboard"]["title"], "shots": shots}
    job = server.wait(post(server, SMALL | {"storyboard": own}).json()["id"])
    assert [{name: shot[name] for name in shots[0]} for shot in job["storyboard"]["shots"]] == shots
    assert job["storyboard"]["id"] != finished["storyboard"]["id"]


def test_the_recipe_is_in_the_job_and_beside_its_video(server, finished):
    recipe = server.get(f"/api/v1/jobs/{finished['id']}/recipe").json()
    beside = server.get(f"/videos/{finished['id']}/final_output.json")
    assert beside.headers["Content-Type"] == "application/json"
    assert beside.json()["recipe"] == recipe["recipe"]
    assert beside.json()["run"] | {"ended_at": 0} == recipe["run"] | {"ended_at": 0}
    assert recipe["recipe"]["seed"] == finished["seed"]


# events


def connect(server, job_id, query=""):
    return websocket.create_connection(f"{server.url.replace('http', 'ws')}/ws/jobs/{job_id}{query}", timeout=WAIT_S)


def hear(ws, *until: str) -> list[dict]:
    said = [json.loads(ws.recv())]
    while said[-1]["type"] not in until:
        said.append(json.loads(ws.recv()))
    return said


def streamed(server, job_id: str, **headers: str) -> list[dict]:
    """The blocks of an event stream, each with its lines by name."""
    with server.client.stream("GET", f"/api/v1/jobs/{job_id}/events", headers=headers) as answer:
        text = "".join(answer.iter_text())
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in text.strip().split("\n\n")]
    return [block | {"message": json.loads(block["data"])} for block in blocks if "data" in block]


def test_who_comes_late_is_told_where_the_job_stands(server, held):
    job_id = held()
    server.wait_for_progress(job_id, 10)    # its first frame is drawn; at the second it waits
    ws = connect(server, job_id)
    said = hear(ws, "progress")
    job = server.get(f"/api/v1/jobs/{job_id}").json()
    assert [message["type"] for message in said] == ["connected", "progress"]
    assert said[0]["seq"] == said[1]["seq"]
    assert (said[1]["step"], said[1]["progress"]) == (job["current_step"], job["progress_percentage"])
    server.post(f"/api/v1/jobs/{job_id}/cancel")
    end = hear(ws, "error")[-1]
    ws.close()
    assert (end["code"], end["seq"] > said[0]["seq"]) == ("cancelled", True)
    assert server.get(f"/api/v1/jobs/{job_id}").json()["error_message"] == end["error"]


def test_at_100_percent_the_video_is_there(server):
    job_id = server.submit(parameters={"slow_ms": 10})
    ws = connect(server, job_id)
    said = hear(ws, "progress")
    while said[-1].get("progress") != 100:
        assert said[-1]["type"] != "job_complete"
        said.append(json.loads(ws.recv()))
    assert server.get(f"/api/v1/jobs/{job_id}/video").status_code == 200
    ws.close()
    percents = [message["progress"] for message in said if message["type"] == "progress"]
    assert percents == sorted(percents) and len(percents) > 5


def test_what_was_heard_live_is_what_the_log_holds(server):
    server.post("/api/v1/queue/pause")
    job_id = server.submit(max_shots=2)
    ws = connect(server, job_id)
    server.post("/api/v1/queue/resume")
    live = {message["seq"]: message for message in hear(ws, "job_complete")[2:]}
    ws.close()
    logged = [block["message"] for block in streamed(server, job_id, **{"Last-Event-ID": "0"})][1:]
    assert [message for message in logged if message["seq"] in live] == [m for m in logged if m["seq"] >= min(live)]
    assert all(live[message["seq"]] == message for message in logged if message["seq"] in live)
    assert {message["code"] for message in logged if message["type"] == "note"} == {"planner_offline"}
    assert all(first["seq"] < second["seq"] for first, second in pairwise(logged))


def test_the_log_keeps_one_progress_of_a_finished_shot(server, finished):
    logged = [block["message"] for block in streamed(server, finished["id"], **{"Last-Event-ID": "0"})]
    shots = [message["shot_id"] for message in logged if message["type"] == "progress" and message["shot_id"]]
    assert sorted(shots) == ["shot_001", "shot_002"]


def test_a_stream_lost_after_its_first_event_misses_nothing(server, finished):
    """A browser sends the last ``id`` that it saw; ``connected`` does not count as having heard what is to come."""
    fresh = streamed(server, finished["id"])
    assert fresh[0]["event"] == "connected" and "id" not in fresh[0]
    replay = streamed(server, finished["id"], **{"Last-Event-ID": "0"})
    assert replay[0]["event"] == "connected" and "id" not in replay[0]
    seen = replay[1]["id"]
    rest = streamed(server, finished["id"], **{"Last-Event-ID": seen})
    assert [block["id"] for block in rest[1:]] == [block["id"] for block in replay[2:]]
    assert rest[-1]["event"] == "job_complete"


# files


def test_head_takes_no_ranges(server, finished):
    whole = server.client.head(finished["output_video_url"])
    part = server.client.head(finished["output_video_url"], headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.headers["Content-Length"]) == (200, whole.headers["Content-Length"])


@pytest.mark.parametrize("name", ["final_output.mp4", "shot_001.mp4", "poster.jpg"])
def test_pieces_make_the_whole(server, finished, name):
    url = f"/videos/{finished['id']}/{name}"
    whole = server.get(url).content
    step = len(whole) // 3 + 1
    pieces = [server.get(url, headers={"Range": f"bytes={at}-{at + step - 1}"}) for at in range(0, len(whole), step)]
    assert [piece.status_code for piece in pieces] == [206] * 3
    assert b"".join(piece.content for piece in pieces) == whole


# uploads


def picture(size=(32, 16), kind="PNG", **options) -> bytes:
    """A picture whose left half is red and whose right half is blue."""
    image = Image.new("RGB", size, "blue")
    image.paste("red", (0, 0, size[0] // 2, size[1]))
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def upload(server, data: bytes, name: str = "picture.png"):
    return server.post("/api/v1/upload", files={"file": (name, data, "application/octet-stream")})


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_formats_that_are_taken(server, kind):
    answer = upload(server, picture(kind=kind))
    assert (answer.status_code, answer.json()["width"], answer.json()["height"]) == (200, 32, 16)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "ICO"])
def test_formats_that_are_not(server, kind):
    check.error(upload(server, picture(kind=kind), "picture.png"), 400, "unsupported_image", "file")


def test_a_photograph_is_turned_upright_and_loses_what_it_told(server):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera that nobody is to know"    # orientation, maker
    data = picture(kind="JPEG", exif=exif, quality=95)
    answer = upload(server, data, "photograph.jpg").json()
    stored = (server.workspace / "uploads" / answer["file_path"].rpartition("/")[2]).read_bytes()
    assert (answer["width"], answer["height"], answer["file_size_bytes"]) == (16, 32, len(data))
    assert b"nobody" in data and b"nobody" not in stored
    with Image.open(io.BytesIO(stored)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (16, 32))
        top, bottom = image.getpixel((8, 2)), image.getpixel((8, 29))
    assert top[0] > 200 > bottom[0] and bottom[2] > 200 > top[2]


def test_ten_megabytes_and_no_more(server):
    full = picture() + b"\0" * (10 * MB - len(picture()))
    answer = upload(server, full)
    assert (answer.status_code, answer.json()["file_size_bytes"]) == (200, 10 * MB)
    check.error(upload(server, full + b"\0"), 413, "too_large")


def test_an_upload_is_cut_off_while_it_arrives(server):
    sent = 0

    def endless():
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        while sent < 30 * MB:
            sent += MB
            yield b"\0" * MB

    answer = server.post("/api/v1/upload", content=endless(),
                         headers={"Content-Type": "multipart/form-data; boundary=x"})
    check.error(answer, 413, "too_large")
    assert not re.search(r"\.part", " ".join(file.name for file in (server.workspace / "uploads").iterdir()))


@pytest.mark.parametrize(
    ("path", "kind", "begun"),
    [("/api/v1/jobs", "application/json", b'{"user_prompt": '),
     ("/api/v1/upload", "multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="file"')],
)
def test_a_client_that_goes_in_the_middle_of_its_request_is_no_error(server, path, kind, begun):
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 1000\r\n\r\n".encode()
    address = server.client.base_url
    for _ in range(10):
        with socket.create_connection((address.host, address.port), timeout=WAIT_S) as raw:
            raw.sendall(head + begun)
    assert server.get("/api/v1/ready").status_code == 200
    assert upload(server, picture()).status_code == 200
    assert "internal error" not in server.log()


def test_jobs_by_how_they_ended(server):
    for status in ENDED:
        jobs = server.get(f"/api/v1/jobs?status={status}").json()["jobs"]
        assert {job["status"] for job in jobs} <= {status}
        assert all((job["error_message"] is None) == (status == "completed") for job in jobs)
