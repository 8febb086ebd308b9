"""The parts of a pipeline's folder: networks with random values, settings, tokenizers; and the index over them.

Each part says its library and class, which ``model_index.json`` repeats, and writes its own folder. What a released
repository holds and diffusers does not write (the files of the tokenizers) is written file by file.
"""

import importlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from torch import nn

SHARD_SIZE = "40KB"
"""Of a network whose released weights are split, so that the small ones are split as well."""


class Part(Protocol):
    """One component of a pipeline."""

    library: str
    class_name: str

    def write(self, folder: Path, seed: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Network:
    """A network; its values are :func:`fill`'s."""

    library: str                            # diffusers or transformers
    class_name: str
    config: Mapping[str, Any]
    dtype: str = "float16"                  # of the released file
    variant: str | None = None              # in the file's name
    split: bool = False                     # into parts, with an index over them

    def build(self) -> "nn.Module":
        """The network as it is made by its library, on torch's present default device."""
        cls = getattr(importlib.import_module(self.library), self.class_name)
        if self.library == "transformers":
            return cls(cls.config_class(**self.config)).eval()
        return cls(**self.config).eval()

    def write(self, folder: Path, seed: int) -> None:
        import torch

        with torch.random.fork_rng(devices=[]):
            network = self.build()
        fill(network, seed, getattr(torch, self.dtype))
        size = {"max_shard_size": SHARD_SIZE} if self.split else {}
        with quietly():
            network.save_pretrained(folder, variant=self.variant, **size)


@dataclass(frozen=True, slots=True)
class Settings:
    """A component that is one file of settings: a scheduler, an image processor, a guider."""

    library: str
    class_name: str
    file: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path, seed: int) -> None:
        _write_json(folder / self.file, dict(self.values))


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """A tokenizer, as the files of its folder."""

    class_name: str
    files: Callable[[], Mapping[str, bytes]]
    library: str = "transformers"

    def write(self, folder: Path, seed: int) -> None:
        for name, content in self.files().items():
            (folder / name).write_bytes(content)


@dataclass(frozen=True, slots=True)
class Layout:
    """A pipeline's folder: its class, its components by name, and what else its index says."""

    class_name: str
    parts: Mapping[str, Part | None]        # None: a component that the release leaves out
    options: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path, seed: int = 0) -> None:
        """Write the folder; what it held under the same names is replaced."""
        for name, part in self.parts.items():
            if part is not None:
                (folder / name).mkdir(parents=True, exist_ok=True)
                part.write(folder / name, seed)
        _write_json(folder / "model_index.json", self.index())

    def index(self) -> dict[str, Any]:
        import diffusers

        entries = {name: [part.library, part.class_name] if part else [None, None] for name, part in self.parts.items()}
        return {"_class_name": self.class_name, "_diffusers_version": diffusers.__version__, **self.options, **entries}


def scheduler(class_name: str, **values: Any) -> Settings:
    return Settings("diffusers", class_name, "scheduler_config.json", {"_class_name": class_name, **values})


def fill(network: "nn.Module", seed: int, dtype: "torch.dtype") -> None:
    """Give every parameter random values that keep activations near one: weights of 1/√(inputs), norms near one.

    A parameter's values depend on *seed*, its name and its shape alone.
    """
    import torch

    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.data = values_of(name, parameter.shape, seed).to(dtype)


def values_of(name: str, shape: tuple[int, ...], seed: int) -> "torch.Tensor":
    """The float32 values of one parameter."""
    import torch

    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}/{name}".encode()))
    values = torch.randn(shape, generator=generator)
    if _scales(name, shape):
        return values.mul_(0.1).add_(1)
    inputs = values[0].numel() if len(shape) > 1 else 100
    return values.div_(inputs**0.5)


def _scales(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a parameter multiplies what is near one already, as a norm's does."""
    one_dimension = sum(size > 1 for size in shape) <= 1
    return one_dimension and name.rsplit(".", 1)[-1] in ("weight", "gamma")


@contextmanager
def on_meta() -> Iterator[None]:
    """Inside, networks are built without memory for their values."""
    import torch

    with torch.device("meta"):
        yield


@contextmanager
def quietly() -> Iterator[None]:
    """Inside, transformers draws no progress bars."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
