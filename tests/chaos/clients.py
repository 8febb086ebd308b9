"""The clients: they post, cancel, delete, read, download and listen, whether the server lives or not."""

import hashlib
import io
import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import httpx
from PIL import Image

from tests.chaos.autopsy import TORN, TWICE, decode
from tests.chaos.world import PAUSE_S, UNEXPECTED, Promise, World
from tests.fakes import trial

OPEN_JOBS = 10
"""Posting waits while so many have not ended, so that the queue neither runs dry nor grows without end."""

PROMPTS = ("a forest at dawn, then a lake", "waves at sunset, a gull, a lighthouse", "a city street in rain", "snow")
SIZES = ((64, 64), (96, 64))
TRIALS = {name: trial.card(name, encode_seconds=0.01) for name in ("one", "two")}
MODELS = ("stub:animatic", "stub:animatic", *[f"trial:{name}" for name in TRIALS])
"""Half of the jobs go to the GPU lane."""

REPEATS, CANCELS, DELETES, REFERENCES, CHAINS, NEW_UPLOADS = 0.3, 0.08, 0.06, 0.3, 0.3, 0.1


def start(world: World, seed: int, posters: int) -> list[threading.Thread]:
    """Start all clients; they end some time after ``world.closing``."""
    works: list[Callable[[World, Random], None]] = [*[post] * posters, read, follow, follow]
    threads = []
    for number, work in enumerate(works):
        rng = Random(f"{seed}/{number}")
        threads.append(threading.Thread(target=_guarded, args=(world, work, rng), name=f"{work.__name__}-{number}"))
    for thread in threads:
        thread.start()
    return threads


def _guarded(world: World, work: Callable[[World, Random], None], rng: Random) -> None:
    try:
        work(world, rng)
    except Exception as e:
        world.fault(UNEXPECTED, f"a client broke: {type(e).__name__}: {e}")
        raise


# posting


def post(world: World, rng: Random) -> None:
    """Post jobs, most of them to be left alone."""
    uploads: list[str] = []
    with world.client() as client:
        while not world.closing.is_set():
            if len(world.promises(lambda promise: promise.open)) >= OPEN_JOBS:
                time.sleep(PAUSE_S)
                continue
            if not uploads or rng.random() < NEW_UPLOADS:
                uploads.append(_upload(world, client, rng))
            promise = _post_one(world, client, rng, uploads)
            if promise is not None:
                _change_mind(world, client, rng, promise)


def _post_one(world: World, client: httpx.Client, rng: Random, uploads: list[str]) -> Promise | None:
    key, body = f"key-{rng.getrandbits(64):016x}", _body(rng, uploads)
    options: dict[str, Any] = {"json": body, "headers": {"Idempotency-Key": key}}
    answer = world.call(client, "POST", "/api/v1/jobs", (200, 201), **options)
    if answer.status_code not in (200, 201):
        return None
    if answer.status_code == 200:
        world.count("acknowledgements asked for again")
    promise = world.promise(answer.json()["id"], key, body)
    if rng.random() < REPEATS:
        again = world.call(client, "POST", "/api/v1/jobs", (200,), **options)
        if again.status_code == 200 and again.json()["id"] != promise.job_id:
            world.fault(TWICE, f"{key} gave {promise.job_id}, then {again.json()['id']}")
    return promise


def _body(rng: Random, uploads: list[str]) -> dict[str, Any]:
    width, height = rng.choice(SIZES)
    body = {
        "user_prompt": rng.choice(PROMPTS), "model_id": rng.choice(MODELS), "max_shots": rng.randint(1, 3),
        "width": width, "height": height, "num_frames": rng.randint(5, 10), "seed": rng.getrandbits(31),
        "priority": rng.choice((0, 0, 0, 5)),
    }
    if rng.random() < CHAINS:
        body["continuity"] = "chain"
    if rng.random() < REFERENCES:
        body["reference_image"] = rng.choice(uploads)
    return body


def _upload(world: World, client: httpx.Client, rng: Random) -> str:
    data = io.BytesIO()
    Image.new("RGB", (100, 80), tuple(rng.randrange(256) for _ in range(3))).save(data, "PNG")
    files = {"file": ("photo.png", data.getvalue(), "image/png")}
    world.count("uploads")
    return world.call(client, "POST", "/api/v1/upload", (200, 201), files=files).json()["file_id"]


def _change_mind(world: World, client: httpx.Client, rng: Random, promise: Promise) -> None:
    chance, delay = rng.random(), rng.uniform(0, 0.5)
    if chance < CANCELS + DELETES:
        time.sleep(delay)
    if chance < CANCELS:
        promise.cancelled = world.call(
            client, "POST", f"/api/v1/jobs/{promise.job_id}/cancel", (200, 409)
        ).status_code == 200
        world.count("cancels answered", promise.cancelled)
    elif chance < CANCELS + DELETES:
        promise.deleting = True
        world.call(client, "DELETE", f"/api/v1/jobs/{promise.job_id}", (200, 404))
        promise.deleted = True
        world.count("deletes answered")


