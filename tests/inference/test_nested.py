"""Something urgent runs inside of a render, at its next denoising step; both are as good as undisturbed."""

import os
import signal
import threading
import time

import pytest

from tests.fakes import gpu
from tests.inference.conftest import Recorder, wait_for
from vidgen.backend import BackendConfig
from vidgen.errors import Cancelled, InferenceDied, Interrupted, OutOfVram, Overdue, StepFailed
from vidgen.inference.conversation import Conversation
from vidgen.inference.messages import Answer, Cancel, GaveWay, Load, Prepare, Render
from vidgen.inference.process import Child

LONG = 1000
"""Denoising steps of a render inside of which something certainly comes to run."""


@pytest.fixture
def bare(tmp_path):
    """Start a child with no lane before it; ended after the test."""
    started = []

    def bare() -> Child:
        started.append(Child(BackendConfig(weights_dir=tmp_path), "info", "text"))
        return started[-1]

    yield bare
    for child in started:
        child.end("the test is over")


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_urgent_commands_run_inside_of_any_step_and_both_outputs_are_as_undisturbed(
    inference, bare, card, other, spec, step
):
    """The fifth comes too late: all four steps are done, and it runs after the render."""
    undisturbed = inference()
    alone = [undisturbed.make(each, spec(seed=seed)).path.read_bytes() for each, seed in ((card, 1), (other, 2))]
    held_at = ("load", 1) if step == 1 else ("render", step - 1)
    running = inference((f"one/{held_at[0]}", held_at[1], "hold"))
    child = bare()
    control, clips = Recorder(), {}
    load, outer = (Conversation(child, command, 10) for command in (
        Load(1, card, "whole"), Render(2, card, spec(seed=1), {})
    ))

    def listen() -> None:
        load.answer(control)
        clips["outer"] = outer.answer(control).result

    listening = threading.Thread(target=listen)
    listening.start()
    wait_for(lambda: (*held_at, 1 if step == 1 else 4) in control.said)
    inner = [Conversation(child, command, 10, urgent=True) for command in (
        Load(3, other, "whole"), Render(4, other, spec(seed=2), {})
    )]
    for which in (card, other):             # answered by nobody, but done after the reader has heard what came before
        child.tell(Prepare(which, spec(seed=99)))
    wait_for(lambda: "prepare one 99" in running.journal())
    gpu.release(running.packages)
    clips["inner"] = [each.answer(Recorder()) for each in inner][-1].result
    listening.join()

    done = [line for line in running.journal() if line.split()[0] in ("render", "rendered")]
    inside = ["render one 1", "render two 2", "rendered two 2", "rendered one 1"]
    assert done == (inside if step < 5 else ["render one 1", "rendered one 1", "render two 2", "rendered two 2"])
    assert [control.said.count(("render", i, 4)) for i in range(1, 5)] == [1, 1, 1, 1]
    assert ("interrupted_seconds" in clips["outer"].measured) == (step < 5)
    assert "interrupted_seconds" not in clips["inner"].measured
    assert [clips["outer"].path.read_bytes(), clips["inner"].path.read_bytes()] == alone


def nested(running, which, spec, control=None) -> dict:
    """What the lane does inside of another render's step; what comes of it is put into the answer."""
    outcome = {}

    def run() -> None:
        try:
            outcome["clip"] = running.make(which, spec, control)
        except Exception as e:
            outcome["error"] = e

    outcome["run"] = run
    return outcome


def test_the_lane_runs_something_inside_and_the_outer_goes_on_to_the_same_bytes(inference, card, other, spec):
    running = inference()
    alone = running.make(card, spec(40, seed=1)).path.read_bytes()
    busy = {}
    watching = Recorder(then={("render", 1): lambda: busy.update(running.residents)})
    inner = nested(running, other, spec(2, seed=2), watching)
    outer = running.make(card, spec(40, seed=1), Recorder(then={("render", 2): inner["run"]}))
    assert outer.path.read_bytes() == alone
    assert inner["clip"].num_frames == 5
    assert all(at.busy for at in busy.values()) and len(busy) == 2
    assert not any(at.busy for at in running.residents.values())
    assert running.journal().index("rendered two 2") < len(running.journal()) - running.journal()[::-1].index(
        "rendered one 1"
    )
    assert outer.measured["interrupted_seconds"] > 0


