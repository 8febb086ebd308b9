"""All jobs: the gallery and the queue; and what stands above every view."""

import re

from playwright.sync_api import expect

from tests.page.studio import REFUSED


def test_the_gallery_is_searched_and_filtered(visit, finished, failed):
    studio = visit("#/gallery")
    page = studio.page
    heron, bridge = studio.item("reeds").first, studio.item("breaks").first
    expect(heron).to_be_visible()
    heron.locator("img").first.evaluate("(image) => image.decode()")
    studio.field("Search").fill("heron in the reeds")
    expect(bridge).to_have_count(0)
    expect(heron).to_be_visible()
    studio.field("Search").fill("")
    studio.field("Status").select_option("failed")
    expect(heron).to_have_count(0)
    expect(bridge).to_contain_text("cannot be done as planned")
    studio.field("Search").fill("nobody asked for this")
    expect(page.get_by_text("No job fits these filters")).to_be_visible()
    studio.button("Show all jobs").click()
    expect(heron).to_be_visible()
    studio.field("Model").select_option("stub:animatic")
    expect(heron).to_have_count(0)


def test_the_gallery_is_found_again_as_it_was_left(visit, trials, waiting):
    ids = [trials.server.submit(user_prompt=f"One of many, {number}") for number in range(27)]
    trials.server.post(f"/api/v1/jobs/{ids[3]}/cancel")
    studio = visit("#/gallery?q=one+of+many")
    items = studio.page.get_by_test_id("gallery-item")
    expect(items).to_have_count(24)
    studio.button("Show more").click()
    expect(items).to_have_count(27)
    expect(items.nth(24).get_by_role("link", name="One of many")).to_be_focused()
    for job_id in (ids.pop(20), ids.pop(3)):
        trials.server.client.delete(f"/api/v1/jobs/{job_id}")
    expect(items).to_have_count(25)
    items.last.scroll_into_view_if_needed()
    scrolled = studio.page.evaluate("scrollY")
    items.last.get_by_role("link", name="One of many").click()
    expect(studio.button("Cancel")).to_be_visible()
    studio.page.go_back()
    expect(items).to_have_count(25)
    assert studio.page.evaluate("scrollY") == scrolled > 0
    for job_id in ids:
        trials.server.client.delete(f"/api/v1/jobs/{job_id}")


def test_a_job_is_deleted_from_the_gallery(visit, trials):
    job_id = trials.server.submit(user_prompt="Here today, gone tomorrow")
    trials.server.wait(job_id)
    studio = visit("#/gallery?q=gone+tomorrow")
    studio.page.get_by_role("button", name=re.compile("^Delete")).click()
    studio.button("Delete", studio.page.get_by_role("dialog")).click()
    expect(studio.item("gone tomorrow")).to_have_count(0)
    assert trials.server.get(f"/api/v1/jobs/{job_id}").status_code == 404


def test_a_job_that_was_deleted_elsewhere_meanwhile_is_deleted(visit, trials):
    job_id = trials.server.submit(user_prompt="Gone in another tab")
    trials.server.wait(job_id)
    studio = visit("#/gallery?q=another+tab")
    studio.expected.append(REFUSED)
    studio.page.get_by_role("button", name=re.compile("^Delete")).click()
    trials.server.client.delete(f"/api/v1/jobs/{job_id}")
    studio.button("Delete", studio.page.get_by_role("dialog")).click()
    expect(studio.page.get_by_role("dialog")).to_have_count(0)
    expect(studio.item("another tab")).to_have_count(0)


def test_the_queue_is_reordered_and_paused(visit, trials, waiting):
    studio = visit("#/queue")
    page = studio.page
    places = page.get_by_role("region", name="Waiting").or_(page.locator("ol")).last.get_by_role("heading", level=3)
    expect(places).to_have_text(["Number 2", "Number 3"])
    studio.picture("queue-light")
    studio.button("Move up: Number 3").click()
    expect(places).to_have_text(["Number 3", "Number 2"])
    assert trials.job(waiting[2])["position"] == 1
    priority = page.get_by_label("Priority: Number 2")
    priority.fill("10")
    priority.press("Enter")
    expect(places).to_have_text(["Number 2", "Number 3"])
    studio.button("Pause").click()
    expect(studio.button("Resume")).to_be_visible()
    assert trials.server.get("/api/v1/queue").json()["paused"]
    studio.button("Resume").click()
    expect(studio.button("Pause")).to_be_visible()
    assert not trials.server.get("/api/v1/queue").json()["paused"]


# the header

def test_the_gpu_says_who_holds_its_memory(visit, finished):
    studio = visit("#/queue")
    page = studio.page
    page.get_by_role("button", name=re.compile(r"^GPU .* 24\.0 GiB 47 °C$")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("row", name="watched:film")).to_contain_text("2.9 GiB")
    expect(dialog.get_by_role("row", name="Other programs")).to_contain_text("6.0 GiB")
    studio.picture("gpu-light")
    studio.button("Release", dialog).click()
    expect(dialog.get_by_role("row", name="watched:film")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_the_theme_is_chosen_and_kept(visit):
    studio = visit(color_scheme="light")
    page = studio.page
    colour = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(colour)
    page.get_by_role("button", name="Theme").click()
    dark = page.evaluate(colour)
    assert dark != light
    page.reload()
    assert page.evaluate(colour) == dark
    page.emulate_media(color_scheme="dark")
    page.get_by_role("button", name="Theme").click()
    assert page.evaluate(colour) == light
