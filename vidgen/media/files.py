"""Names and places on disk: the workspace, temporary names, publishing by rename, the lock.

Knows nothing of jobs beyond the pattern of their ids, and nothing of what stands in a file.
"""

import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from vidgen.errors import DiskLow, NotFound, StartRefused

PUBLIC_ROOT = "/workspace"
"""What stands for the workspace's folder in answers."""

_JOB_ID = re.compile(r"job_[0-9a-f]{16}")
_UPLOAD_ID = re.compile(r"upload_[0-9a-f]+")
_UPLOAD = re.compile(r"\d{8}_\d{6}_upload_[0-9a-f]+\.png")
_NAME = re.compile(r"[a-z0-9_]+\.(?:mp4|jpg|png|webp|json|zip)")
_TEMPORARY = re.compile(r"\..+\.part(\.[a-z0-9]+)?")
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def full_disk_is_ours() -> Iterator[None]:
    """Turn the operating system's "no space left" into :class:`DiskLow`; other errors pass."""
    try:
        yield
    except OSError as e:
        if e.errno not in _FULL:
            raise
        raise DiskLow("there is no space left on the workspace's disk") from e


def temporary_beside(final: Path, attempt: int | None = None) -> Path:
    """A new hidden name in *final*'s folder that keeps its suffix: ``.shot_001.a2.RANDOM.part.mp4``."""
    numbered = f".a{attempt}" if attempt is not None else ""
    return final.with_name(f".{final.stem}{numbered}.{secrets.token_hex(4)}.part{final.suffix}")


def publish(temporary: Path, final: Path) -> None:
    """Give a finished file its final name, so that it is there whole or not at all, whatever dies when.

    :raises DiskLow: the disk is full. The file keeps its temporary name, unless only the folder could not be flushed.
    """
    with full_disk_is_ours():
        _sync(temporary)
        os.replace(temporary, final)
        _sync(final.parent)


