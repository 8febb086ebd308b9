"""A few of the cancels that ``make chaos`` does a thousand of."""

from tests.chaos.cancels import run


def test_a_cancel_at_a_random_moment_ends_the_job_soon_and_harms_no_other(tmp_path):
    found = run(tmp_path / "cancels", cancels=24, seed=3, report=lambda line: None)
    assert found.faults == []
    assert found.asked - found.completed >= 12
    assert found.beside >= 6
    assert len(found.latencies) >= 3
