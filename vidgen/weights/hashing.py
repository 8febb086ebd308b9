"""The two hashes that a hub lists files by: SHA-256 for large files, git's blob id for small ones."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

BLOCK_BYTES = 1 << 20

Moved = Callable[[int], Any]
"""Told how many more bytes are done."""


def sha256_of(path: Path, moved: Moved) -> str:
    digest = hashlib.sha256()
    for block in _blocks(path):
        digest.update(block)
        moved(len(block))
    return digest.hexdigest()


def blob_id_of(path: Path) -> str:
    """Git's name for the content: SHA-1 over ``blob SIZE``, a zero byte and the bytes (git-hash-object)."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    for block in _blocks(path):
        digest.update(block)
    return digest.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block
