"""The form that composes a job: its fields, its image, its storyboard, and what it says of what cannot be."""

import re
from io import BytesIO

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.page.studio import IMAGE, REFERENCE, REFUSED, Studio

UPLOAD = "**/api/v1/upload"
BRING = """([kind, bytes, texts = []]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], "brought.jpg", { type: "image/jpeg" }));
  for (const type of texts) data.setData(type, "words");
  const how = { bubbles: true, cancelable: true };
  const place = document.querySelector("input[type=file]");
  const event = kind === "drop" ? new DragEvent(kind, { ...how, dataTransfer: data })
    : new ClipboardEvent(kind, { ...how, clipboardData: data });
  (kind === "drop" ? place : document.body).dispatchEvent(event);
}"""


def test_what_is_wrong_is_said_at_its_field(visit):
    studio = visit()
    studio.expected.append(REFUSED)
    studio.button("Generate").click()
    expect(studio.field("Prompt")).to_be_focused()
    expect(studio.field("Prompt")).to_have_accessible_description(re.compile("required"))
    studio.compose(seed="-1")
    expect_wrong(studio, "Seed", "0")
    studio.field("Seed").fill("7")
    studio.field("Decode chunk size").fill("999")
    expect_wrong(studio, "Decode chunk size", "64")
    studio.picture("wrong-field-light")
    studio.button("Generate").click()
    expect(studio.field("Decode chunk size")).to_be_focused()
    expect(studio.field("Prompt")).not_to_have_value("")
    studio.field("Decode chunk size").fill("4")
    expect(studio.page.locator("[aria-invalid=true]")).to_have_count(0)
    expect(studio.page.get_by_role("region", name="What it will take")).to_contain_text("2 shots")


def expect_wrong(studio: Studio, name: str, words: str) -> None:
    expect(studio.field(name)).to_have_attribute("aria-invalid", "true")
    expect(studio.field(name)).to_have_accessible_description(re.compile(words))


def test_a_file_that_is_no_image_is_refused_in_words(visit):
    studio = visit()
    studio.expected.append(REFUSED)
    studio.field("Reference image").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": b"none"})
    expect_wrong(studio, "Reference image", "image")


def test_the_form_waits_for_an_image_that_is_on_its_way(visit):
    studio = visit()
    held = studio.hold(UPLOAD)
    studio.compose()
    studio.field("Reference image").set_input_files(REFERENCE)
    studio.until_held(held)
    studio.choose_model("Animatic stub")
    expect(studio.page.get_by_text("Sending the image")).to_be_visible()
    studio.button("Generate").click()
    expect(studio.page.get_by_text("is still being sent")).to_be_visible()
    held[0].continue_()
    expect(studio.page.get_by_role("img", name="The reference image")).to_be_visible()
    assert studio.generate()


def test_a_keyframe_arrives_though_its_shot_has_moved(visit):
    studio = visit()
    page, held = studio.page, studio.hold(UPLOAD)
    studio.compose("A mill by a river. The wheel turns.", shots=2)
    studio.button("Write the storyboard first").click()
    page.locator("summary", has_text="First image").first.click()
    studio.field("Keyframe").first.set_input_files(REFERENCE)
    studio.until_held(held)
    studio.button("Move shot 1 down").click()
    second = page.get_by_role("group", name="Shot 2")
    expect(second.get_by_text("Sending the image")).to_be_visible()
    held[0].continue_()
    expect(second.get_by_text("Starts from your image")).to_be_visible()


def test_of_two_images_the_last_counts(visit):
    studio = visit()
    held = studio.hold(UPLOAD)
    expect(studio.field("Reference image")).to_be_attached()
    for number, size in enumerate(((64, 48), (80, 60)), start=1):
        studio.page.evaluate(BRING, ["paste", picture(*size)])
        studio.until_held(held, number)
    with studio.page.expect_response(UPLOAD):
        held[1].continue_()
    with studio.page.expect_response(UPLOAD):
        held[0].continue_()
    expect(studio.page.get_by_text("brought.jpg · 80 × 60")).to_be_visible()


def test_text_that_brings_a_picture_of_itself_is_text(visit):
    studio = visit()
    expect(studio.field("Reference image")).to_be_attached()
    studio.page.evaluate(BRING, ["paste", picture(64, 48), ["text/plain", "text/html"]])
    expect(studio.field("Reference image")).to_be_attached()
    expect(studio.page.get_by_text("Sending the image")).to_have_count(0)


def picture(width: int, height: int) -> list[int]:
    """The bytes of a JPEG."""
    Image.new("RGB", (width, height), "teal").save(image := BytesIO(), "JPEG")
    return list(image.getvalue())


@pytest.mark.parametrize("event", ["paste", "drop"])
def test_an_image_is_pasted_or_dropped(visit, event):
    studio = visit()
    expect(studio.field("Reference image")).to_be_attached()
    studio.field("Prompt").focus()
    studio.page.evaluate(BRING, [event, picture(64, 48)])
    expect(studio.page.get_by_text("brought.jpg · 64 × 48")).to_be_visible()
    expect(studio.field("Prompt")).to_be_focused()
    studio.button("Remove image").click()
    expect(studio.field("Reference image")).to_be_focused()


def test_the_form_survives_a_reload(visit):
    studio = visit()
    studio.compose("A pier in the rain", shots=5, seed="42", mood="calm")
    studio.page.reload()
    for name, value in {"Prompt": "A pier in the rain", "Shots": "5", "Seed": "42", "Mood": "calm"}.items():
        expect(studio.field(name)).to_have_value(value)


def test_models_that_cannot_run_say_why(visit):
    studio = visit()
    models = studio.page.get_by_role("radiogroup", name="Model")
    models.get_by_text(re.compile(r"\d+ models cannot run now")).click()
    expect(models.get_by_text("make weights MODEL=svd-xt", exact=False).first).to_be_visible()


def test_a_storyboard_is_written_and_edited_before_anything_renders(visit, trials):
    studio = visit()
    page = studio.page
    studio.compose("A mill by a river. The wheel turns. A heron waits.", shots=3)
    studio.button("Write the storyboard first").click()
    expect(page.get_by_role("heading", name="Shot 3")).to_be_visible()
    studio.picture("storyboard-light")
    studio.button("Remove shot 3").click()
    expect(studio.button("Move shot 2 up")).to_be_focused()
    studio.button("Move shot 2 up").click()
    first = studio.field("Description").first
    first.fill("The wheel, close")
    job_id = studio.generate()
    expect(studio.film).to_be_visible()
    shots = trials.job(job_id)["storyboard"]["shots"]
    assert [shot["description"] for shot in shots][0] == "The wheel, close" and len(shots) == 2


def test_another_model_takes_no_parameters_of_the_one_before(visit):
    studio = visit()
    studio.compose(shots=1)
    studio.button("Write the storyboard first").click()
    studio.page.locator("summary", has_text="Parameters of this shot").click()
    studio.field("Step seconds").last.fill("0.001")
    studio.choose_model("Animatic stub")
    expect(studio.page.get_by_role("region", name="What it will take")).to_contain_text("at once")
    assert studio.generate()


def test_the_name_of_a_file_is_never_markup(visit):
    studio = visit()
    studio.field("Reference image").set_input_files(
        {"name": f"{IMAGE}.jpg", "mimeType": "image/jpeg", "buffer": REFERENCE.read_bytes()}
    )
    expect(studio.page.get_by_text(f"{IMAGE}.jpg")).to_be_visible()
    assert studio.page.locator("img[src=x]").count() == 0
