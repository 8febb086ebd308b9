"""The inference process as the server starts it: environment and priority, and that it never outlives the server."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import gpu
from tests.inference.conftest import wait_for


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pid: int) -> None:
    wait_for(lambda: not alive(pid))


def environment_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(line.split("=", 1) for line in lines if "=" in line)


@pytest.mark.parametrize(("device", "seen", "conf"), [
    ("cpu", "", None), ("GPU-1f3e", "GPU-1f3e", "expandable_segments:True"),
])
def test_the_child_has_low_priority_no_secrets_and_sees_the_gpu_that_it_should(
    inference, card, spec, monkeypatch, device, seen, conf
):
    for name in ("ANTHROPIC_API_KEY", "REPLICATE_API_TOKEN"):
        monkeypatch.setenv(name, "hush")
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
    running = inference(device=device)
    running.make(card, spec(1))
    environment = environment_of(running.pid)
    assert os.getpriority(os.PRIO_PROCESS, running.pid) >= os.getpriority(os.PRIO_PROCESS, 0) + 10
    assert "hush" not in environment.values()
    assert (environment["CUDA_VISIBLE_DEVICES"], environment["HF_HUB_OFFLINE"]) == (seen, "1")
    assert ("MALLOC_TRIM_THRESHOLD_" in environment) == (device == "cpu")
    assert environment.get("PYTORCH_ALLOC_CONF") == conf


def test_writing_a_clip_gives_way_to_the_thread_that_keeps_the_device_busy(inference, card, spec):
    running = inference(("encode", 1, "hold"))
    running.begin(card, spec(1))
    wait_for(lambda: "encode one 7" in running.journal())
    threads = [int(thread.name) for thread in Path(f"/proc/{running.pid}/task").iterdir()]
    niceness = {thread: os.getpriority(os.PRIO_PROCESS, thread) for thread in threads}
    assert niceness[running.pid] < 13 and 13 in niceness.values()
    gpu.release(running.packages)


def test_the_users_own_word_on_the_allocator_stands(inference, card, spec, monkeypatch):
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:64")
    running = inference()
    running.make(card, spec(1))
    environment = environment_of(running.pid)
    assert environment["PYTORCH_CUDA_ALLOC_CONF"] == "max_split_size_mb:64"
    assert "PYTORCH_ALLOC_CONF" not in environment


def test_closing_ends_the_child(inference, card, spec):
    running = inference()
    running.make(card, spec(1))
    pid = running.pid
    running.close()
    wait_until_gone(pid)


START = """
import os, signal
from pathlib import Path
from vidgen.backend import BackendConfig
from vidgen.inference.process import Child

child = Child(BackendConfig(weights_dir=Path(".")), "info", "text")
child.open(1).get(timeout=30)
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