def test_what_runs_inside_may_be_unloaded_again(inference, card, other, spec):
    running = inference()

    def swap() -> None:
        running.load(other, "whole", Recorder())
        running.unload("trial:two", keep=False)

    assert running.make(card, spec(40), Recorder(then={("render", 2): swap})).num_frames == 5
    assert [line for line in running.journal() if line.split()[0] in ("load", "unload", "rendered")] == [
        "load one whole", "load two whole", "unload two", "rendered one 7",
    ]


def test_the_silence_of_the_outer_is_not_held_against_it(inference, card, other, spec):
    class Deadline(Recorder):
        """As the engine's control: overdue where the last sign of life is too long ago."""

        alive_at = time.monotonic()

        def check(self) -> None:
            super().check()
            if time.monotonic() - self.alive_at > 2:
                raise Overdue("render made no progress")

        def alive(self) -> None:
            super().alive()
            self.alive_at = time.monotonic()

        def step(self, phase: str, i: int, n: int, preview: object = None) -> None:
            self.check()
            self.alive_at = time.monotonic()
            super().step(phase, i, n, preview)

    running = inference()
    inner = nested(running, other, spec(3, seed=2, step_seconds=1))
    control = Deadline()
    control.alive_at = float("inf")                         # until the child has started
    control.then = {("render", 2): inner["run"]}
    assert running.make(card, spec(40, seed=1), control).num_frames == 5
    assert inner["clip"].num_frames == 5


@pytest.mark.parametrize(("how", "inner_error", "outer_error"), [
    ("SIGKILL", InferenceDied, Interrupted),
    ("exit", InferenceDied, Interrupted),
    ("raise", StepFailed, Interrupted),
    ("fail", StepFailed, None),
    ("oom", OutOfVram, None),
])
@pytest.mark.parametrize("phase", [("load", 1), ("render", 2)])
def test_what_happens_inside_is_charged_to_the_inner_one_alone(
    inference, card, other, spec, phase, how, inner_error, outer_error
):
    running = inference((f"two/{phase[0]}", phase[1], how))
    inner = nested(running, other, spec(seed=2))
    control = Recorder(then={("render", 2): inner["run"]})
    if outer_error is None:
        assert running.make(card, spec(40, seed=1), control).num_frames == 5
        assert "trial:one" in running.residents
    else:
        with pytest.raises(outer_error, match="on account of something else"):
            running.make(card, spec(LONG, seed=1), control)
    assert type(inner["error"]) is inner_error
    if how == "oom":
        assert list(running.residents) == ["trial:one"]


def test_an_inner_one_that_is_cancelled_leaves_the_outer_alone(inference, card, other, spec):
    running = inference()
    inner = nested(running, other, spec(LONG, seed=2), Recorder(cancel_at=("render", 2)))
    assert running.make(card, spec(40, seed=1), Recorder(then={("render", 2): inner["run"]})).num_frames == 5
    assert isinstance(inner["error"], Cancelled)


def test_an_inner_one_that_does_not_hear_a_cancel_is_charged(inference, card, other, spec):
    running = inference(("two/render", 2, "hang"), cancel_grace_s=0.2)
    inner = nested(running, other, spec(seed=2), Recorder(cancel_at=("render", 2)))
    with pytest.raises(Interrupted):
        running.make(card, spec(LONG, seed=1), Recorder(then={("render", 2): inner["run"]}))
    assert isinstance(inner["error"], Cancelled)


