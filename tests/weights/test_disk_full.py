"""A disk that fills up while a large file comes."""

import sys

from tests.fakes.disk import SmallDisk, small_disk
from tests.weights.conftest import SCRIPT
from vidgen.weights.fetch import MARGIN_BYTES

LEFT_BYTES = 300_000
PROGRAM = 'import runpy, sys; sys.argv = [{script!r}, "clip"]; runpy.run_path({script!r}, run_name="__main__")'


def test_a_full_disk_is_named_with_the_numbers(setting):
    setting.card()
    disk = small_disk(setting.weights, MARGIN_BYTES + (8 << 20))
    left = LEFT_BYTES if isinstance(disk, SmallDisk) else 0     # a pretended disk counts files
    setting.hub.before_file = lambda: disk.leave(left)
    program = setting.folder / "download.py"
    program.write_text(PROGRAM.format(script=str(SCRIPT)))
    process = setting.script(launcher=disk.launcher, program=(sys.executable, str(program)))
    disk.attach(process.pid)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, out
    assert err.startswith(f"clip: the disk of {setting.weights}/clip is full (No space left on device): ")
    assert " are to come and " in err and " are free; what has come is kept" in err
    assert "Traceback" not in err
