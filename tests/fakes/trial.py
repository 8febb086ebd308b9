"""The backend ``trial``: grey frames that follow from the seed, several models beside each other, in modes, with no
torch and no GPU. What goes wrong is planned in ``gpu.py``; what it does is written down (:func:`journal`).

A trial model's card is made by :func:`card`. Its ``[backend]`` table may say, all of it optional:

    modes = { whole = [100, 300], two_pass = [100, 200] }
                    what it can be loaded in, largest first: MB as long as it is loaded, and at the peak of a render of
                    the card's own size and frames, in chunks of 8. What is above the loaded part grows with all three.
    peak_factor     how much of the forecast peak is measured; 1
    load_seconds    0
    step_seconds    of one denoising step; 0.02
    encode_seconds  of one frame; 0
    at_once         whether the clip is written before ``render`` returns, as backends of third parties do; false

A job may give ``decode_chunk_size`` (halved under ``fit: "adapt"``) and ``step_seconds`` as parameters.

On a card of ``tests/fakes/nvml`` a model holds what it says, in a render the peak, and runs out where the card, which
has no regard for what NVML is made to tell, does not have it.
"""

import io
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fakes.gpu import DEATHS, DyingControl, RanOut, faults
from vidgen.backend import (
    AVAILABLE,
    Availability,
    Backend,
    BackendConfig,
    Control,
    Footprint,
    Held,
    Unfinished,
)
from vidgen.cards import Card
from vidgen.errors import OutOfVram
from vidgen.media.video import ClipWriter
from vidgen.types import Clip, Lane, RenderSpec, Still

if TYPE_CHECKING:
    from PIL.Image import Image

MB = 2**20
CHUNK = 8
GPU = "TEST_NVML"
"""Names the file that describes the fake card, where there is one."""

VIDEO = "{ text_to_video = true, image_to_video = true }"
STILL = "{ text_to_image = true }"
NEEDS_IMAGE = "{ image_to_video = true, reads_text = false }"

CARD = """
provider = "{provider}"
name = "{name}"
title = "{title}"
description = "{title} frames, through the inference process"
capabilities = {capabilities}
width = {{ default = {width}, min = 16, max = 1024, step = 2 }}
height = {{ default = {height}, min = 16, max = 1024, step = 2 }}
frames = {{ default = {frames}, min = 1, max = 99 }}
fps = {{ default = 8, min = 1, max = 30 }}
steps = {{ default = 4, min = 1, max = 1000, step = 1 }}
memory = {{ ram_gb = 0.01 }}
{keyframes}
[parameters]
decode_chunk_size = {{ type = "integer", default = 8, min = 1, max = 64, description = "Frames decoded at once" }}
step_seconds = {{ type = "number", min = 0, max = 60, description = "Of one denoising step" }}

[backend]
{backend}
"""


def card(
    name: str, provider: str = "trial", *, title: str = "Grey", capabilities: str = VIDEO,
    keyframe_model: str | None = None, width: int = 64, height: int = 64, frames: int = 5, **backend: Any,
) -> str:
    """The text of a trial card; *backend* is its table of that name."""
    return CARD.format(
        provider=provider, name=name, title=title, capabilities=capabilities, width=width, height=height, frames=frames,
        keyframes=f'keyframe_model = "{keyframe_model}"' if keyframe_model else "",
        backend="\n".join(f"{key} = {_toml(value)}" for key, value in backend.items()),
    )


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def journal(folder: Path) -> list[str]:
    """What trial models did since the beginning: ``load one whole``, ``unload one keep``, ``prepare one 7``, and of
    each render, with its seed: ``render one 7``, ``rendered one 7``, ``encode one 7``, ``encoded one 7``.
    """
    file = folder / "journal"
    return file.read_text().splitlines() if file.exists() else []


