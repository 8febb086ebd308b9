"""A clip's file is written while the next shot renders; what happens to one is not held against the other."""

import threading

import pytest

from tests.fakes import gpu
from tests.inference.conftest import Recorder, named, wait_for
from vidgen.errors import Cancelled, InferenceDied, Interrupted, Overdue, StepFailed
from vidgen.inference.lane import Unattended
from vidgen.media.video import inspect

HELD = ("one/encode", 1, "hold")


@pytest.fixture
def one(tmp_path):
    """A model that takes half a second to write a clip."""
    return named(tmp_path, "one", encode_seconds=0.1)


def test_the_next_shot_renders_while_a_clip_is_written_and_two_are_never_in_flight(inference, one, other, spec):
    class Hurried(Recorder):
        """Finds its answer there; waits for nothing."""

        def check(self) -> None:
            pytest.fail("the second was rendered before the first clip was written")

        def alive(self) -> None:
            """It may have waited."""

        def step(self, phase: str, i: int, n: int, preview: object = None) -> None:
            self.said.append((phase, i, n))

    running = inference(HELD)
    first = running.begin(one, spec(seed=1))

    def look() -> None:
        assert "encode one 1" in running.journal() and "encoded one 1" not in running.journal()
        gpu.release(running.packages)

    second = running.begin(other, spec(seed=2), Recorder(then={("decode", 1): look}))
    hurried = Hurried()
    assert inspect(first.wait(hurried).path, num_frames=5).width == 64
    assert hurried.said == [("encode", i, 5) for i in range(1, 6)]
    assert inspect(second.wait(Recorder()).path, num_frames=5).width == 64


def test_a_clip_in_flight_is_cancelled_and_the_next_shot_goes_on(inference, one, other, spec):
    running = inference(HELD)
    first = running.begin(one, spec(seed=1))
    gone = []

    def cancel() -> None:
        control = Recorder()
        control.stop.set()
        with pytest.raises(Cancelled):
            first.wait(control)
        gone.append(not spec(seed=1).output.exists())

    pid = running.pid
    clip = running.make(other, spec(seed=2), Recorder(then={("render", 2): cancel}))
    assert gone == [True]
    assert clip.measured["pid"] == pid
    assert inspect(clip.path, num_frames=5).width == 64


def test_a_shot_that_waits_for_the_clip_before_it_hears_a_cancel(inference, one, other, spec):
    running = inference(HELD)
    first = running.begin(one, spec(seed=1))
    with pytest.raises(Cancelled):
        running.begin(other, spec(seed=2), Recorder(cancel_at=("decode", 1)))
    gpu.release(running.packages)
    assert inspect(first.wait(Recorder()).path, num_frames=5).width == 64
    assert "encode two 2" not in running.journal()


def test_a_render_that_dies_is_charged_and_the_clip_in_flight_is_not(inference, one, other, spec):
    running = inference(HELD, ("two/render", 2, "SIGKILL"))
    first = running.begin(one, spec(seed=1))
    with pytest.raises(InferenceDied, match="was killed by SIGKILL"):
        running.begin(other, spec(seed=2))
    with pytest.raises(Interrupted, match="was killed by SIGKILL, on account of something else"):
        first.wait(Recorder())


def test_where_nothing_renders_the_clip_is_charged(inference, one, spec):
    running = inference(("one/encode", 2, "SIGKILL"))
    first = running.begin(one, spec(seed=1))
    with pytest.raises(InferenceDied, match="was killed by SIGKILL"):
        first.wait(Recorder())


def test_a_clip_that_fails_as_nobody_foresaw_is_charged_and_the_render_is_not(inference, one, other, spec):
    running = inference(HELD, ("one/encode", 2, "raise"))
    first = running.begin(one, spec(seed=1))
    go = Recorder(then={("render", 1): lambda: gpu.release(running.packages)})
    with pytest.raises(Interrupted, match="nobody had foreseen"):
        running.begin(other, spec(1000, seed=2), go)
    with pytest.raises(StepFailed, match="internal error"):
        first.wait(Recorder())


