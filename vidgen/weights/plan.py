"""Which of a repository's files a card needs, and which are refused. Knows no network and touches no disk."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from vidgen.cards import Card
from vidgen.weights.errors import WeightsError
from vidgen.weights.lock import PART

PICKLES = frozenset({
    ".bin", ".ckpt", ".dill", ".h5", ".hdf5", ".joblib", ".keras", ".msgpack", ".npy", ".npz", ".pickle", ".pkl", ".pt",
    ".pt2", ".pth", ".th",
})
"""Ends of the names of files that are pickles, or that commonly hold one; reading a pickle runs what stands in it."""

_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\\:]")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the hub lists it: large ones by SHA-256, others by git's blob id."""

    path: str                               # in the repository, with "/"
    size: int                               # bytes
    sha256: str | None
    blob_id: str | None

    @property
    def digest(self) -> str | None:
        return self.sha256 or self.blob_id


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository at one commit."""

    repository: str
    commit: str
    gated: bool
    files: tuple[RemoteFile, ...]


def needed(card: Card, listing: Listing) -> list[RemoteFile]:
    """The files that *card* needs, the smallest first, so that what is refused is refused early.

    :raises WeightsError: a pattern matches nothing, or a file that is not fetched; each is named.
    """
    where, found = card.source.name if card.source else card.id, dict[str, RemoteFile]()
    for pattern in card.weights.files:
        matching = {file.path: file for file in listing.files if matches(file.path, pattern)}
        if not matching:
            raise WeightsError(f"{where}: weights.files: nothing in {listing.repository} matches {pattern!r}")
        found |= matching
    for path in found:
        if (reason := refusal(path)) is not None:
            raise WeightsError(f"{where}: weights.files: {path!r} in {listing.repository} is not fetched: {reason}")
    return sorted(found.values(), key=lambda file: (file.size, file.path))


def matches(path: str, pattern: str) -> bool:
    """As the hub's client reads patterns: ``*`` crosses folders, and a pattern that ends in ``/`` means all below."""
    return fnmatchcase(path, f"{pattern}*" if pattern.endswith("/") else pattern)


def refusal(path: str) -> str | None:
    """Why a file of this name is never fetched; None where it may be."""
    parts = path.split("/")
    if _UNSAFE.search(path) or not all(part.strip(". ") for part in parts) or parts[0] == PART:
        return "its name is not safe as a path"
    if is_pickle(path):
        return "a pickle runs code when it is read; vidgen takes safetensors"
    return None


def is_pickle(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in PICKLES


def total(files: Iterable[RemoteFile]) -> int:
    """Bytes of all of them."""
    return sum(file.size for file in files)
