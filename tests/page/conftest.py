"""One browser and one server for the folder, in each worker; a page of its own for each test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.api.trials import Trials
from tests.page.studio import Studio, launch, served
from tests.server import WAIT_S

expect.set_options(timeout=1000 * WAIT_S)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Ends with the folder: as long as Playwright runs, other tests of this process cannot use asyncio."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def trials(tmp_path_factory) -> Iterator[Trials]:
    with served(tmp_path_factory.mktemp("page")) as trials:
        yield trials


@pytest.fixture
def visit(browser, trials) -> Iterator[Callable[..., Studio]]:
    """Open the studio at a route, as a visitor of its own; what a browser's context takes is taken."""
    opened: list[Studio] = []

    def visit(route: str = "#/", **context: Any) -> Studio:
        opened.append(Studio(browser, trials, **context))
        return opened[-1].visit(route)

    yield visit
    trials.go()
    for studio in opened:
        studio.close()


@pytest.fixture(scope="package")
def finished(trials) -> str:
    """The id of a job that has its video; tests leave it alone."""
    job = {"user_prompt": "A heron in the reeds. It takes off.", "model_id": "watched:film", "max_shots": 2,
           "width": 320, "height": 180, "num_frames": 9}
    job_id = trials.server.submit(**job)
    trials.server.wait(job_id)
    return job_id


@pytest.fixture(scope="package")
def failed(trials, finished) -> str:
    trials.plan(("film/render", 2, "give-up"))
    job_id = trials.server.submit(user_prompt="A bridge that breaks", model_id="watched:film")
    trials.server.wait(job_id, "failed")
    return job_id


@pytest.fixture
def waiting(trials):
    """One job that is held as it renders, and two that wait."""
    trials.plan(("film/render", 2, "hold"))
    ids = [trials.server.submit(user_prompt=f"Number {n}", model_id="watched:film") for n in (1, 2, 3)]
    trials.met("hold")
    yield ids
    trials.go()
    for job_id in ids:
        trials.server.client.delete(f"/api/v1/jobs/{job_id}")
