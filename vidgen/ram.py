"""This machine's memory as a process here may use it: the kernel's figures, bounded by what a container allows."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
KIB, MIB = 2**10, 2**20


@dataclass(frozen=True, slots=True)
class Ram:
    """Bytes; None where the system does not say."""

    total_bytes: int | None
    free_bytes: int | None                  # what could be taken without swapping: file caches count as free


@dataclass(frozen=True, slots=True)
class _Limits:
    """How one version of cgroups names its files."""

    most: str
    used: str
    cached: str                             # in memory.stat: file caches that go first when memory is short


V2 = _Limits("memory.max", "memory.current", "inactive_file")
V1 = _Limits("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def ram(proc: Path = PROC, cgroups: Path = CGROUPS) -> Ram:
    """What there is now. Cheap."""
    said = _fields(proc / "meminfo")
    if "MemTotal" not in said or "MemAvailable" not in said:
        return Ram(None, None)
    total, free = said["MemTotal"] * KIB, said["MemAvailable"] * KIB
    for most, used in _bounds(proc, cgroups):
        total, free = min(total, most), min(free, max(0, most - used))
    return Ram(total, free)


def held_by(pid: int, proc: Path = PROC) -> int | None:
    """Bytes that only this process's end gives back: without mapped files. None where there is no such process."""
    said = _fields(proc / str(pid) / "status")
    return (said["RssAnon"] + said.get("RssShmem", 0)) * KIB if "RssAnon" in said else None


def program(pid: int, proc: Path = PROC) -> str | None:
    """The name of the program that a process runs."""
    return next(iter(_lines(proc / str(pid) / "comm")), None)


def _bounds(proc: Path, cgroups: Path) -> Iterator[tuple[int, int]]:
    """Limit and use, in bytes, of each group that this process is in, and of those around it."""
    for line in _lines(proc / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _chain(cgroups, path, V2)
        elif "memory" in controllers.split(","):
            yield from _chain(cgroups / "memory", path, V1)


def _chain(root: Path, path: str, limits: _Limits) -> Iterator[tuple[int, int]]:
    inner = root / path.lstrip("/")
    for group in (inner, *inner.parents):
        with suppress(OSError, ValueError):     # there is no such group to be seen from in here, or it has no limit
            most, used = (int((group / name).read_text()) for name in (limits.most, limits.used))
            yield most, used - _fields(group / "memory.stat").get(limits.cached, 0)
        if group == root:
            return


def _fields(file: Path) -> dict[str, int]:
    """The numbers in a file of lines like ``MemTotal:  24684096 kB``."""
    words = (line.replace(":", " ").split() for line in _lines(file))
    return {word[0]: int(word[1]) for word in words if len(word) > 1 and word[1].isdecimal()}


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
