"""What NVML's errors mean: in words, and for what else it says. Knows them by their names, and pynvml not at all."""

WORDS = {
    "LIBRARY_NOT_FOUND": "there is no NVIDIA GPU here, or its driver is not installed",
    "DRIVER_NOT_LOADED": "there is no NVIDIA GPU here, or its driver is not loaded",
    "LIB_RM_VERSION_MISMATCH":
        "the NVIDIA driver was updated while it was loaded, and its parts do not match; restart the machine",
    "NO_PERMISSION": "this user may not ask the NVIDIA driver",
    "GPU_IS_LOST": "the GPU is lost: it no longer answers its driver; restart the machine",
    "RESET_REQUIRED": "the GPU has to be reset before it can be used: nvidia-smi --gpu-reset",
    "OPERATING_SYSTEM": "the operating system, or a container's limits, keep the NVIDIA driver from us",
    "INSUFFICIENT_POWER": "the GPU's power cables are not attached",
    "IRQ_ISSUE": "the NVIDIA driver gets no interrupts from the GPU",
    "CORRUPTED_INFOROM": "the GPU's own memory of its configuration is corrupt",
    "TIMEOUT": "the NVIDIA driver did not answer in time",
    "NOT_SUPPORTED": "this GPU does not say it",
    "FUNCTION_NOT_FOUND": "this NVIDIA driver is too old to say it",
}
"""For people, by the names of NVML's errors; what is not here is told by its name."""

NO_GPU = {"LIBRARY_NOT_FOUND", "DRIVER_NOT_LOADED"}
"""What a machine without an NVIDIA GPU answers."""

STALE = {
    "UNINITIALIZED", "DRIVER_NOT_LOADED", "LIB_RM_VERSION_MISMATCH", "GPU_IS_LOST", "RESET_REQUIRED", "GPU_NOT_FOUND",
    "INVALID_STATE",
}
"""After these no other answer counts, whatever was asked."""

OLD_MEMORY = {"FUNCTION_NOT_FOUND", "ARGUMENT_VERSION_MISMATCH", "NOT_SUPPORTED", "INVALID_ARGUMENT"}
"""What a driver answers that knows the first version of the memory's figures alone."""


class Unreadable(Exception):
    """The device cannot be read.

    :param problem: why, for people.
    :param absent: whether the driver works, and has no such device.
    :param no_gpu: whether this machine seems to have no NVIDIA GPU at all.
    """

    def __init__(self, problem: str, *, absent: bool = False, no_gpu: bool = False):
        super().__init__(problem)
        self.problem, self.absent, self.no_gpu = problem, absent, no_gpu


def in_words(name: str) -> str:
    return WORDS.get(name) or f"the NVIDIA driver fails with NVML's error {name}"
