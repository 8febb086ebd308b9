"""Which errors are for lack of the device's memory."""

import pytest
import torch

from backends.local.families import _refuse_flagged
from backends.local.memory import is_out_of_vram
from vidgen.errors import StepFailed


@pytest.mark.parametrize(("error", "is_so"), [
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
    (torch.AcceleratorError("CUDA error: out of memory", 2), True),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), True),
    (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
    (RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried"), True),
    (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
    (ValueError("out of memory"), False),
])
def test_each_way_of_saying_it_is_known(error, is_so):
    assert is_out_of_vram(error) is is_so


def test_a_picture_that_a_safety_checker_blacked_out_is_no_result():
    _refuse_flagged([])
    _refuse_flagged([[False]])
    with pytest.raises(StepFailed, match="safety checker"):
        _refuse_flagged([[True]])
