"""The weights of one network on the host and on the device."""

import pytest
import torch
from torch import nn

from backends.local.residence import SLAB_BYTES, Residence, _places, pinned

ELSEWHERE = torch.device("cpu", 0)
"""To torch another device than ``cpu``: it copies to and fro, and computes as here."""


def places(network: nn.Module) -> dict[str, int]:
    return {name: value.data_ptr() for name, value in network.state_dict().items()}


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Linear(3, 4)
        self.second.weight = nn.Parameter(self.first.weight.data)   # two parameters over the same values
        self.third = self.first
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, x):
        return self.second(x) * self.scale


def test_a_network_goes_to_its_device_and_comes_back_to_where_it_was():
    network = Tied()
    values = {name: value.clone() for name, value in network.state_dict().items()}
    residence = Residence(network, ELSEWHERE)
    assert residence.bytes == 4 * (12 + 4 + 4 + 1)
    residence.keep()
    home = places(network)
    for _ in range(2):
        residence.bring()
        assert residence.on_device and not set(places(network).values()) & set(home.values())
        assert network.first.weight.data_ptr() == network.second.weight.data_ptr()
        assert all(value.equal(values[name]) for name, value in network.state_dict().items())
        residence.take_off()
        assert not residence.on_device and places(network) == home
    assert network.third.weight is network.first.weight


def test_a_copy_on_the_host_is_made_when_it_is_first_needed():
    network = Tied()
    residence = Residence(network, ELSEWHERE)
    before = network.first.weight.clone()
    residence.bring()
    residence.take_off()
    assert network.first.weight.equal(before)


class Full(torch.Tensor):
    """A tensor for which there is no room on any device."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is torch.Tensor.to and args[1:] == (ELSEWHERE,):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().__torch_function__(function, types, args, kwargs or {})


def test_a_network_that_does_not_fit_leaves_nothing_on_the_device():
    network = Tied()
    network.register_buffer("large", torch.rand(5).as_subclass(Full))
    residence = Residence(network, ELSEWHERE)
    residence.keep()
    home = places(network)
    with pytest.raises(torch.OutOfMemoryError):
        residence.bring()
    assert not residence.on_device and places(network) == home


@pytest.mark.parametrize("on_device", [False, True])
def test_a_cast_that_was_not_undone_is_put_right_with_the_copy_on_the_host(on_device: bool):
    """So that it takes no memory of the device, which may be what there was too little of."""
    network = Tied().half()
    residence = Residence(network, ELSEWHERE)
    residence.keep()
    home = places(network)
    if on_device:
        residence.bring()
    network.to(dtype=torch.float32)
    residence.put_right()
    assert {value.dtype for value in network.state_dict().values()} == {torch.float16}
    assert not residence.on_device and places(network) == home
    residence.bring()
    assert residence.on_device and not set(places(network).values()) & set(home.values())


def test_without_a_copy_on_the_host_a_cast_is_undone_where_the_weights_are():
    network = Tied().half()
    residence = Residence(network, ELSEWHERE)
    residence.bring()
    values = {name: value.clone() for name, value in network.state_dict().items()}
    network.to(dtype=torch.float32)
    residence.put_right()
    assert residence.on_device
    assert all(value.dtype == torch.float16 and value.equal(values[name])
               for name, value in network.state_dict().items())


def test_what_was_not_cast_stays_where_it_is():
    residence = Residence(network := Tied(), ELSEWHERE)
    residence.keep()
    residence.bring()
    there = places(network)
    residence.put_right()
    assert residence.on_device and places(network) == there


def test_a_copy_that_is_made_during_a_cast_is_of_what_was_loaded():
    network = Tied().half()
    residence = Residence(network, ELSEWHERE)
    residence.bring()
    network.to(dtype=torch.float32)
    residence.take_off()
    assert network(torch.rand(1, 3)).dtype == torch.float32, "the pipeline is still at it"
    residence.put_right()
    assert {value.dtype for value in network.state_dict().values()} == {torch.float16}


class Pinned(torch.Tensor):
    """A tensor in pinned memory, where there is none."""

    def is_pinned(self, device: object = None) -> bool:
        return True


def test_a_copy_that_could_be_pinned_only_in_part_is_not_pinned():
    network = nn.Module()
    network.register_buffer("first", torch.rand(2).as_subclass(Pinned))
    residence = Residence(network, ELSEWHERE)
    residence.keep()
    assert residence.pinned
    network.register_buffer("second", torch.rand(2))
    residence = Residence(network, ELSEWHERE)
    residence.keep()
    assert not residence.pinned


def test_what_is_cast_on_the_host_is_brought_as_it_is_now():
    """SVD's pipeline lifts the VAE to float32, encodes, and casts it back."""
    network = Tied().half()
    residence = Residence(network, ELSEWHERE)
    residence.keep()
    home = places(network)
    network.to(dtype=torch.float32)
    residence.bring()
    assert network(torch.rand(1, 3)).dtype == torch.float32
    network.to(dtype=torch.float16)
    residence.take_off()
    assert places(network) == home


def test_copies_for_the_device_are_made_in_few_pieces():
    tensors = [torch.rand(3), torch.tensor(7), torch.rand(2, 5).half(), torch.empty(0, 4), torch.rand(9).double()]
    dtypes = [torch.float16, torch.int64, torch.float16, torch.float32, torch.float64]
    copies = pinned(list(zip(tensors, dtypes, strict=True)))
    assert [copy.dtype for copy in copies] == dtypes
    assert all(copy.equal(tensor.to(copy.dtype)) for copy, tensor in zip(copies, tensors, strict=True))
    assert len({copy.untyped_storage().data_ptr() for copy in copies}) == 1
    assert not {copy.data_ptr() for copy in copies} & {tensor.data_ptr() for tensor in tensors if tensor.numel()}
    sizes = [10, 600, SLAB_BYTES + 1, 10, SLAB_BYTES, 0]
    assert list(_places(sizes)) == [(0, 0), (0, 512), (1, 0), (2, 0), (3, 0), (3, SLAB_BYTES)]
