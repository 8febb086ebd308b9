"""GPUs that are not there, as NVML tells of them: described here, read by ``pynvml.py`` beside this file.

A test describes them with :func:`gpu`, and steers a server that runs by writing the file anew::

    environment = nvml.install(folder, nvml.gpu())
    nvml.write(folder, nvml.gpu(), errors={"nvmlDeviceGetMemoryInfo": "GPU_IS_LOST"})

What trial models hold (``tests/fakes/trial.py``) is seen on the first card where *holders* names their folder, and
there is no more for them than the card has.
"""

import importlib.util
import os
import sys
from collections.abc import Mapping
from json import dumps
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent
STATE = "TEST_NVML"
GIB = 2**30
UUID = "GPU-11111111-aaaa-bbbb-cccc-000000000001"


def gpu(
    uuid: str = UUID, *, name: str = "NVIDIA Fake 24GB", total: int = 24 * GIB, reserved: int = GIB // 2,
    processes: list[dict[str, Any]] | None = None, lie_bytes: int = 0, temperature: int = 41, utilisation: int = 7,
    power_mw: int = 65_432, parts: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """One card, or with *parts* one that MIG divided, which are described as cards are.

    :param lie_bytes: how much more it says is free than there is.
    """
    return {
        "uuid": uuid, "name": name, "total": total, "reserved": reserved, "processes": processes or [],
        "lie_bytes": lie_bytes, "temperature": temperature, "utilisation": utilisation, "power_mw": power_mw,
        "parts": parts or [],
    }


def process(pid: int, used: int | None, name: str = "/usr/bin/python3 train.py", kinds: str = "compute") -> dict:
    """A process on a card; *kinds* holds ``compute``, ``graphics`` or both words."""
    return {"pid": pid, "used": used, "name": name, "kinds": kinds}


def write(
    folder: Path, *gpus: dict[str, Any], errors: Mapping[str, str] | None = None, hang: str | None = None,
    driver: str = "580.95.05", holders: Path | None = None,
) -> None:
    """Describe what NVML tells from now on.

    :param errors: by the function's name, the error that it raises, without ``NVML_ERROR_``.
    :param hang: the function that does not return.
    :param holders: the folder with a file ``held.PID`` for each process on the first card that says itself, in bytes,
        what it holds.
    """
    written = folder / "nvml.new"
    written.write_text(dumps({
        "driver": driver, "gpus": gpus, "errors": dict(errors or {}), "hang": hang,
        "holders": holders and str(holders),
    }))
    written.replace(folder / "nvml.json")


def install(folder: Path, *gpus: dict[str, Any], **said: Any) -> dict[str, str]:
    """What to put into the environment of a server so that it finds these GPUs."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, *gpus, **said)
    return {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[2])]), STATE: str(folder / "nvml.json")}


def install_here(patch: pytest.MonkeyPatch, folder: Path, *gpus: dict[str, Any], **said: Any) -> ModuleType:
    """Have this process find these GPUs; the module that takes pynvml's place."""
    for name, value in install(folder, *gpus, **said).items():
        if name == STATE:
            patch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("pynvml", HERE / "pynvml.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    patch.setitem(sys.modules, "pynvml", module)
    return module
