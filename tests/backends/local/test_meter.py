"""What a request is said to have taken: its own time and memory, whatever runs beside it or inside of it."""

import pytest

from backends.local.footprint import taken
from backends.local.meter import Meter, on_device

GB = 2**30


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class FakeCuda:
    """The figures of ``torch.cuda``, of one number that the test sets."""

    def __init__(self, allocated: int):
        self.peak = self.allocated = allocated
        self.synchronized = 0

    def use(self, allocated: int) -> None:
        self.allocated, self.peak = allocated, max(self.peak, allocated)

    def synchronize(self) -> None:
        self.synchronized += 1

    def memory_allocated(self) -> int:
        return self.allocated

    def max_memory_allocated(self) -> int:
        return self.peak

    def reset_peak_memory_stats(self) -> None:
        self.peak = self.allocated


def test_what_runs_inside_is_not_counted_wherever_it_falls():
    meter = Meter(None, clock=(clock := Clock()))
    clock.now += 3
    with meter.interrupted():
        clock.now += 50
    clock.now += 4
    denoised = {"render": meter.now()}
    with meter.interrupted():
        clock.now += 500
    clock.now += 2
    assert meter.read(denoised) == {"denoise_seconds": 7, "decode_seconds": 2, "interrupted_seconds": 550}


def test_without_any_of_it_nothing_is_said_of_it():
    meter = Meter(None, clock=(clock := Clock()))
    clock.now += 5
    assert meter.read({}) == {"denoise_seconds": 0, "decode_seconds": 5}


def peak_of(meter: Meter) -> float:
    return meter.read({})["peak_vram_bytes"]


def test_the_peak_is_of_ones_own_weights_and_activations():
    cuda = FakeCuda(9 * GB)                 # 4 of this model, 5 of others
    meter = Meter(cuda, lambda: 4 * GB)
    cuda.use(16 * GB)
    cuda.use(10 * GB)
    assert peak_of(meter) == taken(11 * GB)


def test_weights_that_come_to_the_device_later_are_ones_own():
    cuda = FakeCuda(5 * GB)
    meter = Meter(cuda, lambda: 0)
    cuda.use(5 * GB + 7 * GB)
    assert peak_of(meter) == taken(7 * GB)


def test_the_peak_of_what_runs_inside_is_not_ones_own_nor_what_it_leaves():
    cuda, own = FakeCuda(4 * GB), [4 * GB]
    meter = Meter(cuda, lambda: own[0])
    cuda.use(10 * GB)
    cuda.use(5 * GB)                        # between two steps: the weights, and a GB of latents
    with meter.interrupted():
        cuda.use(40 * GB)
        cuda.use(8 * GB)                    # another model stays loaded
    cuda.use(12 * GB)
    assert peak_of(meter) == taken(10 * GB)
    cuda.use(15 * GB)
    assert peak_of(meter) == taken(12 * GB)
    assert cuda.synchronized == 1


def test_ones_own_weights_may_leave_the_device_meanwhile():
    """The inner one ran out of memory and took the model a mode down."""
    cuda, own = FakeCuda(4 * GB), [4 * GB]
    meter = Meter(cuda, lambda: own[0])
    cuda.use(5 * GB)
    with meter.interrupted():
        own[0] = 0
        cuda.use(1 * GB)
    cuda.use(6 * GB)
    assert peak_of(meter) == taken(6 * GB)


def test_an_interruption_that_fails_is_one_too():
    meter = Meter(None, clock=(clock := Clock()))
    with pytest.raises(ZeroDivisionError), meter.interrupted():
        clock.now += 50
        raise ZeroDivisionError
    assert meter.read({})["interrupted_seconds"] == 50


def test_weights_on_the_host_are_not_on_the_device():
    from torch import nn

    assert on_device([nn.Linear(8, 8)]) == 0