def _sync(path: Path) -> None:
    """Flush a file, or a folder's list of names, to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Workspace:
    """The folder that holds all that the server keeps. Nothing a client writes becomes a path here: files are
    found by ids and names that match a pattern.

    :param root: the folder; made by :meth:`prepare`.
    :param min_free_bytes: the floor that :meth:`require_free` holds.
    """

    def __init__(self, root: Path, min_free_bytes: int = 0):
        self.root = Path(root).absolute()
        self.min_free_bytes = min_free_bytes
        self.uploads = self.root / "uploads"
        self.videos = self.root / "videos"
        self.database = self.root / "vidgen.db"
        self._lock: int | None = None

    def prepare(self) -> None:
        """Make the folders, where they are missing.

        :raises StartRefused: the workspace cannot be written to.
        """
        try:
            for folder in (self.root, self.uploads, self.videos):
                folder.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe.{secrets.token_hex(4)}.part"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as e:
            raise StartRefused(f"the workspace {self.root} cannot be written to: {e.strerror}") from e

    # one server a workspace

    def lock(self, where: str) -> None:
        """Keep every other server out of this workspace until :meth:`unlock` or the end of the process.

        The lock hangs on an open file that children do not inherit, so it cannot outlive a ``kill -9``.

        :param where: the address that this server listens on, for whoever finds the workspace taken.
        :raises StartRefused: another server has it; says which.
        :raises DiskLow: there is no room to write down who has it.
        """
        fd = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            holder = os.pread(fd, 1000, 0).decode("utf-8", "replace").strip() or "another server"
            os.close(fd)
            raise StartRefused(f"the workspace {self.root} is in use by {holder}") from e
        self._lock = fd
        os.ftruncate(fd, 0)
        with full_disk_is_ours():
            os.pwrite(fd, f"process {os.getpid()} at {where}\n".encode(), 0)

    def unlock(self) -> None:
        """Let the next server in. Nothing to do where :meth:`lock` was not called."""
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    # places and names

    def job_dir(self, job_id: str) -> Path:
        """Where a job's files are; the folder may not exist yet.

        :raises NotFound: *job_id* is no job's id.
        """
        if not _JOB_ID.fullmatch(job_id):
            raise NotFound("there is no such job")
        return self.videos / job_id

    def make_job_dir(self, job_id: str) -> Path:
        """The same, and it exists.

        :raises DiskLow: there is no space for it.
        """
        folder = self.job_dir(job_id)
        if not folder.is_dir():
            with full_disk_is_ours():
                folder.mkdir(exist_ok=True)
                _sync(self.videos)
        return folder

    def upload_path(self, upload_id: str, created_at: float) -> Path:
        """Where an upload goes: ``uploads/20240115_103000_upload_ab12….png``.

        :param created_at: seconds since the epoch.
        :raises NotFound: *upload_id* is no upload's id.
        """
        if not _UPLOAD_ID.fullmatch(upload_id):
            raise NotFound("there is no such upload")
        return self.uploads / f"{datetime.fromtimestamp(created_at, UTC):%Y%m%d_%H%M%S}_{upload_id}.png"

    def temporary(self, job_id: str, name: str, attempt: int) -> Path:
        """A new hidden name in the job's folder, for what will be published as *name*; makes the folder.

        :raises DiskLow: there is no space for the folder.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"not a name of ours: {name!r}")
        return temporary_beside(self.make_job_dir(job_id) / name, attempt)

    @contextmanager
    def scratch(self, job_id: str, attempt: int) -> Iterator[Callable[[str], Path]]:
        """Temporary names for one attempt, by the name each will be published as; what was not published is gone
        when the block is left.
        """
        made: list[Path] = []

        def temporary(name: str) -> Path:
            made.append(self.temporary(job_id, name, attempt))
            return made[-1]

        try:
            yield temporary
        finally:
            for path in made:
                path.unlink(missing_ok=True)

    def publish(self, temporary: Path, final: Path) -> None:
        """:func:`publish`, for those who hold a workspace."""
        publish(temporary, final)

    def link(self, source: Path, final: Path) -> None:
        """Publish *source* under a second name: by a hard link, so that the bytes are kept while either name is, or
        by a copy where the disk knows no links.

        :raises DiskLow: the disk is full.
        """
        temporary = temporary_beside(final)
        try:
            with full_disk_is_ours():
                _link_or_copy(source, temporary)
            publish(temporary, final)
        finally:                        # a rename onto another name of the same file leaves both
            temporary.unlink(missing_ok=True)

    def identity(self, path: Path) -> dict[str, int]:
        """What tells this very file from any other of the same name, before and after a rename."""
        found = path.stat()
        return {"inode": found.st_ino, "size": found.st_size}

    def public(self, path: Path) -> str:
        """How *path* is written in answers: ``/workspace/videos/…``."""
        return f"{PUBLIC_ROOT}/{path.relative_to(self.root).as_posix()}"

    def find(self, job_id: str, name: str) -> Path:
        """A published file of a job.

        :raises NotFound: no such job or file, a name that is not one of ours, or not a regular file.
        """
        path = self.job_dir(job_id) / name
        if not _NAME.fullmatch(name) or path.parent.is_symlink() or not _is_regular(path):
            raise NotFound(f"job {job_id} has no such file")
        return path

    # taking away

    def remove_job(self, job_id: str) -> None:
        """Take all of a job's files away. Gone for readers at once; what a crash leaves, :meth:`sweep` takes."""
        folder = self.job_dir(job_id)
        condemned = temporary_beside(folder)
        try:
            os.replace(folder, condemned)
        except FileNotFoundError:
            return
        _remove(condemned)

    def remove_upload(self, path: Path) -> None:
        """Take an upload's file away; nothing to do where it is gone."""
        if path.parent != self.uploads:
            raise ValueError("not an upload's path")
        path.unlink(missing_ok=True)

    def sweep(self) -> int:
        """Take away everything that was left under a temporary name. Only while nothing runs.

        :returns: how many files and folders went.
        """
        folders = [self.uploads, self.videos, *(f for f in self.videos.iterdir() if _JOB_ID.fullmatch(f.name))]
        left = [e for f in folders if not f.is_symlink() for e in f.iterdir() if _TEMPORARY.fullmatch(e.name)]
        for entry in left:
            _remove(entry)
        return len(left)

    def remove_orphans(self, job_ids: Set[str], upload_names: Set[str]) -> int:
        """Take away the folders of jobs and the uploads that the database does not know. Only at the start.

        :returns: how many went.
        """
        orphans = [f for f in self.videos.iterdir() if _JOB_ID.fullmatch(f.name) and f.name not in job_ids]
        orphans += [f for f in self.uploads.iterdir() if _UPLOAD.fullmatch(f.name) and f.name not in upload_names]
        for entry in orphans:
            _remove(entry)
        return len(orphans)

    def require_free(self, extra_bytes: int = 0) -> None:
        """:raises DiskLow: unless *extra_bytes* fit above the floor."""
        free, needed = shutil.disk_usage(self.root).free, self.min_free_bytes + extra_bytes
        if free < needed:
            raise DiskLow(f"{free / 1e6:.0f} MB are free on the workspace's disk, {needed / 1e6:.0f} MB are needed")


def _link_or_copy(source: Path, copy: Path) -> None:
    try:
        os.link(source, copy)
    except OSError as e:
        if e.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV):
            raise
        shutil.copyfile(source, copy)


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
