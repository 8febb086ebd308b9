"""A small model on a loopback hub, and the script that fetches it, as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.fakes.hub import FakeHub, Repository
from vidgen.cards import Card, read_card
from vidgen.weights import folder
from vidgen.weights.fetch import fetch
from vidgen.weights.hub import Hub

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "download_weights.py"
REPOSITORY = "lab/clip"
PATTERNS = ("model_index.json", "*/config.json", "*.safetensors")
CARD = """
provider = "local"
name = "{name}"
title = "Clip"
description = "A model for tests"

[capabilities]
text_to_image = true

[width]
default = 64
min = 64
max = 64

[height]
default = 64
min = 64
max = 64

[licence]
name = "Lab License"
url = "https://lab.example/licence"

[weights]
repository = "{repository}"
revision = "{revision}"
files = {files}
size_gb = 0.2
"""


def noise(seed: int, size: int) -> bytes:
    """The same bytes for the same seed; no two stretches of them are alike."""
    return Random(seed).randbytes(size)


def files() -> dict[str, bytes]:
    """A small pipeline's files; two of them are the same, one is empty, one is nothing that a card asks for."""
    return {
        "README.md": b"# Clip\n",
        "model_index.json": b'{"_class_name": "Clip", "unet": ["diffusers", "UNet"], "vae": ["diffusers", "VAE"]}\n',
        "unet/config.json": b"{}\n",
        "unet/diffusion.safetensors": noise(1, 900_000),
        "vae/config.json": b"{}\n",
        "vae/empty.safetensors": b"",
        "vae/vae.safetensors": noise(2, 300_000),
        "vae/vae.fp32.bin": b"pickled",
    }


class Setting:
    """A hub with one repository, a folder of cards, an empty folder for weights."""

    def __init__(self, hub: FakeHub, folder: Path):
        self.hub = hub
        self.repository = hub.repositories[REPOSITORY]
        self.folder = folder
        self.cards = folder / "cards"
        self.weights = folder / "weights"
        self.cards.mkdir()

    def card(self, name: str = "clip", patterns: Sequence[str] = PATTERNS, **more: str) -> Card:
        text = CARD.format(**{"name": name, "repository": REPOSITORY, "revision": "main"} | more, files=list(patterns))
        (self.cards / f"{name}.toml").write_text(text)
        return read_card(self.cards / f"{name}.toml")

    def fetched(self, card: Card) -> Path:
        """The card's folder, with its weights in it."""
        fetch(card, self.weights, Hub(False, self.hub.url))
        return folder(card, self.weights)

    def script(
        self, *arguments: str, launcher: Sequence[str] = (), program: Sequence[str] = (sys.executable, str(SCRIPT)),
        **environment: Any,
    ) -> subprocess.Popen[str]:
        """The script, started; *launcher* stands before the command line, *program* is what is run."""
        keep = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LD_LIBRARY_PATH")}
        ours = {
            "HF_ENDPOINT": self.hub.url, "HF_HOME": self.folder / "hf", "MODELS_DIR": self.cards,
            "WEIGHTS_DIR": self.weights, "PYTHONWARNINGS": "error", "NO_PROXY": "127.0.0.1", **environment,
        }
        return subprocess.Popen(
            [*launcher, *program, *arguments], cwd=self.folder, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=keep | {name: str(value) for name, value in ours.items()},
        )

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """The script, ended."""
        process = self.script(*arguments, **options)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture
def setting(tmp_path):
    with FakeHub({REPOSITORY: Repository(files())}) as hub:
        yield Setting(hub, tmp_path)
