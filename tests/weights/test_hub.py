"""What the hub answers, in words for the person at the terminal."""

import socket

import pytest

from tests.weights.conftest import REPOSITORY
from vidgen.weights import WeightsError
from vidgen.weights.errors import HubUnreachable
from vidgen.weights.fetch import fetch
from vidgen.weights.hub import Hub


def refusal(setting, *, token=False, endpoint=None, **card):
    """The words, where the model is fetched."""
    with pytest.raises(WeightsError) as caught:
        fetch(setting.card(**card), setting.weights, Hub(token, endpoint or setting.hub.url, ()))
    return caught.value.detail


def test_a_wrong_token(setting):
    said = refusal(setting, token="hf_wrong")
    assert f"refuses the token in HF_TOKEN; make a new one at {setting.hub.url}/settings/tokens" in said


def test_a_gated_repository_without_a_token(setting):
    setting.repository.gated = True
    said = refusal(setting)
    assert f"open {setting.hub.url}/{REPOSITORY} and accept its licence" in said
    assert f"{setting.hub.url}/settings/tokens" in said and "HF_TOKEN" in said


def test_a_gated_repository_whose_licence_was_not_accepted(setting):
    setting.repository.gated = True
    said = refusal(setting, token="hf_right")
    assert "has to be accepted first" in said and f"open {setting.hub.url}/{REPOSITORY}," in said


@pytest.mark.parametrize("token", [False, "hf_right"])
def test_a_repository_that_is_not_there(setting, token):
    said = refusal(setting, token=token, repository="lab/nowhere")
    assert f"there is no repository lab/nowhere at {setting.hub.url}" in said


def test_a_revision_that_is_not_there(setting):
    assert refusal(setting, revision="v9") == f"{REPOSITORY} has no revision 'v9'"


def test_a_hub_that_cannot_be_reached(setting):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))        # bound and not listening: connections are refused
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        said = refusal(setting, endpoint=address)
    assert said.startswith(f"{address} cannot be reached") and "HF_ENDPOINT" in said


LISTED = b'{"id": "lab/clip", "sha": "1", "siblings": [%s]}'


@pytest.mark.parametrize("body", [
    b"<html>", b"[]", b"{}", LISTED % b"{}", LISTED % b'{"rfilename": "model_index.json", "size": 3}',
], ids=["page", "list", "nothing", "no name", "no hash"])
def test_something_else_than_a_hub(setting, body):
    setting.hub.instead = body
    assert refusal(setting) == f"what answers at {setting.hub.url} is not a hub: no list of files came"


def test_a_repository_without_files(setting):
    setting.hub.instead = LISTED % b""
    assert refusal(setting) == f"{setting.hub.url} lists no files of {REPOSITORY}"


def test_what_may_pass_is_told_from_what_will_not(setting):
    setting.hub.busy = 1
    with pytest.raises(HubUnreachable, match="try again later"):
        fetch(setting.card(), setting.weights, Hub(False, setting.hub.url, ()))
