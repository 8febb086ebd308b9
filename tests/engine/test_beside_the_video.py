"""What lies beside a video: its contact sheet, drawn when it is first asked for, and the recipe written with it."""

import json

import pytest

from tests.engine.conftest import ask, wait
from tests.engine.family import PLACES, made
from tests.fakes.ffmpeg import FakeFfmpeg
from vidgen.engine import recipe
from vidgen.engine.sheets import CONTACT_SHEET
from vidgen.engine.steps import FINAL_SHEET
from vidgen.errors import DiskLow, NotFound
from vidgen.media import video
from vidgen.store import jobs


def test_the_sheet_shows_the_frames_that_there_are_whatever_was_planned(start):
    """A hosted model's clip may be longer or shorter."""
    engine = start()
    first = made(engine, PLACES[:2])
    drawn = engine.file(first.id, CONTACT_SHEET).read_bytes()
    for planned in (1, 30):
        engine.file(first.id, CONTACT_SHEET).unlink()
        engine._database.write(lambda tx, planned=planned: jobs.update_shot(tx, first.id, 0, num_frames=planned))
        assert engine.file(first.id, CONTACT_SHEET).read_bytes() == drawn


def test_a_sheet_that_finds_no_room_says_so(start, tmp_path, monkeypatch):
    fake = FakeFfmpeg(tmp_path / "fake")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake.executable))
    engine = start()
    first = made(engine, PLACES[:1])
    fake.behave("exit", kind="inspect", code=228)
    with pytest.raises(DiskLow, match="no space left"):
        engine.file(first.id, CONTACT_SHEET)
    fake.behave("well")
    assert engine.file(first.id, CONTACT_SHEET).exists()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_job_that_is_deleted_while_its_sheet_is_drawn_leaves_nothing(start, monkeypatch, when):
    engine = start()
    first = made(engine, PLACES[:1])
    draw = video.contact_sheet

    def deleting(*arguments, **named):
        if when == "after":
            draw(*arguments, **named)
        engine.delete(first.id)
        if when == "before":
            draw(*arguments, **named)

    monkeypatch.setattr(video, "contact_sheet", deleting)
    with pytest.raises(NotFound, match="is gone"):
        engine.file(first.id, CONTACT_SHEET)
    assert list(engine.workspace.videos.iterdir()) == []


def test_a_video_that_goes_while_its_sheet_is_drawn_takes_nothing_else_along(start, monkeypatch):
    engine = start()
    first = made(engine, PLACES[:1])
    draw = video.contact_sheet

    def losing(final, *arguments, **named):
        final.unlink()
        draw(final, *arguments, **named)

    monkeypatch.setattr(video, "contact_sheet", losing)
    with pytest.raises(NotFound, match="is gone"):
        engine.file(first.id, CONTACT_SHEET)
    assert engine.file(first.id, first.storyboard.shots[0].video).exists()


def test_the_recipe_is_the_one_that_the_video_was_made_by(start):
    """Settings change, models are updated; the video does not."""
    engine = start()
    first = made(engine, PLACES[:1])
    said = engine.recipe(first.id)
    engine.close(1)
    again = start(encoder_crf=35)
    assert again.recipe(first.id) == said
    written = video.read_metadata(again.video(first.id))[recipe.METADATA_KEY]
    assert recipe.canonical(again.recipe(first.id)["recipe"]) == written
    second = wait(again, again.submit(ask())[0].id)
    assert again.recipe(second.id)["recipe"]["encoder"]["crf"] == 35


def test_a_recipe_that_is_gone_is_reckoned_again(start):
    engine = start()
    first = made(engine, PLACES[:1])
    said, file = engine.recipe(first.id), engine.file(first.id, FINAL_SHEET)
    for content in ("", "{", "[]", "{}"):
        file.write_text(content)
        assert json.loads(json.dumps(engine.recipe(first.id))) == said, content
    file.unlink()
    assert json.loads(json.dumps(engine.recipe(first.id))) == said
