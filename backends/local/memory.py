"""Running out of GPU memory, in each of the ways in which torch says it."""


def is_out_of_vram(e: BaseException) -> bool:
    """Whether *e* is for lack of GPU memory.

    torch's own allocator has an error class for it. A context that finds no room, because another process has it, is
    an ``AcceleratorError``; cuBLAS and cuDNN, which allocate for themselves, raise a ``RuntimeError`` with a status.
    """
    import torch

    if isinstance(e, torch.OutOfMemoryError):
        return True
    return isinstance(e, RuntimeError) and any(
        words in str(e) for words in ("CUDA error: out of memory", "_STATUS_ALLOC_FAILED")
    )
