"""OpenAI's own package, pointed at a started server."""

import json
from collections.abc import Iterator
from io import BytesIO

import openai
import pytest
from PIL import Image

from tests.server import Server, started

SMALL = {"width": 64, "height": 64, "num_frames": 5, "max_shots": 1}
NAME = "stub:animatic"
KEY = "secret"


def client_of(server: Server, **options) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", **options)


def small(client: openai.OpenAI, prompt: str = "a forest at dawn", *, extra_body: dict | None = None, **fields):
    """A small video, created as a program would."""
    return client.videos.create(prompt=prompt, model=NAME, extra_body=SMALL | (extra_body or {}), **fields)


def jobs_of(server: Server, prompt: str) -> list[dict]:
    """All jobs with this in their prompt."""
    return server.get("/api/v1/jobs", params={"q": prompt, "page_size": 100}).json()["jobs"]


def png(color: str = "red") -> bytes:
    data = BytesIO()
    Image.new("RGB", (80, 60), color).save(data, "PNG")
    return data.getvalue()


def refused(error: openai.APIStatusError, status: int, code: str, param: str | None = None) -> str:
    """The message of an error that is in OpenAI's shape."""
    assert error.response.json().keys() == {"error"}, json.dumps(error.response.json())
    assert error.response.json()["error"].keys() == {"message", "type", "param", "code"}
    assert (error.status_code, error.code, error.param) == (status, code, param), error.message
    return error.response.json()["error"]["message"]


@pytest.fixture(scope="session")
def strict(tmp_path_factory) -> Iterator[Server]:
    """A server that wants a key, and whose queue stands still with place for one job."""
    with started(tmp_path_factory.mktemp("strict") / "workspace", api_keys=KEY, max_queued_jobs=1) as running:
        running.client.headers["Authorization"] = f"Bearer {KEY}"
        running.post("/api/v1/queue/pause")
        yield running


@pytest.fixture(scope="module")
def client(server) -> Iterator[openai.OpenAI]:
    with client_of(server) as client:
        yield client
