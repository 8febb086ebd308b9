"""Has a loaded model make the frames of one shot. Runs in the inference process; knows nothing of files but the image.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from backends.local.account import Account
from backends.local.call import make_call, needs, taken_by
from backends.local.loaded import Loaded
from backends.local.meter import Meter, on_device
from backends.local.prepare import Images
from backends.local.preview import EVERY_S_ON_CPU, Previews
from backends.local.watch import Watch
from vidgen.backend import PREVIEW_INTERVAL_S, Control
from vidgen.cards import Card
from vidgen.errors import StepFailed
from vidgen.types import RenderSpec

if TYPE_CHECKING:
    import torch
    from numpy import ndarray
    from torch import Tensor

AT_ONCE = 8
"""Frames whose values become bytes together; several copies of them in float32 are made on the way."""


def render_frames(
    loaded: Loaded, shot: RenderSpec, control: Control, images: Images | None = None
) -> tuple[list["ndarray"], dict[str, float], dict[str, Any]]:
    """The frames that reach the encoder, each of [height, width, 3] bytes, what was measured, and how they were made
    (see :class:`Clip`); a still is one frame.

    :param images: may have the shot's image already.
    :raises Stopped: as *control* raised it; the model is as good as before.
    :raises StepFailed: the shot and the model do not fit, or what the model made cannot be shown.
    :raises torch.OutOfMemoryError: the memory did not suffice in any mode.
    """
    import torch

    cls = pipeline_class(loaded.classes, shot, loaded.table.names.get("image", "image"))
    call = make_call(cls, loaded.table, shot, (images or Images()).take(shot))
    on_gpu = loaded.device.type == "cuda"
    meter = Meter(torch.cuda if on_gpu else None, lambda: on_device(loaded.networks().values()))
    every_s = PREVIEW_INTERVAL_S if on_gpu else EVERY_S_ON_CPU
    account = Account(control, shot.num_inference_steps, shot.adapt)
    with torch.no_grad(), loaded.request(cls, call.overrides, account) as pipeline:
        watch = Watch(account, Previews(getattr(pipeline, "vae", None), shot, every_s), meter)
        watch.scheduler(pipeline.scheduler)
        arguments = {**call.arguments, "generator": _generator(shot.seed)}
        with watch.networks(loaded.networks().values()):
            frames = list(_in_bytes(loaded.family.frames(pipeline, arguments, watch, account)))
        made = account.made(loaded.mode)    # while it is the request's own; outside of it another goes on
    check_frames(frames, loaded.card, shot)
    return frames, meter.read(watch.at), made


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


def _generator(seed: int) -> "torch.Generator":
    """On the CPU, so that a seed gives the same noise on every machine."""
    import torch

    return torch.Generator("cpu").manual_seed(seed)


def _in_bytes(batches: Iterator["Tensor"]) -> Iterator["ndarray"]:
    for batch in batches:
        for few in batch.split(AT_ONCE):
            yield from to_bytes(few)
