"""Children that do not outlive us: the kernel kills them when we die, even of ``kill -9``."""

import shutil
import subprocess
from functools import cache


@cache
def leash() -> tuple[str, ...]:
    """What to put before a command so that the kernel kills it when the thread that started it ends.

    ``setpriv`` sets the parent-death signal on itself and becomes the command: 1 ms, same process id, and no code of
    ours between fork and exec. (A ``preexec_fn`` would run Python there while other threads hold locks, would turn
    vfork into a fork of the whole process, and warns from Python 3.12 on.) The signal follows the thread that started
    the command, which is why it must be started and awaited by the same one. Empty where there is no ``setpriv``.
    """
    words = (shutil.which("setpriv") or "", "--pdeathsig", "KILL")
    try:
        subprocess.run([*words, "true"], check=True, capture_output=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return ()
    return words
