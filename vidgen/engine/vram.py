"""The memory of the device that local models run on, measured: a GPU's through NVML, or RAM where the CPU renders.

Reading never raises and never hangs: a driver that does not answer costs its first caller ANSWER_WAIT_S, and later ones
nothing, until it answers again.
"""

import logging
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue

from vidgen.backend import Held
from vidgen.engine.nvml import Nvml
from vidgen.engine.nvml_errors import Unreadable
from vidgen.engine.readings import CPU, CUDA, Process, Reading
from vidgen.ram import held_by, program, ram

ANSWER_WAIT_S = 2.0
START_WAIT_S = 30.0
"""How long the driver has to answer, and how long when the server starts: waking a GPU that sleeps takes seconds."""

PROBLEM_S = 1.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model on the device."""

    model_id: str
    mode: str
    resident_bytes: int
    measured: bool                          # else an estimate
    used_at: float                          # seconds since the epoch
    busy: bool


@dataclass(frozen=True, slots=True)
class GpuView:
    """The device, and what we hold of it."""

    reading: Reading
    reserve_bytes: int                      # left to others
    held: Held
    models: list[LoadedModel]
    paused: bool


@dataclass(frozen=True, slots=True)
class ReleaseView:
    """What a release gave back, and what has to end before the rest can go."""

    released_bytes: int | None              # None where that is not known, or not yet
    models: list[str]
    waits_for: str | None


class Vram:
    """The device that *device* names, which is the setting GPU_DEVICE. All methods may be called on any thread.

    :param answer_wait_s: how long a caller waits for the driver.
    :param problem_s: how long :meth:`problem` trusts a reading.
    """

    def __init__(self, device: str, *, answer_wait_s: float = ANSWER_WAIT_S, problem_s: float = PROBLEM_S):
        self._device = device
        self._answer_wait_s = answer_wait_s
        self._problem_s = problem_s
        self._nvml = Nvml(device)               # of whoever has the turn
        self._turn = threading.Lock()
        self._asked: SimpleQueue[Reading] | None = None     # where the driver's answer will go
        self._overdue: SimpleQueue[Reading] | None = None   # where somebody waited for it in vain
        self._latest: tuple[Reading, float] | None = None

    def read(self, ours: Collection[int] = (), *, wait_s: float | None = None) -> Reading:
        """The device as it is now. Never raises; where something cannot be read, the reading says what and why.

        :param ours: the processes that are ours.
        """
        if self._device == CPU:
            return _of_ram(ours)
        wait_s = self._answer_wait_s if wait_s is None else wait_s
        if not self._turn.acquire(timeout=0 if self._silent() else wait_s):
            return self._unanswered()
        self._asked = answer = SimpleQueue()
        try:
            threading.Thread(target=self._answer, args=(ours, answer), name="nvml", daemon=True).start()
        except RuntimeError as e:               # the system gives no thread now; later it may
            self._give_turn_back()
            log.warning("NVML cannot be asked: %s", e)
            return self._blind("the machine has no thread left to ask the NVIDIA driver")
        try:
            return answer.get(timeout=wait_s)
        except Empty:
            self._overdue = answer
            log.warning("the NVIDIA driver does not answer")
            return self._unanswered()

    def problem(self) -> str | None:
        """Why the device cannot be used now; None where it can. Cheap enough to be asked for every model of a list."""
        if self._device == CPU:
            return None
        return (self._recent() or self.read()).problem

    def visible(self) -> str:
        """Which device the inference process is to see. A UUID where it is known, since CUDA counts in an order of its
        own; else as the setting says.
        """
        return self._identity().uuid or self._device

    def name(self) -> str:
        """What kind of device it is; what was measured on one holds for all of that name."""
        device = self._identity()
        return device.name or device.kind

    def _identity(self) -> Reading:
        """The device, without figures that hold."""
        if self._nvml.card is not None:
            return self._nvml.card
        return self._latest[0] if self._latest is not None else self.read()

    def _recent(self) -> Reading | None:
        """The last reading, where it may still be trusted."""
        if self._latest is None or self._silent():
            return None
        reading, at = self._latest
        return reading if time.monotonic() - at < self._problem_s else None

    def _answer(self, ours: Collection[int], answer: SimpleQueue[Reading]) -> None:
        """On a thread of its own, which a driver that hangs keeps; with the turn, which it gives back."""
        try:
            reading = self._read(ours)
            self._tell(reading)
            self._latest = reading, time.monotonic()
            answer.put(reading)
        finally:
            self._give_turn_back()

    def _give_turn_back(self) -> None:
        self._asked = None
        self._turn.release()

    def _read(self, ours: Collection[int]) -> Reading:
        try:
            return self._nvml.read(ours)
        except Unreadable as e:
            if e.no_gpu and self._device == "auto" and self._nvml.card is None:
                return replace(_of_ram(ours), problem=e.problem)
            return self._blind(e.problem, absent=e.absent)
        except Exception:
            log.exception("NVML cannot be read")
            return self._blind("reading the GPU failed; the log says more")

    def _blind(self, problem: str, *, absent: bool = False) -> Reading:
        """What is left of a reading where nothing can be known but which card it was."""
        known = self._nvml.card or Reading(CUDA, 0)
        return replace(known, at=time.time(), problem=problem, absent=absent)

    def _silent(self) -> bool:
        """Whether the driver has been asked, and somebody has waited for it long enough."""
        return (asked := self._asked) is not None and asked is self._overdue

    def _unanswered(self) -> Reading:
        return self._blind("the NVIDIA driver does not answer")

    def _tell(self, reading: Reading) -> None:
        """Say in the log what has changed."""
        before = self._latest[0].problem if self._latest is not None else None
        if reading.problem is None and before is not None:
            log.info("the GPU can be used again")
        elif reading.problem != before:
            log.log(logging.INFO if reading.kind == CPU else logging.WARNING, "no GPU can be used: %s", reading.problem)


def _of_ram(ours: Collection[int]) -> Reading:
    """The machine's memory, in the shape of a GPU's. Of other processes only their sum is known."""
    there = ram()
    processes = tuple(Process(pid, held, program(pid), True) for pid in ours if (held := held_by(pid)) is not None)
    ours_bytes = sum(process.used_bytes for process in processes)
    known = there.total_bytes is not None
    return Reading(
        CPU, time.time(), total_bytes=there.total_bytes, free_bytes=there.free_bytes, ours_bytes=ours_bytes,
        others_bytes=max(0, there.total_bytes - there.free_bytes - ours_bytes) if known else None,
        processes=processes,
    )