# reading


def read(world: World, rng: Random) -> None:
    """Read jobs, and download what is finished, again and again."""
    with world.client() as client:
        while not world.closing.is_set():
            promise = world.pick(rng, lambda p: p.open) if rng.random() < 0.7 else world.pick(rng, lambda p: True)
            if promise is None:
                time.sleep(PAUSE_S)
            else:
                look(world, client, promise)
                time.sleep(PAUSE_S / 5)


def look(world: World, client: httpx.Client, promise: Promise) -> None:
    """Read one job, and download all the videos that it offers."""
    answer = world.call(client, "GET", f"/api/v1/jobs/{promise.job_id}", (200, 404))
    if answer.status_code != 200:
        return world.missing(promise)
    job = answer.json()
    world.saw(promise, job)
    shots = job["storyboard"]["shots"] if job["storyboard"] else []
    offered = [shot["video_url"] for shot in shots if shot["video_url"]]
    if job["video_ready"]:
        offered += [f"/api/v1/jobs/{promise.job_id}/video", job["output_video_url"]]
    for url in offered:
        answer = world.call(client, "GET", url, (200, 404) if promise.deleting else (200,))
        if answer.status_code == 200:
            _check(world, promise, url, answer.content)
    return None


def _check(world: World, promise: Promise, url: str, content: bytes) -> None:
    if not world.downloaded(promise, url, hashlib.sha256(content).hexdigest()):
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        path.write_bytes(content)
        if problem := decode(path):
            world.fault(TORN, f"{url}, as downloaded: {problem}")


# listening


def follow(world: World, rng: Random) -> None:
    """Listen to one job after another, each through all the lives that it takes to end."""
    followed: set[str] = set()
    with world.client() as client:
        while not world.closing.is_set():
            promise = world.pick(rng, lambda p: p.open and p.job_id not in followed)
            if promise is None:
                time.sleep(PAUSE_S)
                continue
            followed.add(promise.job_id)
            Ear(world, promise).listen(client)


class Ear:
    """One listener to one job, as a browser's EventSource: it comes back with the last number it was given."""

    def __init__(self, world: World, promise: Promise):
        self.world = world
        self.promise = promise
        self.last = 0
        self.heard: list[dict[str, Any]] = []

    def listen(self, client: httpx.Client) -> None:
        while not (self.world.closing.is_set() or self.promise.deleting):
            try:
                if self._one_connection(client):
                    return self._judge(client)
            except httpx.TransportError:
                time.sleep(PAUSE_S)
        return None

    def _one_connection(self, client: httpx.Client) -> bool:
        """Listen until the connection ends; True where there is nothing more to come."""
        headers = {"Last-Event-ID": str(self.last)}
        path = f"/api/v1/jobs/{self.promise.job_id}/events"
        with client.stream("GET", path, headers=headers, timeout=httpx.Timeout(20, read=60)) as answer:
            if answer.status_code == 404:
                self.world.missing(self.promise)
                return False
            if answer.status_code == 200:
                self._hear(answer)
            return answer.status_code == 204 or self._has_ended()

    def _has_ended(self) -> bool:
        return bool(self.heard) and self.heard[-1]["type"] in ("job_complete", "error")

    def _hear(self, answer: httpx.Response) -> None:
        number = self.last
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                number = int(value)
            elif name == "data":
                self._take(json.loads(value), number)
            if self.world.closing.is_set():
                return

    def _take(self, message: dict[str, Any], number: int) -> None:
        self.last = number
        if message["type"] == "connected":
            return
        self.world.count("events heard")
        if self.heard and message["seq"] <= self.heard[-1]["seq"]:
            self.world.fault(TWICE, f"{self.promise.job_id}: event {message['seq']} came after {self.heard[-1]['seq']}")
        self.heard.append(message)

    def _judge(self, client: httpx.Client) -> None:
        """All of the job was heard: each shot once, one end."""
        types = [message["type"] for message in self.heard]
        shots = [message["shot_id"] for message in self.heard if message["type"] == "shot_complete"]
        answer = self.world.call(client, "GET", f"/api/v1/jobs/{self.promise.job_id}", (200, 404))
        if answer.status_code != 200:
            return
        board = answer.json()["storyboard"] or {"shots": []}
        done = sorted(shot["id"] for shot in board["shots"] if shot["status"] == "completed")
        if types.count("job_complete") + types.count("error") != 1 or sorted(shots) != done:
            self.world.fault(TWICE, f"{self.promise.job_id}: heard {types[-3:]} and the shots {shots} of {done}")
        self.world.count("jobs heard to their end")
