"""The decision in the simulator: many jobs, the door and the lane together, other processes that come and go."""

import pytest

from scripts.simulate_schedule import FIFO, OURS, PATTERNS, fewer, simulate, table

JOBS = 1_600
PATIENCE_S = 900


@pytest.fixture(scope="module")
def rows():
    return simulate(JOBS, seed=3, patience_s=PATIENCE_S)


def of(rows, lane):
    return [row for row in rows if row.lane == lane]


def test_every_job_ends(rows):
    assert [row.jobs for row in rows] == [JOBS // len(PATTERNS)] * len(rows)
    assert not any(row.refused for row in rows)


def test_nothing_is_passed_over_for_longer_than_the_bound(rows):
    assert all(row.passed_s == row.passed_at_door_s == 0 for row in of(rows, FIFO))
    assert all(0 < row.passed_s <= row.bound_s for row in of(rows, OURS))
    assert all(0 < row.passed_at_door_s < PATIENCE_S for row in of(rows, OURS))


def test_there_are_fewer_swaps_and_no_longer_waits(rows):
    assert fewer(rows) > 2                  # 3 with many jobs: make bench
    for before, after in zip(of(rows, FIFO), of(rows, OURS), strict=True):
        assert after.swaps < before.swaps and after.swap_s < before.swap_s
        assert after.wait_p99_s < 1.1 * before.wait_p99_s


def test_the_same_seed_gives_the_same_table(rows):
    assert table(simulate(JOBS, seed=3, patience_s=PATIENCE_S)) == table(rows)
