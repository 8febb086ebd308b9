"""A sample of what ``make chaos`` does in full: deaths at commits, renames and fsyncs of one three-shot job."""

from tests.chaos.deaths import count, every_fate, sweep
from tests.chaos.die_at import KINDS


def test_a_death_at_a_commit_a_rename_or_an_fsync_costs_nothing(tmp_path):
    counted, digest = count(tmp_path)
    swept = sweep(tmp_path, every_fate(counted, each=24), digest)
    assert swept.faults == []
    assert set(swept.died) == set(KINDS)
    assert swept.died.total() >= 5
