"""A sample of the deaths and silences of the inference process that ``make chaos`` goes through."""

from tests.chaos.recoveries import SILENT, deaths, silences


def test_every_third_job_kills_its_child_and_none_is_lost_nor_another_charged(tmp_path):
    found = deaths(tmp_path / "deaths", jobs=9, seed=5, report=lambda line: None)
    assert found.faults == []
    assert (found.number, found.jobs) == (3, 9)


def test_a_child_that_falls_silent_is_replaced_within_the_deadline(tmp_path):
    found = silences(tmp_path / "silences", rounds=1, seed=5, report=lambda line: None, every=3)
    assert found.faults == []
    assert found.number == len(SILENT[::3])