class TrialBackend(Backend):
    """Grey frames; several models beside each other, in modes."""

    provider = "trial"
    lane = Lane.GPU

    def __init__(self, config: BackendConfig):
        super().__init__(config)
        self._modes: dict[str, str] = {}
        self._device: dict[str, int] = {}
        self._shelf: dict[str, int] = {}

    def availability(self, model: Card) -> Availability:
        return AVAILABLE

    def modes(self, model: Card) -> Sequence[str]:
        return tuple(model.backend.get("modes", ())) or super().modes(model)

    def footprint(self, model: Card, shot: RenderSpec, mode: str = "whole") -> Footprint:
        resident, peak = model.backend.get("modes", {}).get(mode, (0, 0))
        of_card = model.width.default * model.height.default * model.frames.default * CHUNK
        size = shot.width * shot.height * shot.num_frames * shot.parameters.get("decode_chunk_size", CHUNK) / of_card
        return Footprint(resident * MB, int((resident + (peak - resident) * size) * MB))

    def lighter(self, model: Card, shot: RenderSpec) -> RenderSpec | None:
        chunk = shot.parameters.get("decode_chunk_size", CHUNK) // 2
        return replace(shot, parameters={**shot.parameters, "decode_chunk_size": chunk}) if chunk else None

    def load(self, model: Card, mode: str, control: Control) -> None:
        self.unload(model)
        _rest(model.backend.get("load_seconds", 0), control)
        DyingControl(control, model.name).step("load", 1, 1)
        try:
            self._take(model, _resident(model, mode))
        except RanOut:
            raise OutOfVram("there is too little memory for its weights") from None
        self._modes[model.id] = mode
        self._shelf.pop(model.id, None)
        _note("load", model.name, mode)

    def unload(self, model: Card, *, keep: bool = False) -> None:
        if self._modes.pop(model.id, None) is None:
            return
        held = self._device.pop(model.id)
        self._tell()
        if keep and sum(self._shelf.values()) + held <= self.config.ram_cache_bytes:
            self._shelf[model.id] = held
        _note("unload", model.name, *["keep"] * keep)

    def prepare(self, model: Card, shot: RenderSpec) -> None:
        _note("prepare", model.name, shot.seed)

    def held(self) -> Held:
        if faults:
            raise RuntimeError("CUDA error: device-side assert triggered")
        return Held(sum(self._device.values()), 0, sum(self._shelf.values()), dict(self._modes))

    def render(self, model: Card, shot: RenderSpec, control: Control) -> Clip | Still | Unfinished:
        began, ran_out, control = time.monotonic(), [], DyingControl(control, model.name)
        _note("render", model.name, shot.seed)
        try:
            for i in range(1, shot.num_inference_steps + 1):
                self._denoise(model, shot, control, i, ran_out)
            control.step("decode", 1, 1)
        except OutOfVram:
            self.unload(model)
            raise
        finally:
            self._settle(model)
        _note("rendered", model.name, shot.seed)
        peak = self.footprint(model, shot, self._modes[model.id]).peak_bytes * model.backend.get("peak_factor", 1)
        measured = {"pid": os.getpid(), "peak_vram_bytes": peak, "denoise_seconds": time.monotonic() - began}
        made = {"mode": self._modes[model.id]} | ({"ran_out": ran_out} if ran_out else {})
        if model.capabilities.text_to_image:
            self.draw(shot).save(shot.output, "PNG")
            return Still(shot.output, shot.width, shot.height, measured, made)
        if model.backend.get("at_once", False):
            return self._write(model, shot, control, measured, made)
        return lambda: self._write(model, shot, control, measured, made)

    def versions(self) -> Mapping[str, str]:
        return {"trial": "1"}

    def preview(self, shot: RenderSpec, step: int) -> bytes:
        """A small JPEG, as it stands after this denoising step."""
        from PIL import Image

        Image.new("L", (16, 16), _grey(shot, 1)).save(data := io.BytesIO(), "JPEG")
        return data.getvalue()

    def draw(self, shot: RenderSpec) -> "Image":
        """A picture, where the model makes those."""
        from PIL import Image

        return Image.new("RGB", (shot.width, shot.height), (_grey(shot, 1),) * 3)

    def frames(self, shot: RenderSpec) -> Iterator[bytes]:
        """The clip's frames, RGB."""
        for i in range(1, shot.num_frames + 1):
            yield bytes([_grey(shot, i)]) * (shot.width * shot.height * 3)

    def _denoise(self, model: Card, shot: RenderSpec, control: Control, i: int, ran_out: list[str]) -> None:
        try:
            self._take(model, self.footprint(model, shot, self._modes[model.id]).peak_bytes)
            control.step("render", i, shot.num_inference_steps, lambda: self.preview(shot, i))
        except RanOut:
            before, after = self._modes[model.id], self._sink(model)
            ran_out.append(f"render {i} of {shot.num_inference_steps}: {before} -> {after}")
            control.note("out_of_memory", ran_out[-1])
        _rest(shot.parameters.get("step_seconds", model.backend.get("step_seconds", 0.02)), control)

    def _sink(self, model: Card) -> str:
        below = [*self.modes(model)][self.modes(model).index(self._modes[model.id]) + 1:]
        if not below:
            raise OutOfVram("it needs more memory than there is, in every mode")
        self._modes[model.id] = below[0]
        self._settle(model)
        return below[0]

    def _take(self, model: Card, size_bytes: int) -> None:
        """Hold so much for *model*.

        :raises RanOut: the card does not have it; what it held, it holds on.
        """
        before, self._device[model.id] = self._device.get(model.id), size_bytes
        if sum(self._device.values()) > _capacity():
            self._device.pop(model.id) if before is None else self._device.update({model.id: before})
            raise RanOut
        self._tell()

    def _settle(self, model: Card) -> None:
        """Outside of a render: what its mode holds."""
        if model.id in self._modes:
            self._device[model.id] = _resident(model, self._modes[model.id])
            self._tell()

    def _tell(self) -> None:
        """Have the fake NVML see it."""
        if GPU in os.environ:
            file = Path(os.environ[DEATHS]).with_name(f"held.{os.getpid()}")
            beside = file.with_name(f"new.{os.getpid()}")
            beside.write_text(str(sum(self._device.values())))
            beside.replace(file)

    def _write(
        self, model: Card, shot: RenderSpec, control: Control, measured: Mapping[str, float], made: Mapping[str, Any]
    ) -> Clip:
        _note("encode", model.name, shot.seed)
        with ClipWriter(
            shot.output, width=shot.width, height=shot.height, fps=shot.fps, encoder=self.config.encoder,
            tick=control.check,
        ) as writer:
            for i, frame in enumerate(self.frames(shot), start=1):
                writer.write(frame)
                _rest(model.backend.get("encode_seconds", 0), control)
                control.step("encode", i, shot.num_frames)
        control.note("attempt", f"attempt {shot.attempt}, {shot.seed}")
        _note("encoded", model.name, shot.seed)
        return Clip(shot.output, shot.width, shot.height, shot.num_frames, shot.fps, measured, made)


def _resident(model: Card, mode: str) -> int:
    return model.backend.get("modes", {}).get(mode, (0,))[0] * MB


def _capacity() -> float:
    """Of the card for trial models, in bytes."""
    if GPU not in os.environ:
        return float("inf")
    card = json.loads(Path(os.environ[GPU]).read_text())["gpus"][0]
    return card["total"] - card["reserved"] - sum(process["used"] for process in card["processes"])


def _grey(shot: RenderSpec, i: int) -> int:
    return (10 * i + shot.seed) % 256


def _rest(seconds: float, control: Control) -> None:
    """Take that long, and hear a cancel meanwhile."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.02))
        control.alive()


def _note(*words: object) -> None:
    """One line of the journal; appended by one write, so that threads and processes do not mix."""
    with Path(os.environ[DEATHS]).with_name("journal").open("a") as file:
        file.write(" ".join(map(str, words)) + "\n")
