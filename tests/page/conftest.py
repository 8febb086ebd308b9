"""One browser and one server a module; a page of its own for each test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.api.trials import Trials
from tests.page.studio import Studio, launch, served
from tests.server import WAIT_S

expect.set_options(timeout=1000 * WAIT_S)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ends with the module: as long as Playwright runs, other tests of this process cannot use asyncio."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
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
