"""The studio in a real browser: a server whose models can be watched and held, and a page that is looked after.

A test drives :class:`Studio`; what the page must never do (an error on the console, a request to another host, a breach
of its own policy) is looked at when the test ends.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Playwright, Request, Route, expect

from tests.api.trials import GIB, Trials, until
from tests.fakes import trial
from tests.server import WAIT_S

PICTURES = Path(__file__).parent / "screenshots"
REFERENCE = Path(__file__).parents[1] / "data" / "reference.jpg"
PROMPT = "A mill by a river. The wheel turns."
IMAGE = "<img src=x onerror=document.title='pwned'>"
"""What a page that took text for markup would run."""

WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)
SETTINGS = {"default_model": "watched:film", "max_concurrent_jobs": 1}
MODES = {"whole": [3000, 5200], "two_pass": [2000, 3600]}
SIZE = {"width": 512, "height": 288, "frames": 9}
MODELS = {
    "film": {"provider": "watched", "title": "Film", "modes": MODES, **SIZE},
    "still": {"provider": "watched", "title": "Still", "capabilities": trial.STILL, "modes": MODES, **SIZE},
    "moved": {
        "provider": "watched", "title": "Moved picture", "capabilities": trial.NEEDS_IMAGE,
        "keyframe_model": "watched:still", "modes": MODES, **SIZE,
    },
}
FILM, MOVED = "Film watched", "Moved picture watched"
AXE = Axe().axe_script
LOOK = "axe.run(document, { resultTypes: ['violations'] }).then((found) => found.violations)"
ILLS = ("serious", "critical")
GONE = re.compile(r"ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE|WebSocket connection")
"""What Chromium writes on the console while there is no server."""

REFUSED = re.compile(r"status of 4\d\d")
"""What it writes where the server says no."""


def launch(playwright: Playwright) -> Browser:
    """Debian's Chromium."""
    found = shutil.which("chromium")
    assert found, "there is no chromium on the PATH: `make browser` installs it"
    return playwright.chromium.launch(executable_path=found, args=list(FLAGS))


@contextmanager
def served(root: Path, **settings: Any) -> Iterator[Trials]:
    """A server with a card that others use too, and three models that are watched."""
    trials = Trials(root, MODELS)
    trials.card(6 * GIB, temperature=47)
    with trials.serving(**{**SETTINGS, **settings}):
        yield trials


