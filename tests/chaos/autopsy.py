"""What a dead server left behind, read without touching it, and whether all of it is as it must be.

Reads the database and the files by means of their own: sqlite3, ffmpeg and Pillow, none of vidgen's code.
"""

import hashlib
import json
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

ENDED = ("completed", "failed", "cancelled")
FINAL = "final_output.mp4"

LOST = "acknowledged jobs lost"
TWICE = "jobs finished twice"
RENDERED_AGAIN = "finished shots rendered again"
TORN = "torn files served"
DATABASE = "database integrity faults"
BACKWARDS = "statuses moved backwards"
UNFINISHED = "acknowledged jobs not completed in the end"
ZEROS = (LOST, TWICE, RENDERED_AGAIN, TORN, DATABASE, BACKWARDS, UNFINISHED)

_PUBLISHED = re.compile(r"[a-z0-9_]+\.(mp4|jpg|png|webp|json|zip)")
_ORDER = {"queued": 0, "processing": 1, "completed": 2, "failed": 2, "cancelled": 2}


@dataclass(frozen=True)
class Fault:
    """One thing that must never happen."""

    kind: str
    what: str


@dataclass(frozen=True)
class File:
    """A published file: which one it is, not only what it is called."""

    inode: int
    modified_ns: int
    size: int
    sha256: str


@dataclass
class Findings:
    """The database and the published files as one death left them."""

    jobs: dict[str, str] = field(default_factory=dict)                         # id -> status
    keys: dict[str, str] = field(default_factory=dict)                         # idempotency key -> id
    shots: dict[tuple[str, int], sqlite3.Row] = field(default_factory=dict)
    renders: dict[tuple[str, int], sqlite3.Row] = field(default_factory=dict)
    staged: dict[tuple[str, int], File] = field(default_factory=dict)          # renamed, not committed
    events: Counter = field(default_factory=Counter)                           # (job, type, shot) -> how many
    last_seq: int = 0
    files: dict[tuple[str, str], File] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def finished(self) -> dict[tuple[str, int], tuple[File | None, int]]:
        """Each finished shot's clip, and how many attempts it took."""
        return {
            place: (self.files.get((place[0], shot["video"] or "")), self.renders[place]["attempts"])
            for place, shot in self.shots.items() if shot["status"] == "completed"
        }


def examine(workspace: Path) -> Findings:
    """Read the workspace of a server that is dead; what is wrong in itself stands in ``faults``."""
    found = Findings()
    with tempfile.TemporaryDirectory() as scratch:
        if not (copy := _copied(workspace, Path(scratch))):
            return found
        try:
            _read_database(copy, found)
        except sqlite3.DatabaseError as e:
            found.faults.append(Fault(DATABASE, f"it cannot be read: {e}"))
    found.files = dict(_published(workspace, found.jobs))
    found.staged = dict(_staged(found))
    found.faults += _twice(found)
    found.faults += _torn(workspace, found)
    return found


def compare(before: Findings, after: Findings, gone: Iterable[str] = ()) -> list[Fault]:
    """What must not have happened between two deaths.

    :param gone: jobs that a client asked to delete.
    """
    faults = [*_moves(before, after), *_made_again(before, after)]
    for job_id in before.jobs.keys() - after.jobs.keys() - set(gone):
        faults.append(Fault(LOST, f"{job_id} was in the database and is not any more"))
    if after.last_seq < before.last_seq:
        faults.append(Fault(DATABASE, f"the log went back from {before.last_seq} to {after.last_seq}"))
    return faults


def _moves(before: Findings, after: Findings) -> Iterator[Fault]:
    for job_id in before.jobs.keys() & after.jobs.keys():
        was, now = before.jobs[job_id], after.jobs[job_id]
        if _ORDER[was] > _ORDER[now] or (was in ENDED and was != now):
            yield Fault(BACKWARDS, f"{job_id} went from {was} to {now}")


def _made_again(before: Findings, after: Findings) -> Iterator[Fault]:
    """Finished shots and videos are the same files still, and no further attempt was made at them."""
    shots = after.finished()
    for place, was in before.finished().items():
        if place[0] in after.jobs and shots.get(place) != was:
            yield Fault(RENDERED_AGAIN, f"{place}: {was} became {shots.get(place)}")
    for job_id in [job_id for job_id, status in before.jobs.items() if status == "completed" and job_id in after.jobs]:
        was, now = before.files.get((job_id, FINAL)), after.files.get((job_id, FINAL))
        if was != now:
            yield Fault(TWICE, f"the video of {job_id}: {was} became {now}")


def adopted(before: Findings, after: Findings) -> tuple[int, int]:
    """Of the clips that were renamed but not committed at the earlier death: how many were kept, how many made anew."""
    now = after.finished()
    kept = [now[place][0] == clip for place, clip in before.staged.items() if place in now]
    return sum(kept), len(kept) - sum(kept)


def _copied(workspace: Path, scratch: Path) -> Path | None:
    """A copy of the database and its log: opening the original would write to it."""
    for name in ("vidgen.db", "vidgen.db-wal"):
        if (workspace / name).exists():
            shutil.copyfile(workspace / name, scratch / name)
    return scratch / "vidgen.db" if (scratch / "vidgen.db").exists() else None


def _read_database(copy: Path, found: Findings) -> None:
    with closing(sqlite3.connect(copy)) as db:
        db.row_factory = sqlite3.Row
        found.faults += _integrity(db)
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'events'").fetchone():
            _read_tables(db, found)


