"""Death at the 1st, 2nd, … Nth commit, rename and fsync of one three-shot job, and what the next start makes of it.

Each death has a workspace of its own: ``die_at.py`` runs with its fate, then again without one, and the workspace is
looked at in between and at the end.
"""

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.autopsy import FINAL, LOST, TWICE, UNFINISHED, Fault, adopted, compare, examine
from tests.chaos.die_at import KEY, KINDS, WHENS
from tests.server import ROOT

DIFFERENT = "videos that a death changed"
LEFT_OVER = "temporary files left over"
AT_ONCE = 2
WAIT_S = 120
MARGIN = 3
"""Commits come in batches, so their number differs a little from run to run."""

Fate = tuple[str, str, int]


@dataclass
class Sweep:
    """What a number of deaths came to."""

    died: Counter = field(default_factory=Counter)      # kind -> deaths
    escaped: int = 0                                    # ran to the end before their number came up
    adopted: int = 0                                    # clips that were renamed, not committed, and kept
    faults: list[Fault] = field(default_factory=list)


@dataclass
class _Ran:
    code: int
    said: dict[str, Any]
    errors: str


def count(folder: Path) -> tuple[dict[str, int], str]:
    """How often each thing happens where nothing dies, and the digest of the video."""
    ran = _run(folder / "undisturbed")
    assert ran.code == 0 and ran.said["ended"] == "completed", ran.errors
    found = examine(folder / "undisturbed")
    assert not found.faults, found.faults
    return ran.said["counted"], found.files[ran.said["acknowledged"], FINAL].sha256


def tidy(folder: Path) -> None:
    """Take away what :func:`count` left."""
    shutil.rmtree(folder)


def every_fate(counted: dict[str, int], each: int = 1) -> list[Fate]:
    """All deaths, or every *each*-th of each kind, one from the middle of its life at least."""
    first = {kind: min(1 + each // 2, 1 + counted[kind] // 2) if each > 1 else 1 for kind in KINDS}
    return [
        (kind, when, number) for kind in KINDS for when in WHENS
        for number in range(first[kind], counted[kind] + MARGIN + 1, each)
    ]


def sweep(folder: Path, fates: Iterable[Fate], digest: str) -> Sweep:
    """Die each of these deaths, two at a time."""
    total = Sweep()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for one in pool.map(lambda fate: die(folder, fate, digest), fates):
            total.died += one.died
            total.escaped += one.escaped
            total.adopted += one.adopted
            total.faults += one.faults
    return total


def die(folder: Path, fate: Fate, digest: str) -> Sweep:
    """One death and one start after it. The workspace stays where something is wrong."""
    workspace = folder / "_".join(map(str, fate))
    first = _run(workspace, fate)
    before = examine(workspace)
    second = _run(workspace)
    after = examine(workspace)
    kept, anew = adopted(before, after)
    faults = [*before.faults, *after.faults, *compare(before, after), *_judge(first, second, workspace)]
    if anew:
        faults.append(Fault(TWICE, f"{anew} clips that had been published were rendered again"))
    faults += _videos(after, digest)
    if not faults:
        shutil.rmtree(workspace)
    died = Counter({fate[0]: 1}) if first.code == -9 else Counter()
    return Sweep(died, int(not died), kept, [Fault(f.kind, f"{fate}: {f.what}") for f in faults])


def _judge(first: _Ran, second: _Ran, workspace: Path) -> Iterator[Fault]:
    """What the two runs have said themselves."""
    if first.code not in (-9, 0):
        yield Fault(UNFINISHED, f"the first run ended with {first.code}: {first.errors}")
    if second.code != 0 or second.said.get("ended") != "completed":
        yield Fault(UNFINISHED, f"after the death: {second.code}, {second.said}, {second.errors}")
    promised = first.said.get("acknowledged")
    if promised is not None and promised != second.said.get("acknowledged"):
        yield Fault(LOST, f"{promised} was acknowledged; its key now gives {second.said.get('acknowledged')}")
    if left := [path.name for path in workspace.rglob(".*part*")]:
        yield Fault(LEFT_OVER, f"{left}")


def _videos(after: Any, digest: str) -> Iterator[Fault]:
    finals = [file.sha256 for (_, name), file in after.files.items() if name == FINAL]
    if finals != [digest] or list(after.keys) != [KEY] or len(after.jobs) != 1:
        yield Fault(DIFFERENT, f"jobs {after.jobs}, videos {finals}, undisturbed {digest}")


def _run(workspace: Path, fate: Fate | tuple = ()) -> _Ran:
    command = [sys.executable, "-m", "tests.chaos.die_at", str(workspace), *map(str, fate)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_S, stdin=subprocess.DEVNULL)
    said: dict[str, Any] = {}
    for line in ran.stdout.splitlines():
        said |= json.loads(line)
    return _Ran(ran.returncode, said, ran.stderr[-2000:])
