"""Whether two videos are the same: byte by byte, else frame by frame; and where their recipes part."""

import filecmp
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple


class Difference(NamedTuple):
    """Something that two recipes say differently; None where one of them does not say it."""

    what: str                               # model.versions.torch
    before: Any
    now: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    bytes_equal: bool
    frames: int                             # of the longer one
    different: list[int]                    # frames, from 0
    recipes: list[Difference]

    @property
    def equal(self) -> str:
        """What is: ``bytes``, ``frames``, or ``nothing``."""
        return "bytes" if self.bytes_equal else "nothing" if self.different else "frames"

    @property
    def said(self) -> str:
        """In one line."""
        if self.bytes_equal:
            return f"equal: every byte, {self.frames} frames"
        if not self.different:
            return f"equal: every one of {self.frames} frames; the files differ in what they say of themselves"
        first = self.different[0] + 1
        return f"not equal: {len(self.different)} of {self.frames} frames differ, the first is number {first}"


def compare(before: Path, now: Path, recipes: tuple[Mapping[str, Any], Mapping[str, Any]]) -> Comparison:
    """:raises EncodeFailed: one of the files is not whole."""
    first, second = frame_hashes(before), frame_hashes(now)
    different = [i for i, (a, b) in enumerate(zip_longest(first, second)) if a != b]
    same = filecmp.cmp(before, now, shallow=False)
    return Comparison(same, max(len(first), len(second)), different, list(differences(*recipes)))


def frame_hashes(path: Path) -> list[str]:
    """The MD5 of every frame as it decodes, with its size in front, since a frame's shape is no part of its bytes.

    :raises EncodeFailed: the file is not whole.
    """
    from vidgen.media import ffmpeg
    from vidgen.media.probe import ONLY_MP4, inspect

    probe = inspect(path)
    said = ffmpeg.run([
        "-v", "error", "-xerror", "-threads", "1", *ONLY_MP4, "-i", ffmpeg.local(path), "-map", "0:V:0",
        "-fps_mode", "passthrough", "-f", "framemd5", "pipe:1",
    ])
    lines = said.stdout.decode("ascii").splitlines()
    return [f"{probe.width}x{probe.height} {line.split(',')[-1].strip()}" for line in lines if line[:1].isdigit()]


def differences(before: Any, now: Any, what: str = "") -> Iterator[Difference]:
    """Where two values of JSON part, named by the way there."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        pairs = [(name, before.get(name), now.get(name)) for name in {**before, **now}]
    elif isinstance(before, list) and isinstance(now, list):
        pairs = [(str(i), *pair) for i, pair in enumerate(zip_longest(before, now))]
    else:
        if before != now:
            yield Difference(what, before, now)
        return
    for name, a, b in pairs:
        yield from differences(a, b, f"{what}.{name}" if what else name)
