"""A disk that fills up at each write: clean failures, and the very same server goes on once there is space again."""

import io
import re
import time

import pytest
from PIL import Image

from tests.chaos.autopsy import examine
from tests.fakes.disk import small_disk
from tests.server import ENDED, Server, started

REFUSED = 2                                 # the exit code
START_BYTES = 8 << 10                       # too small for an empty database
DISK_BYTES = 24 << 20
WAL_PAGES = 1000                            # SQLite begins its log anew after so many
COLD = (0, 40_000, 70_000, 100_000, 130_000, 160_000, 500_000)  # bytes left while the database's log still grows
WARM = (0, 4_000, 8_000, 12_000, 16_000, 500_000)  # bytes left once it is written over: the files' turn
STUCK_S = 10.0


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk") / "workspace"
    disk = small_disk(folder, DISK_BYTES)
    with started(folder, launcher=disk.launcher, allow_test_parameters=True, **disk.settings) as server:
        disk.attach(server.process.pid)
        server.disk = disk
        yield server


def test_a_start_without_room_is_refused_in_words(tmp_path):
    disk = small_disk(tmp_path / "workspace", START_BYTES)
    server = Server(tmp_path / "workspace", launcher=disk.launcher, **disk.settings)
    try:
        assert server.wait_until_gone() == REFUSED
    finally:
        server.kill()
    assert re.search("vidgen cannot start: .*(full|[Nn]o space)", server.log())
    assert "Traceback" not in server.log()


def job_ids(server):
    return {job["id"] for job in server.get("/api/v1/jobs?page_size=100").json()["jobs"]}


def ask(server):
    body = {"user_prompt": "a lake", "max_shots": 1, "width": 64, "height": 64, "num_frames": 5}
    return server.post("/api/v1/jobs", json=body)


def has_ended(server, job_id):
    return server.get(f"/api/v1/jobs/{job_id}").json()["status"] in ENDED


def wait_for_trouble(server, job_id):
    """Until the job has ended or an attempt of it failed, or it has had a moment on a disk without room."""
    deadline = time.monotonic() + STUCK_S
    while not has_ended(server, job_id) and time.monotonic() < deadline and server.disk.free() > 0:
        if re.search(f"failed: .*job={job_id}", server.log()):
            break
        time.sleep(0.02)
    time.sleep(0.2)


def fill_and_post(server, free_bytes):
    """One job on a disk with *free_bytes* left; how it went."""
    before = job_ids(server)
    server.disk.leave(free_bytes)
    try:
        answer = ask(server)
        if answer.status_code == 201:
            wait_for_trouble(server, answer.json()["id"])
        assert server.get("/api/v1/health").status_code == 200
    finally:
        server.disk.release()
    if answer.status_code == 507:
        assert answer.json()["code"] == "disk_low"
        assert set(answer.json()) == {"error", "detail", "timestamp", "code"}
        assert job_ids(server) == before
        return "refused"
    assert answer.status_code == 201, answer.text
    return settle(server, answer.json()["id"])


def settle(server, job_id):
    """There is space again: the job ends, well or with the reason."""
    deadline = time.monotonic() + STUCK_S
    while not has_ended(server, job_id):
        assert time.monotonic() < deadline, server.log()[-3000:]
        time.sleep(0.05)
    job = server.get(f"/api/v1/jobs/{job_id}").json()
    if job["status"] == "failed":
        assert job["error_code"] in ("disk_low", "disk_full"), job
        assert "space" in job["error_message"] or "disk is full" in job["error_message"]
        return "failed"
    assert job["status"] == "completed"
    assert server.get(f"/api/v1/jobs/{job_id}/video").status_code == 200
    return "completed"


def assert_whole(server):
    """Nothing torn is served, nothing was left behind, and the next job is as good as any."""
    found = examine(server.disk.root)
    assert found.faults == []
    assert [path.name for path in server.disk.root.rglob(".*part*")] == []
    server.wait(server.submit(max_shots=2))
    assert server.process.poll() is None


def test_the_disk_is_full_at_each_write_of_the_database(server):
    went = [fill_and_post(server, free_bytes) for free_bytes in COLD]
    assert went[0] == "refused"
    assert went[-1] == "completed"
    assert "cannot be written" in server.log() or "cannot claim" in server.log()
    assert_whole(server)


def test_the_disk_is_full_at_each_write_of_a_file(server):
    log = server.disk.root / "vidgen.db-wal"
    server.post("/api/v1/queue/pause").raise_for_status()
    while log.stat().st_size < WAL_PAGES * 4096:      # rows are enough to fill it: nothing is rendered for it
        server.client.delete(f"/api/v1/jobs/{server.submit()}").raise_for_status()
    server.post("/api/v1/queue/resume").raise_for_status()
    server.wait(server.submit())
    went = [fill_and_post(server, free_bytes) for free_bytes in WARM]
    assert went[-1] == "completed"
    assert "render failed: there is no space left" in server.log()
    assert "assemble failed: there is no space left" in server.log()
    assert_whole(server)


def test_an_upload_that_does_not_fit_is_refused_and_leaves_nothing(server):
    data = io.BytesIO()
    Image.effect_noise((400, 400), 100).convert("RGB").save(data, "PNG")
    files = {"file": ("noise.png", data.getvalue(), "image/png")}
    server.disk.leave(20_000)
    try:
        refused = server.post("/api/v1/upload", files=files)
    finally:
        server.disk.release()
    assert refused.status_code == 507, refused.text
    assert refused.json()["code"] == "disk_low"
    assert list((server.disk.root / "uploads").iterdir()) == []
    taken = server.post("/api/v1/upload", files=files)
    server.wait(server.submit(reference_image=taken.json()["file_id"]))


def test_the_disk_fills_up_while_a_shot_is_rendered(server):
    job_id = server.submit(num_frames=40, parameters={"slow_ms": 10})
    server.wait_for_step(job_id, "Generating")
    server.disk.leave(0)
    try:
        wait_for_trouble(server, job_id)
    finally:
        server.disk.release()
    assert settle(server, job_id) == "completed"
    assert_whole(server)
