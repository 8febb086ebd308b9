"""NVML, the line to NVIDIA's driver. The only module that knows pynvml, which comes from nvidia-ml-py."""

import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import PurePath
from types import ModuleType
from typing import Any

from vidgen.engine.nvml_errors import NO_GPU, OLD_MEMORY, STALE, Unreadable, in_words
from vidgen.engine.readings import CUDA, Process, Reading

SENSORS_S = 1.0
"""How long temperature, utilisation and power hold; the driver itself samples no faster."""

ROOT_PID_NAMESPACE = 0xEFFFFFFC
"""The inode of the namespace that a machine boots in (PROC_PID_INIT_INO in Linux). In a container it is another one,
and NVML may show no process, or numbers that mean nothing there."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A card, or a part of one that MIG made."""

    index: int                              # of the card
    handle: Any
    uuid: str | None


class Nvml:
    """The card that *device* (the setting GPU_DEVICE) names. One thread at a time may use it.

    ``card`` is what does not change of it, since it was first read; None before that.
    """

    def __init__(self, device: str):
        self.card: Reading | None = None
        self._device = device
        self._handle: Any = None
        self._initialised = False
        self._old_memory = False
        self._sensed_at = float("-inf")
        self._sensed: tuple[dict[str, Any], dict[str, str]] = {}, {}

    def read(self, ours: Collection[int]) -> Reading:
        """All that NVML says now.

        :param ours: the processes that are ours.
        :raises Unreadable: whatever the driver answered instead; the next call begins anew.
        """
        try:
            if self._handle is None:
                self._open()
            return self._reading(ours)
        except _errors() as e:
            self._close()
            name = _name(e)
            raise Unreadable(in_words(name), no_gpu=name in NO_GPU) from None
        except BaseException:
            self._close()
            raise

    def _open(self) -> None:
        nvml = _pynvml()
        nvml.nvmlInit()
        self._initialised = True
        known = self.card.uuid if self.card is not None else None
        place = _chosen(known or self._device)  # numbers may have moved since
        name, driver = _said(nvml.nvmlDeviceGetName, place.handle), _said(nvml.nvmlSystemGetDriverVersion)
        self.card = Reading(CUDA, time.time(), place.index, place.uuid, name, driver)
        self._handle = place.handle

    def _close(self) -> None:
        self._handle, self._sensed_at = None, float("-inf")
        if self._initialised:
            self._initialised = False
            with suppress(*_errors()):
                _pynvml().nvmlShutdown()

    def _reading(self, ours: Collection[int]) -> Reading:
        memory = self._memory()
        if not 0 <= memory.free <= memory.total or not memory.total:
            raise Unreadable("the NVIDIA driver says of the GPU's memory what cannot be")
        self.card = replace(self.card, total_bytes=memory.total)
        unknown: dict[str, str] = {}
        processes = self._processes(ours, unknown)
        ours_bytes = _held(processes, ours)
        sensed, unsensed = self._sensors()
        return replace(
            self.card, at=time.time(), free_bytes=memory.free, processes=processes, ours_bytes=ours_bytes,
            others_bytes=None if ours_bytes is None else max(0, memory.used - ours_bytes), unknown=unknown | unsensed,
            **sensed,
        )

    def _memory(self) -> Any:
        """``total``, ``free`` and ``used``. The second version keeps what the driver reserves for itself apart from
        what processes use; what is free is the same in both.
        """
        nvml = _pynvml()
        if not self._old_memory:
            try:
                return nvml.nvmlDeviceGetMemoryInfo(self._handle, version=nvml.nvmlMemory_v2)
            except _errors() as e:
                if _name(e) not in OLD_MEMORY:
                    raise
        answer = nvml.nvmlDeviceGetMemoryInfo(self._handle)
        self._old_memory = True
        return answer

    def _processes(self, ours: Collection[int], unknown: dict[str, str]) -> tuple[Process, ...] | None:
        """Those that compute and those that draw, each once; None where NVML does not list them."""
        computing = self._ask("processes", unknown, "nvmlDeviceGetComputeRunningProcesses", self._handle)
        if computing is None:
            return None
        drawing = self._ask("processes", unknown, "nvmlDeviceGetGraphicsRunningProcesses", self._handle) or []
        used: dict[int, int | None] = {}
        for process in (*computing, *drawing):
            said, before = _bytes(process.usedGpuMemory), used.get(process.pid)
            used[process.pid] = said if before is None else max(before, said or 0)
        return tuple(Process(pid, bytes_, _program(pid), pid in ours) for pid, bytes_ in sorted(used.items()))

    def _sensors(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Temperature, utilisation and power, and why one is not known; asked at most once in SENSORS_S."""
        if time.monotonic() - self._sensed_at >= SENSORS_S:
            unknown: dict[str, str] = {}
            warm = _pynvml().NVML_TEMPERATURE_GPU
            heat = self._ask("temperature_c", unknown, "nvmlDeviceGetTemperature", self._handle, warm)
            busy = self._ask("utilisation_percent", unknown, "nvmlDeviceGetUtilizationRates", self._handle)
            power = self._ask("power_w", unknown, "nvmlDeviceGetPowerUsage", self._handle)
            self._sensed = {
                "temperature_c": heat, "utilisation_percent": None if busy is None else busy.gpu,
                "power_w": None if power is None else power / 1000,
            }, unknown
            self._sensed_at = time.monotonic()
        return self._sensed

    def _ask(self, figure: str, unknown: dict[str, str], function: str, *arguments: Any) -> Any:
        """The answer; None where there is none, and then *unknown* says why. The others are asked all the same."""
        try:
            return getattr(_pynvml(), function)(*arguments)
        except _errors() as e:
            if (name := _name(e)) in STALE:
                raise
            unknown[figure] = in_words(name)
            return None


def _pynvml() -> ModuleType:
    import pynvml

    return pynvml


def _errors() -> tuple[type[Exception], ...]:
    """What pynvml raises where the driver does not do what is asked, or lacks a function."""
    nvml = _pynvml()
    return nvml.NVMLError, nvml.NVMLLibraryMismatchError


def _name(error: Exception) -> str:
    """Of one of :func:`_errors`, as NVML names it."""
    code = getattr(error, "value", None)
    return "FUNCTION_NOT_FOUND" if code is None else _names(_pynvml()).get(code, str(code))


@cache
def _names(nvml: ModuleType) -> dict[int, str]:
    prefix = "NVML_ERROR_"
    return {getattr(nvml, name): name.removeprefix(prefix) for name in dir(nvml) if name.startswith(prefix)}


def _said(call: Callable[..., Any], *arguments: Any) -> Any:
    """The answer, or None; for what nothing depends on."""
    try:
        return call(*arguments)
    except _errors() as e:
        if _name(e) in STALE:
            raise
        return None


def _chosen(device: str) -> _Place:
    """The card or part that *device* names; of a card that MIG divided, the first part, as CUDA takes it."""
    wanted, who = _wanted(device)
    count = _pynvml().nvmlDeviceGetCount()
    if not count:
        raise Unreadable("there is no NVIDIA GPU here", absent=True, no_gpu=True)
    if wanted.isdecimal() and int(wanted) < count:
        card = _card(int(wanted))
        return next(_parts(card), card)
    cards = list(_cards(count))
    matching = _named(wanted, cards)
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise Unreadable(f"the UUIDs of {len(matching)} GPUs here begin with {wanted!r}{who}", absent=True)
    there = "; ".join(map(_described, cards)) or "none that answers"
    raise Unreadable(f"there is no NVIDIA GPU {wanted!r} here{who}; these are: {there}", absent=len(cards) == count)


def _wanted(device: str) -> tuple[str, str]:
    """The number or UUID that is meant, and who said so where it was not the setting."""
    if device != "auto":
        return device, ""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return "0", ""
    if not (first := visible.split(",")[0].strip()) or first == "-1":
        raise Unreadable("there is no NVIDIA GPU here that CUDA_VISIBLE_DEVICES leaves to be seen", no_gpu=True)
    return first, ", which CUDA_VISIBLE_DEVICES names"


def _named(wanted: str, cards: list[_Place]) -> list[_Place]:
    """Those whose UUID is *wanted*, or begins so; a divided card stands for its first part."""
    if not wanted.startswith(("GPU-", "MIG-")):
        return []
    places = [(card.uuid, next(_parts(card), card)) for card in cards]
    places += [(part.uuid, part) for card in cards for part in _parts(card)]
    return [place for uuid, place in places if (uuid or "").startswith(wanted)]


def _cards(count: int) -> Iterator[_Place]:
    """Those that can be read: one that is lost must not hide the others."""
    for index in range(count):
        with suppress(*_errors()):
            yield _card(index)


def _card(index: int) -> _Place:
    handle = _pynvml().nvmlDeviceGetHandleByIndex(index)
    return _Place(index, handle, _said(_pynvml().nvmlDeviceGetUUID, handle))


def _parts(card: _Place) -> Iterator[_Place]:
    """The parts that MIG made of a card; none where it does not divide it."""
    nvml = _pynvml()
    for slot in range(_said(nvml.nvmlDeviceGetMaxMigDeviceCount, card.handle) or 0):
        if (handle := _said(nvml.nvmlDeviceGetMigDeviceHandleByIndex, card.handle, slot)) is not None:
            yield _Place(card.index, handle, _said(nvml.nvmlDeviceGetUUID, handle))


def _described(card: _Place) -> str:
    parts = [f"with {part.uuid}" for part in _parts(card)]
    return ", ".join([f"{card.index}: {card.uuid}", *parts])


def _bytes(used: int | None) -> int | None:
    """Of a process, where NVML knows; older versions of pynvml let its word for "not known" through."""
    return None if used == _pynvml().NVML_VALUE_NOT_AVAILABLE_ulonglong.value else used


def _program(pid: int) -> str | None:
    """The name of its program; folder and arguments are nobody's business."""
    command = _said(_pynvml().nvmlSystemGetProcessName, pid)
    return PurePath(command.split()[0]).name if command and command.strip() else None


def _held(processes: tuple[Process, ...] | None, ours: Collection[int]) -> int | None:
    """What our processes hold together, in bytes; None where NVML does not say, or may not see them."""
    if not ours:
        return 0
    if processes is None:
        return None
    held = [process.used_bytes for process in processes if process.ours]
    if None in held or not held and not _sees_every_process():
        return None
    return sum(held)


def _sees_every_process() -> bool:
    """Whether a process that NVML does not list holds nothing."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino == ROOT_PID_NAMESPACE
    except OSError:
        return False
