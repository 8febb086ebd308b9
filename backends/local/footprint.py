"""What a render needs of the device's memory, reckoned from the card. Pure; imports nothing heavy.

At its peak a render holds the weights that are on the device and the activations of the phase that needs the most:
reading text and image, a denoising step, decoding. Which weights are there is what the loading modes differ in:

    whole        all of them
    two_pass     all of them; guidance's two branches go through the denoiser one after the other
    component    those of the one network that computes
    group        of a large network a few blocks, fetched ahead
    sequential   of a large network a few layers

Activations are taken to grow with frames x width x height, since the attention in use keeps no matrix of all pairs;
where a model builds a mask of them, the card says how much of the figure that is, and it grows with the square. Where
a figure is uncertain it errs upwards: a render that needed less has waited for nothing, one that needed more fails.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from backends.local.table import MemoryTable, Table, read_table
from vidgen.backend import WHOLE, Footprint
from vidgen.cards import Card
from vidgen.types import RenderSpec

TWO_PASS, COMPONENT, GROUP, SEQUENTIAL = "two_pass", "component", "group", "sequential"
OFFLOADED = (COMPONENT, GROUP, SEQUENTIAL)
MODES = (WHOLE, TWO_PASS, *OFFLOADED)

VAE = "vae"
"""What diffusers calls the network that decodes; it is never offloaded in parts."""

GB = 2**30

RUNTIME_GB = 0.6
"""A CUDA context with the kernels of cuBLAS and cuDNN, which NVML counts and torch does not. On a CPU the interpreter
and the libraries take as much.
"""

ALLOCATOR = 1.05
"""What torch's allocator takes from the device, over what tensors hold of it: blocks are rounded and split."""

SHARES = {GROUP: 0.2, SEQUENTIAL: 0.1}
"""Of a large network's weights, what is on the device at once. Blocks are a thirtieth each, and one is fetched ahead;
but a text encoder's embedding, which is in one piece, can be a fifth of it.
"""

KEPT_IN_RAM_GB = 2.0
"""Beside weights that are kept in RAM: the process, the frames, the encoder."""

UNKNOWN_RESIDENT = 0.5
"""Of the peak, where a card says no more than that. A little under half of it is weights in most models here."""

BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}


@dataclass(frozen=True, slots=True)
class Size:
    """What activations grow with."""

    frames: int
    width: int                              # pixels
    height: int                             # pixels
    chunk: int                              # frames that are decoded at once

    @property
    def area(self) -> int:
        return self.width * self.height


def modes_of(card: Card, device: str) -> tuple[str, ...]:
    """The ways in which *card*'s model can be loaded, the largest first.

    :param device: the setting GPU_DEVICE.
    """
    if (memory := read_table(card).memory) is None:
        return (WHOLE,)
    split = (TWO_PASS,) if memory.batched_guidance else ()
    return (WHOLE, *split) if device == "cpu" else (WHOLE, *split, *OFFLOADED)


def footprint_of(card: Card, shot: RenderSpec | None, mode: str, device: str) -> Footprint:
    """What rendering *shot* in *mode* needs; None is a shot with the card's defaults.

    What is resident errs downwards: in the modes that offload, nothing is sure to stay.
    """
    table = read_table(card)
    if (memory := table.memory) is None:
        return _by_totals(card, mode, device)
    wider = {name: _widened(table, name, device) for name in memory.weights}
    weights = {name: gb * wider[name] for name, gb in memory.weights.items()}
    phases = _phases(memory, _size(card, memory, shot), _size(card, memory, None), mode != WHOLE)
    peak = max(_held(weights, who, mode) + gb * max(wider[name] for name in who) for who, gb in phases)
    resident = 0.0 if mode in OFFLOADED else sum(weights.values())
    return Footprint(int(resident * GB), taken(peak * GB), _ram(card, memory, mode, device))


def taken(tensor_bytes: float) -> int:
    """What the device has less of when a process's tensors hold so much of it."""
    return int(tensor_bytes * ALLOCATOR + RUNTIME_GB * GB)


def lighter_of(card: Card, shot: RenderSpec) -> RenderSpec | None:
    """*shot* with half as many frames decoded at once; None where that is no parameter, or is as small as it gets."""
    memory = read_table(card).memory
    if memory is None or memory.chunk is None:
        return None
    now = _size(card, memory, shot).chunk
    least = int(card.parameters[memory.chunk].min or 1)
    return replace(shot, parameters={**shot.parameters, memory.chunk: max(now // 2, least)}) if now > least else None


def _by_totals(card: Card, mode: str, device: str) -> Footprint:
    """What a card says that knows no more than totals."""
    needs = card.memory
    peak = needs.vram_gb_by_mode.get(mode, needs.vram_gb)
    if device == "cpu":
        return Footprint(int(2 * peak * UNKNOWN_RESIDENT * GB), int(2 * peak * GB))
    return Footprint(int(peak * UNKNOWN_RESIDENT * GB), int(peak * GB), int(needs.ram_gb * GB))


def _widened(table: Table, network: str, device: str) -> float:
    """How much larger its values are on this device; a CPU computes in float32."""
    return 4 / BYTES[table.dtypes.get(network, table.dtype)] if device == "cpu" else 1.0


def _size(card: Card, memory: MemoryTable, shot: RenderSpec | None) -> Size:
    frames = shot.num_frames if shot else int(card.frames.default) if card.frames else 1
    width, height = (shot.width, shot.height) if shot else (int(card.width.default), int(card.height.default))
    return Size(frames, width, height, _chunk(card, memory, shot.parameters if shot else {}, frames))


def _chunk(card: Card, memory: MemoryTable, parameters: Mapping[str, Any], frames: int) -> int:
    if memory.chunk is None:
        return frames
    return min(parameters.get(memory.chunk) or card.parameters[memory.chunk].default or frames, frames)


def _phases(memory: MemoryTable, size: Size, default: Size, split: bool) -> Iterator[tuple[tuple[str, ...], float]]:
    """For each phase the networks that compute in it, one after the other, and the GB of activations.

    :param split: whether branches of guidance go through the denoiser one after the other.
    """
    others = tuple(name for name in memory.weights if name != memory.denoiser) or (memory.denoiser,)
    frames, area = size.frames / default.frames, size.area / default.area
    step = (memory.denoise - memory.mask) * frames * area + memory.mask * (frames * area) ** 2
    decoded = size.chunk if memory.chunk else max(frames, 1) if memory.streamed else frames
    yield others, memory.encode * area
    yield (memory.denoiser,), step / 2 if split and memory.batched_guidance else step
    yield (VAE,) if VAE in memory.weights else others, memory.decode * area * decoded


def _held(weights: Mapping[str, float], computing: Iterable[str], mode: str) -> float:
    """GB of weights on the device while each of the networks *computing* computes in its turn."""
    if mode not in OFFLOADED:
        return sum(weights.values())
    return max(weights[name] * (1.0 if name == VAE else SHARES.get(mode, 1.0)) for name in computing)


def _ram(card: Card, memory: MemoryTable, mode: str, device: str) -> int:
    if device == "cpu":
        return 0
    kept = sum(memory.weights.values()) + KEPT_IN_RAM_GB if mode in OFFLOADED else 0.0
    return int(max(card.memory.ram_gb, kept) * GB)
