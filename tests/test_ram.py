"""This machine's memory, as files of the kernel tell it."""

from pathlib import Path

import pytest

from vidgen.ram import held_by, ram

GIB = 2**30


@pytest.fixture
def machine(tmp_path):
    """A machine of 8 GiB with 6 to be had, and a process in the group ``/a/b``."""
    def machine(line: str, files: dict[str, str]) -> tuple[Path, Path]:
        proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
        (proc / "self").mkdir(parents=True)
        (proc / "meminfo").write_text(f"MemTotal: {8 * 2**20} kB\nMemFree: 12 kB\nMemAvailable: {6 * 2**20} kB\n")
        (proc / "self" / "cgroup").write_text(line)
        for name, text in files.items():
            (cgroups / name).parent.mkdir(parents=True, exist_ok=True)
            (cgroups / name).write_text(text)
        return proc, cgroups

    return machine


@pytest.mark.parametrize(("line", "files", "total", "free"), [
    ("", {}, 8, 6),
    ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/b/memory.current": f"{GIB}\n"}, 8, 6),
    ("0::/a/b\n", {
        "a/memory.max": f"{4 * GIB}\n", "a/memory.current": f"{3 * GIB}\n",
        "a/memory.stat": f"anon 5\ninactive_file {2 * GIB}\n",
    }, 4, 3),
    ("0::/elsewhere\n", {"memory.max": f"{2 * GIB}", "memory.current": f"{3 * GIB}"}, 2, 0),
    ("5:cpu:/x\n4:memory:/a\n", {
        "memory/a/memory.limit_in_bytes": f"{3 * GIB}", "memory/a/memory.usage_in_bytes": f"{2 * GIB}",
        "memory/a/memory.stat": f"total_inactive_file {GIB}\n",
    }, 3, 2),
    ("4:memory:/a\n", {
        "memory/a/memory.limit_in_bytes": "9223372036854771712", "memory/a/memory.usage_in_bytes": f"{GIB}",
    }, 8, 6),
])
def test_ram_is_what_the_machine_and_the_container_allow(machine, line, files, total, free):
    there = ram(*machine(line, files))
    assert (there.total_bytes, there.free_bytes) == (total * GIB, free * GIB)


def test_where_the_system_says_nothing_nothing_is_known(tmp_path):
    there = ram(tmp_path, tmp_path)
    assert there.total_bytes is None and there.free_bytes is None and held_by(1, tmp_path) is None