def _integrity(db: sqlite3.Connection) -> Iterator[Fault]:
    said = [row[0] for row in db.execute("PRAGMA integrity_check")]
    if said != ["ok"]:
        yield Fault(DATABASE, f"integrity_check: {said[:3]}")
    for row in db.execute("PRAGMA foreign_key_check").fetchall():
        yield Fault(DATABASE, f"foreign_key_check: {tuple(row)}")


def _read_tables(db: sqlite3.Connection, found: Findings) -> None:
    for row in db.execute("SELECT id, status, idempotency_key FROM jobs"):
        found.jobs[row["id"]] = row["status"]
        if row["idempotency_key"]:
            found.keys[row["idempotency_key"]] = row["id"]
    for row in db.execute('SELECT job_id, "index", status, num_frames, video, frames FROM shots'):
        found.shots[row["job_id"], row["index"]] = row
    for row in db.execute("SELECT job_id, shot_index, status, attempts, staged FROM steps WHERE kind = 'render'"):
        found.renders[row["job_id"], row["shot_index"]] = row
    for row in db.execute("SELECT job_id, type, shot_id FROM events WHERE type IN ('shot_complete', 'job_complete')"):
        found.events[tuple(row)] += 1
    for row in db.execute("SELECT job_id, body FROM events WHERE type = 'error'"):
        found.events[row["job_id"], "error", None] += 1
    found.last_seq = (db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone() or [0])[0]


def _published(workspace: Path, jobs: Iterable[str]) -> Iterator[tuple[tuple[str, str], File]]:
    for job_id in jobs:
        folder = workspace / "videos" / job_id
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if _PUBLISHED.fullmatch(path.name):
                yield (job_id, path.name), identify(path)


def identify(path: Path) -> File:
    about = path.stat()
    return File(about.st_ino, about.st_mtime_ns, about.st_size, _digest(path, about.st_ino, about.st_mtime_ns))


@cache
def _digest(path: Path, inode: int, modified_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _staged(found: Findings) -> Iterator[tuple[tuple[str, int], File]]:
    for (job_id, index), row in found.renders.items():
        clip = found.files.get((job_id, f"shot_{index + 1:03d}.mp4"))
        staged = json.loads(row["staged"] or "null")
        if row["status"] != "done" and staged and clip and staged["identity"]["inode"] == clip.inode:
            yield (job_id, index), clip


def _twice(found: Findings) -> Iterator[Fault]:
    """Ends of jobs and shots, by the log: as often as the status says, and never more than once."""
    for job_id, status in found.jobs.items():
        completed, failed = found.events[job_id, "job_complete", None], found.events[job_id, "error", None]
        if completed != (status == "completed") or failed != (status in ("failed", "cancelled")):
            yield Fault(TWICE, f"{job_id} is {status}; the log says {completed} times complete, {failed} times error")
    for (job_id, index), shot in found.shots.items():
        times = found.events[job_id, "shot_complete", f"shot_{index + 1:03d}"]
        if times != (shot["status"] == "completed"):
            yield Fault(TWICE, f"{job_id} shot {index} is {shot['status']}; the log says {times} times complete")


def _torn(workspace: Path, found: Findings) -> Iterator[Fault]:
    """Every file that could be downloaded is whole, and what the database calls finished is there."""
    for (job_id, name), file in found.files.items():
        if problem := damage(workspace / "videos" / job_id / name, file, _frames(found, job_id, name)):
            yield Fault(TORN, f"{job_id}/{name}: {problem}")
    for (job_id, index), (clip, _) in found.finished().items():
        if clip is None:
            yield Fault(TORN, f"{job_id} shot {index} is completed and has no clip")
    for job_id, status in found.jobs.items():
        if status == "completed" and (job_id, FINAL) not in found.files:
            yield Fault(TORN, f"{job_id} is completed and has no video")
    for (job_id, index), shot in found.shots.items():
        if shot["frames"] and (job_id, shot["frames"]) not in found.files:
            yield Fault(TORN, f"{job_id} shot {index} has no {shot['frames']}")


def _frames(found: Findings, job_id: str, name: str) -> int | None:
    counts = {f"shot_{i + 1:03d}.mp4": shot["num_frames"] for (of, i), shot in found.shots.items() if of == job_id}
    return sum(counts.values()) if name == FINAL else counts.get(name)


def damage(path: Path, file: File, frames: int | None) -> str | None:
    """What is wrong with a published file, or None. Each file is looked at once."""
    return _damage(path, file, frames)


@cache
def _damage(path: Path, file: File, frames: int | None) -> str | None:
    try:
        if path.suffix == ".mp4":
            return decode(path, frames)
        if path.suffix == ".json":
            json.loads(path.read_text("utf-8"))
        elif path.suffix == ".zip":
            return _unpacked(path)
        else:
            with Image.open(path) as image:
                image.load()
    except (OSError, ValueError, SyntaxError, BadZipFile) as e:
        return f"{type(e).__name__}: {e}"
    return None


def _unpacked(path: Path) -> str | None:
    with ZipFile(path) as archive:
        return f"{broken} in it is torn" if (broken := archive.testzip()) else None


def decode(path: Path, frames: int | None = None) -> str | None:
    """Decode the whole video; what was wrong with it, or None."""
    command = [get_ffmpeg_exe(), "-v", "error", "-xerror", "-i", str(path), "-map", "0:v", "-f", "framecrc", "-"]
    ran = subprocess.run(command, capture_output=True, timeout=60, text=True, stdin=subprocess.DEVNULL)
    decoded = sum(not line.startswith("#") for line in ran.stdout.splitlines())
    if ran.returncode != 0 or ran.stderr:
        return f"ffmpeg says {ran.returncode}: {ran.stderr[:200]}"
    if decoded == 0 or frames not in (None, decoded):
        return f"{decoded} frames where there are {frames}"
    return None