def test_an_outer_one_that_is_cancelled_meanwhile_ends_when_the_inner_one_has_ended(inference, card, other, spec):
    running = inference()
    control = Recorder()
    inner = nested(running, other, spec(4, seed=2), Recorder(then={("render", 1): control.stop.set}))
    control.then = {("render", 2): inner["run"]}
    with pytest.raises(Cancelled):
        running.make(card, spec(LONG, seed=1), control)
    assert inner["clip"].num_frames == 5
    assert "rendered one 1" not in running.journal()
    pid = running.pid
    assert running.make(card, spec(1)).measured["pid"] == pid


def test_a_cancel_that_reaches_a_sleeping_render_is_heard_when_it_wakes(inference, bare, card, other, spec):
    running = inference(("two/render", 1, "hold"))
    child = bare()
    for ticket, which in enumerate((card, other), 1):
        Conversation(child, Load(ticket, which, "whole"), 10).answer(Recorder())
    outer = child.open(3)
    child.tell(Render(3, card, spec(LONG, seed=1), {}))
    inner = Conversation(child, Render(4, other, spec(seed=2), {}), 10, urgent=True)

    def cancel_outer() -> None:
        child.tell(Cancel(3))
        child.tell(Prepare(card, spec(seed=99)))
        wait_for(lambda: "prepare one 99" in running.journal())
        gpu.release(running.packages)

    assert inner.answer(Recorder(then={("render", 1): cancel_outer})).result.num_frames == 5
    while not isinstance(message := outer.get(timeout=20), Answer):
        pass
    assert message == GaveWay(3)


class Late(Recorder):
    """The control of something urgent that comes when its render decodes already, and waits there."""

    def __init__(self, when_it_lives):
        super().__init__()
        self.when_it_lives = when_it_lives

    def alive(self) -> None:
        super().alive()
        if (then := self.when_it_lives) is not None:
            self.when_it_lives = None
            then()


DECODES = ("one/decode", 1, "hold")


def test_what_comes_too_late_hears_that_others_live_and_runs_next(inference, card, other, spec):
    running = inference(DECODES)
    late = Late(lambda: gpu.release(running.packages))
    inner = nested(running, other, spec(seed=2), late)
    assert running.make(card, spec(seed=1), Recorder(then={("decode", 1): inner["run"]})).num_frames == 5
    assert inner["clip"].num_frames == 5
    assert late.said[0] == ("load", 0, 1)
    assert running.journal().index("rendered one 1") < running.journal().index("render two 2")


def test_what_comes_too_late_is_cancelled_at_once(inference, card, other, spec):
    running = inference(DECODES, cancel_grace_s=20)
    inner = nested(running, other, spec(seed=2), Recorder(cancel_at=("load", 0)))

    def run_and_release() -> None:
        inner["run"]()
        gpu.release(running.packages)

    assert running.make(card, spec(seed=1), Recorder(then={("decode", 1): run_and_release})).num_frames == 5
    assert isinstance(inner["error"], Cancelled)
    assert "load two whole" not in running.journal()


def test_a_render_that_dies_is_charged_and_what_waits_for_it_is_not(inference, card, other, spec):
    running = inference(DECODES)
    inner = nested(running, other, spec(seed=2), Late(lambda: os.kill(running.pid, signal.SIGKILL)))
    with pytest.raises(InferenceDied, match="was killed by SIGKILL"):
        running.make(card, spec(seed=1), Recorder(then={("decode", 1): inner["run"]}))
    assert isinstance(inner["error"], Interrupted)


def test_a_render_that_hangs_is_charged_and_what_waits_for_it_is_not(inference, card, other, spec):
    running = inference(("one/decode", 1, "SIGSTOP"))
    inner = nested(running, other, spec(seed=2), Recorder(cancel_at=("load", 0), error=Overdue("no sign of life")))
    with pytest.raises(InferenceDied, match="was ended, because no sign of life"):
        running.make(card, spec(seed=1), Recorder(then={("decode", 1): inner["run"]}))
    assert isinstance(inner["error"], Interrupted)
