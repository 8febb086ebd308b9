"""Pictures from outside: checked, decoded, turned upright, and written again as clean RGB PNGs.

Assumes that every file is hostile. Knows nothing of uploads' ids or of the web.
"""

import logging
import threading
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from vidgen.errors import InvalidInput, TooLarge
from vidgen.media.files import full_disk_is_ours, publish, temporary_beside
from vidgen.media.imageparts import Malformed, Parts, kind_of, take_apart

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_UPLOAD_BYTES = 10 * 2**20
MAX_PIXELS = 40_000_000

BACKGROUND = (128, 128, 128)
"""What shines through where a picture is transparent: middle grey, on which black and white drawings both show."""

_COMPRESS_LEVEL = 1                 # of zlib: fast; the files are ours and short-lived
_SIXTEEN_TO_EIGHT = 1 / 256

_one_at_a_time = threading.Lock()   # 40 megapixels take up to half a gigabyte while they are decoded

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """The size of the picture that was written, in pixels."""

    width: int
    height: int


def take_in(source: BinaryIO, target: Path) -> Taken:
    """Write the picture in *source* to *target* as an RGB PNG: upright, opaque, with no metadata.

    JPEG, PNG and WebP are taken, told apart by what they hold. Of an animation the first frame is taken, what is
    transparent is laid over :data:`BACKGROUND`; colour profiles are dropped, not applied.

    :param target: published by rename; not touched where anything fails.
    :raises InvalidInput: of the field ``file``, with the code ``unsupported_image``, ``broken_image`` or
        ``image_too_large`` (in pixels).
    :raises TooLarge: more than :data:`MAX_UPLOAD_BYTES`.
    :raises DiskLow: there is no space to write it.
    """
    data = source.read(MAX_UPLOAD_BYTES + 1)
    if len(data) > MAX_UPLOAD_BYTES:
        raise TooLarge(f"an image may have {MAX_UPLOAD_BYTES // 2**20} MB")
    parts = _parts(data)
    with _one_at_a_time:
        image = _decoded(parts)
        _save(image, target)
        return Taken(image.width, image.height)


def cover_crop(image: "Image", width: int, height: int, focus: tuple[float, float] = (0.5, 0.5)) -> "Image":
    """*image* scaled to fill *width* × *height* pixels; what stands over is cut off, nothing is stretched.

    :param focus: x and y, 0 to 1, of the point that stays as near to the middle as the edges allow.
    """
    from PIL import Image

    scale = min(image.width / width, image.height / height)
    box_width, box_height = width * scale, height * scale
    left = _clamped(focus[0] * image.width - box_width / 2, image.width - box_width)
    top = _clamped(focus[1] * image.height - box_height / 2, image.height - box_height)
    box = (left, top, min(left + box_width, image.width), min(top + box_height, image.height))
    return image.resize((width, height), Image.Resampling.LANCZOS, box=box)


def _clamped(value: float, most: float) -> float:
    return min(max(value, 0.0), max(most, 0.0))


def _parts(data: bytes) -> Parts:
    kind = kind_of(data)
    if kind is None:
        raise InvalidInput.of("file", "must be a JPEG, PNG or WebP image", code="unsupported_image")
    try:
        parts = take_apart(kind, data)
    except Malformed as e:
        log.info("refused a %s file: %s", kind, e)
        raise _broken(kind) from None
    if parts.width < 1 or parts.height < 1:
        raise _broken(kind)
    if parts.width * parts.height > MAX_PIXELS:
        raise _too_large(parts)
    return parts


def _decoded(parts: Parts) -> "Image":
    """The picture, RGB and upright. Whatever the decoder raises is the file's fault: it reads from memory only."""
    try:
        image = _open(parts)
        if image.size != (parts.width, parts.height):
            raise Malformed("its parts disagree about its size")
        image.load()
        return _upright(_rgb(image), parts.orientation)
    except MemoryError:
        raise _too_large(parts) from None
    except Exception as e:
        log.info("refused a %s file: %r", parts.kind, e)
        raise _broken(parts.kind) from None


def _open(parts: Parts) -> "Image":
    """Only the decoder that was asked for; ``Image.open`` would try others, and warn instead of raise."""
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    decoder = {"JPEG": JpegImageFile, "PNG": PngImageFile, "WEBP": WebPImageFile}[parts.kind]
    return decoder(BytesIO(parts.pixels))


def _rgb(image: "Image") -> "Image":
    if image.mode.startswith("I"):
        image = image.point(lambda value: value * _SIXTEEN_TO_EIGHT).convert("L")
    return _over_background(image.convert("RGBA")) if image.has_transparency_data else image.convert("RGB")


def _over_background(image: "Image") -> "Image":
    from PIL import Image

    flat = Image.new("RGB", image.size, BACKGROUND)
    flat.paste(image, mask=image.getchannel("A"))
    return flat


def _upright(image: "Image", orientation: int) -> "Image":
    """*image* as the camera saw it; the orientations are EXIF's."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM, 5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def _save(image: "Image", target: Path) -> None:
    temporary = temporary_beside(target)
    image.info.clear()
    try:
        with full_disk_is_ours():
            with temporary.open("xb") as file:
                image.save(file, "PNG", compress_level=_COMPRESS_LEVEL)
            publish(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _broken(kind: str) -> InvalidInput:
    return InvalidInput.of("file", f"is not a whole {kind} image", code="broken_image")


def _too_large(parts: Parts) -> InvalidInput:
    most = f"{MAX_PIXELS // 1_000_000} megapixels are the most"
    return InvalidInput.of("file", f"has {parts.width} x {parts.height} pixels; {most}", code="image_too_large")
