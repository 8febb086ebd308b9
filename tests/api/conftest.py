"""A started server that the tests of the API share, and small helpers."""

from collections.abc import Callable, Iterator

import pytest

from tests.server import Server, holding, started


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    """The real server, with test parameters allowed."""
    workspace = tmp_path_factory.mktemp("shared") / "workspace"
    with started(workspace, allow_test_parameters="true", max_concurrent_jobs=2, log_format="json") as running:
        yield running


@pytest.fixture(scope="session")
def finished(server) -> dict:
    """A job that has completed; tests read it and leave it alone."""
    return server.wait(server.submit(max_shots=2, user_prompt="A lighthouse. A gull over the sea."))


@pytest.fixture
def held(server) -> Iterator[Callable[..., str]]:
    """Submit a job whose render waits until the test ends."""
    with holding(server) as submit:
        yield submit
