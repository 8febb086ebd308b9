"""The GPU lane's child: what crosses, what it holds, how it is stopped, and how its death is told."""

import os
import signal
import time

import pytest

from tests.fakes import gpu
from tests.fakes.trial import MB
from tests.inference.conftest import Recorder, named, wait_for
from vidgen.errors import Cancelled, InferenceDied, Interrupted, OutOfVram, Overdue, StepFailed
from vidgen.media.video import inspect

MODES = {"whole": [100, 300], "two_pass": [100, 200]}


def test_a_clip_is_rendered_in_another_process_and_every_step_is_reported(inference, card, spec):
    control = Recorder()
    running = inference()
    clip = running.make(card, spec(), control)
    assert clip.measured["pid"] == running.pid != os.getpid()
    assert inspect(clip.path, num_frames=5).width == 64
    assert control.said == [
        ("load", 0, 1), ("load", 1, 1), *[("render", i, 4) for i in range(1, 5)], ("decode", 1, 1),
        *[("encode", i, 5) for i in range(1, 6)],
    ]
    assert control.notes == [("attempt", "attempt 1, 7")]
    image, = control.images
    assert image.startswith(b"\xff\xd8")
    assert clip.made == {"mode": "whole"}


def test_a_backend_that_writes_the_clip_itself_is_as_good(inference, spec, tmp_path):
    control = Recorder()
    clip = inference().make(named(tmp_path, "one", at_once=True), spec(1), control)
    assert inspect(clip.path, num_frames=5).width == 64
    assert control.said[-1] == ("encode", 5, 5)


def test_models_are_loaded_beside_each_other_and_each_only_once(inference, card, other, spec):
    running = inference()
    loads = []
    for which in (card, card, other, card):
        control = Recorder()
        running.make(which, spec(1), control)
        loads.append(("load", 1, 1) in control.said)
    assert loads == [True, False, True, False]
    assert list(running.residents) == ["trial:one", "trial:two"]


def test_what_is_loaded_and_held_is_known_and_what_is_busy(inference, spec, tmp_path):
    one, two = named(tmp_path, "one", modes=MODES), named(tmp_path, "two", modes=MODES)
    running = inference(ram_cache_mb=150)
    assert (running.pid, running.residents, running.held.device_bytes) == (None, {}, 0)
    began = time.time()
    seen = {}
    watching = Recorder(then={("render", 1): lambda: seen.update(running.residents)})
    running.make(one, spec(1), watching)
    assert seen["trial:one"].busy and not running.residents["trial:one"].busy
    assert began <= seen["trial:one"].used_at <= running.residents["trial:one"].used_at <= time.time()
    running.make(two, spec(1), mode="two_pass")
    assert {name: at.mode for name, at in running.residents.items()} == {"trial:one": "whole", "trial:two": "two_pass"}
    assert (running.held.device_bytes, running.held.shelf_bytes) == (200 * MB, 0)

    running.unload("trial:one", keep=True)
    assert list(running.residents) == ["trial:two"]
    assert (running.held.device_bytes, running.held.shelf_bytes) == (100 * MB, 100 * MB)
    running.unload("trial:two", keep=False)
    assert (running.residents, running.held.device_bytes, running.held.shelf_bytes) == ({}, 0, 100 * MB)
    running.unload("trial:one", keep=False)                 # it is not on the device
    assert running.journal()[-2:] == ["unload one keep", "unload two"]
    running.end()
    assert (running.pid, running.residents, running.held.shelf_bytes) == (None, {}, 0)


def test_a_model_in_another_mode_changes_it(inference, spec, tmp_path):
    one = named(tmp_path, "one", modes=MODES)
    running = inference()
    assert running.make(one, spec(1)).made == {"mode": "whole"}
    assert running.make(one, spec(1), mode="two_pass").made == {"mode": "two_pass"}
    assert [line for line in running.journal() if "load" in line] == [
        "load one whole", "unload one", "load one two_pass"
    ]


def test_a_mode_that_sank_during_a_render_is_known(inference, spec, tmp_path):
    one = named(tmp_path, "one", modes=MODES)
    running = inference(("render", 2, "sink"))
    seen = {}
    control = Recorder(then={("render", 3): lambda: seen.update(running.residents)})
    clip = running.make(one, spec(), control)
    assert clip.made == {"mode": "two_pass", "ran_out": ["render 2 of 4: whole -> two_pass"]}
    assert seen["trial:one"].mode == running.residents["trial:one"].mode == "two_pass"


@pytest.mark.parametrize("at", [("load", 1), ("render", 2), ("decode", 1)])
def test_a_model_that_ran_out_of_memory_is_not_loaded_and_the_next_render_loads_it(inference, card, other, spec, at):
    running = inference((f"one/{at[0]}", at[1], "oom"))
    running.make(other, spec(1))
    pid = running.pid
    with pytest.raises(OutOfVram):
        running.make(card, spec())
    assert list(running.residents) == ["trial:two"]
    control = Recorder()
    assert running.make(card, spec(), control).measured["pid"] == pid
    assert ("load", 1, 1) in control.said


@pytest.mark.parametrize("at", [("load", 1), ("render", 2), ("decode", 1), ("encode", 2)])
def test_a_failure_that_the_backend_foresaw_costs_the_command_alone(inference, card, spec, at):
    running = inference((*at, "fail"))
    with pytest.raises(StepFailed, match="it failed as planned"):
        running.make(card, spec())
    pid = running.pid
    assert running.make(card, spec()).measured["pid"] == pid


