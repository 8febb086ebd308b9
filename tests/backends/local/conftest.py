"""Small pipelines with random values for every local card, on the CPU, on one thread: bits depend on the number."""

import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backends.local.rig import ROOT, Rig

HERE = Path(__file__).parent
FOREIGN = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
"""Of diffusers' schedulers, which hand torch's tensors to NumPy 2."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(FOREIGN))


@pytest.fixture(scope="module", autouse=True)
def settled() -> None:
    """What stands before a module's tests stays: collections, of which every load needs one, pass over torch's and
    diffusers' million objects.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """Test weights, made once for each card, and a backend for each, loaded once."""
    return Rig(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def python() -> Callable[[str], str]:
    """Run a program in a fresh interpreter; what it prints, when it ends well."""
    def run(code: str) -> str:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
