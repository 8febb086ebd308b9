"""From a shot to what a hosted model is sent: its inputs, and the picture that goes up before them."""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backends.replicate.table import Table
from vidgen.errors import StepFailed
from vidgen.types import RenderSpec


def inputs_of(table: Table, shot: RenderSpec, image_url: str | None) -> dict[str, Any]:
    """What the model is sent for *shot*; what the shot does not have is left out.

    :param image_url: where the model finds the shot's image.
    """
    offered = {**_offered(table, shot, image_url), **shot.parameters}
    asked = table.asked
    sent = {name: offered.get(asked[name]) if name in asked else value for name, value in table.input.items()}
    mapped = set(asked.values())
    sent |= {name: value for name, value in shot.parameters.items() if name not in mapped}
    sent |= table.sizes.get(f"{shot.width}x{shot.height}", {})
    sent |= table.lengths.get(str(shot.num_frames), {})
    return {name: _whole(value) for name, value in sent.items() if value is not None}


def digest_of(table: Table, inputs: Mapping[str, Any]) -> str:
    """What makes two predictions the same, hashed."""
    said = {"model": table.model, "version": table.version, "input": dict(inputs)}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def picture(shot: RenderSpec) -> bytes:
    """The shot's image as a PNG of the shot's size, cut around its focus and never stretched.

    :raises StepFailed: the image is gone.
    """
    from PIL import Image

    from vidgen.media.images import cover_crop

    out = io.BytesIO()
    with _opened(shot.image) as file, Image.open(file, formats=["PNG"]) as image:
        cover_crop(image.convert("RGB"), shot.width, shot.height, shot.focus).save(out, "PNG", compress_level=3)
    return out.getvalue()


def _opened(path: Path) -> Any:
    try:
        return path.open("rb")
    except FileNotFoundError as e:
        raise StepFailed("the image that the shot starts from is gone", retryable=False, code="image_missing") from e


def _offered(table: Table, shot: RenderSpec, image_url: str | None) -> dict[str, Any]:
    seed = shot.seed if table.max_seed is None else shot.seed % (table.max_seed + 1)
    return {
        "prompt": shot.prompt, "negative_prompt": shot.negative_prompt, "image": image_url, "width": shot.width,
        "height": shot.height, "num_frames": shot.num_frames, "seconds": round(shot.num_frames / shot.fps),
        "fps": shot.fps, "num_inference_steps": shot.num_inference_steps, "seed": seed,
    }


def _whole(value: Any) -> Any:
    """Models that take integers refuse 7.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
