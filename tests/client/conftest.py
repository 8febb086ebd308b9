"""One started server for the client's tests, and a client of it."""

from collections.abc import Iterator

import pytest

from tests.server import Server, started
from vidgen.client import Client, Job

SMALL = {"model": "stub:animatic", "shots": 1, "width": 64, "height": 64, "num_frames": 5}
KEY = "a-key-of-our-own-that-is-long-enough-for-it"
PROMPT = "A lighthouse. A gull over the sea. Rain on the harbour."


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    workspace = tmp_path_factory.mktemp("client") / "workspace"
    settings = {"allow_test_parameters": "true", "max_queued_jobs": 4, "max_concurrent_jobs": 2, "api_keys": KEY}
    with started(workspace, **settings) as running:
        yield running


@pytest.fixture(scope="session")
def client(server) -> Iterator[Client]:
    with Client(server.url, KEY) as client:
        yield client


@pytest.fixture(scope="session")
def finished(client) -> Job:
    """A job of three shots that has completed; tests read it and leave it alone."""
    return client.generate(PROMPT, **SMALL | {"shots": 3}).wait()


@pytest.fixture
def held(client) -> Iterator[Job]:
    """A job whose render waits until the test ends."""
    job = client.generate("a river", **SMALL, parameters={"wait_at_step": 2})
    yield job
    job.delete()


@pytest.fixture
def paused(client) -> Iterator[None]:
    """The queue stands still for the test; what it left waiting is taken away."""
    client.pause()
    yield
    for job in list(client.jobs(status="queued")):
        job.delete()
    client.resume()
