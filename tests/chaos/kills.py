"""``kill -9`` of the real ``run_api.py`` at random moments, while clients post, read, download and listen.

Some jobs are the stub's, on the CPU lane; the others' clips are rendered in the inference process, and finished beside
the next render.
"""

import shutil
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import psutil

from tests.chaos import clients
from tests.chaos.autopsy import FINAL, LOST, TORN, UNFINISHED, Findings, adopted, compare, examine
from tests.chaos.deaths import LEFT_OVER
from tests.chaos.trials import offer
from tests.chaos.world import UNEXPECTED, Promise, World
from tests.server import Server

ORPHANS = "processes that outlived the server"
CAME_BACK = "deleted jobs that came back"
WENT_ON = "cancelled jobs that went on"

STARTING = 0.2
"""How often the server is killed on its way up, rather than at work."""

START_S, LIFE_S, GONE_S, DRAIN_S = 1.0, 1.6, 3.0, 180.0
SETTINGS = {"max_queued_jobs": 8, "log_level": "info"}


class Chaos:
    """Some cycles of life and death in one workspace.

    :param seed: decides what is posted and when the server dies; how the threads interleave stays the machine's.
    :param posters: how many clients post.
    """

    def __init__(self, folder: Path, seed: int, report: Callable[[str], None], posters: int):
        self.workspace = folder / "workspace"
        self.port = _free_port()
        self.world = World(f"http://127.0.0.1:{self.port}")
        self._rng = Random(seed)
        self._seed = seed
        self._posters = posters
        self._report = report
        self._last = Findings()
        self._settings = {**SETTINGS, **offer(folder, clients.TRIALS)}

    def run(self, cycles: int) -> World:
        """Kill the server *cycles* times, then let it finish what it has promised."""
        threads = clients.start(self.world, self._seed, self._posters)
        try:
            for cycle in range(cycles):
                self._cycle()
                if (cycle + 1) % 10 == 0:
                    said = f"{cycle + 1} deaths, {self.world.counts['acknowledged jobs']} jobs acknowledged"
                    self._report(f"{said}, {len(self.world.faults)} faults")
            self._drain(threads)
        finally:
            self.world.closing.set()
        return self.world

    def _server(self) -> Server:
        return Server(self.workspace, port=self.port, **self._settings)

    def _cycle(self) -> None:
        server = self._server()
        if self._rng.random() < STARTING:
            self.world.count("deaths on the way up")
            time.sleep(self._rng.uniform(0, START_S))
        else:
            self.world.count("deaths at work")
            server.wait_until_ready()
            time.sleep(self._rng.uniform(0, LIFE_S))
        _kill(server, self.world)
        self._look()

    def _look(self) -> Findings:
        """Read what the death left, and hold it against the last one and against what was promised."""
        gone = {promise.job_id for promise in self.world.promises(lambda p: p.deleting)}
        promised = {promise.job_id for promise in self.world.promises()}
        before, after = self._last, examine(self.workspace)
        gone |= {promise.job_id for promise in self.world.promises(lambda p: p.deleting)}
        self.world.faults += [*after.faults, *compare(before, after, gone)]
        for job_id in promised - after.jobs.keys() - gone:
            self.world.fault(LOST, f"{job_id} was acknowledged and is not in the database")
        kept, anew = adopted(before, after)
        self.world.count("clips renamed, not committed, then adopted", kept)
        self.world.count("clips renamed, not committed, then made again", anew)
        self._last = after
        return after

    def _drain(self, threads: list) -> None:
        """A last life: everything is finished, looked at once more, and the server ends by itself."""
        server = self._server().wait_until_ready()
        self.world.closing.set()
        for thread in threads:
            thread.join()
        _wait_for_the_end(server, self.world)
        with self.world.client() as client:
            for promise in self.world.promises(lambda p: not p.deleted):
                clients.look(self.world, client, promise)
                self._judge(promise)
            for promise in self.world.promises(lambda p: p.deleted):
                if client.get(f"/api/v1/jobs/{promise.job_id}").status_code != 404:
                    self.world.fault(CAME_BACK, promise.job_id)
        if (code := server.stop()) != 0:
            self.world.fault(UNEXPECTED, f"the server ended with {code}")
        server.kill()
        self._judge_files(self._look())

    def _judge(self, promise: Promise) -> None:
        self.world.count(f"jobs {promise.status}")
        if promise.cancelled and promise.status != "cancelled":
            self.world.fault(WENT_ON, f"{promise.job_id} is {promise.status}")
        if not promise.cancelled and promise.status != "completed":
            self.world.fault(UNFINISHED, f"{promise.job_id} is {promise.status}")

    def _judge_files(self, found: Findings) -> None:
        """What is on the disk in the end is what was downloaded, and nothing else."""
        self.world.count("shots finished", len(found.finished()))
        self.world.count("files looked at", len(found.files))
        for promise in self.world.promises(lambda p: p.status == "completed" and not p.deleting):
            video = found.files.get((promise.job_id, FINAL))
            if video is None or video.sha256 not in promise.digests.values():
                self.world.fault(TORN, f"{promise.job_id}: {FINAL} is not what was downloaded")
        if left := [str(path) for path in self.workspace.rglob(".*part*")]:
            self.world.fault(LEFT_OVER, f"{left[:3]}")
        folders = {folder.name for folder in (self.workspace / "videos").iterdir()}
        if strays := folders - found.jobs.keys():
            self.world.fault(LEFT_OVER, f"folders of no job: {sorted(strays)[:3]}")


def run(folder: Path, cycles: int, seed: int, report: Callable[[str], None], posters: int = 3) -> World:
    """Some cycles; the folder stays where something is wrong."""
    world = Chaos(folder, seed, report, posters).run(cycles)
    if not world.faults:
        shutil.rmtree(folder)
    return world


def _kill(server: Server, world: World) -> None:
    """``kill -9``; its inference process and every ffmpeg must be gone soon after it."""
    children: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(server.process.pid).children(recursive=True)
    if server.process.poll() is not None:
        world.fault(UNEXPECTED, f"the server had ended by itself: {server.log()[-1000:]}")
    server.kill()
    world.count("children of the server running at a death", len(children))
    _, alive = psutil.wait_procs(children, GONE_S)
    if alive:
        world.fault(ORPHANS, f"{[process.pid for process in alive]}")


def _wait_for_the_end(server: Server, world: World) -> None:
    deadline = time.monotonic() + DRAIN_S
    with world.client() as client:
        while any(client.get("/api/v1/queue").json()[kind] for kind in ("queued", "processing")):
            if time.monotonic() > deadline:
                return world.fault(UNFINISHED, f"the queue is not empty after {DRAIN_S:g} s: {server.log()[-2000:]}")
            time.sleep(0.1)
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
