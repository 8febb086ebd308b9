"""What is made beside a video, as the API gives it: its contact sheet, and its frames where a job keeps them."""

import asyncio
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from zipfile import ZipFile

import httpx
import pytest
from PIL import Image

from tests.api import check
from tests.api.trials import events
from vidgen.api.app import create_app
from vidgen.engine.events import Hub
from vidgen.settings import load_settings

WAIT_S = 60
STORYBOARD = {"title": "Lakes", "shots": [{"description": "A lake"}, {"description": "A pond"}]}


@pytest.fixture(scope="module")
def kept(server) -> dict:
    """A job of two shots that keeps its frames."""
    return server.wait(server.submit(save_frames=True, seed=3, storyboard=STORYBOARD))


def images(server, url: str) -> list[Image.Image]:
    answer = server.get(url)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    with ZipFile(io.BytesIO(answer.content)) as archive:
        return [Image.open(io.BytesIO(archive.read(name))) for name in archive.namelist()]


def test_a_finished_job_has_a_contact_sheet(server, finished):
    assert finished["sheet_url"] == f"/videos/{finished['id']}/sheet.jpg"
    answer = server.get(finished["sheet_url"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    with Image.open(io.BytesIO(answer.content)) as sheet:
        assert sheet.size == (3 * 64, 3 * 64)                       # 9 of 10 frames


def test_it_is_drawn_when_it_is_first_asked_for_and_once(server):
    job = server.wait(server.submit())
    drawn = server.workspace / "videos" / job["id"] / "sheet.jpg"
    assert not drawn.exists()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(server.get, [job["sheet_url"]] * 4))
    assert {(answer.status_code, answer.headers["ETag"]) for answer in answers} == {(200, answers[0].headers["ETag"])}
    assert answers[0].content == drawn.read_bytes()


class Drawing:
    """An engine that draws for as long as it is let, and has the other files at once."""

    def __init__(self, path):
        self.settings, self.hub, self.end = load_settings(_env_file=None), Hub(), threading.Event()
        self._path = path

    def file(self, job_id, name):
        if name == "sheet.jpg":
            self.end.wait()
        return self._path


def test_however_many_sheets_are_drawn_other_files_are_served(tmp_path):
    (path := tmp_path / "poster.jpg").write_bytes(b"poster")
    app = create_app(engine := Drawing(path))

    async def ask() -> tuple[httpx.Response, list[httpx.Response]]:
        transport = httpx.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://localhost") as web
        ):
            sheets = asyncio.gather(*[web.get(f"/videos/job_{i}/sheet.jpg") for i in range(100)])
            try:
                poster = await asyncio.wait_for(web.get("/videos/job_1/poster.jpg"), WAIT_S)
            finally:
                engine.end.set()
            return poster, await sheets

    poster, sheets = asyncio.run(ask())
    assert poster.content == b"poster" and {sheet.content for sheet in sheets} == {b"poster"}


def test_the_sheet_is_there_once_the_video_is(server, held):
    job_id = held(num_frames=4)
    server.wait_for_step(job_id, "Generating")
    assert server.get(f"/api/v1/jobs/{job_id}").json()["sheet_url"] is None
    check.error(server.get(f"/videos/{job_id}/sheet.jpg"), 404, "not_found")


def test_frames_are_not_kept_unless_they_are_asked_for(server, finished):
    for shot in finished["storyboard"]["shots"]:
        assert shot["frames_url"] is None
        check.error(server.get(f"/videos/{finished['id']}/{shot['id']}_frames.zip"), 404, "not_found")


def test_each_shots_frames_can_be_downloaded(server, kept):
    for shot in kept["storyboard"]["shots"]:
        assert shot["frames_url"] == f"/videos/{kept['id']}/{shot['id']}_frames.zip"
        found = images(server, shot["frames_url"])
        assert [(image.format, image.mode, image.size) for image in found] == [("PNG", "RGB", (64, 64))] * 5
        with Image.open(io.BytesIO(server.get(shot["poster_url"]).content)) as poster:
            away = [abs(a - b) for a, b in zip(poster.convert("RGB").tobytes(), found[2].tobytes(), strict=True)]
        assert sum(away) / len(away) < 12                           # the middle frame, which was encoded twice since


def test_a_part_of_them_can_be_downloaded(server, kept):
    url = kept["storyboard"]["shots"][0]["frames_url"]
    whole = server.get(url).content
    part = server.get(url, headers={"Range": "bytes=100-299"})
    assert (part.status_code, part.content) == (206, whole[100:300])


def test_who_listens_is_told_where_they_are(server, kept, finished):
    def told(job: dict) -> set[str | None]:
        return {said["frames_url"] for said in events(server, job["id"]) if said["type"] == "shot_complete"}

    assert told(kept) == {shot["frames_url"] for shot in kept["storyboard"]["shots"]}
    assert told(finished) == {None}


def test_keeping_them_changes_nothing_about_the_video(server, kept):
    plain = server.wait(server.submit(seed=3, storyboard=STORYBOARD))
    for name in ("output_video_url", "sheet_url"):
        assert server.get(plain[name]).content == server.get(kept[name]).content


def test_they_go_with_the_job(server):
    job = server.wait(server.submit(save_frames=True))
    url = job["storyboard"]["shots"][0]["frames_url"]
    assert server.get(url).status_code == 200
    assert server.client.delete(f"/api/v1/jobs/{job['id']}").status_code == 200
    check.error(server.get(url), 404, "not_found")
