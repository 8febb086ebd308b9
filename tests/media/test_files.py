"""The workspace: names, publishing, the lock, what may be found and what is taken away."""

import errno
import os
import re
import subprocess
import sys

import pytest

from vidgen.errors import DiskLow, NotFound, StartRefused
from vidgen.media.files import Workspace, publish, temporary_beside

JOB = "job_0123456789abcdef"
OTHER = "job_fedcba9876543210"


@pytest.fixture
def workspace(tmp_path):
    made = Workspace(tmp_path / "workspace")
    made.prepare()
    return made


def put(workspace, name, content=b"x", job=JOB):
    temporary = workspace.temporary(job, name, 1)
    temporary.write_bytes(content)
    workspace.publish(temporary, workspace.job_dir(job) / name)
    return workspace.job_dir(job) / name


# places and names


def test_prepare_twice_loses_nothing(workspace):
    kept = put(workspace, "shot_001.mp4")
    workspace.prepare()
    assert kept.read_bytes() == b"x"
    assert {p.name for p in workspace.root.iterdir()} == {"uploads", "videos"}


def test_a_workspace_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StartRefused, match="cannot be written to"):
        Workspace(tmp_path / "file" / "workspace").prepare()


@pytest.mark.parametrize("job_id", [
    "", "job_", "job_0123456789abcde", "job_0123456789abcdef0", "job_0123456789ABCDEF", "../../etc",
    "job_0123456789abcdef/", "job_0123456789abcdef\n", "job_0123456789abcde\0",
    "job_ⅰ123456789abcdef", "job_٠123456789abcdef",
])
def test_what_is_no_jobs_id(workspace, job_id):
    with pytest.raises(NotFound):
        workspace.job_dir(job_id)
    with pytest.raises(NotFound):
        workspace.find(job_id, "final_output.mp4")


def test_uploads_names(workspace):
    path = workspace.upload_path("upload_ab12", 1705314600.7)
    assert path == workspace.uploads / "20240115_103000_upload_ab12.png"
    with pytest.raises(NotFound):
        workspace.upload_path("upload_../x", 0)


def test_temporary_names_are_hidden_and_new(workspace):
    names = {workspace.temporary(JOB, "shot_001.mp4", 2).name for _ in range(50)}
    assert len(names) == 50
    assert all(re.fullmatch(r"\.shot_001\.a2\.[0-9a-f]{8}\.part\.mp4", name) for name in names)
    assert workspace.job_dir(JOB).is_dir()
    with pytest.raises(ValueError, match="not a name"):
        workspace.temporary(JOB, "../shot.mp4", 1)


def test_public_paths(workspace):
    assert workspace.public(workspace.job_dir(JOB) / "shot_001.mp4") == f"/workspace/videos/{JOB}/shot_001.mp4"
    with pytest.raises(ValueError, match="is not in the subpath"):
        workspace.public(workspace.root.parent / "elsewhere")


def test_a_relative_workspace_stays_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workspace = Workspace("workspace")
    monkeypatch.chdir("/")
    workspace.prepare()
    assert (tmp_path / "workspace" / "videos").is_dir()


# publishing


def test_publishing_moves_the_very_file(workspace):
    temporary = workspace.temporary(JOB, "shot_001.mp4", 1)
    temporary.write_bytes(b"frames")
    before = workspace.identity(temporary)
    final = workspace.job_dir(JOB) / "shot_001.mp4"
    workspace.publish(temporary, final)
    assert workspace.identity(final) == before == {"inode": final.stat().st_ino, "size": 6}
    assert not temporary.exists()


def test_publishing_flushes_renames_and_flushes_the_folder(workspace, monkeypatch):
    temporary, final = workspace.temporary(JOB, "a.mp4", 1), workspace.job_dir(JOB) / "a.mp4"
    temporary.write_bytes(b"x")
    calls, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("rename"), replace(a, b)))
    publish(temporary, final)
    assert calls == [str(temporary), "rename", str(final.parent)]


