"""The autopsy finds what it is there to find."""

import shutil
import sqlite3
from contextlib import closing

import pytest

from tests.chaos.autopsy import BACKWARDS, DATABASE, FINAL, LOST, RENDERED_AGAIN, TORN, TWICE, compare, examine
from tests.engine.conftest import ask, make_engine, wait


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The workspace of a server that made one video, and ended."""
    root = tmp_path_factory.mktemp("finished") / "workspace"
    engine = make_engine(root)
    engine.start()
    request = ask(max_shots=2, user_prompt="a lake, a hill", save_frames=True)
    wait(engine, engine.submit(request, "key")[0].id)
    engine.close(5)
    return root


@pytest.fixture
def workspace(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "workspace")


def change(workspace, *statements):
    with closing(sqlite3.connect(workspace / "vidgen.db")) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


def kinds(faults):
    return {fault.kind for fault in faults}


def test_a_sound_workspace_has_no_faults_and_looking_changes_nothing(workspace):
    found = examine(workspace)
    assert found.faults == []
    assert compare(found, examine(workspace)) == []
    assert list(found.jobs.values()) == ["completed"]
    assert len(found.finished()) == 2
    assert list(found.keys) == ["key"]


def test_an_empty_workspace_is_sound(tmp_path):
    assert examine(tmp_path).faults == []


@pytest.mark.parametrize("cut", [1, 100, 2000])
@pytest.mark.parametrize(
    "name", [FINAL, "shot_001.mp4", "shot_002_poster.jpg", "final_output.json", "shot_001_frames.zip"]
)
def test_a_file_that_lost_its_end_is_torn(workspace, name, cut):
    path, = workspace.rglob(name)
    with path.open("rb+") as file:
        file.truncate(max(0, path.stat().st_size - cut))
    assert kinds(examine(workspace).faults) == {TORN}


@pytest.mark.parametrize("name", ["shot_001.mp4", "shot_002_frames.zip", FINAL])
def test_a_finished_job_without_one_of_its_files_is_torn(workspace, name):
    path, = workspace.rglob(name)
    path.unlink()
    assert kinds(examine(workspace).faults) == {TORN}


@pytest.mark.parametrize(("damage", "kind"), [
    ("INSERT INTO events (job_id, type, body, created_at) SELECT id, 'job_complete', '{}', 0 FROM jobs", TWICE),
    ("INSERT INTO events (job_id, type, body, created_at) SELECT id, 'error', '{}', 0 FROM jobs", TWICE),
    ("DELETE FROM events WHERE type = 'shot_complete'", TWICE),
    ("UPDATE jobs SET status = 'processing'", TWICE),
    ("INSERT INTO events (job_id, type, body, created_at) VALUES ('job_none', 'note', '{}', 0)", DATABASE),
])
def test_a_log_that_does_not_tell_the_truth_is_found(workspace, damage, kind):
    change(workspace, damage)
    assert kinds(examine(workspace).faults) == {kind}


def test_a_damaged_database_is_found(workspace):
    with (workspace / "vidgen.db").open("rb+") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 4096)
    assert DATABASE in kinds(examine(workspace).faults)


@pytest.mark.parametrize(("damage", "kind"), [
    ("DELETE FROM jobs", LOST),
    ("UPDATE jobs SET status = 'queued'", BACKWARDS),
    ("UPDATE jobs SET status = 'failed'", BACKWARDS),
    ("UPDATE steps SET attempts = 2 WHERE kind = 'render'", RENDERED_AGAIN),
    ("UPDATE shots SET status = 'rendering'", RENDERED_AGAIN),
    ("UPDATE sqlite_sequence SET seq = 1 WHERE name = 'events'", DATABASE),
])
def test_what_must_not_happen_between_two_deaths_is_found(workspace, damage, kind):
    before = examine(workspace)
    change(workspace, damage)
    assert kind in kinds(compare(before, examine(workspace)))


@pytest.mark.parametrize(("name", "kind"), [("shot_001.mp4", RENDERED_AGAIN), (FINAL, TWICE)])
def test_a_video_that_was_made_again_is_found_though_its_bytes_are_the_same(workspace, name, kind):
    before = examine(workspace)
    path, = workspace.rglob(name)
    shutil.copy2(path, path.with_name("copy"))
    path.with_name("copy").replace(path)
    assert kinds(compare(before, examine(workspace))) == {kind}


def test_a_deleted_job_is_not_a_lost_one(workspace):
    before = examine(workspace)
    change(workspace, "DELETE FROM jobs")
    assert compare(before, examine(workspace), gone=before.jobs) == []
