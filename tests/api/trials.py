"""A server whose GPU is described by the test and whose models are trials: what is decided there can be watched."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.fakes import gpu, nvml, trial
from tests.server import WAIT_S, Server, started

GIB = nvml.GIB
NOTEBOOK = 4000
"""The process of somebody else."""

JOB = {"user_prompt": "grey", "num_inference_steps": 4, "seed": 1}


class Trials:
    """One workspace, its models and its card; servers are started on it one after the other.

    :param models: the cards' names, and for each what ``trial.card`` takes.
    :param total: of the card, bytes; None: no card, models render on the CPU.
    """

    server: Server

    def __init__(self, root: Path, models: Mapping[str, Mapping[str, Any]], total: int | None = 24 * GIB):
        self.root, self.packages, self._total = root, root / "packages", total
        (root / "models").mkdir(parents=True)
        for name, said in models.items():
            (root / "models" / f"{name}.toml").write_text(trial.card(name, **said))
        self._environment = gpu.install(self.packages)
        if total is not None:
            seen = nvml.install(root / "nvml", self._card())
            paths = f"{self._environment['PYTHONPATH']}:{seen['PYTHONPATH']}"
            self._environment = {**self._environment, **seen, "PYTHONPATH": paths}
            self.card()

    @contextmanager
    def serving(self, **settings: Any) -> Iterator["Trials"]:
        environment = {name.lower(): value for name, value in self._environment.items()}
        device = "cpu" if self._total is None else "0"
        settings = {"models_dir": self.root / "models", "gpu_device": device, "vram_reserve_mb": 0, **settings}
        with started(self.root / "workspace", **environment, **settings) as self.server:
            yield self

    def card(self, others: int = 0, **said: Any) -> None:
        """The card from now on: what others hold of it, in bytes; *said* is for ``nvml.write`` and ``nvml.gpu``."""
        how = {name: said.pop(name) for name in ("errors", "hang") if name in said}
        nvml.write(self.root / "nvml", self._card(others, **said), holders=self.packages, **how)

    def _card(self, others: int = 0, **said: Any) -> dict[str, Any]:
        processes = [nvml.process(NOTEBOOK, others)] if others else []
        return nvml.gpu(total=self._total, reserved=0, processes=processes, **said)

    def plan(self, *deaths: tuple[str, int, str]) -> None:
        gpu.plan_deaths(self.packages, *deaths)

    def go(self, *how: str) -> None:
        """Let everything go on that is held, or what is held by this name."""
        gpu.release(self.packages, *how)

    def met(self, how: str) -> None:
        """Wait until what was planned by this name has happened."""
        until(lambda: how not in (self.packages / "deaths").read_text(), how)

    def journal(self, *about: str) -> list[str]:
        """What the models did, of the kinds that are named; of all where none is."""
        return [line for line in trial.journal(self.packages) if not about or line.split()[0] in about]

    def forget(self) -> None:
        """Begin a new page of the journal."""
        (self.packages / "journal").unlink(missing_ok=True)

    def submit(self, model: str, *seeds: int, **job: Any) -> str:
        """Post a job with a shot for each of *seeds*, and return its id."""
        return self.server.submit(**body(model, *seeds, **job))

    def planned(self, model: str, *seeds: int, **job: Any) -> str:
        """The same; its steps for the GPU are there."""
        return self.once_planned(self.submit(model, *seeds, **job))

    def once_planned(self, job_id: str) -> str:
        until(lambda: self.job(job_id)["storyboard"], f"the storyboard of {job_id}")
        return job_id

    def render(self, model: str, *seeds: int, **job: Any) -> dict[str, Any]:
        """The job, once it has completed."""
        return self.server.wait(self.submit(model, *seeds, **job))

    def job(self, job_id: str) -> dict[str, Any]:
        return self.server.get(f"/api/v1/jobs/{job_id}").json()

    def until(self, line: str) -> None:
        """Wait until the journal has *line*."""
        until(lambda: line in self.journal(), line)

    def notes(self, job_id: str) -> list[str]:
        """The codes of what the job's listeners were told."""
        return [said["code"] for said in self.said(job_id) if said["type"] == "note"]

    def said(self, job_id: str) -> list[dict[str, Any]]:
        """All that the job's listeners are told, of a job that has ended."""
        return events(self.server, job_id)

    def recipe(self, job_id: str) -> dict[str, Any]:
        return self.server.get(f"/api/v1/jobs/{job_id}/recipe").json()

    def made(self, job_id: str, shot: int = 0) -> dict[str, Any]:
        """How the clip was made, as the recipe says."""
        return self.recipe(job_id)["recipe"]["storyboard"]["shots"][shot]["made"]["render"]

    def video(self, job: Mapping[str, Any]) -> bytes:
        return self.server.get(job["output_video_url"]).content

    def gpu(self) -> dict[str, Any]:
        return self.server.get("/api/v1/gpu").json()


def body(model: str, *seeds: int, **job: Any) -> dict[str, Any]:
    """A request for the trial model of this name."""
    shots = [{"description": "grey", "seed": seed} for seed in seeds or (1,)]
    storyboard = {"title": "Grey", "shots": shots}
    return {**JOB, "model_id": f"trial:{model}", "max_shots": len(shots), "storyboard": storyboard, **job}


def until(so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not so():
        assert time.monotonic() < deadline, f"waited {WAIT_S:g} s in vain for: {what}"
        time.sleep(0.02)


def events(server: Server, job_id: str) -> list[dict[str, Any]]:
    """All that the job's listeners are told, of a job that has ended."""
    stream = server.get(f"/api/v1/jobs/{job_id}/events?since=0").text
    said = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in said]
