"""Checking a model's weights against its lock, with no network: every byte is read and hashed."""

from collections.abc import Iterator
from pathlib import Path

from vidgen.cards import Card
from vidgen.weights.hashing import sha256_of
from vidgen.weights.lock import PART, Lock, LockedFile, command, folder, lock_file, read_lock
from vidgen.weights.plan import is_pickle
from vidgen.weights.report import Report


def verify(card: Card, weights_dir: Path, report: Report | None = None) -> list[str]:
    """What is wrong with *card*'s weights, a line for each file; nothing where they are what the lock says."""
    report, place = report or Report(), folder(card, weights_dir)
    if not place.is_dir():
        return [f"its weights are not here; run: {command(card)}"]
    if (lock := read_lock(card, weights_dir)) is None:
        name = lock_file(card, weights_dir).name
        return [f"{name} is missing or cannot be read, so nothing says what they must be; run: {command(card)}"]
    return list(_wrong(card, lock, place, report))


def _wrong(card: Card, lock: Lock, place: Path, report: Report) -> Iterator[str]:
    if card.weights and lock.repository != card.weights.repository:
        yield f"they are from {lock.repository}, and the card names {card.weights.repository}"
    for path, file in lock.files.items():
        if problem := _problem(place / path, path, file, report):
            yield f"{path} {problem}"
        else:
            report.done(path, file.size, "right")
    for path in sorted(_weights_in(place) - set(lock.files)):
        yield f"{path} is not in the lock"


def _problem(found: Path, path: str, file: LockedFile, report: Report) -> str | None:
    try:
        if (size := found.stat().st_size) != file.size:
            return f"has {size} bytes, not {file.size}"
        with report.moving("checking", path, file.size) as moved:
            return None if sha256_of(found, moved) == file.sha256 else "has changed: its SHA-256 is not the lock's"
    except FileNotFoundError:
        return "is missing"
    except OSError as e:
        return f"cannot be read: {e.strerror}"


def _weights_in(place: Path) -> set[str]:
    """Files that something may load, the safe kind or not."""
    found = {path.relative_to(place) for path in place.rglob("*") if path.is_file()}
    return {
        path.as_posix() for path in found
        if path.parts[0] != PART and (path.suffix == ".safetensors" or is_pickle(path.name))
    }
