"""Work in threads of its own, and waits that hear."""

import threading

import pytest

from backends.replicate.waiting import Background, Backoff, TooLate, pause
from tests.backends.replicate.conftest import Recorder
from vidgen.errors import Cancelled


def test_work_gives_what_it_returned_or_raised():
    assert Background(lambda: 7).wait(5) == 7
    with pytest.raises(ZeroDivisionError):
        Background(lambda: 1 / 0).wait(5)


def test_a_wait_ends_by_its_limit_or_its_tick_and_the_work_goes_on():
    hold = threading.Event()
    work = Background(lambda: hold.wait(10))
    with pytest.raises(TooLate):
        work.wait(0.01)
    with pytest.raises(Cancelled):
        work.wait(5, _cancel)
    assert work.late(0.01) is None
    hold.set()
    assert work.late(5) is True


def test_a_pause_is_a_sign_of_life_and_hears_a_cancel():
    control = Recorder()
    pause(control, 0.15)
    assert control.looks >= 2
    control.cancel_when(lambda: control.looks > 5)
    with pytest.raises(Cancelled):
        pause(control, 60)


def test_delays_grow_to_their_bound():
    backoff = Backoff(0.5, 5.0)
    delays = [backoff.next() for _ in range(12)]
    assert 0.45 <= delays[0] <= 0.5
    assert all(4.5 <= delay <= 5.0 for delay in delays[8:])


def _cancel() -> None:
    raise Cancelled("now")
