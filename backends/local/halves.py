"""Guidance in two passes: a denoiser that is given both branches in one batch computes one after the other.

The mathematics is the same, and the activations are half as large. Rounding may differ, since libraries choose their
kernels by the batch.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

SAMPLE = ("sample", "hidden_states")
"""What diffusers' denoisers call the latents, where they are not the first argument."""


def in_halves(call: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What ``call(*args, **kwargs)`` gives, computed on one half of the batch after the other.

    Every tensor argument whose first dimension is that of the latents is split there. A batch of odd size stays whole.
    """
    batch = _sample(args, kwargs).shape[0]
    if batch % 2:
        return call(*args, **kwargs)
    first, second = slice(None, batch // 2), slice(batch // 2, None)
    return _joined(*(
        call(*(_part(value, batch, half) for value in args), **_part(kwargs, batch, half)) for half in (first, second)
    ))


def _sample(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> "Tensor":
    return args[0] if args else next(kwargs[name] for name in SAMPLE if name in kwargs)


def _part(value: Any, batch: int, half: slice) -> Any:
    """The half of a tensor, and of the tensors in a mapping (SDXL's ``added_cond_kwargs``)."""
    import torch

    if isinstance(value, torch.Tensor):
        return value[half] if value.ndim and value.shape[0] == batch else value
    if isinstance(value, Mapping):
        return {name: _part(item, batch, half) for name, item in value.items()}
    return value


def _joined(first: Any, second: Any) -> Any:
    """Two outputs of one network as that of the whole batch: tensors, tuples of them, or what diffusers makes of them.
    """
    import torch

    if isinstance(first, torch.Tensor):
        return torch.cat([first, second])
    if isinstance(first, Mapping):
        return type(first)(**{name: _joined(item, second[name]) for name, item in first.items()})
    if isinstance(first, tuple):
        return tuple(_joined(*pair) for pair in zip(first, second, strict=True))
    return first
