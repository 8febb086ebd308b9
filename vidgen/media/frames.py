"""The frames of a clip as they were before it was encoded: a zip of PNGs, ``frame_00000.png`` and so on, RGB, 8 bits a
channel.

They lie in the zip as they are, since PNG has packed them. The same frames give the same bytes.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from zipfile import ZipFile, ZipInfo

from vidgen.media.files import full_disk_is_ours

if TYPE_CHECKING:
    from PIL.Image import Image

PNG_EFFORT = 1
"""Of 9. A grainy frame of 1024x576 takes 62 ms and 64 % of its raw size; 6 takes twice as long for 57 %."""

TO_RGB: tuple[float, ...] = tuple(
    value for cb, cr in ((0, 1.5748), (-0.187324, -0.468124), (1.8556, 0))
    for value in (255 / 219, cb * 255 / 224, cr * 255 / 224, -16 * 255 / 219 - 128 * (cb + cr) * 255 / 224)
)
"""From Y, Cb, Cr (limited range) to RGB (full range), for ``Image.convert``: the inverse of ITU-R BT.709-6, item 3."""

_READABLE = 0o644 << 16                 # without it, unzip takes the files for nobody's


class FrameZip:
    """Writes frames into a zip as they come, and holds none of them.

    A context manager; leaving it by an exception removes the file.

    :param path: a temporary name.
    """

    def __init__(self, path: Path):
        self.path = path
        self.frames = 0

    def __enter__(self) -> "FrameZip":
        with full_disk_is_ours():
            self._zip = ZipFile(self.path, "w")
        return self

    def add(self, png: bytes) -> None:
        """Take the next frame.

        :raises DiskLow: there is no room for it.
        """
        entry = ZipInfo(f"frame_{self.frames:05d}.png")         # dated 1980: no clock in the bytes
        entry.external_attr = _READABLE
        with full_disk_is_ours():
            self._zip.writestr(entry, png)
        self.frames += 1

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        try:
            with full_disk_is_ours():
                self._zip.close()
        except BaseException:
            self.path.unlink(missing_ok=True)
            if kind is None:
                raise
        if kind is not None:
            self.path.unlink(missing_ok=True)


def png(image: "Image") -> bytes:
    """*image* as a PNG."""
    image.save(out := io.BytesIO(), "PNG", compress_level=PNG_EFFORT)
    return out.getvalue()


def from_rgb(frame: memoryview, width: int, height: int) -> "Image":
    """A raw rgb24 frame as an image."""
    from PIL import Image

    return Image.frombuffer("RGB", (width, height), frame)


def from_yuv(frame: memoryview, width: int, height: int) -> "Image":
    """A raw yuv420p frame (BT.709, limited range) as an RGB image."""
    from PIL import Image

    half, planes = ((width + 1) // 2, (height + 1) // 2), []
    for size in ((width, height), half, half):
        pixels = size[0] * size[1]
        planes.append(Image.frombuffer("L", size, frame[:pixels]))
        frame = frame[pixels:]
    return to_rgb(planes)


def to_rgb(planes: Sequence["Image"]) -> "Image":
    """Y, Cb and Cr planes, the last two of any size, as an RGB image."""
    from PIL import Image

    y, cb, cr = planes
    return Image.merge("RGB", (y, cb.resize(y.size), cr.resize(y.size))).convert("RGB", TO_RGB)
