"""The studio for everybody: each view in both themes and on a narrow window, read by axe; what a reader is told."""

import re

import pytest
from playwright.sync_api import expect

from tests.page.studio import NARROW

SMALLEST = {"width": 320, "height": 640}


@pytest.mark.parametrize("window", [
    {"color_scheme": "light"}, {"color_scheme": "dark", "viewport": NARROW}, {"viewport": SMALLEST},
], ids=["light", "dark-narrow", "smallest"])
def test_every_view_is_accessible(visit, finished, failed, waiting, window):
    studio = visit(**window)
    page = studio.page
    views = {
        "#/": studio.button("Generate"), f"#/jobs/{finished}": studio.film, f"#/jobs/{failed}": studio.button("Retry"),
        f"#/jobs/{waiting[0]}": studio.shot(1), f"#/jobs/{waiting[2]}": studio.button("Cancel"),
        "#/gallery": studio.item("reeds").first, "#/queue": page.get_by_role("heading", name="Number 3"),
    }
    for route, shown in views.items():
        page.goto(f"{studio.url}/{route}")
        expect(shown).to_be_visible()
        studio.expect_narrow_enough()
        if "color_scheme" in window:
            studio.expect_accessible()


def test_headings_and_landmarks_are_in_order(visit, finished):
    studio = visit(f"#/jobs/{finished}")
    expect(studio.film).to_be_visible()
    levels = studio.page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map((one) => Number(one.tagName[1]))")
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False)), levels
    for role in ("banner", "main", "navigation"):
        expect(studio.page.get_by_role(role)).to_have_count(1)


def test_steps_are_announced(visit, trials):
    trials.plan(("film/render", 2, "hold"))
    studio = visit()
    studio.compose("A door opens", shots=1)
    studio.generate()
    trials.met("hold")
    announcer = studio.page.locator("#announcer")
    expect(announcer).to_have_text(re.compile("Generating shot 1 of 1"))
    trials.go()
    expect(announcer).to_have_text("The video is ready")
