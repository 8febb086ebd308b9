"""Room for the frames that a job keeps is asked for before the job is taken."""

import shutil

import pytest

from tests.engine.conftest import ask, wait
from vidgen.errors import DiskLow

SPARE_BYTES = 2 * 10**9
"""What other programs may take of the disk while the test runs."""


def test_a_job_whose_frames_do_not_fit_on_the_disk_is_refused(start, tmp_path):
    engine = start()
    engine.workspace.min_free_bytes = shutil.disk_usage(tmp_path).free - SPARE_BYTES
    large = {"width": 2048, "height": 2048, "num_frames": 480, "max_shots": 10}        # 60 GB, raw
    engine.pause()
    with pytest.raises(DiskLow, match="are needed"):
        engine.submit(ask(save_frames=True, **large))
    without, _ = engine.submit(ask(**large))
    engine.cancel(without.id)
    engine.resume()
    wait(engine, engine.submit(ask(save_frames=True))[0].id)
