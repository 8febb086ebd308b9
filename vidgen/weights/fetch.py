"""Fetching a model's weights: only what its card needs, each file hashed against the hub's list, then the lock.

    svd-xt/.part/NAME.KEY       what has come of a file; a later run goes on from its end
    svd-xt/unet/…               whole files, moved here once every file of the model is whole
    svd-xt.lock.json            last of all

So a model's folder never mixes two commits under a lock, and a model without a lock whose folder has a ``.part`` is
one whose download was cut short (:func:`vidgen.weights.lock.problem`).
"""

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from io import RawIOBase
from pathlib import Path, PurePosixPath

from vidgen.cards import Card
from vidgen.weights.errors import HubUnreachable, WeightsError, WrongContent
from vidgen.weights.hashing import Moved, blob_id_of, sha256_of
from vidgen.weights.hub import Hub
from vidgen.weights.lock import PART, Lock, LockedFile, folder, lock_file, read_lock, write_lock
from vidgen.weights.plan import RemoteFile, needed, total
from vidgen.weights.report import Plan, Report, size_text

MARGIN_BYTES = 64 << 20
"""What stays free on the disk beside the weights."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def look(card: Card, weights_dir: Path, hub: Hub) -> Plan:
    """What :func:`fetch` would do, from the hub's list and the sizes on the disk. Fetches nothing, writes nothing.

    :raises WeightsError: in words.
    """
    listing, place = hub.listing(card.weights), folder(card, weights_dir)
    files = needed(card, listing)
    return Plan(card, listing, files, {file.path: _here(place, file) for file in files}, _free(place))


def fetch(card: Card, weights_dir: Path, hub: Hub, report: Report | None = None) -> Lock:
    """Bring *card*'s files to ``weights_dir``, or what of them is missing or changed, and write the lock.

    Every file is read back from the disk and hashed, those of earlier runs too. Whatever ends this, what has come is
    kept, and the next run goes on from there; but a file whose hash is wrong is removed.

    :raises WeightsError: in words that name the file, where it is one.
    """
    report, place = report or Report(), folder(card, weights_dir)
    plan = look(card, weights_dir, hub)
    report.plan(plan)
    try:
        with _alone(place):
            return _Fetch(plan, weights_dir, hub, report).run()
    except OSError as e:
        raise WeightsError(_in_words(e, place, plan.files)) from e


class _Fetch:
    """One download of one model."""

    def __init__(self, plan: Plan, weights_dir: Path, hub: Hub, report: Report):
        self._plan = plan
        self._card = plan.card
        self._weights_dir = weights_dir
        self._place = folder(plan.card, weights_dir)
        self._hub = hub
        self._report = report

    def run(self) -> Lock:
        right = {file.path: self._checked(file, self._place / file.path) for file in self._plan.files}
        missing = [file for file in self._plan.files if right[file.path] is None]
        self._require_room(missing)
        for file in self._plan.files:
            if (kept := right[file.path]) is None:
                right[file.path] = self._fetched(file)
            self._report.done(file.path, file.size, "fetched" if kept is None else "was here")
        listing = self._plan.listing
        lock = Lock(repository=listing.repository, revision=listing.commit, files=dict(sorted(right.items())))
        self._publish(missing, lock)
        return lock

    def _require_room(self, missing: Sequence[RemoteFile]) -> None:
        lacking = total(missing) - sum(_size(_part(self._place, file)) for file in missing)
        if lacking > 0 and lacking + MARGIN_BYTES > (free := _free(self._place)):
            raise WeightsError(
                f"the disk of {self._place} is too full: {size_text(lacking)} are to come and "
                f"{size_text(MARGIN_BYTES)} are to stay free, but only {size_text(free)} are"
            )

    def _fetched(self, file: RemoteFile) -> LockedFile:
        part = _part(self._place, file)
        try:
            if file.size == 0 or _size(part) > file.size:
                _emptied(part)
            with self._report.moving("fetching", file.path, file.size, _size(part)) as moved:
                self._transfer(file, part, moved)
            if (locked := self._checked(file, part)) is None:
                raise WrongContent(f"{file.path}: what came does not have the hash that the hub lists")
        except WrongContent as e:
            part.unlink(missing_ok=True)
            raise WrongContent(f"{e.detail}; it is removed, the next run fetches it again") from e
        return locked

    def _transfer(self, file: RemoteFile, part: Path, moved: Moved) -> None:
        """Go on until *part* has all of the file's bytes, over broken lines."""
        pauses = iter(self._hub.pauses_s)
        while (have := _size(part)) < file.size:
            try:
                self._append(file, part, have, moved)
            except HubUnreachable:
                if _size(part) > have:
                    pauses = iter(self._hub.pauses_s)
                if (pause := next(pauses, None)) is None:
                    raise
                time.sleep(pause)

    def _append(self, file: RemoteFile, part: Path, have: int, moved: Moved) -> None:
        with self._hub.body(self._card.weights, self._plan.listing.commit, file.path, have) as body:
            at = body.start
            moved(at - have)
            part.parent.mkdir(exist_ok=True)
            with part.open("ab" if at else "wb", buffering=0) as target:
                for chunk in body.chunks:
                    at += len(chunk)
                    if at > file.size:
                        raise WrongContent(f"{file.path}: the hub has more bytes of it than it lists")
                    _write(target, chunk)
                    moved(len(chunk))
                os.fsync(target.fileno())
        if at < file.size:
            raise HubUnreachable(f"{file.path}: the line to {self._hub.address} broke off")

    def _checked(self, file: RemoteFile, path: Path) -> LockedFile | None:
        """What the lock says of *path*, where it is what the hub lists; else None."""
        if not path.is_file() or _size(path) != file.size:
            return None
        with self._report.moving("checking", file.path, file.size) as moved:
            found = sha256_of(path, moved)
        same = found == file.sha256 if file.sha256 else blob_id_of(path) == file.blob_id
        return LockedFile(size=file.size, sha256=found) if same else None

    def _publish(self, missing: Sequence[RemoteFile], lock: Lock) -> None:
        """Move what came into place. From the old lock's end to the new one's begin, ``.part`` says that it goes on."""
        if missing:
            lock_file(self._card, self._weights_dir).unlink(missing_ok=True)
        for file in missing:
            target = self._place / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            _part(self._place, file).replace(target)
        if lock != read_lock(self._card, self._weights_dir):
            write_lock(self._card, self._weights_dir, lock)
        shutil.rmtree(self._place / PART, ignore_errors=True)


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Keep another download of this model out; leave no empty folder behind."""
    place.mkdir(parents=True, exist_ok=True)
    fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _take(fd, place)
        yield
    finally:
        os.close(fd)
        for empty in (place / PART, place):
            with suppress(OSError):
                empty.rmdir()


def _take(fd: int, place: Path) -> None:
    with suppress(OSError):                 # a file system without locks: the hashes catch what two writers spoil
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise WeightsError(f"another download into {place} is running") from e


def _part(place: Path, file: RemoteFile) -> Path:
    """Where what has come of *file* is kept; another name for other content, so that only the same is gone on with."""
    key = sha256(f"{file.path}\n{file.digest}".encode()).hexdigest()[:16]
    return place / PART / f"{PurePosixPath(file.path).name}.{key}"


def _emptied(part: Path) -> None:
    part.parent.mkdir(exist_ok=True)
    part.write_bytes(b"")


def _write(target: RawIOBase, chunk: bytes) -> None:
    """All of *chunk*: an unbuffered file may take less at a time."""
    left = memoryview(chunk)
    while left:
        left = left[target.write(left):]


def _here(place: Path, file: RemoteFile) -> int:
    """How many of the file's bytes need not come any more, as far as sizes tell."""
    return file.size if _size(place / file.path) == file.size else _size(_part(place, file))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _free(place: Path) -> int:
    """Bytes that are free on the disk of *place*, which need not be there yet."""
    there = next(path for path in (place.absolute(), *place.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def _in_words(error: OSError, place: Path, files: Sequence[RemoteFile]) -> str:
    if error.errno not in _FULL:
        return f"{error.filename or place}: {error.strerror or error}"
    lacking = total(files) - sum(_here(place, file) for file in files)
    return (
        f"the disk of {place} is full ({error.strerror}): {size_text(lacking)} are to come and "
        f"{size_text(_free(place))} are free; what has come is kept, make room and run this again"
    )
