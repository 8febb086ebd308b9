"""Running out of the device's memory: in which ways it is said, and what can be let go of then."""

import gc
import logging
import traceback
from collections.abc import Iterable

from vidgen.errors import OutOfVram

WORDS = (
    "CUDA error: out of memory", "CUDA driver error: out of memory", "_STATUS_ALLOC_FAILED", "ALLOCATION_FAILED",
    "DefaultCPUAllocator: can't allocate memory",
)

AMBIGUOUS = ("CUBLAS_STATUS_NOT_INITIALIZED", "unable to find an engine")
"""What cuBLAS and cuDNN say of a lack of memory as well as of other troubles."""

LITTLE_BYTES = 512 * 2**20
"""With no more than this free on the device, it is the memory that the ambiguous words are about."""

log = logging.getLogger(__name__)


def is_out_of_vram(e: BaseException) -> bool:
    """Whether *e* is for lack of the device's memory; where the CPU renders, that is RAM.

    torch's own allocator has an error class for it. A context that finds no room, because another process has it, is
    an ``AcceleratorError``; segments that cannot grow, cuBLAS and cuDNN, which allocate for themselves, and the
    allocator of the CPU raise a ``RuntimeError``.
    """
    import torch

    if isinstance(e, torch.OutOfMemoryError):
        return True
    return isinstance(e, RuntimeError) and (_says(e, WORDS) or (_says(e, AMBIGUOUS) and _little_is_free()))


def as_out_of_vram(e: BaseException) -> OutOfVram | None:
    """What to say where *e* is torch's word for it; what it held is let go."""
    if not is_out_of_vram(e):
        return None
    log.warning("out of memory: %s", e)
    let_go(e)
    has = f", which has {total / 2**30:.0f} GB" if (total := _vram()[1]) else ""
    return OutOfVram(f"it needs more memory than there is on this GPU{has}; a smaller size or fewer frames need less")


def let_go(e: BaseException) -> None:
    """Drop what the frames that raised *e* hold, and those of what led to it: activations and weights, which would be
    in the way of another try.
    """
    left: list[BaseException | None] = [e]
    seen: set[int] = set()
    while left:
        each = left.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            traceback.clear_frames(each.__traceback__)
            left += [each.__cause__, each.__context__]


def give_back() -> None:
    """Hand memory that nothing refers to back, the device's and pinned memory of the host."""
    gc.collect()
    empty_caches()


def empty_caches() -> None:
    """Hand back what torch's allocators keep for the next tensors: so that others can have it, and in whole pieces."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        # torch 2.11, with which scripts/gpu_report.py may have to do, has no public name for it.
        (getattr(torch.accelerator.memory, "empty_host_cache", None) or torch._C._host_emptyCache)()


def _says(e: BaseException, words: Iterable[str]) -> bool:
    return any(each in str(e) for each in words)


def _little_is_free() -> bool:
    free, total = _vram()
    return total > 0 and free < LITTLE_BYTES


def _vram() -> tuple[int, int]:
    """Free bytes, and all, of the whole GPU; 0 and 0 where there is none, or it does not say."""
    import torch

    try:
        return torch.cuda.mem_get_info() if torch.cuda.is_available() else (0, 0)
    except RuntimeError:
        return 0, 0
