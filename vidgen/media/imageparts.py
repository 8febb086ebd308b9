"""JPEG, PNG and WebP taken apart without decoding: size, orientation, and the parts that make pixels.

Only those parts reach the decoder. What else a file carries (text, profiles, thumbnails, animation, anything behind
its end) makes no pixels, and is where a decoder's seldom walked paths are.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["JPEG", "PNG", "WEBP"]

MAX_CHUNKS = 50_000                 # of a PNG or WebP, segments of a JPEG; encoders write 8 kB and more into most
MAX_SCANS = 100                     # of a JPEG; progressive ones have about ten, and each costs a pass over all pixels

_PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_PNG_START = b"\x89PNG\r\n\x1a\n"
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
_NEXT_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")   # of any fill bytes the last: to try each takes for ever
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SOS, _EOI, _APP0, _APP1, _APP14, _APP15, _COM = 0xDA, 0xD9, 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
_ORIENTATION = 0x0112


class Malformed(Exception):
    """The file does not keep to its own format, or ends too early."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What was found in an image file."""

    kind: Kind
    width: int                      # pixels, before the orientation is applied
    height: int
    orientation: int                # EXIF's, 1 to 8; 1 where there is none
    pixels: bytes                   # the file, less all that makes no pixels


def kind_of(data: bytes) -> Kind | None:
    """The format by its first bytes; None where it is none of ours."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(_PNG_START):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    return None


def take_apart(kind: Kind, data: bytes) -> Parts:
    """
    :raises Malformed: the file is cut, or does not keep to its format.
    """
    return {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp}[kind](data)


def _number(data: bytes, at: int, size: int, order: Literal["big", "little"] = "big") -> int:
    if not 0 <= at <= len(data) - size:
        raise Malformed("the file ends too early")
    return int.from_bytes(data[at:at + size], order)


# PNG: ISO/IEC 15948

def _png(data: bytes) -> Parts:
    kept, exif = [_PNG_START], b""
    for name, at, end in _png_chunks(data):
        if name in _PNG_PIXELS:
            kept.append(data[at:end])
        elif name == b"eXIf":
            exif = data[at + 8:end - 4]
    if _number(data, 8, 4) != 13 or data[12:16] != b"IHDR":
        raise Malformed("there is no header")
    return Parts("PNG", _number(data, 16, 4), _number(data, 20, 4), orientation(exif), b"".join(kept))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of every chunk up to IEND."""
    at = len(_PNG_START)
    for _ in range(MAX_CHUNKS):
        name, end = data[at + 4:at + 8], at + 12 + _number(data, at, 4)
        if end > len(data):
            raise Malformed("the file ends too early")
        yield name, at, end
        if name == b"IEND":
            return
        at = end
    raise Malformed("there are too many chunks")


# JPEG: ITU-T T.81

def _jpeg(data: bytes) -> Parts:
    kept, exif, size, at = [b"\xff\xd8"], b"", None, 2
    for _ in range(MAX_CHUNKS):
        marker, start, end = _jpeg_segment(data, at)
        if marker == _SOS:
            break
        if marker in _SOF:
            size = _number(data, start + 7, 2), _number(data, start + 5, 2)
        if marker == _APP1 and not exif and data[start + 4:start + 10] == b"Exif\0\0":
            exif = data[start + 10:end]
        if marker in (_APP0, _APP14) or not (_APP1 <= marker <= _APP15 or marker == _COM):
            kept.append(data[start:end])
        at = end
    if size is None or marker != _SOS:
        raise Malformed("there is no header")
    kept.append(data[start:_jpeg_end(data, end)])
    return Parts("JPEG", *size, orientation(exif), b"".join(kept))


def _jpeg_segment(data: bytes, at: int) -> tuple[int, int, int]:
    """Marker, start and end of the segment at *at*; fill bytes before it are passed over."""
    found = _MARKER.match(data, at)
    if not found or found[1][0] == _EOI:
        raise Malformed("the file ends too early")
    length = _number(data, found.end(), 2)
    if length < 2 or found.end() + length > len(data):
        raise Malformed("the file ends too early")
    return found[1][0], found.end() - 2, found.end() + length


def _jpeg_end(data: bytes, at: int) -> int:
    """Where the image ends that has its first scan's data at *at*."""
    scans = segments = 1
    while found := _NEXT_MARKER.search(data, at):
        if found[1][0] == _EOI:
            return found.end()
        scans, segments = scans + (found[1][0] == _SOS), segments + 1
        if scans > MAX_SCANS or segments > MAX_CHUNKS:
            raise Malformed("there are too many scans or segments")
        at = _jpeg_segment(data, found.start())[2]
    raise Malformed("the file ends too early")


# WebP: RFC 9649

def _webp(data: bytes) -> Parts:
    end = 8 + _number(data, 4, 4, "little")
    if end > len(data):
        raise Malformed("the file ends too early")
    return Parts("WEBP", *_webp_size(data), orientation(_webp_exif(data[:end])), data[:end])


def _webp_size(data: bytes) -> tuple[int, int]:
    if data[12:16] == b"VP8X":
        return _number(data, 24, 3, "little") + 1, _number(data, 27, 3, "little") + 1
    if data[12:16] == b"VP8L" and data[20:21] == b"\x2f":
        bits = _number(data, 21, 4, "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if data[12:16] == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        return _number(data, 26, 2, "little") & 0x3FFF, _number(data, 28, 2, "little") & 0x3FFF
    raise Malformed("there is no header")


def _webp_exif(data: bytes) -> bytes:
    at = 12
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            break
        size = _number(data, at + 4, 4, "little")
        if data[at:at + 4] == b"EXIF":
            return data[at + 8:at + 8 + size].removeprefix(b"Exif\0\0")
        at += 8 + size + size % 2
    return b""


# EXIF: JEITA CP-3451, a TIFF header and one folder of entries

def orientation(exif: bytes) -> int:
    """How the camera was held, 1 to 8; 1 where *exif* does not say, or cannot be read."""
    orders: dict[bytes, Literal["big", "little"]] = {b"II*\0": "little", b"MM\0*": "big"}
    if (order := orders.get(exif[:4])) is None:
        return 1
    try:
        at = _number(exif, 4, 4, order)
        for entry in range(at + 2, at + 2 + 12 * _number(exif, at, 2, order), 12):
            if _number(exif, entry, 2, order) == _ORIENTATION:
                value = _number(exif, entry + 8, 2, order)
                return value if 1 <= value <= 8 else 1
    except Malformed:
        pass
    return 1
