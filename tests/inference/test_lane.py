"""The GPU lane's child: what crosses, how it is stopped, and how its death is told."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes import gpu
from tests.inference.conftest import Recorder, named
from vidgen.errors import Cancelled, InferenceDied, Interrupted, Overdue, StepFailed
from vidgen.media.video import inspect


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while alive(pid):
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.02)


def test_a_clip_is_rendered_in_another_process_and_every_step_is_reported(inference, card, spec):
    control = Recorder()
    clip = inference().render(card, spec(), control)
    assert clip.measured["pid"] != os.getpid()
    assert inspect(clip.path, num_frames=5).width == 64
    assert control.said == [
        ("load", 0, 1), ("load", 1, 1), *[("render", i, 4) for i in range(1, 5)], ("decode", 1, 1),
        *[("encode", i, 5) for i in range(1, 6)],
    ]
    assert control.notes == [("attempt", "attempt 1, 7")]
    assert control.images == [b"\xff\xd8a picture"]


def test_a_resident_model_is_not_loaded_again_and_another_takes_its_place(inference, card, spec, tmp_path):
    running, other = inference(), named(tmp_path, "two")
    loads = []
    for which in (card, card, other, card):
        control = Recorder()
        running.render(which, spec(1), control)
        loads.append(("load", 1, 1) in control.said)
    assert loads == [True, False, True, True]


def test_the_child_has_low_priority_no_secrets_and_sees_the_gpu_that_it_should(inference, card, spec, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "hush-1")
    monkeypatch.setenv("REPLICATE_API_TOKEN", "hush-2")
    running = inference()
    running._config = replace(running._config, device="cpu")
    pid = int(running.render(card, spec(1), Recorder()).measured["pid"])
    environment = Path(f"/proc/{pid}/environ").read_text()
    assert os.getpriority(os.PRIO_PROCESS, pid) >= os.getpriority(os.PRIO_PROCESS, 0) + 10
    assert "hush" not in environment
    assert "CUDA_VISIBLE_DEVICES=\0" in environment and "HF_HUB_OFFLINE=1" in environment
    assert "MALLOC_TRIM_THRESHOLD_=" in environment


@pytest.mark.parametrize("at", [("load", 0), ("render", 2), ("decode", 1), ("encode", 2)])
def test_a_cancel_is_heard_in_every_phase_and_the_child_lives_on(inference, card, spec, at):
    running = inference()
    with pytest.raises(Cancelled):
        running.render(card, spec(40), Recorder(cancel_at=at))
    first = running._child.process.pid
    assert int(running.render(card, spec(1), Recorder()).measured["pid"]) == first


def test_an_interruption_stops_it_too(inference, card, spec):
    with pytest.raises(Interrupted):
        inference().render(card, spec(40), Recorder(cancel_at=("render", 2), error=Interrupted("going down")))


def test_a_child_that_does_not_hear_a_cancel_is_killed(inference, card, spec):
    running = inference(("render", 2, "hang"), cancel_grace_s=0.2)
    with pytest.raises(Cancelled):
        running.render(card, spec(), Recorder(cancel_at=("render", 2)))
    assert running.render(card, spec(1), Recorder()).num_frames == 5


@pytest.mark.parametrize(("how", "said"), [
    ("SIGKILL", "was killed by SIGKILL"), ("SIGSEGV", "was killed by SIGSEGV"), ("exit", "ended with code 3"),
])
def test_a_death_is_told_with_its_cause_and_the_next_attempt_gets_a_new_child(inference, card, spec, how, said):
    running = inference(("render", 2, how))
    with pytest.raises(InferenceDied, match=said):
        running.render(card, spec(), Recorder())
    assert running.render(card, spec(attempt=2), Recorder()).num_frames == 5


def test_a_child_that_says_nothing_is_ended_when_its_time_is_up(inference, card, spec):
    class Impatient(Recorder):
        def check(self) -> None:
            if ("render", 2, 4) in self.said:
                raise Overdue("render made no progress")

    running = inference(("render", 2, "SIGSTOP"))
    with pytest.raises(Overdue):
        running.render(card, spec(), Impatient())
    assert running._child is None
    assert running.render(card, spec(attempt=2), Recorder()).num_frames == 5


def test_what_nobody_foresaw_ends_the_child_and_says_nothing_of_it(inference, card, spec):
    running = inference(("render", 2, "raise"))
    with pytest.raises(StepFailed, match=r"^internal error [0-9a-f]{8}$") as caught:
        running.render(card, spec(), Recorder())
    assert caught.value.retryable
    assert running.render(card, spec(), Recorder()).num_frames == 5


def test_a_child_that_died_while_it_was_idle_harms_no_job(inference, card, spec):
    running = inference()
    first = int(running.render(card, spec(1), Recorder()).measured["pid"])
    os.kill(first, signal.SIGKILL)
    running._child.process.wait()
    assert int(running.render(card, spec(1), Recorder()).measured["pid"]) != first


def test_closing_ends_the_child(inference, card, spec):
    running = inference()
    pid = int(running.render(card, spec(1), Recorder()).measured["pid"])
    running.close()
    wait_until_gone(pid)


START = """
import os, signal
from pathlib import Path
from vidgen.backend import BackendConfig
from vidgen.inference.process import Child

child = Child(BackendConfig(weights_dir=Path(".")), "info", "text")
child.hear(30)
"""


def orphan(then: str, **environment: str) -> int:
    """The process id of a child whose parent died of ``kill -9`` after it did *then*."""
    code = f"{START}\n{then}\nprint(child.process.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"
    parent = subprocess.run(
        [sys.executable, "-c", code], cwd=gpu.ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | environment
    )
    assert parent.returncode == -signal.SIGKILL
    return int(parent.stdout)


def test_the_child_dies_with_the_server_even_where_it_is_stopped():
    wait_until_gone(orphan("os.kill(child.process.pid, signal.SIGSTOP)"))


def test_a_child_with_no_leash_ends_with_the_connection():
    wait_until_gone(orphan("", PATH="/nonexistent"))


def test_a_fault_at_the_lanes_end_leaves_no_render_behind(inference, card, spec):
    class Unable(Recorder):
        def note(self, code: str, message: str) -> None:
            raise OSError("the disk is full")

    running = inference()
    with pytest.raises(OSError):
        running.render(card, spec(1), Unable())
    assert running._child is None
    assert running.render(card, spec(1), Recorder()).num_frames == 5
