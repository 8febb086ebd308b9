"""Reads files into the system's cache before a library loads them.

From a slow disk ten gigabytes take minutes, and a library that loads them says nothing meanwhile and hears nothing.
"""

import mmap
import os
from collections.abc import Callable, Iterable
from pathlib import Path

CHUNK_BYTES = 64 * 2**20
PAGE_BYTES = 4096


def read_ahead(files: Iterable[Path], alive: Callable[[], None]) -> None:
    """Read *files*, calling *alive* between chunks; what is in memory already is passed over.

    :raises Stopped: as *alive* raised it.
    """
    buffer = mmap.mmap(-1, CHUNK_BYTES)     # takes memory only as far as it is filled
    for file in files:
        with file.open("rb", buffering=0) as opened:
            for start in range(0, file.stat().st_size, CHUNK_BYTES):
                alive()
                if not _in_memory(opened.fileno(), start):
                    opened.seek(start)
                    opened.readinto(buffer)


def _in_memory(file: int, start: int) -> bool:
    """Whether the page at *start* can be read without waiting for the disk, as far as the system says."""
    try:
        return os.preadv(file, [bytearray(PAGE_BYTES)], start, os.RWF_NOWAIT) > 0
    except (OSError, AttributeError):
        return False
