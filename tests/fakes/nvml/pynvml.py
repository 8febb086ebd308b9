"""A ``pynvml`` whose GPUs are described in a file, read at every call. Put this folder on PYTHONPATH to have it.

See ``tests/fakes/nvml/__init__.py`` for the file. Functions, constants and errors are those of nvidia-ml-py that
vidgen uses, by the same names and with the same meaning.
"""

import json
import os
import string
import time
from ctypes import c_ulonglong
from pathlib import Path
from types import SimpleNamespace
from typing import Any

NVML_TEMPERATURE_GPU = 0
NVML_VALUE_NOT_AVAILABLE_ulonglong = c_ulonglong(-1)
nvmlMemory_v2 = 0x02000028

CODES = (
    "UNINITIALIZED INVALID_ARGUMENT NOT_SUPPORTED NO_PERMISSION ALREADY_INITIALIZED NOT_FOUND INSUFFICIENT_SIZE "
    "INSUFFICIENT_POWER DRIVER_NOT_LOADED TIMEOUT IRQ_ISSUE LIBRARY_NOT_FOUND FUNCTION_NOT_FOUND CORRUPTED_INFOROM "
    "GPU_IS_LOST RESET_REQUIRED OPERATING_SYSTEM LIB_RM_VERSION_MISMATCH IN_USE MEMORY NO_DATA VGPU_ECC_NOT_SUPPORTED "
    "INSUFFICIENT_RESOURCES FREQ_NOT_SUPPORTED ARGUMENT_VERSION_MISMATCH DEPRECATED NOT_READY GPU_NOT_FOUND "
    "INVALID_STATE RESET_TYPE_NOT_SUPPORTED"
)
"""From 1 on, in the order of their numbers."""


class NVMLError(Exception):
    def __init__(self, value: int):
        super().__init__(f"text of the library, code {value}")
        self.value = value


class NVMLLibraryMismatchError(Exception):
    pass


for code, name in [*enumerate(CODES.split(), 1), (999, "UNKNOWN")]:
    globals()[f"NVML_ERROR_{name}"] = code
    title = string.capwords(name, "_").replace("_", "")
    globals()[f"NVMLError_{title}"] = type(f"NVMLError_{title}", (NVMLError,), {
        "__init__": lambda self, code=code: NVMLError.__init__(self, code)
    })

_initialised = 0


def nvmlInit() -> None:
    global _initialised
    _said("nvmlInit")
    _initialised += 1


def nvmlShutdown() -> None:
    global _initialised
    _state("nvmlShutdown")
    _initialised -= 1


def nvmlSystemGetDriverVersion() -> str:
    return _state("nvmlSystemGetDriverVersion")["driver"]


def nvmlSystemGetProcessName(pid: int) -> str:
    for gpu in _every(_state("nvmlSystemGetProcessName")):
        for process in gpu["processes"]:
            if process["pid"] == pid:
                return process["name"]
    raise NVMLError(6)


def nvmlDeviceGetCount() -> int:
    return len(_state("nvmlDeviceGetCount")["gpus"])


def nvmlDeviceGetHandleByIndex(index: int) -> str:
    gpus = _state("nvmlDeviceGetHandleByIndex")["gpus"]
    if index >= len(gpus):
        raise NVMLError(2)
    return gpus[index]["uuid"]


def nvmlDeviceGetUUID(handle: str) -> str:
    return _gpu("nvmlDeviceGetUUID", handle)["uuid"]


def nvmlDeviceGetName(handle: str) -> str:
    return _gpu("nvmlDeviceGetName", handle)["name"]


def nvmlDeviceGetMaxMigDeviceCount(handle: str) -> int:
    return len(_gpu("nvmlDeviceGetMaxMigDeviceCount", handle)["parts"])


def nvmlDeviceGetMigDeviceHandleByIndex(handle: str, slot: int) -> str:
    return _gpu("nvmlDeviceGetMigDeviceHandleByIndex", handle)["parts"][slot]["uuid"]


def nvmlDeviceGetMemoryInfo(handle: str, version: int | None = None) -> SimpleNamespace:
    gpu = _gpu("nvmlDeviceGetMemoryInfo", handle)
    total, reserved, held = gpu["total"], gpu["reserved"], sum(process["used"] or 0 for process in gpu["processes"])
    free = min(total, total - reserved - held + gpu["lie_bytes"])
    if version is None:
        return SimpleNamespace(total=total, free=free, used=total - free)
    return SimpleNamespace(version=version, total=total, reserved=reserved, free=free, used=total - free - reserved)


def nvmlDeviceGetComputeRunningProcesses(handle: str) -> list[SimpleNamespace]:
    return _processes(_gpu("nvmlDeviceGetComputeRunningProcesses", handle), "compute")


def nvmlDeviceGetGraphicsRunningProcesses(handle: str) -> list[SimpleNamespace]:
    return _processes(_gpu("nvmlDeviceGetGraphicsRunningProcesses", handle), "graphics")


def nvmlDeviceGetTemperature(handle: str, sensor: int) -> int:
    return _gpu("nvmlDeviceGetTemperature", handle)["temperature"]


def nvmlDeviceGetUtilizationRates(handle: str) -> SimpleNamespace:
    return SimpleNamespace(gpu=_gpu("nvmlDeviceGetUtilizationRates", handle)["utilisation"], memory=0)


def nvmlDeviceGetPowerUsage(handle: str) -> int:
    return _gpu("nvmlDeviceGetPowerUsage", handle)["power_mw"]


def _processes(gpu: dict[str, Any], kind: str) -> list[SimpleNamespace]:
    return [
        SimpleNamespace(pid=process["pid"], usedGpuMemory=process["used"])
        for process in gpu["processes"] if kind in process["kinds"]
    ]


def _gpu(function: str, handle: str) -> dict[str, Any]:
    for gpu in _every(_state(function)):
        if gpu["uuid"] == handle:
            return gpu
    raise NVMLError(15)


def _every(state: dict[str, Any]) -> list[dict[str, Any]]:
    return [*state["gpus"], *(part for gpu in state["gpus"] for part in gpu["parts"])]


def _state(function: str) -> dict[str, Any]:
    state = _said(function)
    if not _initialised:
        raise NVMLError(1)
    return state


def _said(function: str) -> dict[str, Any]:
    """The file, once *function* does not hang any more, or its error."""
    while (state := json.loads(Path(os.environ["TEST_NVML"]).read_text()))["hang"] == function:
        time.sleep(0.01)
    if (name := state["errors"].get(function)) is not None:
        raise NVMLError(globals()[f"NVML_ERROR_{name}"])
    if state["holders"] is not None:
        state["gpus"][0]["processes"] += _holders(Path(state["holders"]))
    return state


def _holders(folder: Path) -> list[dict[str, Any]]:
    """The processes that say themselves what they hold, as long as they live."""
    held = {int(file.suffix[1:]): int(file.read_text()) for file in folder.glob("held.*")}
    return [
        {"pid": pid, "used": used, "name": "python", "kinds": "compute"}
        for pid, used in held.items() if Path(f"/proc/{pid}").exists()
    ]
