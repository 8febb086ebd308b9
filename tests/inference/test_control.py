"""The control that a backend is handed in the inference process."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from vidgen.errors import Stopped
from vidgen.inference.control import ChildControl
from vidgen.inference.messages import Alive, Progress


class Said(list):
    """A line that keeps what is sent."""

    send = list.append


class Inside:
    """Something urgent, during which the outer control is called from everywhere, and cancelled."""

    def __init__(self, control: ChildControl, anything: bool = True):
        self.control = control
        self.anything = anything

    def say_held(self) -> None:
        self.control._line.send("held")

    def nest(self) -> bool:
        if self.anything:
            self.control.stop()
            self.control.check()
            self.control.alive()
            self.control.step("render", 9, 9)
        return self.anything


@pytest.fixture
def control() -> ChildControl:
    return ChildControl(1, Said(), {}, ThreadPoolExecutor(1))


def test_while_something_runs_inside_it_says_nothing_and_hears_the_cancel_when_it_wakes(control):
    control.outer = Inside(control)
    with pytest.raises(Stopped):
        control.step("render", 1, 4)
    assert control._line == ["held", Progress(1, "render", 1, 4)]
    assert control.interrupted_s > 0


def test_where_nothing_is_urgent_a_step_is_a_step(control):
    control.outer = Inside(control, anything=False)
    control.step("render", 1, 4)
    control.alive()
    assert control._line == ["held", Progress(1, "render", 1, 4)]         # the step was a sign of life
    assert control.interrupted_s == 0


def test_only_denoising_is_interrupted(control):
    control.outer = Inside(control)
    for phase in ("load", "decode", "encode"):
        control.step(phase, 1, 1)
    assert "held" not in control._line


def test_signs_of_life_are_few(control):
    for _ in range(100):
        control.alive()
    assert control._line == [Alive(1)]
