"""The local backend: any diffusers pipeline that a card describes, on this machine's GPU, or slowly on its CPU.

It exists twice. In the server it says what could run and why not, and imports nothing heavy. In the inference process
it loads and renders; what that takes stands in the modules below it.

    table       the card's [backend] table
    installed   what this machine has, found without importing it
    readahead   files from disk into memory, so that a long load can be heard and stopped
    layout      a weights folder: what is in it, what is missing
    loading     components from files
    memory      which errors are for lack of GPU memory
    loaded      one model in memory, a new pipeline for each request
    call        what a request hands to its pipeline
    render      the frames of one shot
    watch       progress, signs of life and cancel from inside of a pipeline
    preview     small pictures of the latents
    output      frames into a file
    families/   what a family of pipelines needs beyond that
"""

import logging
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from backends.local.installed import cpu_threads, diffusers_names, gpu_problem, missing_libraries, versions
from backends.local.layout import read_layout
from backends.local.memory import is_out_of_vram
from backends.local.table import check_classes, check_names, read_table
from vidgen.backend import AVAILABLE, WHOLE, Availability, Backend, BackendConfig, Control, Footprint
from vidgen.cards import Card
from vidgen.errors import OutOfVram, StepFailed, Stopped
from vidgen.types import Clip, Lane, RenderSpec, Still
from vidgen.weights import command, folder, problem, read_lock

if TYPE_CHECKING:
    from backends.local.loaded import Loaded

log = logging.getLogger(__name__)


class LocalBackend(Backend):
    """Renders with diffusers; one model at a time is loaded."""

    provider: ClassVar[str] = "local"
    lane: ClassVar[Lane] = Lane.GPU

    def __init__(self, config: BackendConfig):
        super().__init__(config)
        self._loaded: Loaded | None = None
        self._load_seconds: dict[str, float] = {}

    # in the server

    def check(self, model: Card) -> None:
        """See :meth:`Backend.check`. Whether the classes exist can be said only where diffusers is installed."""
        table = read_table(model)
        check_names(model, table)
        check_classes(model, table, diffusers_names())

    def availability(self, model: Card) -> Availability:
        reason = self._library_problem() or self._device_problem() or self._weights_problem(model)
        return AVAILABLE if reason is None else Availability(False, reason)

    def footprint(self, model: Card, shot: RenderSpec, mode: str = WHOLE) -> Footprint:
        """What the card says; rendering on the CPU takes it from there."""
        needs = model.memory
        vram = int(needs.vram_gb_by_mode.get(mode, needs.vram_gb) * 2**30)
        ram = int(needs.ram_gb * 2**30)
        return Footprint(ram_bytes=ram + vram) if self.config.device == "cpu" else Footprint(vram, ram)

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
        if self.config.device == "cpu" or (found := gpu_problem(self.config.device)) is None:
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
        from backends.local.loaded import load

        if mode != WHOLE:
            raise StepFailed(f"{model.id} cannot be loaded in the mode {mode!r}", retryable=False)
        self._drop()
        if self.config.device == "cpu":
            control.note("on_cpu", f"{model.title} renders on the CPU, which takes hours where a GPU takes minutes")
        began = time.monotonic()
        with self._dropped_on_failure():
            self._loaded = load(model, read_table(model), self.config, control)
        self._load_seconds = {"load_seconds": time.monotonic() - began}

    def unload(self, model: Card) -> None:
        self._drop()

    def render(self, model: Card, shot: RenderSpec, control: Control) -> Clip | Still:
        """See :meth:`Backend.render`. Loads the model where it is not loaded, or no longer.

        :raises OutOfVram: the GPU's memory did not suffice; the model is not loaded any more.
        """
        from backends.local.output import write_clip, write_still
        from backends.local.render import render_frames

        if self._loaded is None or self._loaded.card != model:
            self.load(model, WHOLE, control)
        with self._dropped_on_failure():
            frames, measured = render_frames(self._loaded, shot, control)
        measured |= self._load_seconds
        self._load_seconds = {}
        if model.makes_video:
            return write_clip(frames, measured, shot, control, self.config)
        return write_still(frames[0], measured, shot, control)

    def _drop(self) -> None:
        if self._loaded is not None:
            loaded, self._loaded = self._loaded, None
            loaded.release()

    @contextmanager
    def _dropped_on_failure(self) -> Iterator[None]:
        """A model that was stopped has been put right and stays; after anything else nobody knows what state it is in.

        :raises OutOfVram: in place of torch's own error.
        """
        try:
            yield
        except Stopped:
            raise
        except BaseException as e:
            out_of_vram = _as_out_of_vram(e)
            self._drop()
            if out_of_vram is not None:
                raise out_of_vram from None
            raise


def _vram_bytes() -> int | None:
    """Of the whole GPU; None where there is none, or it does not say."""
    import torch

    try:
        return torch.cuda.mem_get_info()[1] if torch.cuda.is_available() else None
    except RuntimeError:
        return None


def _as_out_of_vram(e: BaseException) -> OutOfVram | None:
    """What to say where *e* is torch's word for it. What its frames hold is let go, or dropping the model frees little.
    """
    if not is_out_of_vram(e):
        return None
    log.warning("out of GPU memory: %s", e)
    traceback.clear_frames(e.__traceback__)
    has = f", which has {total / 2**30:.0f} GB" if (total := _vram_bytes()) else ""
    return OutOfVram(f"it needs more memory than there is on this GPU{has}; a smaller size or fewer frames need less")
