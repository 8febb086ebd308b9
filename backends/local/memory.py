"""Running out of the device's memory: in which ways it is said, and what can be let go of then."""

import gc
import logging
import traceback

from vidgen.errors import OutOfVram

WORDS = ("CUDA error: out of memory", "_STATUS_ALLOC_FAILED", "DefaultCPUAllocator: can't allocate memory")

log = logging.getLogger(__name__)


def is_out_of_vram(e: BaseException) -> bool:
    """Whether *e* is for lack of the device's memory; where the CPU renders, that is RAM.

    torch's own allocator has an error class for it. A context that finds no room, because another process has it, is
    an ``AcceleratorError``; cuBLAS and cuDNN, which allocate for themselves, raise a ``RuntimeError`` with a status,
    and so does the allocator of the CPU.
    """
    import torch

    if isinstance(e, torch.OutOfMemoryError):
        return True
    return isinstance(e, RuntimeError) and any(words in str(e) for words in WORDS)


def as_out_of_vram(e: BaseException) -> OutOfVram | None:
    """What to say where *e* is torch's word for it; what it held is let go."""
    if not is_out_of_vram(e):
        return None
    log.warning("out of memory: %s", e)
    let_go(e)
    has = f", which has {total / 2**30:.0f} GB" if (total := _vram_bytes()) else ""
    return OutOfVram(f"it needs more memory than there is on this GPU{has}; a smaller size or fewer frames need less")


def let_go(e: BaseException) -> None:
    """Drop what the frames that raised *e* hold: activations, which would be in the way of another try."""
    cause: BaseException | None = e
    while cause is not None:
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__


def give_back() -> None:
    """Hand memory that nothing refers to back, the device's and pinned memory of the host."""
    gc.collect()
    empty_caches()


def empty_caches() -> None:
    """Hand back what torch's allocators keep for the next tensors: so that others can have it, and in whole pieces."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.accelerator.memory.empty_host_cache()


def _vram_bytes() -> int | None:
    """Of the whole GPU; None where there is none, or it does not say."""
    import torch

    try:
        return torch.cuda.mem_get_info()[1] if torch.cuda.is_available() else None
    except RuntimeError:
        return None
