"""What this machine has for local models, found without importing any of it: the server never imports torch."""

import ast
import os
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

LIBRARIES = ("torch", "diffusers", "transformers")
"""What rendering needs, and what determines the frames."""


def missing_libraries() -> list[str]:
    return [name for name in LIBRARIES if find_spec(name) is None]


@cache
def versions() -> Mapping[str, str]:
    """The versions of the libraries; ``none`` where one is not installed."""
    return {name: _version(name) for name in LIBRARIES}


def cpu_threads() -> int:
    """How many threads torch computes with on the CPU; bits depend on it."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() and int(said) else len(os.sched_getaffinity(0))


@cache
def diffusers_names() -> frozenset[str] | None:
    """What diffusers offers by name, read from the imports in its source; None where it is not installed."""
    spec = find_spec("diffusers")
    if spec is None or spec.origin is None:
        return None
    tree = ast.parse(Path(spec.origin).read_text("utf-8"))
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return frozenset(alias.name for node in imports for alias in node.names)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
