"""A server that needs a key, and whose models render on the CPU, in the browser."""

import pytest
from playwright.sync_api import expect

from tests.api.trials import Trials
from tests.page.studio import MODELS, REFUSED, SETTINGS

KEY = "a-key-of-this-server"


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    trials = Trials(tmp_path_factory.mktemp("page"), MODELS, total=None)
    with trials.serving(**SETTINGS, api_keys=KEY):
        yield trials


def sign_in(studio, key: str) -> None:
    studio.field("API key").fill(key)
    studio.button("Sign in").click()


def test_a_visitor_signs_in_with_the_key_and_makes_a_video(visit):
    studio = visit()
    studio.expected.append(REFUSED)
    page = studio.page
    expect(page.get_by_role("heading", name="Sign in to vidgen")).to_be_visible()
    expect(studio.field("API key")).to_be_focused()
    studio.picture("sign-in-light")
    page.emulate_media(color_scheme="dark")
    studio.picture("sign-in-dark")
    sign_in(studio, "another-key")
    expect(page.get_by_role("alert")).to_contain_text("not a key of this server")
    sign_in(studio, KEY)
    studio.compose("A stove in winter", shots=1)
    studio.generate()
    studio.expect_playing(studio.film)
    page.reload()
    expect(studio.film).to_be_visible()
    assert KEY not in str(page.context.cookies()) + page.content()


def test_without_a_key_nothing_is_told(visit):
    studio = visit("#/gallery")
    studio.expected.append(REFUSED)
    for path in ("/studio/js/main.js", "/api/v1/jobs", "/videos/job_1/final_output.mp4"):
        assert studio.page.request.get(f"{studio.url}{path}").status == 401
    expect(studio.field("API key")).to_be_visible()


def test_a_key_that_is_withdrawn_leads_back_to_the_sign_in(visit):
    studio = visit()
    studio.expected.append(REFUSED)
    sign_in(studio, KEY)
    expect(studio.field("Prompt")).to_be_visible()
    studio.page.context.clear_cookies()
    studio.page.get_by_role("link", name="Gallery").click()
    expect(studio.field("API key")).to_be_visible()


def test_the_memory_of_a_machine_without_a_gpu_is_called_ram(visit):
    studio = visit()
    studio.expected.append(REFUSED)
    sign_in(studio, KEY)
    expect(studio.page.get_by_role("button", name="RAM")).to_be_visible()
    studio.expect_accessible()
