"""The studio page: what its files weigh, and how long a browser that was never here takes to paint it."""

import gzip
import shutil
import statistics
from pathlib import Path
from urllib.request import Request, urlopen

from bench.figures import Report, spread
from bench.server import ROOT, Server

NAME = "page"
VISITS = 10
KB = 1e3
WEB = ROOT / "vidgen" / "web"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)
PAINTED = "performance.getEntriesByName('first-contentful-paint').length"
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
LOADED = "performance.getEntriesByType('resource').length"


def run(report: Report) -> None:
    files = sorted(file for file in WEB.rglob("*") if file.is_file())
    with Server() as server:
        url = f"http://127.0.0.1:{server.port}"
        _weigh(report, files, url)
        _visit(report, url)


def _weigh(report: Report, files: list[Path], url: str) -> None:
    raw = sum(file.stat().st_size for file in files)
    sent = sum(len(_fetch(url, file)) for file in files)
    report.add(NAME, "all files of the page", raw / KB, "kB", at_most=150, note=f"{len(files)} files")
    report.add(NAME, "the same as they are sent", sent / KB, "kB", note="gzip where it helps")


def _fetch(url: str, file: Path) -> bytes:
    """The body that a browser is sent, still packed."""
    asked = Request(f"{url}/studio/{file.relative_to(WEB).as_posix()}", headers={"Accept-Encoding": "gzip"})
    with urlopen(asked, timeout=10) as answer:
        body = answer.read()
        text = gzip.decompress(body) if answer.headers["Content-Encoding"] == "gzip" else body
    if text != file.read_bytes():
        raise RuntimeError(f"{file.name} is not what the server sends under its name")
    return body


def _visit(report: Report, url: str) -> None:
    """First paints in fresh contexts of one Chromium that is warm: no cache, no connection."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = shutil.which("chromium")
        if chromium is None:
            raise RuntimeError("there is no chromium on the PATH: `make browser` installs it")
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        _paint(browser, url)
        seen = [_paint(browser, url) for _ in range(VISITS)]
        browser.close()
    took = [paint / 1e3 for paint, _ in seen]
    note = f"min/median/max of {VISITS} new visitors: {spread(took)}; {seen[0][1]} requests beside the page"
    report.add(NAME, "first contentful paint, on loopback", statistics.median(took), "s", at_most=0.5, note=note)


def _paint(browser, url: str) -> tuple[float, int]:
    """Milliseconds from the navigation to the first contentful paint, and how many files the page had asked for."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(url, wait_until="load")
    page.wait_for_function(f"() => {PAINTED}")
    found = page.evaluate(f"[{PAINT}, {LOADED}]")
    context.close()
    return tuple(found)
