"""Each view by itself: what it shows and what can be done there, in both themes, on a narrow window, read by axe."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.page.studio import FILM, IMAGE, NARROW, REFUSED

MARKUP = f"{IMAGE}<b>bold</b>"
SMALLEST = {"width": 320, "height": 640}


def item(page: Page, words: str):
    """The gallery's item of a job with *words* in its prompt."""
    return page.get_by_test_id("gallery-item").filter(has_text=words)


@pytest.fixture(scope="module")
def finished(trials) -> str:
    """The id of a job that has its video; tests leave it alone."""
    job = {"user_prompt": "A heron in the reeds. It takes off.", "model_id": "watched:film", "max_shots": 2,
           "width": 320, "height": 180, "num_frames": 9}
    job_id = trials.server.submit(**job)
    trials.server.wait(job_id)
    return job_id


@pytest.fixture(scope="module")
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


# what people wrote

def test_text_is_never_markup(visit, trials):
    storyboard = {"title": f"Title {MARKUP}", "shots": [{"description": f"Shot {MARKUP}"}]}
    style = {"mood": MARKUP}
    job_id = trials.server.submit(user_prompt=f"Prompt {MARKUP}", storyboard=storyboard, style_preferences=style)
    trials.server.wait(job_id)
    studio = visit(f"#/jobs/{job_id}")
    page = studio.page
    expect(page.get_by_role("heading", name=f"Title {MARKUP}")).to_be_visible()
    expect(studio.shot(1)).to_contain_text(f"Shot {MARKUP}")
    expect(page.get_by_text(f"Prompt {MARKUP}").first).to_be_visible()
    studio.button("Duplicate").click()
    expect(studio.field("Title")).to_have_value(f"Title {MARKUP}")
    page.get_by_role("link", name="Gallery").click()
    expect(item(page, f"Title {MARKUP}")).to_be_visible()
    assert page.locator("img[src=x], main b").count() == 0 and "pwned" not in page.title()


# a job

def test_a_job_that_fails_says_why_and_is_tried_again(visit, failed):
    studio = visit(f"#/jobs/{failed}")
    expect(studio.page.get_by_role("alert")).to_contain_text("cannot be done as planned")
    studio.expect_status(1, "failed")
    studio.picture("failed-light")
    studio.button("Retry").dblclick()
    studio.page.wait_for_url(lambda url: failed not in url)
    expect(studio.film).to_be_visible()
    expect(studio.page.get_by_role("region", name="Versions").get_by_role("link")).to_have_count(2)


def test_a_job_is_cancelled_and_deleted(visit, trials, waiting):
    studio = visit(f"#/jobs/{waiting[0]}")
    studio.expected.append(REFUSED)         # the page may ask for the job between its end and its own leaving
    page = studio.page
    studio.button("Cancel").click()
    expect(page.get_by_role("main")).to_contain_text("Cancelled")
    studio.expect_status(1, "cancelled")
    expect(studio.button("Retry")).to_be_visible()
    studio.button("Delete").click()
    dialog = page.get_by_role("dialog", name="Delete this job?")
    studio.picture("delete-light")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(studio.button("Delete")).to_be_focused()
    studio.button("Delete").click()
    studio.button("Delete", dialog).click()
    expect(page).to_have_url(re.compile("#/gallery$"))
    assert trials.server.get(f"/api/v1/jobs/{waiting[0]}").status_code == 404


def test_a_job_that_cannot_be_read_is_read_again(visit, finished):
    studio = visit("#/gallery")
    studio.expected.append(re.compile("status of 503"))
    busy = {"code": "busy", "detail": "the database is busy", "fields": []}
    studio.page.route(f"**/api/v1/jobs/{finished}", lambda route: route.fulfill(status=503, json=busy))
    studio.page.evaluate("(id) => { location.hash = `#/jobs/${id}`; }", finished)
    expect(studio.page.get_by_role("alert")).to_have_text("The database is busy.")
    studio.page.unroute_all()
    expect(studio.film).to_be_visible()
    expect(studio.page.get_by_role("alert")).to_have_count(0)


def test_a_job_that_waits_says_its_place_as_it_is(visit, trials, waiting):
    studio = visit(f"#/jobs/{waiting[2]}")
    studio.expected.append(REFUSED)         # the page may ask for the job once more after it was deleted
    progress = studio.page.get_by_role("region", name="Progress")
    expect(progress).to_contain_text("Place 2 in the queue")
    trials.server.post(f"/api/v1/jobs/{waiting[1]}/cancel")
    expect(progress).to_contain_text("Next in the queue")


def test_a_job_without_a_title_keeps_its_buttons_in_sight(visit, trials, waiting):
    job_id = trials.server.submit(user_prompt="A harbour in the fog. " * 150)
    studio = visit(f"#/jobs/{job_id}")
    studio.expected.append(REFUSED)         # the page may ask for the job once more after it was deleted
    expect(studio.button("Cancel")).to_be_in_viewport()
    assert studio.page.get_by_role("heading", level=1).bounding_box()["height"] < 100
    trials.server.client.delete(f"/api/v1/jobs/{job_id}")
    expect(studio.page.get_by_role("heading", name="This job is not here")).to_be_visible()
    expect(studio.page.get_by_role("main")).to_be_focused()
    expect(studio.page.locator("#announcer")).to_have_text("This job is not here")


