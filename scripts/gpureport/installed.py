"""Backends that a bare machine finds though nothing was installed there: the metadata that pip would have written."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from bench.server import ROOT

GROUP = "vidgen.backends"
FAULTS = "report"
"""The provider of the backend that fails on demand (see ``fault.py``)."""


def offer(folder: Path) -> list[Path]:
    """Have *folder* offer vidgen's own backends and ``report``. Returns what is to stand first in PYTHONPATH: of two
    distributions of one name Python takes the first, so it does not matter whether vidgen is installed too.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    _write(folder, project["name"], project["version"], project["entry-points"][GROUP])
    _write(folder, "vidgen-gpu-report", "1", {FAULTS: "scripts.gpureport.fault:FaultyBackend"})
    return [folder, ROOT]


def _write(folder: Path, name: str, version: str, backends: Mapping[str, str]) -> None:
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
    lines = [f"{provider} = {place}" for provider, place in backends.items()]
    (metadata / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]), "utf-8")
