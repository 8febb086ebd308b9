"""Downloads: whole or not at all, taken up again where they broke."""

import os
import random
from http.server import BaseHTTPRequestHandler
from itertools import pairwise

import pytest

from tests.client.conftest import KEY, PROMPT, SMALL
from tests.client.loopback import answering
from tests.fakes.cutting import cutting
from vidgen.client import Client, Conflict, InvalidRequest, NotFound


@pytest.fixture(scope="module")
def long(client):
    """A job whose video takes many connections to fetch."""
    return client.generate(PROMPT, **SMALL | {"width": 512, "height": 512, "num_frames": 40}).wait()


def test_a_download_that_breaks_goes_on_where_it_was(server, client, long, tmp_path):
    whole = client.content(long.output_video_url, 10**9)
    told, chance = [], random.Random(7)
    with cutting(server.url, lambda: chance.randrange(500, len(whole) // 8)) as proxy, Client(proxy.url, KEY) as cut:
        saved = cut.download(long.id, tmp_path / "out.mp4", progress=lambda done, total: told.append((done, total)))
        assert proxy.cuts >= 8
    assert saved.read_bytes() == whole
    assert {total for _, total in told} == {len(whole)}
    assert told[-1][0] == len(whole)
    assert all(before <= after for (before, _), (after, _) in pairwise(told))
    assert list(tmp_path.iterdir()) == [saved]


class Replaced(BaseHTTPRequestHandler):
    """A file of which half is sent; whoever asks for the rest finds another file there."""

    def do_GET(self):
        rest = "Range" in self.headers
        assert self.headers.get("If-Range") == ('"one"' if rest else None)
        content = b"other" if rest else b"x" * 100
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", '"two"' if rest else '"one"')
        self.end_headers()
        self.wfile.write(content if rest else content[:50])


def test_a_file_that_is_another_by_then_is_taken_from_its_start(tmp_path):
    with answering(Replaced) as url, Client(url) as client:
        assert client.file("/videos/a/b.mp4", tmp_path / "b.mp4").read_bytes() == b"other"


def test_where_a_download_goes(client, finished, tmp_path, monkeypatch):
    whole = client.content(finished.output_video_url, 10**9)
    assert client.download(finished.id, tmp_path) == tmp_path / f"{finished.id}.mp4"
    monkeypatch.chdir(tmp_path)
    assert finished.download().resolve() == tmp_path / f"{finished.id}.mp4"
    (tmp_path / "there.mp4").write_bytes(b"old")
    assert client.download(finished.id, str(tmp_path / "there.mp4")).read_bytes() == whole
    assert client.file(finished.shots[0].video_url, tmp_path).name == "shot_001.mp4"
    assert client.file(client.base_url + finished.poster_url, tmp_path).name == "poster.jpg"


def test_nothing_is_left_of_a_download_that_fails(client, finished, held, tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(Conflict):
        client.download(held.id, tmp_path / "a.mp4")
    with pytest.raises(NotFound):
        client.file(f"/videos/{finished.id}/no.mp4", tmp_path / "a.mp4")
    with pytest.raises(KeyboardInterrupt):
        client.download(finished.id, tmp_path / "a.mp4", progress=stop)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        client.download(finished.id, tmp_path / "none" / "a.mp4")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileExistsError, match="no file"):
        client.download(finished.id, tmp_path / "pipe")
    assert list(tmp_path.iterdir()) == [tmp_path / "pipe"]


@pytest.mark.parametrize("url", ["https://elsewhere.example/a.mp4", "//elsewhere.example/a.mp4", "a.mp4", ""])
def test_files_come_from_this_server_alone(client, tmp_path, url):
    with pytest.raises(InvalidRequest, match="url: "):
        client.file(url, tmp_path / "a.mp4")


def test_a_large_file_is_not_taken_into_memory(client, finished):
    assert client.content(finished.output_video_url, 10) is None
