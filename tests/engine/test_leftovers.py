"""Of a cancelled job only its finished shots stay: no part of its video, and no preview that came too late."""

import pytest

from tests.engine.conftest import until, wait
from tests.engine.test_cancel import submit
from tests.fakes.ffmpeg import FakeFfmpeg
from vidgen.types import JobStatus, StepKind


@pytest.fixture
def fake(tmp_path, monkeypatch):
    made = FakeFfmpeg(tmp_path / "fake")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(made.executable))
    return made


def test_what_was_published_of_the_video_goes_with_a_cancel(start, fake):
    engine = start()
    fake.behave("hang", kind="join")
    job_id = submit(engine)
    until(lambda: fake.runs("join"), "ffmpeg to join")
    folder = engine.workspace.job_dir(job_id)
    for name in ("final_output.mp4", "final_output.json", "poster.jpg"):
        (folder / name).write_text("published a moment before")
    engine.cancel(job_id)
    job = wait(engine, job_id, JobStatus.CANCELLED)
    shot, = job.storyboard.shots
    kept = {shot.video, shot.poster, shot.preview} - {None}
    until(lambda: {path.name for path in folder.iterdir()} == kept, "the rest to go")


def test_a_preview_of_a_job_that_has_ended_is_not_kept(start):
    engine = start()
    job_id = submit(engine, parameters={"wait_at_step": 1})
    until(lambda: engine.job(job_id).current_step.startswith("Generating"), "the render")
    control, = engine._works.lanes.running.of_job(job_id)
    engine.cancel(job_id)
    job = wait(engine, job_id, JobStatus.CANCELLED)
    assert control.step_row.kind is StepKind.RENDER
    name = job.storyboard.shots[0].preview
    control.show(b"\xff\xd8late")
    engine._works.previews.close()
    folder = engine.workspace.job_dir(job_id)
    until(lambda: [path.name for path in folder.iterdir()] == ([name] if name else []), "the preview to go")
