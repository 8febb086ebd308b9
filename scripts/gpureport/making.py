"""The weights: SVD-XT in its full size with random values, made once and kept; on a CPU a few megabytes."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from bench.server import ROOT

from gpureport.rows import GpuReport

NAME = "weights"
FULL_SIZE = "svd-xt"
SMALL = "StableVideoDiffusionPipeline"


def folder_of(gpu: bool, weights: Path) -> Path:
    """Where the weights are, or will be."""
    return weights / (FULL_SIZE if gpu else SMALL)


def make(report: GpuReport, gpu: bool, weights: Path) -> None:
    """Make what is not there; they appear under their name once they are whole.

    :raises RuntimeError: they cannot be made.
    """
    place = folder_of(gpu, weights)
    began = time.monotonic()
    if kept := place.is_dir():
        note = f"kept from before in {place}"
    else:
        _write(gpu, place)
        note = "random values; made by scripts/make_test_weights.py"
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    report.add(NAME, "found" if kept else "made in", time.monotonic() - began, "s", note=f"{size / 1e9:.2f} GB; {note}")


def _write(gpu: bool, place: Path) -> None:
    making = place.parent / ".making"
    shutil.rmtree(making, ignore_errors=True)
    what = ["--full-size", FULL_SIZE] if gpu else [SMALL]
    script = ROOT / "scripts" / "make_test_weights.py"
    made = subprocess.run(
        [sys.executable, str(script), *what, "--into", str(making)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise RuntimeError(f"the weights cannot be made: {made.stderr[-1500:]}")
    (making / place.name).rename(place)
    making.rmdir()
