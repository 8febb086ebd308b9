"""One model in memory: its components, and a new pipeline object over them for each request.

A pipeline object is stateful (scheduler, guidance); the components are not, as long as what a stop leaves in them is
put right.
"""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from backends.local.call import check_call, check_settings
from backends.local.families import Family, family
from backends.local.layout import read_layout
from backends.local.loading import device_of, load_parts, options_of, quiet
from backends.local.table import Table
from vidgen.backend import BackendConfig, Control
from vidgen.cards import Card
from vidgen.errors import Stopped
from vidgen.weights import folder

if TYPE_CHECKING:
    from torch import Tensor, device, nn

REMADE = ("scheduler", "guider")
"""Components that keep a request's state, and are made anew for each."""


class Loaded:
    """The components of *card*'s model, on the device. Made by :func:`load`."""

    def __init__(self, card: Card, table: Table, parts: Mapping[str, Any], options: Mapping[type, Mapping[str, Any]]):
        self.card = card
        self.table = table
        self.family: Family = family(table.family)
        self._parts = parts
        self._options = options
        self._dtypes = {name: tensor.dtype for name, tensor in self._tensors().items()}

    @property
    def classes(self) -> list[type]:
        """The pipeline class, and where there is one, the class for shots with an image."""
        return list(self._options)

    @property
    def device(self) -> "device":
        return next(iter(self._tensors().values())).device

    def networks(self) -> dict[str, "nn.Module"]:
        """The components that compute, by name."""
        from torch import nn

        return {name: part for name, part in self._parts.items() if isinstance(part, nn.Module)}

    @contextmanager
    def request(self, cls: type, overrides: Mapping[str, Mapping[str, Any]]) -> Iterator[Any]:
        """A pipeline for one request. Where it is stopped, the components are as before.

        :param overrides: of the configuration of ``scheduler`` and ``guider``, for this request.
        """
        remade = {name: self._remade(name, overrides.get(name, {})) for name in REMADE if name in self._parts}
        pipeline = cls(**{**self._options[cls], **remade})
        pipeline.set_progress_bar_config(disable=True)
        self.family.prepare(pipeline)
        try:
            yield pipeline
        except Stopped:
            self._put_right(pipeline)
            raise

    def release(self) -> None:
        """Give the memory back. The object is of no use afterwards."""
        import torch

        self._parts, self._options, self._dtypes = {}, {}, {}
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _remade(self, name: str, overrides: Mapping[str, Any]) -> Any:
        part = self._parts[name]
        if name == "guider":
            return part.new(**overrides)
        return type(part).from_config(part.config, **overrides)

    def _put_right(self, pipeline: Any) -> None:
        """Undo what a pipeline does to its components and undoes itself only where it comes to its end: SVD's VAE in
        float32, frames that a causal VAE keeps for the next ones.
        """
        pipeline.maybe_free_model_hooks()
        for network in self.networks().values():
            if hasattr(network, "clear_cache"):
                network.clear_cache()
        for name, tensor in self._tensors().items():
            if tensor.dtype != self._dtypes[name]:
                tensor.data = tensor.data.to(self._dtypes[name])

    def _tensors(self) -> dict[str, "Tensor"]:
        """Parameters and buffers, by the names of their component and their own."""
        return {
            f"{part}.{name}": tensor for part, network in self.networks().items()
            for name, tensor in (*network.named_parameters(), *network.named_buffers())
        }


def load(card: Card, table: Table, config: BackendConfig, control: Control) -> Loaded:
    """Load *card*'s model from its folder.

    :raises Stopped: as *control* raised it.
    :raises StepFailed: the weights cannot be loaded, or the card asks of the pipeline what it does not have.
    """
    import diffusers

    quiet()
    layout = read_layout(folder(card, config.weights_dir))
    classes = [getattr(diffusers, name) for name in table.pipelines.values()]
    for cls in classes:
        check_call(cls, card, table)
    parts = load_parts(layout, table, device_of(config.device), control)
    parts["scheduler"] = _scheduler(parts["scheduler"], table)
    check_settings(card, table, parts)
    return Loaded(card, table, parts, {cls: options_of(cls, layout, parts) for cls in classes})


def _scheduler(released: Any, table: Table) -> Any:
    """The released scheduler as the card changes it."""
    import diffusers

    cls = getattr(diffusers, table.scheduler.class_name) if table.scheduler.class_name else type(released)
    return cls.from_config(released.config, **table.scheduler.overrides)
