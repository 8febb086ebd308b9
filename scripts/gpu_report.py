"""Measure local models on this machine's GPU and print one table and a JSON. For a bare machine: nothing is installed,
nothing is fetched.

    python scripts/gpu_report.py                           everything
    python scripts/gpu_report.py --only memory --only gap  sections by themselves; each ends within nine minutes
    python scripts/gpu_report.py --weights /tmp/weights    where the weights are made, once, and found again

It needs Python 3.11 or newer, torch for CUDA (2.11 or newer), transformers 5, accelerate, safetensors, huggingface-hub,
nvidia-ml-py, pillow, psutil, httpx and requests. Where there is no more than that, bring the wheels of

    alembic annotated-types diffusers fastapi fastapi-offline httptools imageio-ffmpeg importlib-metadata lazy-importer
    mako opentelemetry-api pydantic pydantic-core pydantic-settings python-dotenv python-multipart sqlalchemy starlette
    typing-inspection uvicorn websockets

in the versions of pyproject.toml, and name the folder that they were installed into (pip install --no-deps --target) in
PYTHONPATH. ffmpeg comes with imageio-ffmpeg: 28 MB up to 0.7, 65 MB from 0.8 on; all of them with 0.7 are 44 MB.

Rows are printed as they come, and --json FILE is written anew after each section, so that what ends the script early
loses one section at the most.

On a machine without a GPU it says so and measures small weights on the CPU: the figures say nothing, but everything has
run.
"""

import argparse
import platform
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:               # run as a script, only its own folder is there
    sys.path.insert(0, str(ROOT))

from gpureport import assertion, cancel, forecast, gap, ladder, making, memory, speed, swap, urgent  # noqa: E402
from gpureport.rows import GpuReport  # noqa: E402
from gpureport.stage import set_up  # noqa: E402

SECTIONS = {module.NAME: module for module in (speed, memory, gap, swap, ladder, assertion, urgent, cancel, forecast)}
SECTION_S = 9 * 60
FAILED = 1
TERMINATED = 128 + signal.SIGTERM


class OutOfTime(BaseException):
    """A section's time is over. What it tries one by one must not take that for the failure of one of them."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--only", action="append", choices=[making.NAME, *SECTIONS], help="a section; all if left out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the JSON here instead of printing it")
    parser.add_argument(
        "--weights", type=Path, metavar="FOLDER", default=Path(tempfile.gettempdir()) / "vidgen-gpu-report",
        help="where the random weights are made and kept; default: %(default)s",
    )
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))      # so that servers and programs are ended
    report = GpuReport()
    try:
        _measure(report, asked.only or list(SECTIONS), asked.weights.absolute(), asked.json)
    finally:
        _show(report, asked.json)
    return FAILED if report.failures else 0


def _measure(report: GpuReport, names: list[str], weights: Path, file: Path | None) -> None:
    report.machine, gpu = _machine()
    print(_said(report.machine, gpu), flush=True)
    with _one(report, making.NAME):
        making.make(report, gpu, weights)
    if report.failures:
        return
    for name in names:
        if name in SECTIONS:
            _section(report, name, gpu, making.folder_of(gpu, weights))
            _write(report, file)


def _section(report: GpuReport, name: str, gpu: bool, released: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="vidgen-gpu-report-") as work, _one(report, name):
        SECTIONS[name].run(report, set_up(gpu, Path(work) / "weights", Path(work), released))


@contextmanager
def _one(report: GpuReport, name: str) -> Iterator[None]:
    """One section: it fails by itself, and it ends in time."""
    with report.section(name), report.trying(name), _within(SECTION_S):
        yield


@contextmanager
def _within(limit_s: int) -> Iterator[None]:
    """:raises TimeoutError: what is inside was not done after *limit_s*, and has been ended."""
    def over(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(limit_s)
    try:
        yield
    except OutOfTime:
        raise TimeoutError(f"it was not done after {limit_s} s") from None
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _machine() -> tuple[dict[str, Any], bool]:
    """What is measured on, and whether that is a GPU."""
    from vidgen.engine.readings import CUDA
    from vidgen.engine.vram import START_WAIT_S, Vram

    reading = Vram("auto").read(wait_s=START_WAIT_S)
    gpu = reading.kind == CUDA and reading.problem is None
    return {
        "gpu": reading.name if gpu else None, "driver": reading.driver, "total_bytes": reading.total_bytes,
        "problem": reading.problem, "python": platform.python_version(), "processor": platform.machine(),
        **{name: _version(name) for name in ("torch", "diffusers", "transformers", "accelerate")},
    }, gpu


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _said(machine: dict[str, Any], gpu: bool) -> str:
    software = ", ".join(f"{name} {machine[name]}" for name in ("python", "torch", "diffusers", "transformers"))
    if gpu:
        return f"{machine['gpu']}, driver {machine['driver']}; {software}"
    return f"There is no GPU ({machine['problem']}): small weights on the CPU, figures that say nothing; {software}"


def _show(report: GpuReport, file: Path | None) -> None:
    print(f"\n{report.table()}\n")
    _write(report, file)
    if not file:
        print(report.json())
    for figure in report.missed():
        print(f"missed: {figure.section}: {figure.what}: {figure.value:.4g} {figure.unit} ({figure.goal})")


def _write(report: GpuReport, file: Path | None) -> None:
    if file:
        file.write_text(report.json() + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
