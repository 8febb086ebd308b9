"""How a death is told."""

import subprocess
import sys

from vidgen.inference.death import describe, oom_kills


def ended(code: str) -> int:
    return subprocess.run([sys.executable, "-c", code]).returncode


def test_codes_and_signals_are_told_apart():
    assert describe(ended("import sys; sys.exit(7)"), out_of_memory=False) == "ended with code 7"
    segv = ended("import os; os.kill(os.getpid(), 11)")
    assert describe(segv, out_of_memory=False) == "was killed by SIGSEGV"
    assert describe(-63, out_of_memory=False) == "was killed by signal 63"


def test_the_kernels_own_kill_is_told_from_anybody_elses():
    kill = ended("import os; os.kill(os.getpid(), 9)")
    assert describe(kill, out_of_memory=False) == "was killed by SIGKILL"
    assert "memory (RAM, not VRAM) ran out" in describe(kill, out_of_memory=True)


def test_the_kernel_counts_its_kills():
    assert isinstance(oom_kills(), int) and oom_kills() >= 0
