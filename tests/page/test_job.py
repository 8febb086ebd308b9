"""A job's own view: what it shows and what can be done there."""

import re

from playwright.sync_api import expect

from tests.page.studio import FILM, IMAGE, REFUSED

MARKUP = f"{IMAGE}<b>bold</b>"


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
    expect(studio.item(f"Title {MARKUP}")).to_be_visible()
    assert page.locator("img[src=x], main b").count() == 0 and "pwned" not in page.title()


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
    held = studio.hold("**/api/v1/models/*")

    def ask() -> None:
        before = len(held)
        studio.button("Edit shot 1").click()
        studio.until_held(held, before + 1)

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
