"""Has a loaded model make the frames of one shot. Runs in the inference process; knows nothing of files but the image.
"""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from backends.local.call import make_call, needs, taken_by
from backends.local.loaded import Loaded
from backends.local.preview import EVERY_S_ON_CPU, Previews
from backends.local.watch import Watch
from vidgen.backend import PREVIEW_INTERVAL_S, Control
from vidgen.cards import Card
from vidgen.errors import StepFailed
from vidgen.types import RenderSpec

if TYPE_CHECKING:
    import torch
    from numpy import ndarray
    from PIL.Image import Image
    from torch import Tensor


def render_frames(loaded: Loaded, shot: RenderSpec, control: Control) -> tuple[list["ndarray"], dict[str, float]]:
    """The frames that reach the encoder, each of [height, width, 3] bytes, and what was measured; a still is one frame.

    :raises Stopped: as *control* raised it; the model is as good as before.
    :raises StepFailed: the shot and the model do not fit, or what the model made cannot be shown.
    """
    import torch

    cls = pipeline_class(loaded.classes, shot, loaded.table.names.get("image", "image"))
    call = make_call(cls, loaded.table, shot, fitted_image(shot))
    meter = Meter(loaded.device)
    every_s = PREVIEW_INTERVAL_S if loaded.device.type == "cuda" else EVERY_S_ON_CPU
    with torch.no_grad(), loaded.request(cls, call.overrides) as pipeline:
        watch = Watch(control, Previews(getattr(pipeline, "vae", None), shot, every_s), meter.settle)
        watch.scheduler(pipeline.scheduler)
        arguments = {**call.arguments, "generator": _generator(shot.seed)}
        with watch.networks(loaded.networks().values()):
            frames = list(_in_bytes(loaded.family.frames(pipeline, arguments, watch)))
    check_frames(frames, loaded.card, shot)
    return frames, meter.read(watch)


def pipeline_class(classes: Sequence[type], shot: RenderSpec, image: str = "image") -> type:
    """Of a card's one or two pipeline classes, the one that renders *shot*.

    :param image: how the call names it.
    :raises StepFailed: the shot has an image that it does not take, or lacks one that it needs.
    """
    cls = classes[0] if shot.image is None else classes[-1]
    if shot.image is None and needs(cls, image):
        raise StepFailed("this model needs an image to start from", retryable=False)
    if shot.image is not None and image not in taken_by(cls):
        raise StepFailed("this model takes no image", retryable=False)
    return cls


def fitted_image(shot: RenderSpec) -> "Image | None":
    """The shot's image, cut to the shot's shape and scaled to its size; never stretched."""
    if shot.image is None:
        return None
    from PIL import Image

    from vidgen.media.images import cover_crop

    with Image.open(shot.image) as image:
        return cover_crop(image.convert("RGB"), shot.width, shot.height, shot.focus)


def to_bytes(batch: "Tensor") -> "ndarray":
    """Frames of [n, 3, height, width], 0 to 1, as bytes of [n, height, width, 3], rounded as diffusers does for PIL.

    :raises StepFailed: some are not numbers; they would be encoded as black.
    """
    import torch

    if batch.isnan().any():
        raise StepFailed("the model made values that are not numbers", retryable=False)
    return (batch.float() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def check_frames(frames: Sequence["ndarray"], card: Card, shot: RenderSpec) -> None:
    """Refuse what is not what was asked for; some pipelines round sizes and counts.

    :raises StepFailed: saying what was made.
    """
    wanted = shot.num_frames if card.makes_video else 1
    height, width, _ = frames[0].shape
    if (len(frames), width, height) != (wanted, shot.width, shot.height):
        made, asked = f"{len(frames)} x {width} x {height}", f"{wanted} x {shot.width} x {shot.height}"
        raise StepFailed(f"{card.id} made frames of {made} pixels, not {asked}", retryable=False)


class Meter:
    """Takes the time and the memory of one request."""

    def __init__(self, device: "torch.device"):
        import torch

        self._cuda = torch.cuda if device.type == "cuda" else None
        if self._cuda:
            self._cuda.reset_peak_memory_stats()
        self._began = time.monotonic()

    def settle(self) -> None:
        """Wait until the device has done what it was given, so that the clock is read at the right time."""
        if self._cuda:
            self._cuda.synchronize()

    def read(self, watch: Watch) -> dict[str, float]:
        """What the request took; decoding begins with the last step."""
        denoised = watch.at.get("render", self._began)
        measured = {"denoise_seconds": denoised - self._began, "decode_seconds": time.monotonic() - denoised}
        return measured | ({"peak_vram_bytes": float(self._cuda.max_memory_allocated())} if self._cuda else {})


def _generator(seed: int) -> "torch.Generator":
    """On the CPU, so that a seed gives the same noise on every machine."""
    import torch

    return torch.Generator("cpu").manual_seed(seed)


def _in_bytes(batches: Iterator["Tensor"]) -> Iterator["ndarray"]:
    for batch in batches:
        yield from to_bytes(batch)
