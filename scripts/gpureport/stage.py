"""What the sections measure on: a GPU with SVD-XT in its full size, or a CPU with a few megabytes of weights.

Every path of a section runs on both, so that nothing is first run on the machine that is lent for an hour.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.program import Program
from bench.server import ROOT, Client, Server
from testweights.cards import CARDS, small_card

from gpureport.installed import FAULTS, offer

IMAGE = ROOT / "tests" / "data" / "reference.jpg"
SEED = 7
FRAMES = 25
BUILT_IN = "svd-xt"
MIB = 2**20
PASSED_ON = (
    "PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES",
)
"""Of the environment, what a server gets; its settings are the report's own."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One machine, made ready."""

    gpu: bool
    weights: Path                           # a folder for each model
    models: Path                            # cards
    work: Path                              # for what passes
    packages: list[Path]                    # first in PYTHONPATH
    names: tuple[str, str]                  # of two models with the same weights
    faulty: str                             # of a third, which fails on demand
    size: tuple[int, int]                   # pixels
    steps: int                              # denoising steps of a full render
    few_steps: int                          # of a short one

    @property
    def device(self) -> str:
        """The setting GPU_DEVICE."""
        return "auto" if self.gpu else "cpu"

    @property
    def model(self) -> str:
        return f"local:{self.names[0]}"

    @property
    def fault(self) -> Path:
        """The file that makes the next denoising step of the faulty model fail."""
        return self.work / "fault"

    @property
    def environment(self) -> dict[str, str]:
        """Of programs and servers."""
        from vidgen.inference.process import ALLOCATOR, EXPANDABLE, KEEP_MEMORY

        paths = [*map(str, self.packages), *filter(None, [os.environ.get("PYTHONPATH")])]
        ours = {ALLOCATOR[0]: os.environ.get(ALLOCATOR[0], EXPANDABLE)}
        settings = ours if self.gpu else {**KEEP_MEMORY, "OMP_NUM_THREADS": "1"}
        return {"PYTHONPATH": os.pathsep.join(paths), **settings}

    def times(self, wanted: int) -> int:
        """How often something is measured: on a CPU, where the figures say nothing, not often."""
        return wanted if self.gpu else min(wanted, 2)

    def card(self, name: str) -> Path:
        return CARDS / f"local-{name}.toml" if name == BUILT_IN else self.models / f"{name}.toml"

    @contextmanager
    def server(self, **settings: object) -> Iterator[tuple[Server, Client, str]]:
        """A server, its client, and the reference image as the server names it.

        :param settings: beside those of this machine.
        """
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        ours = {
            "MODELS_DIR": self.models, "WEIGHTS_DIR": self.weights, "GPU_DEVICE": self.device,
            "REPORT_FAULT": self.fault,
        }
        with Server(**passed | self.environment | ours | settings) as server, closing(server.client()) as client:
            yield server, client, _upload(server.port)

    @contextmanager
    def alone(self, ram_cache_mb: int = 0) -> Iterator[Program]:
        """The local backend in a process of its own; ``ready`` lists the modes."""
        said = {
            "cards": [str(self.card(name)) for name in self.names], "weights": str(self.weights), "image": str(IMAGE),
            "device": self.device, "ram_cache_bytes": ram_cache_mb * MIB,
        }
        with Program("gpureport.alone", said, self.environment) as program:
            yield program

    @contextmanager
    def ballast(self) -> Iterator[Program]:
        """What holds memory of the device; nothing yet."""
        with Program("gpureport.ballast", {"device": "cuda" if self.gpu else "cpu"}, self.environment) as program:
            yield program

    def job(self, image: str, steps: int | None = None, *, shots: int = 1, seed: int = SEED, **more: Any) -> dict:
        """The body of a job, with a client's own storyboard: nothing is planned.

        :param steps: denoising steps; left out, a full render's.
        """
        board = [{"description": "a lighthouse", "seed": seed + i} for i in range(shots)]
        return {
            "user_prompt": "a lighthouse", "model_id": self.model, "reference_image": image, "seed": seed,
            "width": self.size[0], "height": self.size[1], "num_inference_steps": steps or self.steps,
            "storyboard": {"title": "Shots", "shots": board}, **more,
        }


def set_up(gpu: bool, weights: Path, work: Path, released: Path) -> Stage:
    """The stage, once its weights are in *released*.

    :param weights: an empty folder; every model's weights are linked there.
    """
    names = (BUILT_IN, "svd-xt-b") if gpu else ("small-svd", "small-svd-b")
    faulty = f"{names[0]}-faulty"
    stage = Stage(
        gpu, weights, work / "models", work, offer(work / "packages"), names, faulty,
        size=(1024, 576) if gpu else (128, 64), steps=25 if gpu else 8, few_steps=4,
    )
    for folder in (weights, stage.models):
        folder.mkdir()
    for name in (*names, faulty):
        (weights / name).symlink_to(released)
        provider = FAULTS if name == faulty else "local"
        text = _renamed(BUILT_IN, name, provider) if gpu else small_card(BUILT_IN, name, provider)
        if name != BUILT_IN:
            stage.card(name).write_text(text, "utf-8")
    return stage


def _renamed(of: str, name: str, provider: str) -> str:
    """The card of local model *of* as ``provider:name``."""
    text: str = (CARDS / f"local-{of}.toml").read_text("utf-8")
    changes: Mapping[str, str] = {"name": name, "provider": provider}
    for key, value in changes.items():
        text = re.sub(rf"(?m)^{key} = .*", f'{key} = "{value}"', text, count=1)
    return text


def _upload(port: int) -> str:
    import httpx

    with IMAGE.open("rb") as file:
        answer = httpx.post(f"http://127.0.0.1:{port}/api/v1/upload", files={"file": file}, trust_env=False, timeout=60)
    return answer.raise_for_status().json()["file_id"]