class Studio:
    """One page of one visitor.

    :ivar page: Playwright's.
    :ivar expected: what may stand on the console, beside nothing.
    """

    def __init__(self, browser: Browser, trials: Trials, **context: Any):
        self.trials = trials
        self.expected: list[re.Pattern[str]] = []
        self._said: list[str] = []
        self._asked: list[str] = []
        self._context = browser.new_context(**{"viewport": WIDE, "reduced_motion": "reduce", **context})
        self._context.add_init_script(
            "addEventListener('securitypolicyviolation', (e) => console.error('policy: ' + e.violatedDirective));"
        )
        self._context.set_default_timeout(1000 * WAIT_S)
        self.page: Page = self._context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda e: self._said.append(f"uncaught: {e}"))
        self.page.on("request", self._see)
        self.page.on("websocket", lambda socket: self._asked.append(socket.url))

    @property
    def url(self) -> str:
        return self.trials.server.url

    # going about

    def visit(self, route: str = "#/") -> "Studio":
        self.page.goto(f"{self.url}/{route}")
        expect(self.page.get_by_role("main")).to_be_visible()
        return self

    def button(self, name: str, within: Page | Locator | None = None) -> Locator:
        return (within or self.page).get_by_role("button", name=name, exact=True)

    def field(self, name: str, within: Page | Locator | None = None) -> Locator:
        """What is filled in, by its label."""
        return (within or self.page).get_by_label(name, exact=True).and_(self.page.locator("input, textarea, select"))

    def shot(self, number: int) -> Locator:
        return self.page.locator(f'[data-testid="shot"][data-shot-id="shot_{number:03}"]')

    def item(self, words: str) -> Locator:
        """The gallery's item of a job with *words* in its prompt."""
        return self.page.get_by_test_id("gallery-item").filter(has_text=words)

    @property
    def film(self) -> Locator:
        return self.page.get_by_test_id("final-video")

    @property
    def job_id(self) -> str:
        """Of the job whose view is open."""
        expect(self.page).to_have_url(re.compile(r"#/jobs/job_\w+$"))
        return self.page.url.rsplit("/", 1)[1]

    def compose(self, prompt: str = PROMPT, *, model: str = FILM, shots: int = 2, **fields: str) -> None:
        """Fill the form; *fields* by their labels, in lower case."""
        self.field("Prompt").fill(prompt)
        self.choose_model(model)
        self.field("Shots").fill(str(shots))
        for name, value in fields.items():
            self.field(name.replace("_", " ").capitalize()).fill(value)

    def choose_model(self, model: str) -> None:
        """:param model: name and provider, as the picker says them."""
        choice = self.page.get_by_role("radiogroup", name="Model")
        choice.locator("label").filter(has_text=model).click()
        expect(choice.get_by_role("radio", name=model, exact=True)).to_be_checked()

    def generate(self) -> str:
        """Send the form; the job's id, once its view is open."""
        self.button("Generate").click()
        return self.job_id

    def hold(self, pattern: str) -> list[Route]:
        """What is asked for at such addresses from now on, which waits until it is let go on."""
        held: list[Route] = []
        self.page.route(pattern, lambda route: held.append(route))
        return held

    def until_held(self, held: list[Route], count: int = 1) -> None:
        """Return once so many wait. Playwright hears of them while it asks the page for something."""
        until(lambda: self.page.evaluate("true") and len(held) >= count, f"request {count} that is held")

    # looking

    def expect_status(self, number: int, status: str) -> None:
        expect(self.shot(number)).to_have_attribute("data-status", status)

    def expect_playing(self, video: Locator) -> None:
        """*video* has a picture, and its time goes on."""
        expect(video).to_be_visible()
        video.evaluate("(video) => { video.muted = true; return video.play(); }")
        self.page.wait_for_function("(video) => video.currentTime > 0.05", arg=video.element_handle())
        assert video.evaluate("(video) => video.videoWidth > 0 && video.error === null")

    def expect_accessible(self) -> None:
        """Axe finds nothing serious here, and nothing critical."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE)
        found = self.page.evaluate(LOOK)
        ills = [f"{each['impact']}: {each['id']}: {node['html'][:160]}: {node['failureSummary']}"
                for each in found if each["impact"] in ILLS for node in each["nodes"]]
        assert not ills, "\n".join(ills)

    def expect_narrow_enough(self) -> None:
        """Nothing stands out to the side."""
        wide, seen = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= seen, f"{wide} px of content in a window of {seen} px"

    def picture(self, name: str) -> None:
        """Keep what is seen as a picture, and have axe look at it."""
        PICTURES.mkdir(exist_ok=True)
        self.page.evaluate("scrollTo(0, 0)")
        self.page.screenshot(path=PICTURES / f"{name}.png")
        self.expect_accessible()

    # the end

    def close(self) -> None:
        """Leave, and say what was out of order.

        :raises AssertionError: the console has errors that nobody expected, or another host was asked.
        """
        self._context.close()
        errors = [text for text in self._said if not any(known.search(text) for known in self.expected)]
        assert not errors, errors
        own = re.compile(rf"^(http|ws)://{re.escape(self.url.removeprefix('http://'))}/|^(data|blob):")
        strangers = [url for url in self._asked if not own.match(url)]
        assert not strangers, strangers

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._said.append(message.text)

    def _see(self, request: Request) -> None:
        self._asked.append(request.url)
