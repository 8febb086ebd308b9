"""The whole way through the studio, as people go it: reloads, a narrow window, a keyboard alone, a server that dies."""

import re
import time

import pytest
from playwright.sync_api import expect

from tests.api.trials import Trials, until
from tests.page.studio import GONE, MOVED, NARROW, REFERENCE, SETTINGS, Studio, served
from vidgen.backend import PREVIEW_INTERVAL_S

PROMPT = "A lighthouse at dusk. Gulls circle over the rocks."
PIXELS = """(image) => {
  const [canvas, size] = [document.createElement("canvas"), [0, 0, 16, 9]];
  canvas.getContext("2d").drawImage(image, ...size);
  return [...canvas.getContext("2d").getImageData(...size).data].join();
}"""
AGAIN = "A gull lands on the gallery of the lighthouse"


def preview_of(studio: Studio, number: int):
    return studio.shot(number).get_by_role("img", name=re.compile("preview", re.I))


def expect_picture(image) -> None:
    """It is there, and has been decoded."""
    expect(image).to_be_visible()
    image.evaluate("(image) => image.decode()")
    assert image.evaluate("(image) => image.naturalWidth") > 0


def until_due(trials: Trials, job_id: str) -> None:
    """Wait until another preview may be shown."""
    shown = trials.root / "workspace" / "videos" / job_id / "shot_001_preview.jpg"
    until(lambda: time.time() - shown.stat().st_mtime > PREVIEW_INTERVAL_S, "the time between two previews")


def test_from_a_prompt_and_an_image_to_the_gallery(visit, trials):
    trials.plan(("film/render", 2, "hold-1"), ("film/render", 3, "hold-2"))
    studio = visit()
    page = studio.page
    studio.compose(PROMPT)
    studio.field("Reference image").set_input_files(REFERENCE)
    expect(page.get_by_role("img", name="The reference image")).to_be_visible()
    expect(page.get_by_role("region", name="What it will take")).to_contain_text("up to 2 shots of 1.1 s, 512 × 288")
    studio.picture("compose-light")
    job_id = studio.generate()

    trials.met("hold-1")
    studio.expect_status(1, "rendering")
    studio.expect_status(2, "pending")
    expect(studio.shot(1).get_by_role("progressbar")).to_have_attribute("aria-valuenow", "50")
    expect_picture(preview_of(studio, 1))
    before = preview_of(studio, 1).evaluate(PIXELS)
    studio.picture("rendering-light")
    until_due(trials, job_id)
    trials.go("hold-1")
    trials.met("hold-2")
    until(lambda: preview_of(studio, 1).evaluate(PIXELS) != before, "another preview")
    page.emulate_media(color_scheme="dark")
    studio.picture("rendering-dark")
    page.emulate_media(color_scheme="light")
    trials.go()

    studio.expect_playing(studio.film)
    for number in (1, 2):
        studio.expect_status(number, "completed")
        studio.expect_playing(studio.shot(number).locator("video"))
    assert trials.job(job_id)["generation_mode"] == "image_to_video"
    studio.picture("finished-light")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download", exact=True).click()
    assert download.value.path().read_bytes() == trials.video(trials.job(job_id))

    studio.button("Edit shot 2").click()
    dialog = page.get_by_role("dialog", name="Edit shot 2")
    studio.field("Description", dialog).fill(AGAIN)
    studio.picture("edit-light")
    trials.forget()
    studio.button("Render this shot again", dialog).click()
    page.wait_for_url(lambda url: "#/jobs/" in url and job_id not in url)
    studio.expect_playing(studio.film)
    expect(studio.shot(2)).to_contain_text(AGAIN)
    assert len(trials.journal("render")) == 1
    expect(page.get_by_role("region", name="Versions").get_by_role("link")).to_have_count(2)
    studio.picture("version-light")

    page.get_by_role("link", name="Gallery").click()
    studio.field("Search").fill("Gulls circle over")
    expect(page.get_by_test_id("gallery-item")).to_have_count(2)
    expect(page.get_by_test_id("gallery-item").first).to_contain_text("Completed")
    studio.picture("gallery-light")
    page.emulate_media(color_scheme="dark")
    studio.picture("gallery-dark")


