"""Images of all kinds on their way up: files, bytes, what an imaging library holds."""

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from vidgen.client.errors import InvalidRequest

UNNAMED = "image.png"                       # the server looks at the bytes, not at the name


@contextmanager
def opened(image: Any, filename: str | None = None) -> Iterator[tuple[str, BinaryIO]]:
    """A name for *image* and its bytes as a file.

    :param image: a path, bytes, a binary file, or an image with PIL's ``save``.
    :raises OSError: the file cannot be read.
    :raises InvalidRequest: it is none of these.
    """
    if isinstance(image, str | os.PathLike):
        if Path(image).exists() and not Path(image).is_file():
            raise OSError(errno.EINVAL, "is no file that can be sent", str(image))
        with Path(image).open("rb") as file:
            yield filename or Path(image).name, file
    elif isinstance(image, bytes | bytearray | memoryview):
        yield filename or UNNAMED, io.BytesIO(image)
    elif hasattr(image, "read"):
        yield filename or _name_of(image), image if _has_length(image) else io.BytesIO(image.read())
    elif hasattr(image, "save"):
        yield filename or UNNAMED, _png(image)
    else:
        kind = type(image).__name__
        raise InvalidRequest.of("image", f"must be a path, bytes, a binary file or a PIL image, not {kind}")


def _name_of(file: Any) -> str:
    """A file's own name, where it has one: that of a descriptor is a number."""
    name = getattr(file, "name", None)
    return Path(name).name if isinstance(name, str) and name else UNNAMED


def _has_length(file: Any) -> bool:
    """Whether it can be told how long it is before it is read: not of a pipe."""
    return hasattr(file, "seekable") and file.seekable()


def _png(image: Any) -> BinaryIO:
    out = io.BytesIO()
    image.save(out, "PNG")
    out.seek(0)
    return out
