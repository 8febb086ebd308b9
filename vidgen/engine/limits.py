"""Settings that contradict each other, or the machine: found before anything is started."""

from collections.abc import Iterator

from vidgen.engine.readings import CPU, Reading
from vidgen.errors import StartRefused
from vidgen.ram import MIB, ram
from vidgen.registry import ram_cache_bytes
from vidgen.settings import Settings


def refuse_contradictions(settings: Settings, reading: Reading) -> None:
    """Refuse what can never work. A GPU that cannot be read stops nothing: only its models are unavailable then.

    :param reading: of the device that ``settings.gpu_device`` names.
    :raises StartRefused: naming each such setting.
    """
    if lines := [*_device(settings, reading), *_memory(settings, reading), *_patience(settings)]:
        raise StartRefused("bad settings:\n  " + "\n  ".join(lines))


def _device(settings: Settings, reading: Reading) -> Iterator[str]:
    if reading.absent and settings.gpu_device != "auto":
        yield f"GPU_DEVICE: {reading.problem}"


def _memory(settings: Settings, reading: Reading) -> Iterator[str]:
    total, reserve = reading.total_bytes, settings.vram_reserve_mb * MIB
    what = "this machine has" if reading.kind == CPU else f"{reading.name or 'the GPU'} has"
    if reading.problem is None and total is not None and reserve >= total:
        yield f"VRAM_RESERVE_MB: {settings.vram_reserve_mb} MB are left to others, and {what} {total // MIB} MB in all"
    there, cache = ram().total_bytes, ram_cache_bytes(settings)
    if there is not None and cache > there:
        yield f"RAM_CACHE_MB: {cache // MIB} MB are more than the {there // MIB} MB of RAM that this machine has"


def _patience(settings: Settings) -> Iterator[str]:
    if settings.cancel_grace_s > settings.stall_s:
        yield (
            f"CANCEL_GRACE_S: a step that was cancelled could hang for {settings.cancel_grace_s:g} s, longer than "
            f"the {settings.stall_s:g} s of STALL_S after which any other is ended"
        )
