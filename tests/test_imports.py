"""Imports only point down; heavy packages stay out of the server until something needs them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = [
    {"vidgen.cli"},
    {"vidgen.api", "vidgen.main"},
    {"vidgen.engine"},
    {"vidgen.inference"},
    {"vidgen.store", "vidgen.media", "vidgen.registry"},
    {"vidgen.weights"},
    {"vidgen.backend", "vidgen.settings"},
    {"vidgen.cards"},
    {"vidgen.card_parts"},
    {"vidgen.request"},
    {"vidgen.types", "vidgen.errors", "vidgen.leash", "vidgen.logs", "vidgen.ram", "vidgen.client"},
]
SEEN_BY_BACKENDS = {
    "vidgen.backend", "vidgen.types", "vidgen.errors", "vidgen.cards", "vidgen.card_parts", "vidgen.media",
    "vidgen.weights",
}
HEAVY = ["torch", "diffusers", "transformers", "accelerate", "safetensors", "huggingface_hub", "replicate", "anthropic",
         "alembic", "PIL", "numpy"]


def imports_of(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer_of(module: str) -> int | None:
    for number, names in enumerate(LAYERS):
        if any(module == name or module.startswith(name + ".") for name in names):
            return number
    return None


def modules() -> list[Path]:
    return [f for f in sorted((ROOT / "vidgen").rglob("*.py")) if "migrations" not in f.parts and f.stem != "__init__"]


@pytest.mark.parametrize("file", modules(), ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_point_down(file):
    own = layer_of(".".join(file.relative_to(ROOT).with_suffix("").parts))
    assert own is not None, "say which layer this module belongs to"
    upward = {name for name in imports_of(file) if (layer_of(name) is not None and layer_of(name) < own)}
    assert not upward


@pytest.mark.parametrize("file", modules(), ids=lambda f: str(f.relative_to(ROOT)))
def test_only_the_api_knows_fastapi_and_nothing_names_a_backend(file):
    names = imports_of(file)
    if layer_of(".".join(file.relative_to(ROOT).with_suffix("").parts)) != layer_of("vidgen.api"):
        assert not {n for n in names if n.split(".")[0] in ("fastapi", "starlette", "uvicorn")}
    assert not {n for n in names if n.split(".")[0] == "backends"}


@pytest.mark.parametrize("file", sorted((ROOT / "backends").rglob("*.py")), ids=lambda f: str(f.relative_to(ROOT)))
def test_backends_see_only_what_they_may(file):
    ours = {name for name in imports_of(file) if name.startswith("vidgen.")}
    assert all(any(name == ok or name.startswith(ok + ".") for ok in SEEN_BY_BACKENDS) for name in ours)


@pytest.mark.parametrize("file", sorted((ROOT / "vidgen" / "client").glob("*.py")), ids=lambda f: f.stem)
def test_the_client_knows_nothing_of_the_server(file):
    """It speaks HTTP; whoever takes it along needs httpx alone. IPython is where it runs already."""
    outside = {name for name in imports_of(file) if name.split(".")[0] not in {*sys.stdlib_module_names, "httpx"}}
    assert not {name for name in outside if not f"{name}.".startswith(("vidgen.client.", "IPython."))}


def test_the_server_starts_without_the_heavy_packages():
    code = (
        "import sys; from vidgen import main; from vidgen.registry import discover; "
        "from vidgen.settings import load_settings; discover(load_settings()); "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
