"""A job in a notebook: progress, then the video; what people wrote is text."""

import importlib
import sys
from base64 import b64decode
from copy import deepcopy
from pathlib import Path
from re import search

import pytest

from tests.client.conftest import SMALL
from vidgen.client import Client, Event, Job, JobFailed
from vidgen.client.notebook import _Lines

FAKE = Path(__file__).parents[1] / "fakes" / "ipython"
NASTY = "<script>alert(1)</script> & \"quotes\""


def shown(job) -> str:
    return job._repr_mimebundle_()["text/html"]


@pytest.fixture
def drawn(monkeypatch):
    """What IPython was given to draw."""
    monkeypatch.syspath_prepend(FAKE)
    importlib.import_module("IPython")
    yield importlib.import_module("IPython.display").drawn
    for name in ("IPython", "IPython.display"):
        sys.modules.pop(name)


def test_a_finished_job_is_its_video(client, finished):
    page = shown(finished)
    found = search(r'<video [^>]*src="data:video/mp4;base64,([^"]+)"', page)
    assert b64decode(found[1]) == client.content(finished.output_video_url, 10**9)
    assert finished.video_url in page


def test_a_large_video_is_its_poster_and_its_address(client, finished, monkeypatch):
    monkeypatch.setattr("vidgen.client.notebook.EMBED_BYTES", len(client.content(finished.poster_url, 10**9)))
    page = shown(finished)
    assert "<video" not in page
    assert '<img width="64" alt="" src="data:image/jpeg;base64,' in page
    assert f'href="{finished.video_url}"' in page


def test_a_job_that_runs_is_its_progress_now(held):
    next(event for event in held.events() if event.phase == "render")
    page = shown(held)
    assert "<progress" in page and "Generating shot 1 of 1" in page
    assert "a river. <small>rendering</small></li>" in page
    assert held.status == "processing"


def test_a_job_that_failed_says_why(client):
    job = client.generate("a river", **SMALL, parameters={"fail_at_step": 1, "fail_fatal": True})
    with pytest.raises(JobFailed):
        job.wait()
    assert f"failed: {job.error_message}" in shown(job)


def test_words_are_never_markup(client, finished):
    data = deepcopy(finished.data)
    data |= {"user_prompt": NASTY, "current_step": NASTY, "error_message": NASTY, "model_id": NASTY}
    data["storyboard"]["shots"][0] |= {"description": NASTY}
    for status in ("completed", "failed"):
        page = shown(Job(client, data | {"status": status}))
        assert "<script" not in page and "&lt;script&gt;" in page
    with Client("http://127.0.0.1:9") as nobody:
        job = Job(nobody, data | {"status": "processing"})
        page = shown(job)
        assert "<script" not in page and "&lt;script&gt;" in page


def test_a_server_that_is_gone_breaks_no_cell(finished):
    with Client("http://127.0.0.1:9") as nobody:
        there = Job(nobody, {**finished.data, "status": "processing"})._repr_mimebundle_()
        assert "nothing answers at" in there["text/plain"] and "nothing answers at" in there["text/html"]
        assert "<video" not in shown(Job(nobody, finished.data))


def test_live_progress_in_a_cell(client, held, drawn, monkeypatch):
    class Watched(Job):
        """Ends once it has been drawn three times."""

        def _repr_mimebundle_(self, **asked):
            if len(drawn) == 3:
                client.cancel(self.id)
            return super()._repr_mimebundle_(**asked)

    monkeypatch.setattr("vidgen.client.notebook.REDRAW_S", 0)
    with pytest.raises(JobFailed, match="cancelled"):
        Watched(client, held.data).show()
    assert ["<progress" in picture["text/html"] for picture in drawn[:3]] == [True] * 3
    assert "<p>cancelled: " in drawn[-1]["text/html"]


def test_the_end_in_a_cell_is_the_video(finished, drawn):
    finished.show()
    assert "<video" in drawn[-1]["text/html"]


def test_progress_as_lines_elsewhere(client, capsys):
    client.generate("A lighthouse", **SMALL).show()
    said = capsys.readouterr()
    assert said.out == ""
    assert "Generating shot 1 of 1" in said.err and said.err.count("Generating shot 1 of 1") == 1
    assert "100 % Complete" in said.err


def test_shots_that_take_turns_are_named_once_an_attempt(capsys):
    say = _Lines()
    for shot, attempt in [(1, 1), (2, 1), (1, 1), (2, 1), (2, 2)]:
        say(Event({"type": "progress", "step": f"shot {shot}", "progress": 5, "attempt": attempt}))
    assert capsys.readouterr().err.splitlines() == [f"  5 % shot {shot}" for shot in (1, 2, 2)]


def test_it_says_itself_in_one_line(client, finished):
    assert repr(finished) == f"<Job {finished.id} completed 100 % 'A lighthouse. A gull over the sea. Rain…'>"
    assert repr(client) == f"<Client of {client.base_url}>"
