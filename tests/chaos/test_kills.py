"""A few cycles of what ``make chaos`` does two hundred times."""

from tests.chaos.kills import run


def test_a_few_deaths_of_the_real_server_lose_nothing(tmp_path):
    world = run(tmp_path / "kills", cycles=3, seed=11, report=lambda line: None, posters=1)
    assert world.faults == []
    assert world.counts["acknowledged jobs"] >= 3
    assert world.counts["jobs completed"] >= 1
