"""What a render can find done: its image, decoded and fitted; its model's files, read. Done on another thread while
the render before it goes on.
"""

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from backends.local.layout import read_layout
from backends.local.readahead import read_ahead
from vidgen.types import RenderSpec

if TYPE_CHECKING:
    from PIL.Image import Image

Key = tuple[Path, int, int, int, tuple[float, float]]
"""Of a fitted image: its file and when that was written, width and height, the focus of the crop."""

RAM_SHARE = 0.5
"""Reading more of it ahead would push out what others need."""


class Images:
    """Fits the images of shots; keeps one that was prepared, for the shot that comes next."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: tuple[Key, Image] | None = None

    def prepare(self, shot: RenderSpec) -> None:
        """Fit the shot's image now; in place of what was prepared before."""
        if (key := _key(shot)) is not None and (image := fitted_image(shot)) is not None:
            with self._lock:
                self._kept = key, image

    def take(self, shot: RenderSpec) -> "Image | None":
        """The shot's image, RGB, of the shot's size; None where it has none."""
        key = _key(shot)
        with self._lock:
            if self._kept is not None and self._kept[0] == key:
                (_, image), self._kept = self._kept, None
                return image
        return fitted_image(shot)


def read_weights_ahead(folder: Path, variant: str | None) -> None:
    """Have the system keep the weights in *folder* in memory; where they would fill half of it, nothing is done.

    :raises StepFailed: the folder's index is missing, or is none.
    """
    files = [
        file for part in read_layout(folder).parts for file in part.weights(part.variant(variant)) if file.is_file()
    ]
    if sum(file.stat().st_size for file in files) <= _ram_bytes() * RAM_SHARE:
        read_ahead(files, lambda: None)


def _ram_bytes() -> int:
    """Of this machine, free or not."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def fitted_image(shot: RenderSpec) -> "Image | None":
    """The shot's image, cut to the shot's shape and scaled to its size; never stretched."""
    if shot.image is None:
        return None
    from PIL import Image

    from vidgen.media.images import cover_crop

    with Image.open(shot.image) as image:
        return cover_crop(image.convert("RGB"), shot.width, shot.height, shot.focus)


def _key(shot: RenderSpec) -> Key | None:
    """What the fitted image depends on; None where there is none to fit."""
    try:
        return shot.image and (shot.image, shot.image.stat().st_mtime_ns, shot.width, shot.height, shot.focus)
    except OSError:
        return None