def test_a_keyframe_is_drawn_and_a_shot_starts_from_another(visit, trials):
    studio = visit()
    page = studio.page
    studio.compose(model=MOVED, shots=1)
    first = studio.generate()
    studio.expect_playing(studio.film)
    studio.button("Edit shot 1").click()
    dialog = page.get_by_role("dialog", name="Edit shot 1")
    dialog.locator("summary", has_text="First image").click()
    studio.field("Keyframe", dialog).set_input_files(REFERENCE)
    expect(dialog.get_by_text("Starts from your image")).to_be_visible()
    trials.forget()
    studio.button("Render this shot again", dialog).click()
    page.wait_for_url(lambda url: "#/jobs/" in url and first not in url)
    studio.expect_playing(studio.film)
    assert [line.split()[1] for line in trials.journal("render")] == ["moved"]


def test_a_reload_in_mid_render_loses_nothing(visit, trials):
    trials.plan(("film/render", 3, "hold"))
    studio = visit()
    studio.compose()
    studio.generate()
    trials.met("hold")
    studio.page.reload()
    studio.expect_status(1, "rendering")
    expect(studio.shot(1).get_by_role("progressbar")).to_have_attribute("aria-valuenow", "75")
    expect_picture(preview_of(studio, 1))
    trials.go()
    studio.expect_playing(studio.film)


def test_narrow_and_dark(visit, trials):
    trials.plan(("film/render", 2, "hold"))
    studio = visit(viewport=NARROW, color_scheme="dark")
    studio.compose()
    studio.expect_narrow_enough()
    studio.picture("narrow-compose")
    studio.generate()
    trials.met("hold")
    studio.expect_status(1, "rendering")
    studio.expect_narrow_enough()
    studio.picture("narrow-rendering")
    trials.go()
    studio.expect_playing(studio.film)
    studio.expect_narrow_enough()
    studio.picture("narrow-finished")


def test_by_keyboard_alone(visit):
    studio = visit()
    page = studio.page
    expect(studio.button("Generate")).to_be_visible()
    walk_to(studio, studio.field("Prompt"))
    page.keyboard.type("A kettle on a stove")
    walk_to(studio, studio.button("Generate"))
    page.keyboard.press("Enter")
    assert studio.job_id
    expect(studio.film).to_be_visible()
    walk_to(studio, studio.film)
    page.keyboard.press("Space")
    page.wait_for_function("() => document.activeElement.currentTime > 0.05")
    walk_to(studio, studio.button("Edit shot 1"))
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Edit shot 1")
    expect(studio.field("Description", dialog)).to_be_focused()
    for _ in range(30):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(studio.button("Edit shot 1")).to_be_focused()


def walk_to(studio: Studio, target) -> None:
    """Press Tab until *target* has the focus, which must be seen."""
    handle = target.element_handle()
    for _ in range(120):
        if handle.evaluate("(element) => element === document.activeElement"):
            assert handle.evaluate("(element) => element.matches(':focus-visible')")
            return
        studio.page.keyboard.press("Tab")
    pytest.fail(f"no way to {target} by the Tab key")


def test_a_server_that_dies_and_comes_back(browser, tmp_path):
    with served(tmp_path) as trials:
        studio = Studio(browser, trials).visit()
        studio.expected.append(GONE)
        page, again = studio.page, {**SETTINGS, "port": int(studio.url.rsplit(":", 1)[1])}
        studio.compose()
        trials.server.kill()
        studio.button("Generate").click()
        expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached")
        expect(page.get_by_role("region", name="What it will take").get_by_role("alert")).to_be_visible()
        with trials.serving(**again):
            trials.plan(("film/render", 3, "hold"))
            job_id = studio.generate()
            trials.met("hold")
            studio.expect_status(1, "rendering")
            trials.server.kill()
            banner = page.get_by_text("The server cannot be reached; trying again")
            expect(banner).to_be_visible()
            studio.picture("waiting-for-the-server")
        with trials.serving(**again):
            expect(banner).to_be_hidden()
            studio.expect_playing(studio.film)
            studio.expect_status(2, "completed")
            assert [job["id"] for job in trials.server.get("/api/v1/jobs").json()["jobs"]] == [job_id]
            studio.close()
