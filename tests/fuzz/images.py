"""Hostile images, by the thousand: ``python -m tests.fuzz.images --files 20000 --seed 0``.

Mutates small JPEG, PNG and WebP files and feeds them to ``vidgen.media.images.take_in``. Every one must end as a clean
RGB PNG or as InvalidInput of the field ``file``, with no warning, in bounded time and memory. Prints the counts, and
every escape with the seed that makes it again; exits with 1 where there was one.
"""

import argparse
import io
import multiprocessing
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from PIL import Image

from vidgen.errors import InvalidInput
from vidgen.media.images import MAX_PIXELS, take_in

CODES = ("unsupported_image", "broken_image", "image_too_large")
SECONDS = 20                        # for one file
MEMORY_BYTES = 3 << 30              # of address space, for a whole worker
BATCH = 100                         # files that one task of a worker makes

Mutation = Callable[[random.Random, bytes], bytes]


# seeds


def _drawn(rng: random.Random, mode: str) -> Image.Image:
    size = rng.randint(1, 40), rng.randint(1, 40)
    image = Image.frombytes("RGBA", size, rng.randbytes(size[0] * size[1] * 4)).resize((rng.randint(1, 40),) * 2)
    return image.convert(mode)


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _exif(orientation: int) -> bytes:
    return b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation, 0, 0, 0]) + bytes(4)


KINDS = (
    *(("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    *(("JPEG", mode, {"quality": 80}) for mode in ("L", "RGB", "CMYK")),
    ("JPEG", "RGB", {"progressive": True, "comment": b"hello", "exif": _exif(5)}),
    *(("WEBP", mode, {"lossless": lossless}) for mode in ("RGB", "RGBA") for lossless in (True, False)),
    ("PNG", "RGBA", {"save_all": True}), ("WEBP", "RGBA", {"save_all": True}),
    ("PNG", "RGB", {"exif": _exif(6)}), ("WEBP", "RGB", {"exif": _exif(9)}),
)


def good(rng: random.Random) -> bytes:
    """A small good file of some kind that is taken."""
    kind, mode, options = rng.choice(KINDS)
    image = _drawn(rng, mode)
    if "save_all" in options:
        options = {**options, "append_images": [_drawn(rng, mode).resize(image.size) for _ in range(2)]}
    return _encoded(image, kind, **options)


# mutations


def flip_bits(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20, 100))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def flip_early_bits(rng: random.Random, data: bytes) -> bytes:
    return flip_bits(rng, data[:64]) + data[64:]


def cut(rng: random.Random, data: bytes) -> bytes:
    return data[:rng.randrange(len(data) + 1)]


def cut_out(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randint(1, 64):]


def repeat(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data))
    piece = data[start:start + rng.randint(1, 200)]
    return data[:start] + piece * rng.choice((2, 3, 50, 2000)) + data[start:]


def insert_noise(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.randint(1, 300)) + data[at:]


def extreme_number(rng: random.Random, data: bytes) -> bytes:
    """A length or a size becomes one that overflows something."""
    value = rng.choice((0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFF00, 50_000, 6_000))
    at = rng.randrange(max(1, min(len(data), rng.choice((40, 200, len(data)))) - 4))
    packed = struct.pack(rng.choice(("<I", ">I")), value) if rng.random() < 0.5 else struct.pack(">H", value & 0xFFFF)
    return data[:at] + packed + data[at + len(packed):]


def other_size(rng: random.Random, data: bytes) -> bytes:
    """The header says another size, correctly."""
    width, height = (rng.choice((0, 1, 100, 5_000, 6_324, 16_383, 40_000, 65_535)) for _ in range(2))
    if data.startswith(b"\x89PNG"):
        head = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
        return data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]
    if data.startswith(b"\xff\xd8"):
        at = next((i for marker in (b"\xff\xc0", b"\xff\xc2") if (i := data.find(marker)) > 0), 0)
        return data[:at + 5] + struct.pack(">HH", height & 0xFFFF, width & 0xFFFF) + data[at + 9:]
    return data[:24] + struct.pack("<I", width)[:3] + struct.pack("<I", height)[:3] + data[30:]


def mended_png(rng: random.Random, data: bytes) -> bytes:
    """Bits flip inside a PNG's chunks and the checksums agree, so that the damage reaches further in."""
    if not data.startswith(b"\x89PNG"):
        return flip_bits(rng, data)
    out, at = [data[:8]], 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at:at + 4])
        body = data[at + 4:at + 8 + size]
        if rng.random() < 0.4 and size:
            body = body[:4] + flip_bits(rng, body[4:])
        out.append(struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)))
        at += 12 + size
    if rng.random() < 0.3:
        rng.shuffle(out)
    return b"".join(out)