@pytest.mark.parametrize("moment", [1, 2, 3])
def test_death_at_any_moment_leaves_the_old_or_the_new(workspace, moment):
    final = put(workspace, "a.mp4", b"old")
    temporary = workspace.temporary(JOB, "a.mp4", 2)
    temporary.write_bytes(b"new")
    code = (
        "import os, sys, pathlib\nfrom vidgen.media import files\nleft = int(sys.argv[3])\n"
        "def dies(real):\n"
        "    def call(*arguments):\n"
        "        global left\n"
        "        left -= 1\n"
        "        if not left: os.kill(os.getpid(), 9)\n"
        "        return real(*arguments)\n"
        "    return call\n"
        "os.fsync, os.replace = dies(os.fsync), dies(os.replace)\n"
        "files.publish(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, temporary, final, str(moment)])
    assert done.returncode == -9
    assert final.read_bytes() == (b"old" if moment < 3 else b"new")
    workspace.sweep()
    assert [p.name for p in workspace.job_dir(JOB).iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_while_publishing(workspace, monkeypatch, number):
    final, temporary = put(workspace, "a.mp4", b"old"), workspace.temporary(JOB, "a.mp4", 2)
    temporary.write_bytes(b"new")

    def full(fd):
        raise OSError(number, "full")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DiskLow):
            workspace.publish(temporary, final)
    assert final.read_bytes() == b"old"
    workspace.publish(temporary, final)
    assert final.read_bytes() == b"new"


def test_other_errors_are_not_called_a_full_disk(workspace):
    with pytest.raises(FileNotFoundError):
        workspace.publish(workspace.temporary(JOB, "a.mp4", 1), workspace.job_dir(JOB) / "a.mp4")


def test_scratch_keeps_what_was_published_and_nothing_else(workspace):
    with pytest.raises(KeyError), workspace.scratch(JOB, 3) as temporary:
        kept, lost, never = temporary("a.mp4"), temporary("b.jpg"), temporary("c.png")
        kept.write_bytes(b"x")
        lost.write_bytes(b"x")
        workspace.publish(kept, workspace.job_dir(JOB) / "a.mp4")
        raise KeyError(never)
    assert [p.name for p in workspace.job_dir(JOB).iterdir()] == ["a.mp4"]


def test_a_link_is_the_same_file_under_another_name(workspace):
    source = put(workspace, "shot_001.jpg", b"poster")
    final = workspace.job_dir(JOB) / "poster.jpg"
    for _ in range(2):
        workspace.link(source, final)
        assert workspace.identity(final) == workspace.identity(source)
    assert sorted(p.name for p in workspace.job_dir(JOB).iterdir()) == ["poster.jpg", "shot_001.jpg"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EMLINK])
def test_a_link_is_a_copy_where_there_are_no_links(workspace, monkeypatch, number):
    def refuse(source, target):
        raise OSError(number, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    source = put(workspace, "shot_001.jpg", b"poster")
    workspace.link(source, workspace.job_dir(JOB) / "poster.jpg")
    assert (workspace.job_dir(JOB) / "poster.jpg").read_bytes() == b"poster"


# the lock


def test_the_second_server_is_told_who_holds_it(workspace):
    workspace.lock("http://127.0.0.1:8000")
    second = Workspace(workspace.root)
    with pytest.raises(StartRefused) as refused:
        second.lock("http://127.0.0.1:8001")
    assert f"process {os.getpid()} at http://127.0.0.1:8000" in refused.value.detail
    workspace.unlock()
    second.lock("http://127.0.0.1:8001")
    with pytest.raises(StartRefused, match=r"127\.0\.0\.1:8001"):
        workspace.lock("again")
    second.unlock()
    second.unlock()


def test_the_lock_ends_with_the_process_and_not_with_its_children(workspace):
    code = (
        "import subprocess, sys, time\nfrom vidgen.media.files import Workspace\n"
        "Workspace(sys.argv[1]).lock('here')\n"
        "child = subprocess.Popen(['sleep', '60'], close_fds=False, stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\ntime.sleep(60)\n"
    )
    server = subprocess.Popen([sys.executable, "-c", code, workspace.root], stdout=subprocess.PIPE, text=True)
    child = int(server.stdout.readline())
    try:
        with pytest.raises(StartRefused, match=f"process {server.pid} at here"):
            workspace.lock("there")
        server.kill()
        server.communicate()
        workspace.lock("there")
        os.kill(child, 0)
    finally:
        os.kill(child, 9)
        workspace.unlock()


# finding


def test_find(workspace):
    assert workspace.find(JOB, put(workspace, "final_output.mp4").name).read_bytes() == b"x"


@pytest.mark.parametrize("name", [
    "", ".", "..", "../lock", "shot_001.mp4/", "/etc/passwd", "SHOT.mp4", "shot.mp4\n", "shot.exe", "a.b.mp4",
    ".shot_001.a1.00000000.part.mp4", "shot-001.mp4", "shot%2e.mp4", "missing.mp4", "a\0.mp4", "folder.mp4", "link.mp4",
])
def test_what_is_not_found(workspace, name):
    put(workspace, "shot_001.mp4")
    (workspace.job_dir(JOB) / "folder.mp4").mkdir()
    (workspace.job_dir(JOB) / "link.mp4").symlink_to("/etc/passwd")
    (workspace.job_dir(JOB) / "shot.exe").write_bytes(b"x")
    with pytest.raises(NotFound) as failed:
        workspace.find(JOB, name)
    assert str(workspace.root) not in failed.value.detail


def test_a_jobs_folder_is_no_link(workspace, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "final_output.mp4").write_bytes(b"x")
    workspace.job_dir(JOB).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotFound):
        workspace.find(JOB, "final_output.mp4")


