"""The local backend: any diffusers pipeline that a card describes, on this machine's GPU, or slowly on its CPU.

It exists twice. In the server it says what could run and why not, and imports nothing heavy. In the inference process
it loads and renders; what that takes stands in the modules below it.

    table       the card's [backend] table
    footprint   what a render needs of the device's memory, by the card
    installed   what this machine has, found without importing it
    prepare     the next shot's image, and its model's files, before its turn
    readahead   files from disk into memory, so that a long load can be heard and stopped
    layout      a weights folder: what is in it, what is missing
    loading     components from files
    loaded      one model in memory, a new pipeline for each request
    shelf       weights in RAM of models that are not loaded
    residence   where one network's weights are: on the device, or on the host
    modes       the loading modes: which networks are on the device, and when
    halves      guidance's two branches, one after the other
    ladder      running out of memory: the same once more, one mode lower
    account     what that changed about a request
    memory      which errors are for lack of memory, and what can be let go of
    call        what a request hands to its pipeline
    render      the frames of one shot
    watch       progress, signs of life and cancel from inside of a pipeline
    meter       the time and the memory of one request
    preview     small pictures of the latents
    output      frames into a file
    families/   what a family of pipelines needs beyond that

Several models are loaded beside each other. Inside of a denoising step of one render another one may run, with the same
model or another, and either comes out as if it had been alone.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, ClassVar

from backends.local.footprint import MODES, footprint_of, lighter_of, modes_of
from backends.local.installed import cpu_threads, diffusers_names, missing_libraries, versions
from backends.local.layout import read_layout
from backends.local.memory import as_out_of_vram, is_out_of_vram, let_go
from backends.local.prepare import Images, read_weights_ahead
from backends.local.table import check_classes, check_names, read_table
from vidgen.backend import (
    AVAILABLE,
    WHOLE,
    Availability,
    Backend,
    BackendConfig,
    Control,
    Footprint,
    Held,
    Unfinished,
)
from vidgen.cards import Card
from vidgen.errors import StepFailed, Stopped
from vidgen.types import Lane, RenderSpec, Still
from vidgen.weights import command, folder, problem, read_lock

if TYPE_CHECKING:
    from backends.local.loaded import Loaded
    from backends.local.shelf import Shelf


class LocalBackend(Backend):
    """Renders with diffusers."""

    provider: ClassVar[str] = "local"
    lane: ClassVar[Lane] = Lane.GPU

    def __init__(self, config: BackendConfig):
        super().__init__(config)
        self._models: dict[str, Loaded] = {}
        self._rendering: list[Loaded] = []  # the innermost last
        self._load_seconds: dict[str, float] = {}
        self._images = Images()

    # in the server

    def check(self, model: Card) -> None:
        """See :meth:`Backend.check`. Whether the classes exist can be said only where diffusers is installed."""
        table = read_table(model)
        check_names(model, table)
        check_classes(model, table, diffusers_names())

    def availability(self, model: Card) -> Availability:
        reason = self._library_problem() or self._device_problem() or self._weights_problem(model)
        return AVAILABLE if reason is None else Availability(False, reason)

    def modes(self, model: Card) -> Sequence[str]:
        return modes_of(model, self.config.device)

    def footprint(self, model: Card, shot: RenderSpec, mode: str = WHOLE) -> Footprint:
        return footprint_of(model, shot, mode, self.config.device)

    def lighter(self, model: Card, shot: RenderSpec) -> RenderSpec | None:
        return lighter_of(model, shot)

    def revision(self, model: Card) -> str:
        """The commit of the weights; where no lock tells it, the revision that they should be of."""
        if (lock := read_lock(model, self.config.weights_dir)) is not None:
            return lock.revision
        return f"{model.weights.revision if model.weights else model.revision} (unlocked)"

    def versions(self) -> Mapping[str, str]:
        if self.config.device == "cpu":
            return {**versions(), "device": f"cpu, {cpu_threads()} threads"}
        return {**versions(), "device": "cuda"}

    def _library_problem(self) -> str | None:
        if not (missing := missing_libraries()):
            return None
        return (
            f"it needs {' and '.join(missing)}; pip install -e '.[local]' in vidgen's folder installs what local "
            "models need, and make run does so where there is an NVIDIA driver"
        )

    def _device_problem(self) -> str | None:
        if self.config.device == "cpu" or (found := self.config.device_problem()) is None:
            return None
        return f"{found}; GPU_DEVICE=cpu renders on the CPU, where a shot takes hours"

    def _weights_problem(self, model: Card) -> str | None:
        if found := problem(model, self.config.weights_dir):
            return found
        try:
            found = read_layout(folder(model, self.config.weights_dir)).vocabulary_problem()
        except StepFailed as e:
            found = e.detail
        return found and f"its weights are not whole: {found}; run: {command(model)}"

    # in the inference process

    def load(self, model: Card, mode: str, control: Control) -> None:
        """See :meth:`Backend.load`. A model that is rendering keeps its mode."""
        from backends.local.watch import aside

        if mode not in MODES:
            raise StepFailed(f"{model.id} cannot be loaded in the mode {mode!r}", retryable=False)
        with aside():
            if (loaded := self._loaded(model)) is None:
                self._load(model, mode, control)
            elif loaded not in self._rendering:
                with self._dropped_on_failure(model.id):
                    self._set_mode(loaded, mode)

    def unload(self, model: Card, *, keep: bool = False) -> None:
        if not keep:
            self._shelf.drop(model.id)
            self._drop(model.id)
        elif (loaded := self._taken_out(model.id)) is not None and (shelved := loaded.shelve()) is not None:
            self._shelf.put(model.id, shelved)

    def prepare(self, model: Card, shot: RenderSpec) -> None:
        """Fit the shot's image, and have the model's files read where it is not loaded."""
        with suppress(OSError, StepFailed):     # what is wrong with them, the render will say
            self._images.prepare(shot)
            if model.id not in self._models:
                read_weights_ahead(folder(model, self.config.weights_dir), read_table(model).variant)

    def held(self) -> Held:
        models = dict(self._models)
        modes = {name: loaded.mode for name, loaded in models.items()}
        if self.config.device == "cpu":
            return Held(sum(loaded.bytes for loaded in models.values()), 0, self._shelf.bytes, modes)
        import torch

        reserved = torch.cuda.memory_reserved()
        return Held(reserved, reserved - torch.cuda.memory_allocated(), self._shelf.bytes, modes)

    def render(self, model: Card, shot: RenderSpec, control: Control) -> Still | Unfinished:
        """See :meth:`Backend.render`. Loads the model where it is not loaded, or no longer."""
        from backends.local.output import write_clip, write_still
        from backends.local.render import render_frames
        from backends.local.watch import aside

        with aside():
            loaded = self._loaded(model) or self._load(model, WHOLE, control)
            with self._dropped_on_failure(model.id), self._using(loaded):
                frames, measured, made = render_frames(loaded, shot, control, self._images)
            if (seconds := self._load_seconds.pop(model.id, None)) is not None:
                measured = {**measured, "load_seconds": seconds}
            if model.makes_video:
                return partial(write_clip, frames, measured, made, shot, control, self.config)
            return write_still(frames[0], measured, made, shot, control)

    @cached_property
    def _shelf(self) -> "Shelf":
        from backends.local.shelf import Shelf

        return Shelf(self.config.ram_cache_bytes)

    def _loaded(self, model: Card) -> "Loaded | None":
        """The model of this card, where it is loaded; one of an earlier version of the card is dropped."""
        loaded = self._models.get(model.id)
        if loaded is not None and loaded.card != model:
            self._drop(model.id)
            return None
        return loaded

    def _load(self, model: Card, mode: str, control: Control) -> "Loaded":
        from backends.local.loaded import load

        if self.config.device == "cpu":
            control.note("on_cpu", f"{model.title} renders on the CPU, which takes hours where a GPU takes minutes")
        began = time.monotonic()
        with self._dropped_on_failure(model.id):
            loaded = load(model, read_table(model), self.config, mode, control, self._shelf, self._free_others)
        self._models[model.id] = loaded
        self._load_seconds[model.id] = time.monotonic() - began
        return loaded

    def _set_mode(self, loaded: "Loaded", mode: str) -> None:
        try:
            loaded.set_mode(mode)
        except Exception as e:
            if is_out_of_vram(e):
                let_go(e)
                self.unload(loaded.card, keep=True)     # the next mode down need not read it again
            raise

    def _free_others(self) -> None:
        """Take the models that do not render off the device."""
        for loaded in [each for each in self._models.values() if each not in self._rendering]:
            self.unload(loaded.card, keep=self.config.device != "cpu")

    def _drop(self, model_id: str) -> None:
        if (loaded := self._taken_out(model_id)) is not None:
            loaded.release()

    def _taken_out(self, model_id: str) -> "Loaded | None":
        assert self._models.get(model_id) not in self._rendering, f"{model_id} is rendering"
        return self._models.pop(model_id, None)

    @contextmanager
    def _using(self, loaded: "Loaded") -> Iterator[None]:
        self._rendering.append(loaded)
        try:
            yield
        finally:
            self._rendering.pop()

    @contextmanager
    def _dropped_on_failure(self, model_id: str) -> Iterator[None]:
        """A model that was stopped has been put right and stays; after anything else nobody knows what state it is in.
        One with which an outer render goes on stays as well.

        :raises OutOfVram: in place of torch's own error.
        """
        try:
            yield
        except Stopped:
            raise
        except BaseException as e:
            out_of_vram = as_out_of_vram(e)
            if self._models.get(model_id) not in self._rendering:
                self._drop(model_id)
            if out_of_vram is not None:
                raise out_of_vram from None
            raise
