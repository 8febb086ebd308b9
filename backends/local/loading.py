"""Loads a model's components, one by one, from its folder and from nowhere else.

Safetensors only, no code from the folder, no network. Runs in the inference process.
"""

import importlib
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from backends.local.installed import cpu_threads
from backends.local.layout import Layout, Part
from backends.local.memory import is_out_of_vram
from backends.local.readahead import read_ahead
from backends.local.table import Table
from vidgen.backend import Control
from vidgen.errors import StepFailed, VidgenError

if TYPE_CHECKING:
    import torch
    from torch import nn

log = logging.getLogger(__name__)


def quiet() -> None:
    """Send what diffusers and transformers have to say into the log, and let them draw no progress bars."""
    logging.captureWarnings(True)
    import diffusers.utils.logging
    import transformers.utils.logging

    for library in (diffusers.utils.logging, transformers.utils.logging):
        library.disable_progress_bar()
        library.disable_default_handler()
        library.enable_propagation()


def device_of(setting: str) -> "torch.device":
    """The device to render on; the CPU with as many threads as the recipe says.

    :param setting: GPU_DEVICE; which of several GPUs is visible has been decided before this process started.
    :raises StepFailed: torch sees no GPU, and the setting does not say to do without.
    """
    import torch

    if setting == "cpu":
        torch.set_num_threads(cpu_threads())
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise StepFailed("torch sees no GPU here; GPU_DEVICE=cpu renders on the CPU", retryable=False)
    return torch.device("cuda", 0)


def load_parts(
    layout: Layout, table: Table, device: "torch.device", control: Control,
    settle: Callable[[str, "nn.Module"], None] = lambda name, network: None,
) -> dict[str, Any]:
    """The components by name, on the host, ready for inference on *device*. Reports ``load`` after each.

    :param settle: is given each network once it is read.
    :raises StepFailed: naming the component or the file that cannot be loaded.
    """
    from torch import nn

    count = len(layout.parts)
    control.step("load", 0, count)
    loaded = {}
    for i, part in enumerate(layout.parts, start=1):
        with _failures_of(part):
            loaded[part.name] = _load(part, table, device, control)
        if isinstance(loaded[part.name], nn.Module):
            settle(part.name, loaded[part.name])        # the device's failures are not the files'
        control.step("load", i, count)
    return loaded


def weights_bytes(layout: Layout, table: Table) -> int:
    """Of the files of all weights; where one is missing, it counts as nothing."""
    files = (file for part in layout.parts for file in part.weights(part.variant(table.variant)))
    return sum(file.stat().st_size for file in files if file.is_file())


def class_of(part: Part) -> type:
    """The class that the index names, from diffusers or transformers.

    :raises StepFailed: it names something else; code that is not installed is never fetched.
    """
    name = part.library if part.library in ("diffusers", "transformers") else f"diffusers.pipelines.{part.library}"
    try:
        return getattr(importlib.import_module(name), part.class_name)
    except (ImportError, AttributeError):
        said = f"{part.name} is a {part.class_name} of {part.library}, which is not among the installed libraries"
        raise StepFailed(said, retryable=False) from None


def _load(part: Part, table: Table, device: "torch.device", control: Control) -> Any:
    from torch import nn

    cls, variant = class_of(part), part.variant(table.variant)
    _refuse(part.folder_problem() or part.vocabulary_problem())
    if not issubclass(cls, nn.Module):
        return cls.from_pretrained(part.folder, local_files_only=True)
    _refuse(part.weights_problem(variant))
    read_ahead(part.weights(variant), control.alive)
    return _network(cls, part, variant, _dtype(part, table, device)).eval()


def _refuse(problem: str | None) -> None:
    if problem is not None:
        raise StepFailed(f"the weights cannot be loaded: {problem}", retryable=False)


def _network(cls: type, part: Part, variant: str | None, dtype: "torch.dtype") -> Any:
    network, found = cls.from_pretrained(
        part.folder, variant=variant, use_safetensors=True, local_files_only=True, output_loading_info=True,
        **{"dtype" if part.library == "transformers" else "torch_dtype": dtype},
    )
    absent = set(found["missing_keys"]) & {name for name, _ in network.named_parameters()}
    if absent:                              # the libraries would fill them with random values and go on
        log.error("weights of %s lack %s", part.name, sorted(absent))
        raise StepFailed(f"the weights of {part.name} lack {min(absent)} and {len(absent) - 1} more", retryable=False)
    return network


def _dtype(part: Part, table: Table, device: "torch.device") -> "torch.dtype":
    import torch

    name = table.dtypes.get(part.name, table.dtype) if device.type == "cuda" else "float32"
    return getattr(torch, name)


@contextmanager
def _failures_of(part: Part) -> Iterator[None]:
    """What a library raises of files that it cannot read is the files' fault; its own words go to the log."""
    import torch
    from safetensors import SafetensorError

    try:
        yield
    except (VidgenError, torch.AcceleratorError):
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError) as e:
        if is_out_of_vram(e):
            raise
        log.exception("cannot load %s", part.name)
        raise StepFailed(f"{part.name} cannot be loaded from its weights; the log says more", retryable=False) from e


def options_of(cls: type, layout: Layout, parts: Mapping[str, Any]) -> dict[str, Any]:
    """What *cls* is made with: its components, and of the index's options those that it takes.

    :raises StepFailed: the weights lack a component that it cannot do without.
    """
    wanted = {name: p for name, p in inspect.signature(cls.__init__).parameters.items() if name != "self"}
    known = {**dict.fromkeys(layout.absent), **layout.options, **parts}
    needed = {name for name, p in wanted.items() if p.default is p.empty} - set(cls._optional_components)
    if lacking := sorted(name for name in needed if known.get(name) is None):
        raise StepFailed(f"{cls.__name__} needs {lacking[0]}, which these weights do not have", retryable=False)
    return {name: known.get(name) for name, p in wanted.items() if name in known or p.default is p.empty}