def swollen_png(rng: random.Random, data: bytes) -> bytes:
    """Chunks of text, profile or animation that swell when they are read."""
    if not data.startswith(b"\x89PNG"):
        return repeat(rng, data)
    bomb = zlib.compress(bytes(rng.choice((10, 10**6, 2 * 10**7))), 9)
    name, head = rng.choice(((b"zTXt", b"a\0\0"), (b"iCCP", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0"), (b"fdAT", bytes(4)),
                             (b"acTL", b"\xff" * 8), (b"eXIf", b"II*\0")))
    body = name + head + bomb
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:33] + chunk * rng.randint(1, 3) + data[33:]


def polyglot(rng: random.Random, data: bytes) -> bytes:
    """A good image that is something else as well."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.html", "<script>")
    tail = rng.choice((file.getvalue(), b"<?php ?>", b"<svg onload='x'/>", b"%PDF-1.7 trailer", rng.randbytes(500)))
    return data + tail if rng.random() < 0.7 else tail + data


def pretender(rng: random.Random, data: bytes) -> bytes:
    """Another format's inside behind a beginning that is known."""
    start = rng.choice((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\xff\0\0\0WEBPVP8X", b"RIFF\xff\0\0\0WEBPVP8L",
                        b"GIF89a", b"BM", b"II*\0", b"<svg ", b"\0\0\0\x20ftypavif", b""))
    return start + rng.choice((data[len(start):], data, rng.randbytes(400)))


ALONE: tuple[Mutation, ...] = (
    flip_bits, flip_early_bits, cut, cut_out, repeat, insert_noise, extreme_number, other_size, mended_png, swollen_png,
    polyglot, pretender,
)


def splice(rng: random.Random, one: bytes, two: bytes) -> bytes:
    return one[:rng.randrange(len(one) + 1)] + two[rng.randrange(len(two) + 1):]


def make(seed: int) -> bytes:
    """The file of a seed; the same seed gives the same file."""
    rng = random.Random(seed)
    data = good(rng)
    if rng.random() < 0.08:
        data = splice(rng, data, good(rng))
    for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 3))):
        data = rng.choice(ALONE)(rng, data) or b"\0"
    return data


# judging


def judge(data: bytes, folder: Path) -> str:
    """How taking *data* in ends: ``taken`` or a code of refusal.

    :raises AssertionError: where it ends in no way that is allowed.
    """
    target = folder / "upload.png"
    try:
        taken = take_in(io.BytesIO(data), target)
    except InvalidInput as e:
        assert e.code in CODES and [f.field for f in e.fields] == ["file"], f"refused with {e.code}: {e.detail}"
        assert not list(folder.iterdir()), "a refused file left something behind"
        return e.code
    with Image.open(target) as image:
        image.load()
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (taken.width, taken.height))
        assert not image.info, f"it carries {list(image.info)}"
    assert taken.width * taken.height <= MAX_PIXELS
    assert [p.name for p in folder.iterdir()] == ["upload.png"]
    target.unlink()
    return "taken"


def _outcome(seed: int, folder: Path) -> str:
    """The outcome of one file, or what escaped."""
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            signal.alarm(SECONDS)
            outcome = judge(make(seed), folder)
        assert not said, f"a warning: {said[0].message}"
    except (Exception, Overdue):
        for left in folder.iterdir():
            left.unlink()
        return f"escape with --seed {seed} --files 1:\n{traceback.format_exc()}"
    finally:
        signal.alarm(0)
    return outcome


class Overdue(BaseException):
    """Not caught by what catches everything that decoders raise."""


def _overdue(number: int, frame: object) -> None:
    raise Overdue(f"not done after {SECONDS} s")


def _work(batch: range) -> Counter[str]:
    signal.signal(signal.SIGALRM, _overdue)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    with tempfile.TemporaryDirectory() as folder:
        counts = Counter(_outcome(seed, Path(folder)) for seed in batch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Counter({**counts, "peak kB": peak})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first file; the next has the next")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    first, end, started = asked.seed, asked.seed + asked.files, time.monotonic()
    batches = [range(at, min(at + BATCH, end)) for at in range(first, end, BATCH)]
    counts: Counter[str] = Counter()
    peak = 0
    with ProcessPoolExecutor(asked.workers, multiprocessing.get_context("spawn")) as pool:   # a crash breaks it
        for part in pool.map(_work, batches):
            peak = max(peak, part.pop("peak kB"))
            counts += part
    escapes = {outcome: n for outcome, n in counts.items() if outcome.startswith("escape")}
    for escape in escapes:
        print(escape, file=sys.stderr)
    named = ", ".join(f"{counts[name]} {name}" for name in ("taken", *CODES))
    seconds = time.monotonic() - started
    print(f"{asked.files} files: {named}, {len(escapes)} escapes; {seconds:.0f} s, at most {peak / 1024:.0f} MB")
    return 1 if escapes or counts.total() != asked.files else 0


if __name__ == "__main__":
    sys.exit(main())
