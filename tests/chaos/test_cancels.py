"""A few of the cancels that ``make chaos`` does a thousand of."""

import pytest

from tests.chaos.cancels import run


@pytest.mark.timeout(300)
def test_a_cancel_at_a_random_moment_ends_the_job_soon_and_harms_no_other(tmp_path):
    found = run(tmp_path / "cancels", cancels=40, seed=3, report=lambda line: None)
    assert found.faults == []
    assert found.asked - found.completed >= 20
    assert found.beside >= 10
    assert len(found.latencies) >= 4
