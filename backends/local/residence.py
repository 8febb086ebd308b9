"""Where the weights of one network are: on the device, or on the host.

Weights never change, so one copy of them on the host is enough: taking a network off the device is dropping what is
there, and bringing it back is a copy. On a GPU the host's copy is pinned, since from there the device fetches at the
full speed of the bus. Where the CPU renders, device and host are one, and nothing is copied.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, device, dtype, nn

SLAB_BYTES = 2**28
"""Tensors are pinned together in pieces of this size. torch rounds each piece up to a power of two: one by one, a third
would be lost, and pinning takes milliseconds a piece."""

ALIGNED_BYTES = 512
"""What torch aligns tensors to on a GPU."""


class Residence:
    """*network*'s, which was loaded on the host."""

    def __init__(self, network: "nn.Module", device: "device"):
        self.network = network
        self.on_device = False
        self.bytes = sum({tensor.data_ptr(): tensor.nbytes for _, tensor in _tensors(network)}.values())
        self.device = device
        self._dtypes = {name: tensor.dtype for name, tensor in _tensors(network)}
        self._host: dict[str, Tensor] = {}

    @property
    def pinned(self) -> bool:
        """Whether all of the host's copy is where the device can fetch it from by itself."""
        return all(tensor.is_pinned() for tensor in self._host.values())

    def keep(self) -> None:
        """Have a copy on the host from now on, as it was loaded, whatever a pipeline has cast meanwhile."""
        if self._host:
            return
        found = {name: tensor.data for name, tensor in _tensors(self.network)}
        distinct = {_place(tensor): (tensor, self._dtypes[name]) for name, tensor in found.items()}
        copied = pinned if self.device.type == "cuda" else _cast    # elsewhere there is nothing to pin it for
        copies = dict(zip(distinct, copied(list(distinct.values())), strict=True))
        self._host = {name: copies[_place(tensor)] for name, tensor in found.items()}
        if not self.on_device:
            self._swap_for_host()

    def bring(self) -> None:
        """Put it on the device. Where there is no room for all of it, nothing of it stays there.

        :raises torch.OutOfMemoryError: so it is.
        """
        if self.on_device:
            return
        self.on_device = True
        try:
            self._copy_to_device()
        except BaseException:
            self.take_off()
            raise

    def take_off(self) -> None:
        """Leave the device. What a pipeline has cast to another dtype is moved as it is."""
        if self.on_device:
            self.keep()
            self._swap_for_host()
            self.on_device = False

    def collect(self) -> None:
        """Have it on the host, wherever a library's hooks have put parts of it."""
        self.on_device = True
        self.take_off()

    def put_right(self) -> None:
        """Undo the cast of a pipeline that did not come to its end. Where the host has a copy, that takes no memory of
        the device: a network that was cast leaves it, and comes back when it computes.
        """
        cast = {name: tensor for name, tensor in _tensors(self.network) if tensor.dtype != self._dtypes[name]}
        if self._host and (cast or not self.on_device):
            for name, tensor in _tensors(self.network):
                tensor.data = self._host[name]
            self.on_device = False
            return
        for name, tensor in cast.items():
            tensor.data = tensor.data.to(self._dtypes[name])

    def _copy_to_device(self) -> None:
        import torch

        moved: dict[object, Tensor] = {}    # by its place on the host: tied weights stay one
        for tensor in {id(tensor): tensor for _, tensor in _tensors(self.network)}.values():
            place = _place(tensor)
            if place not in moved:
                moved[place] = tensor.data.to(self.device, non_blocking=True)
            tensor.data = moved[place]
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _swap_for_host(self) -> None:
        for name, tensor in _tensors(self.network):
            kept = self._host[name]
            tensor.data = kept if kept.dtype == tensor.dtype else tensor.data.to(kept.device)


def pinned(tensors: Sequence[tuple["Tensor", "dtype"]]) -> list["Tensor"]:
    """Copies of tensors, each in its dtype, on the host, in pinned memory; in ordinary memory where no more can be
    pinned.
    """
    lengths = [tensor.numel() * dtype.itemsize for tensor, dtype in tensors]
    places = list(_places(lengths))
    ends = {slab: start + length for (slab, start), length in zip(places, lengths, strict=True)}    # the last in each
    slabs = {slab: _slab(end) for slab, end in ends.items()}
    copies = []
    for (slab, start), length, (tensor, dtype) in zip(places, lengths, tensors, strict=True):
        copy = slabs[slab][start:start + length].view(dtype).view(tensor.shape)
        copies.append(copy.copy_(tensor))
    return copies


def _cast(tensors: Sequence[tuple["Tensor", "dtype"]]) -> list["Tensor"]:
    """The tensors themselves, or a copy of those that have another dtype by now."""
    return [tensor if tensor.dtype == dtype else tensor.to(dtype) for tensor, dtype in tensors]


def _places(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """For each size the slab that it goes into, and where it begins there. One that is larger has its own."""
    slab = end = 0
    for size in sizes:
        if end and end + size > SLAB_BYTES:
            slab, end = slab + 1, 0
        yield slab, end
        end += -(-size // ALIGNED_BYTES) * ALIGNED_BYTES


def _slab(size: int) -> "Tensor":
    import torch

    try:
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)
    except RuntimeError:                    # the system's limit; or there is no GPU to pin it for
        return torch.empty(size, dtype=torch.uint8)


def _place(tensor: "Tensor") -> object:
    """Equal for tensors that share their values, as tied weights do."""
    return tensor.data_ptr(), tensor.shape, tensor.dtype


def _tensors(network: "nn.Module") -> Iterator[tuple[str, "Tensor"]]:
    """Parameters and buffers as they are now, under each of their names; hooks of libraries put others in their place.
    """
    yield from chain(
        network.named_parameters(remove_duplicate=False), network.named_buffers(remove_duplicate=False),
    )
