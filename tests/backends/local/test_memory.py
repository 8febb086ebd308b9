"""Which errors are for lack of the device's memory."""

import weakref

import pytest
import torch

from backends.local import memory
from backends.local.families import _refuse_flagged
from backends.local.memory import LITTLE_BYTES, is_out_of_vram, let_go
from vidgen.errors import StepFailed


@pytest.mark.parametrize(("error", "is_so"), [
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
    (torch.AcceleratorError("CUDA error: out of memory", 2), True),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), True),
    (RuntimeError("CUDA driver error: out of memory"), True),
    (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
    (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
    (RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried"), True),
    (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
    (ValueError("out of memory"), False),
])
def test_each_way_of_saying_it_is_known(error, is_so):
    assert is_out_of_vram(error) is is_so


@pytest.mark.parametrize(("vram", "is_so"), [
    ((LITTLE_BYTES - 1, 2**35), True), ((LITTLE_BYTES, 2**35), False), ((0, 0), False),
], ids=["little is free", "enough is free", "nothing is known"])
@pytest.mark.parametrize("said", [
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    "GET was unable to find an engine to execute this computation",
])
def test_words_for_several_troubles_are_judged_by_what_is_free(monkeypatch, said: str, vram: tuple[int, int], is_so):
    monkeypatch.setattr(memory, "_vram", lambda: vram)
    assert is_out_of_vram(RuntimeError(said)) is is_so
    assert not is_out_of_vram(RuntimeError("CUDA error: an illegal memory access was encountered"))


@pytest.mark.parametrize("older", [False, True], ids=["torch as pinned", "torch 2.11"])
def test_pinned_memory_is_given_back_by_older_versions_of_torch_too(monkeypatch, older: bool):
    """The script for GPU machines runs with the torch that is there."""
    called = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: called.append("device"))
    if older:
        monkeypatch.delattr(torch.accelerator.memory, "empty_host_cache")
        monkeypatch.setattr(torch._C, "_host_emptyCache", lambda: called.append("host"), raising=False)
    else:
        monkeypatch.setattr(torch.accelerator.memory, "empty_host_cache", lambda: called.append("host"))
    memory.empty_caches()
    assert called == ["device", "host"]


def fail(held: list[weakref.ref]) -> None:
    activations = torch.rand(3)
    held.append(weakref.ref(activations))
    raise ValueError


def test_what_led_to_an_error_is_let_go_of_along_every_line():
    """One has a cause and, beside it, was raised while another was handled; they may also go round in a circle."""
    held: list[weakref.ref] = []
    error, cause, context = (raised(held) for _ in range(3))
    error.__cause__, error.__context__, context.__context__ = cause, context, error
    assert all(kept() is not None for kept in held) and len(held) == 3
    let_go(error)
    assert all(kept() is None for kept in held)


def raised(held: list[weakref.ref]) -> ValueError:
    with pytest.raises(ValueError) as caught:
        fail(held)
    return caught.value


def test_a_picture_that_a_safety_checker_blacked_out_is_no_result():
    _refuse_flagged([])
    _refuse_flagged([[False]])
    with pytest.raises(StepFailed, match="safety checker"):
        _refuse_flagged([[True]])