# taking away


def test_remove_job(workspace):
    put(workspace, "shot_001.mp4")
    kept = put(workspace, "shot_001.mp4", job=OTHER)
    workspace.remove_job(JOB)
    workspace.remove_job(JOB)
    assert [p.name for p in workspace.videos.iterdir()] == [OTHER]
    assert kept.exists()


def test_a_removal_that_was_cut_short_is_swept(workspace, monkeypatch):
    put(workspace, "shot_001.mp4")

    def dies(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", dies)
        with pytest.raises(KeyboardInterrupt):
            workspace.remove_job(JOB)
    with pytest.raises(NotFound):
        workspace.find(JOB, "shot_001.mp4")
    assert workspace.sweep() == 1
    assert list(workspace.videos.iterdir()) == []


def test_remove_upload(workspace):
    path = workspace.upload_path("upload_ab12", 0)
    path.write_bytes(b"x")
    workspace.remove_upload(path)
    workspace.remove_upload(path)
    assert not path.exists()
    with pytest.raises(ValueError, match="not an upload"):
        workspace.remove_upload(workspace.root / "lock")


def test_sweep_takes_temporaries_only(workspace):
    kept = [put(workspace, "shot_001.mp4"), workspace.upload_path("upload_ab12", 0), workspace.uploads / ".hidden"]
    for path in kept:
        path.write_bytes(b"x")
    for path in (workspace.temporary(JOB, "shot_002.mp4", 1), temporary_beside(kept[1])):
        path.write_bytes(b"x")
    assert workspace.sweep() == 2
    assert workspace.sweep() == 0
    assert all(path.exists() for path in kept)


def test_sweep_follows_no_link(workspace, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    mine = tmp_path / "elsewhere" / ".mine.part.txt"
    mine.write_text("x")
    workspace.job_dir(JOB).symlink_to(tmp_path / "elsewhere")
    workspace.sweep()
    assert mine.exists()


def test_remove_orphans(workspace):
    put(workspace, "a.mp4")
    put(workspace, "a.mp4", job=OTHER)
    known, unknown = (workspace.upload_path(f"upload_{i}", 0) for i in range(2))
    mine = workspace.uploads / "my own.png"
    for path in (known, unknown, mine):
        path.write_bytes(b"x")
    assert workspace.remove_orphans({JOB}, {known.name}) == 2
    assert [p.name for p in workspace.videos.iterdir()] == [JOB]
    assert known.exists()
    assert mine.exists()
    assert not unknown.exists()


def test_the_floor(workspace):
    workspace.require_free()
    with pytest.raises(DiskLow, match="are needed"):
        workspace.require_free(10**18)
    with pytest.raises(DiskLow):
        Workspace(workspace.root, min_free_bytes=10**18).require_free()
