"""What is known of the device that local models run on, at one moment. None is unknown, and unknown is never free."""

from collections.abc import Mapping
from dataclasses import dataclass, field

CUDA, CPU = "cuda", "cpu"


@dataclass(frozen=True, slots=True)
class Process:
    """A process that holds memory of the device."""

    pid: int
    used_bytes: int | None
    name: str | None                        # of its program, without folder and arguments
    ours: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """The device, its memory in bytes and who holds it. On a CPU the memory is RAM."""

    kind: str                               # CUDA or CPU
    at: float                               # seconds since the epoch
    index: int | None = None                # as NVML and nvidia-smi count
    uuid: str | None = None
    name: str | None = None
    driver: str | None = None
    total_bytes: int | None = None
    free_bytes: int | None = None           # for anybody
    ours_bytes: int | None = None           # all that the inference process holds
    others_bytes: int | None = None
    processes: tuple[Process, ...] | None = None
    temperature_c: int | None = None
    utilisation_percent: int | None = None
    power_w: float | None = None
    problem: str | None = None              # why the device cannot be used; on a GPU, nothing is known to be free then
    unknown: Mapping[str, str] = field(default_factory=dict)    # why a figure beside the memory is None, by its name
    absent: bool = False                    # the driver works, and has no such device
