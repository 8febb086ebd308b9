"""A download that is killed, at random and at every rename, and what the next run has to fetch again."""

import random
import sys
import time

import pytest

from tests.fakes.hub import PIECE_BYTES, FakeHub, Repository
from tests.weights.conftest import REPOSITORY, SCRIPT, Setting, noise
from vidgen.weights import problem, read_lock
from vidgen.weights.fetch import fetch
from vidgen.weights.hub import Hub
from vidgen.weights.verify import verify

KILLS = 20
SIZES_MB = (30, 36, 40, 44, 50)             # 200 MB in 5 files
CHUNK_BYTES = 1 << 20
"""What a kill may cost. In truth it is the piece under way (256 KiB) and what was read and not written (64 KiB)."""


def test_twenty_kills_cost_a_chunk_each_at_most(tmp_path):
    weights = {f"unet/part-{n}.safetensors": noise(n, size * 1_000_000) for n, size in enumerate(SIZES_MB)}
    rng = random.Random(3)
    with FakeHub({REPOSITORY: Repository(weights)}) as hub:
        setting = Setting(hub, tmp_path)
        card = setting.card(patterns=["*.safetensors"])
        hub.pace = 0.002
        torn = sum(killed_mid_file(setting, rng) for _ in range(KILLS))
        assert problem(card, setting.weights) is not None
        hub.pace = 0
        done = setting.run("clip")
        again = {path: hub.served[path] - len(data) for path, data in weights.items()}
    assert done.returncode == 0, done.stderr
    assert verify(card, setting.weights) == []
    for path, data in weights.items():
        assert (setting.weights / "clip" / path).read_bytes() == data
    print(f"{torn} of {KILLS} kills tore a file; fetched again: {sum(again.values()):,} bytes, {again}")
    assert torn > KILLS / 2
    assert 0 <= sum(again.values()) <= torn * CHUNK_BYTES
    assert not list(setting.weights.rglob(".*"))


def killed_mid_file(setting: Setting, rng: random.Random) -> bool:
    """Start the script and kill it after some bytes and some time; whether a file was left torn."""
    aim = sum(setting.hub.served.values()) + rng.randrange(12_000_000)
    process = setting.script("clip")
    while sum(setting.hub.served.values()) < aim:
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)
    time.sleep(rng.random() * 0.02)
    process.kill()
    process.communicate()
    sizes = {len(data) for data in setting.repository.files.values()}
    return any(part.stat().st_size not in sizes for part in (setting.weights / "clip" / ".part").glob("*"))


DIES = """
import runpy, sys
from tests.chaos.die_at import RENAME, watch
watch((RENAME, sys.argv[1], int(sys.argv[2])))
sys.argv = [sys.argv[3], "clip"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("fate", ["before 1", "after 1", "before 3", "after 3"])
def test_killed_while_a_new_commit_takes_the_place_of_the_old(setting, fate):
    """Two files and the lock are renamed: whatever looks whole then is whole, and the next run makes it whole."""
    card, hub = setting.card(), Hub(False, setting.hub.url)
    fetch(card, setting.weights, hub)
    setting.repository.files |= {"unet/diffusion.safetensors": noise(5, 900_000), "unet/config.json": b"[]\n"}
    setting.repository.commit = "c" * 40
    root = str(SCRIPT.parents[1])
    dying = [sys.executable, "-c", DIES, *fate.split(), str(SCRIPT)]
    process = setting.script(program=dying, PYTHONPATH=root)
    out, err = process.communicate(timeout=60)
    assert process.returncode == -9, err
    assert problem(card, setting.weights) is not None or verify(card, setting.weights) == []
    served = setting.hub.served.copy()
    fetch(card, setting.weights, hub)
    assert read_lock(card, setting.weights).revision == "c" * 40
    assert verify(card, setting.weights) == []
    assert setting.hub.served == served
    assert {path.name for path in setting.weights.iterdir()} == {"clip", "clip.lock.json"}


def test_ctrl_c_says_that_the_same_command_goes_on(setting):
    setting.card()
    size = 20 * PIECE_BYTES                 # at this pace five seconds of it, in which the signal comes
    setting.repository.files["unet/diffusion.safetensors"] = noise(1, size)
    setting.hub.pace = 0.25
    heard = ("env", "--default-signal=INT")  # also where the tests themselves run with it ignored
    process = setting.script("clip", launcher=heard)
    while setting.hub.served["unet/diffusion.safetensors"] < 2 * PIECE_BYTES:     # then the first is on the disk
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.send_signal(2)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip() == "stopped; what has come is kept, and the same command goes on from there"
    setting.hub.pace = 0
    assert setting.run("clip").returncode == 0
    assert setting.hub.served["unet/diffusion.safetensors"] <= size + CHUNK_BYTES
    assert "range" in setting.hub.asked_for("unet/diffusion.safetensors")[-1]
