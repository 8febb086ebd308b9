"""Settings that contradict each other, or the machine."""

import re

import pytest

from tests.engine.test_vram import ERRORS, TWO
from tests.fakes import nvml
from tests.fakes.nvml import GIB, gpu
from vidgen.engine.limits import refuse_contradictions
from vidgen.engine.vram import Vram
from vidgen.errors import StartRefused
from vidgen.ram import ram
from vidgen.settings import load_settings


@pytest.fixture
def install(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return lambda *gpus, **said: nvml.install_here(monkeypatch, tmp_path, *gpus, **said)


def refused(device: str = "auto", **settings) -> str:
    loaded = load_settings(_env_file=None, gpu_device=device, **settings)
    with pytest.raises(StartRefused) as refusal:
        refuse_contradictions(loaded, Vram(device).read())
    return refusal.value.detail


def accepted(device: str = "auto", **settings) -> None:
    loaded = load_settings(_env_file=None, gpu_device=device, **settings)
    refuse_contradictions(loaded, Vram(device).read())


def test_a_device_that_is_not_there_is_refused_and_the_others_are_named(install):
    install(*TWO)
    for device in ("2", "GPU-9", "MIG-1"):
        assert re.search(rf"GPU_DEVICE: .*{device}.*0: GPU-1.*1: GPU-2", refused(device))
    accepted("1")
    install(gpu(), gpu(nvml.UUID[:-1] + "2"))
    assert "GPU_DEVICE: the UUIDs of 2 GPUs here begin with 'GPU-1'" in refused("GPU-1")
    install()
    assert "GPU_DEVICE: there is no NVIDIA GPU" in refused("0")


def test_auto_is_never_refused(install, monkeypatch):
    install()
    accepted("auto")
    accepted("auto", vram_reserve_mb=10**8)
    install(*TWO)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    accepted("auto")


@pytest.mark.parametrize("error", ERRORS)
def test_nvml_that_does_not_work_stops_no_start(install, error):
    for function in ("nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex", "nvmlDeviceGetMemoryInfo"):
        install(gpu(), errors={function: error})
        for device in ("auto", "0", "GPU-1111"):
            accepted(device)


def test_a_reserve_larger_than_the_card_is_refused_with_the_numbers(install):
    install(gpu(total=8 * GIB))
    assert "VRAM_RESERVE_MB: 8192 MB are left to others, and NVIDIA Fake 24GB has 8192 MB" in refused(
        vram_reserve_mb=8192)
    accepted(vram_reserve_mb=8191)
    assert "VRAM_RESERVE_MB" in refused("cpu", vram_reserve_mb=10**8)


def test_a_cache_larger_than_ram_is_refused_with_the_numbers(install):
    install(gpu())
    there = ram().total_bytes // 2**20
    assert f"RAM_CACHE_MB: {there + 1} MB are more than the {there} MB of RAM" in refused(ram_cache_mb=there + 1)
    accepted(ram_cache_mb=there - 1)


def test_a_cancelled_step_may_not_hang_for_longer_than_another(install):
    install(gpu())
    assert "CANCEL_GRACE_S: " in refused(cancel_grace_s=30, stall_s=20)
    accepted(cancel_grace_s=20, stall_s=20)


def test_all_that_is_wrong_is_said_at_once(install):
    install(*TWO)
    said = refused("5", ram_cache_mb=10**8, cancel_grace_s=300)
    assert all(name in said for name in ("GPU_DEVICE: ", "RAM_CACHE_MB: ", "CANCEL_GRACE_S: "))