def test_what_renders_is_told_to_prepare_the_next(inference, card, spec):
    running = inference(("render", 1, "hold"))
    running.prepare(card, spec(seed=8))                     # no child: nothing to prepare

    def prepare() -> None:
        running.prepare(card, spec(seed=9))
        wait_for(lambda: "prepare one 9" in running.journal())
        gpu.release(running.packages)

    running.make(card, spec(), Recorder(then={("render", 1): prepare}))
    assert [line for line in running.journal() if "prepare" in line] == ["prepare one 9"]


def test_how_long_nothing_rendered_is_measured_where_nothing_was_loaded(inference, card, other, spec):
    running = inference()
    first, second = (running.make(card, spec(1)) for _ in range(2))
    assert "idle_seconds" not in first.measured
    assert 0 <= second.measured["idle_seconds"] < 60
    assert "interrupted_seconds" not in second.measured
    assert "idle_seconds" not in running.make(other, spec(1)).measured


@pytest.mark.parametrize("at", [("load", 0), ("render", 2), ("decode", 1), ("encode", 2)])
def test_a_cancel_is_heard_in_every_phase_and_the_child_lives_on(inference, card, spec, at):
    running = inference((*at, "hold"))
    with pytest.raises(Cancelled):
        running.make(card, spec(), Recorder(cancel_at=at))
    assert "encoded one 7" not in running.journal()
    first = running.pid
    gpu.release(running.packages)
    assert running.make(card, spec(1)).measured["pid"] == first


def test_an_interruption_stops_it_too(inference, card, spec):
    with pytest.raises(Interrupted):
        inference().make(card, spec(40), Recorder(cancel_at=("render", 2), error=Interrupted("going down")))


@pytest.mark.parametrize("phase", ["render", "encode"])
def test_a_child_that_does_not_hear_a_cancel_is_killed(inference, card, spec, phase):
    running = inference((phase, 2, "hang"), cancel_grace_s=0.2)
    with pytest.raises(Cancelled):
        running.make(card, spec(), Recorder(cancel_at=(phase, 2)))
    assert running.pid is None
    assert running.make(card, spec(1)).num_frames == 5


@pytest.mark.parametrize(("how", "said"), [
    ("SIGKILL", "was killed by SIGKILL"), ("SIGSEGV", "was killed by SIGSEGV"), ("exit", "ended with code 3"),
])
def test_a_death_is_told_with_its_cause_and_the_next_attempt_gets_a_new_child(inference, card, spec, how, said):
    running = inference(("render", 2, how))
    with pytest.raises(InferenceDied, match=said):
        running.make(card, spec())
    assert (running.pid, running.residents) == (None, {})
    assert running.make(card, spec(attempt=2)).num_frames == 5


def test_a_child_that_cannot_start_is_charged_to_what_it_was_started_for(inference, card, monkeypatch):
    running = inference()
    monkeypatch.setenv("PYTHONPATH", "/nonexistent")
    monkeypatch.setenv("PYTHONHOME", "/nonexistent")
    with pytest.raises(InferenceDied, match="ended with code"):
        running.load(card, "whole", Recorder())


def test_a_child_that_says_nothing_is_ended_when_its_time_is_up(inference, card, spec):
    class Impatient(Recorder):
        def check(self) -> None:
            if ("render", 2, 4) in self.said:
                raise Overdue("render made no progress")

    running = inference(("render", 2, "SIGSTOP"))
    with pytest.raises(Overdue):
        running.make(card, spec(), Impatient())
    assert running.pid is None
    assert running.make(card, spec(attempt=2)).num_frames == 5


@pytest.mark.parametrize(("phase", "how"), [("render", "raise"), ("encode", "raise"), ("render", "fault")])
def test_what_nobody_foresaw_ends_the_child_and_says_nothing_of_it(inference, card, spec, phase, how):
    running = inference((phase, 2, how))
    with pytest.raises(StepFailed, match=r"^internal error [0-9a-f]{8}$") as caught:
        running.make(card, spec())
    assert caught.value.retryable
    assert running.pid is None
    assert running.make(card, spec()).num_frames == 5


def test_a_child_that_died_while_it_was_idle_harms_no_job(inference, card, spec):
    running = inference()
    running.make(card, spec(1))
    first = running.pid
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: running.pid is None)
    assert running.residents == {}
    with pytest.raises(Interrupted):                        # it had been loaded there: it has to be loaded again
        running.render(card, spec(1), Recorder())
    assert running.make(card, spec(1)).measured["pid"] != first


@pytest.mark.parametrize("how", ["SIGSTOP", "SIGKILL"])
def test_unloading_is_certain_even_where_the_child_does_not_answer(inference, card, spec, how):
    running = inference(unload_s=0.2)
    running.make(card, spec(1))
    os.kill(running.pid, signal.Signals[how])
    running.unload("trial:one", keep=True)
    assert (running.pid, running.residents) == (None, {})
    assert running.make(card, spec(1)).num_frames == 5


def test_a_fault_at_the_lanes_end_leaves_no_render_behind(inference, card, spec):
    class Unable(Recorder):
        def step(self, phase: str, i: int, n: int, preview: object = None) -> None:
            if phase == "render":
                raise OSError("the disk is full")

    running = inference()
    with pytest.raises(OSError):
        running.make(card, spec(1000), Unable())
    pid = running.pid
    assert running.make(card, spec(1)).measured["pid"] == pid
    assert running.journal().count("rendered one 7") == 1
