"""How a child died, in words: by itself, by a signal, or because the kernel ran out of memory.

The kernel kills with the same signal as anybody who types ``kill -9``; what tells the two apart is its own count of
such kills, which has grown.
"""

import signal
from pathlib import Path

_VMSTAT = Path("/proc/vmstat")
_CGROUP = Path("/sys/fs/cgroup")


def oom_kills() -> int:
    """How many processes the kernel has killed for memory, on this machine or in this container; 0 where unknown."""
    return max(_counted(_VMSTAT), _counted(_CGROUP / "memory.events"))


def describe(returncode: int, *, out_of_memory: bool) -> str:
    """The end of a process, in words for the client.

    :param returncode: as ``subprocess`` gives it: negative is a signal.
    :param out_of_memory: whether :func:`oom_kills` grew while it ran.
    """
    if returncode >= 0:
        return f"ended with code {returncode}"
    if -returncode == signal.SIGKILL and out_of_memory:
        return "was killed by the kernel because the machine's memory (RAM, not VRAM) ran out"
    return f"was killed by {_name(-returncode)}"


def _counted(file: Path) -> int:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