def test_a_clip_that_fails_as_foreseen_harms_nothing_else(inference, one, other, spec):
    running = inference(HELD, ("one/encode", 2, "fail"))
    first = running.begin(one, spec(seed=1))
    go = Recorder(then={("render", 1): lambda: gpu.release(running.packages)})
    assert running.make(other, spec(seed=2), go).num_frames == 5
    with pytest.raises(StepFailed, match="as planned"):
        first.wait(Recorder())


@pytest.mark.parametrize("error", [Overdue("encode made no progress"), Cancelled("the client asked")])
def test_a_clip_that_hangs_is_charged_and_the_render_is_not(inference, one, other, spec, error):
    running = inference(("one/encode", 2, "hang"), cancel_grace_s=0.2)
    first = running.begin(one, spec(seed=1))
    raised = []

    def wait() -> None:
        control = Recorder(cancel_at=("encode", 2), error=error)
        with pytest.raises(type(error)) as caught:
            first.wait(control)
        raised.append(caught.value)

    waiting = threading.Thread(target=wait)
    with pytest.raises(Interrupted, match="was ended, because"):
        running.begin(other, spec(1000, seed=2), Recorder(then={("render", 1): waiting.start}))
    waiting.join()
    assert raised == [error]
    assert running.make(other, spec(1)).num_frames == 5


def test_a_clip_that_hangs_unheard_is_charged_once_the_render_that_waits_for_it_is_silent_too(
    inference, one, other, spec
):
    """As where that render is more urgent and came too late to run inside: only then does anybody listen to the clip.
    """
    running = inference(("one/encode", 2, "hang"))
    first = running.begin(one, spec(seed=1))
    with pytest.raises(Interrupted, match="on account of something else"):
        running.begin(other, spec(seed=2), Unattended(1))
    with pytest.raises(InferenceDied, match="said nothing for 1 s"):
        first.wait(Recorder())


def test_a_clip_that_hangs_and_is_cancelled_is_ended_while_what_came_too_late_to_run_inside_waits_for_it(
    inference, one, other, spec
):
    running, outer = inference(("one/encode", 1, "hang"), cancel_grace_s=0.2), Recorder()

    def cancel() -> None:
        wait_for(lambda: not (running.packages / "deaths").read_text())
        outer.stop.set()

    def come_too_late() -> None:
        wait_for(lambda: "rendered one 1" in running.journal())
        running.load(other, "whole", Recorder())
        with pytest.raises(Interrupted, match="because it did not give way"):
            running.render(other, spec(seed=2), Recorder(then={("decode", 1): cancel}))

    outer.then[("render", 4)] = come_too_late
    with pytest.raises(Cancelled):
        running.begin(one, spec(seed=1), outer)
    assert running.make(other, spec(1)).num_frames == 5


def test_a_render_that_hangs_and_is_cancelled_is_ended_while_what_should_run_inside_waits_for_it(
    inference, one, other, spec
):
    running, outer = inference(("one/render", 2, "hang"), cancel_grace_s=0.2), Recorder()

    def urgent() -> None:
        wait_for(lambda: not (running.packages / "deaths").read_text())
        outer.stop.set()
        with pytest.raises(Interrupted, match="because it did not give way"):
            running.load(other, "whole", Recorder())

    outer.then[("render", 2)] = urgent
    with pytest.raises(Cancelled):
        running.begin(one, spec(seed=1), outer)
    assert running.make(other, spec(1)).num_frames == 5


def test_an_orderly_end_writes_the_clip_first(inference, one, spec):
    running = inference()
    first = running.begin(one, spec(seed=1))
    wait_for(lambda: "encode one 1" in running.journal())
    running.end()
    assert inspect(first.wait(Recorder()).path, num_frames=5).width == 64