def test_frames_are_counted_as_they_are_seen(visit, finished):
    studio = visit(f"#/jobs/{finished}")
    number = studio.page.get_by_text(re.compile(r"^Frame \d+ of 18$"))
    expect(number).to_have_text("Frame 1 of 18")
    studio.film.evaluate("(video) => { video.currentTime = 10.7 / 8; }")
    expect(number).to_have_text("Frame 11 of 18")
    studio.button("Next frame").click()
    expect(number).to_have_text("Frame 12 of 18")
    studio.film.evaluate("(video) => { video.currentTime = video.duration; }")
    expect(number).to_have_text("Frame 18 of 18")
    studio.button("Previous frame").click()
    expect(number).to_have_text("Frame 17 of 18")


def test_a_dialog_opens_once_and_only_where_it_was_asked_for(visit, finished):
    studio = visit(f"#/jobs/{finished}")
    page, dialogs = studio.page, studio.page.get_by_role("dialog")
    held: list[Route] = []
    page.route("**/api/v1/models/*", lambda route: held.append(route))

    def ask() -> None:
        with page.expect_request("**/api/v1/models/*"):
            studio.button("Edit shot 1").click()

    def answer() -> None:
        for route in held:
            with page.expect_response("**/api/v1/models/*"):
                route.continue_()
        held.clear()
        page.evaluate("() => fetch('/api/v1/health').then((answer) => answer.json())")    # what came before is heeded

    ask()
    ask()
    answer()
    expect(dialogs).to_have_count(1)
    page.reload()
    ask()
    page.get_by_role("link", name="Queue").click()
    expect(page.get_by_role("heading", name="Queue")).to_be_visible()
    answer()
    expect(dialogs).to_have_count(0)


def test_a_job_that_is_gone_leaves_the_form_as_it_was(visit):
    studio = visit("#/?from=job_0000000000000000")
    studio.expected.append(REFUSED)
    expect(studio.button("Generate")).to_be_visible()
    assert studio.page.url.endswith("#/")


def test_clips_play_by_themselves_unless_people_want_it_calm(visit, finished):
    studio = visit(f"#/jobs/{finished}", reduced_motion="no-preference")
    clip = studio.shot(1).locator("video")
    studio.page.wait_for_function("(video) => video.currentTime > 0.05", arg=clip.element_handle())
    studio.button("Pause shot 1").click()
    assert clip.evaluate("(video) => video.paused")
    calm = visit(f"#/jobs/{finished}", reduced_motion="reduce")
    expect(calm.button("Play shot 1")).to_be_attached()
    assert calm.shot(1).locator("video").evaluate("(video) => video.paused")


def test_shots_are_arranged_into_a_new_version(visit, trials, finished):
    studio = visit(f"#/jobs/{finished}")
    page = studio.page
    studio.button("Arrange").click()
    studio.button("Move right: Shot 1").click()
    expect(page.get_by_role("heading", name="1. Shot 2")).to_be_visible()
    trials.forget()
    studio.button("Make the new version").click()
    page.wait_for_url(lambda url: finished not in url)
    expect(studio.film).to_be_visible()
    before, after = ([shot["description"] for shot in trials.job(job_id)["storyboard"]["shots"]]
                     for job_id in (finished, studio.job_id))
    assert after == before[::-1] and not trials.journal("render")


def test_the_recipe_and_the_contact_sheet(visit, trials, finished):
    studio = visit(f"#/jobs/{finished}")
    studio.button("Recipe").click()
    dialog = studio.page.get_by_role("dialog", name="Recipe")
    expect(dialog).to_contain_text('"seed"')
    studio.expect_accessible()
    studio.page.keyboard.press("Escape")
    with studio.page.expect_download() as download:
        studio.page.get_by_role("link", name="Contact sheet").click()
    assert download.value.path().read_bytes()[:3] == b"\xff\xd8\xff"


def test_a_job_is_duplicated_with_all_that_it_asked_for(visit, finished):
    studio = visit(f"#/jobs/{finished}")
    studio.button("Duplicate").click()
    expect(studio.field("Prompt")).to_have_value("A heron in the reeds. It takes off.")
    expect(studio.page.get_by_role("radio", name=FILM, exact=True)).to_be_checked()
    expect(studio.page.get_by_role("heading", name="Shot 2")).to_be_visible()


def test_a_job_that_is_not_there(visit):
    studio = visit("#/jobs/job_0000000000000000")
    studio.expected.append(REFUSED)
    expect(studio.page.get_by_role("heading", name="This job is not here")).to_be_visible()
    studio.expect_accessible()


# all jobs

def test_the_gallery_is_searched_and_filtered(visit, finished, failed):
    studio = visit("#/gallery")
    page = studio.page
    heron, bridge = item(page, "reeds").first, item(page, "breaks").first
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
    expect(item(studio.page, "gone tomorrow")).to_have_count(0)
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
    expect(item(studio.page, "another tab")).to_have_count(0)


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


# for everybody

@pytest.mark.parametrize("window", [
    {"color_scheme": "light"}, {"color_scheme": "dark", "viewport": NARROW}, {"viewport": SMALLEST},
], ids=["light", "dark-narrow", "smallest"])
def test_every_view_is_accessible(visit, finished, failed, waiting, window):
    studio = visit(**window)
    page = studio.page
    views = {
        "#/": studio.button("Generate"), f"#/jobs/{finished}": studio.film, f"#/jobs/{failed}": studio.button("Retry"),
        f"#/jobs/{waiting[0]}": studio.shot(1), f"#/jobs/{waiting[2]}": studio.button("Cancel"),
        "#/gallery": item(page, "reeds").first, "#/queue": page.get_by_role("heading", name="Number 3"),
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
