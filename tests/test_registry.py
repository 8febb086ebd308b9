"""Backends and cards, found and paired."""

from pathlib import Path

import pytest

from vidgen.backend import AVAILABLE, Availability, Backend, BackendConfig
from vidgen.errors import ModelUnavailable, NotFound, StartRefused
from vidgen.registry import Model, Registry, discover
from vidgen.settings import load_settings
from vidgen.types import Lane

CARD = """
provider = "stub"
name = "{name}"
title = "A card"
description = "dropped into a folder"
[capabilities]
image_to_video = true
[width]
default = 64
min = 64
max = 128
[height]
default = 64
min = 64
max = 128
[frames]
default = 5
min = 1
max = 9
step = 4
[fps]
default = 8
min = 1
max = 30
"""


def registry(tmp_path: Path, **cards: str) -> Registry:
    for name, text in cards.items():
        (tmp_path / f"{name}.toml").write_text(text)
    return discover(load_settings(models_dir=tmp_path))


def test_local_and_hosted_svd_are_always_listed_with_the_reason_why_they_cannot_run():
    found = discover(load_settings())
    for model_id in ("local:svd-xt", "replicate:svd-xt"):
        availability = found.model(model_id).availability()
        assert not availability.ok
        assert availability.reason


def test_the_stub_comes_through_the_same_door_and_can_run():
    model = discover(load_settings()).model("stub:animatic")
    assert model.availability().ok
    assert model.backend.lane is Lane.CPU


def test_the_default_is_the_named_model_else_the_best_that_can_run():
    found = discover(load_settings())
    assert found.default(None).id == "stub:animatic"
    with pytest.raises(ModelUnavailable, match="local:svd-xt cannot run now"):
        found.default("local:svd-xt")
    with pytest.raises(NotFound, match="no-such"):
        found.default("stub:no-such")


def test_a_card_in_models_dir_is_one_more_model(tmp_path):
    found = registry(tmp_path, mover=CARD.format(name="mover"))
    assert found.runnable("stub:mover").card.title == "A card"


@pytest.mark.parametrize(("change", "said"), [
    (("default = 64", "default = 4", 1), "width: Value error, default 4"),
    (("[frames]", "[frames_of]", 1), "frames_of"),
    (("image_to_video = true", "image_to_video = false", 1), "at least one must be true"),
    (('name = "x"', 'name = "../x"', 1), "name: String should match"),
    (("title", "titel", 1), "title: Field required"),
    (("provider =", "provider", 1), "not readable as TOML"),
])
def test_a_broken_card_is_listed_with_file_field_and_what_was_expected(tmp_path, change, said):
    found = registry(tmp_path, mine=CARD.format(name="x").replace(*change))
    availability = found.model("broken:mine").availability()
    assert not availability.ok
    assert "mine.toml" in availability.reason
    assert said in availability.reason


def test_two_cards_with_one_id_stop_the_start_and_both_places_are_named(tmp_path):
    with pytest.raises(StartRefused, match=r"two models are named stub:x: .*a\.toml and .*b\.toml"):
        registry(tmp_path, a=CARD.format(name="x"), b=CARD.format(name="x"))


def test_a_card_whose_backend_is_missing_is_listed_with_that_reason(tmp_path):
    found = registry(tmp_path, mine=CARD.format(name="x").replace('"stub"', '"dream"'))
    assert found.model("dream:x").availability() == Availability(
        False, "no backend for 'dream' models is installed"
    )


def test_a_models_dir_that_does_not_exist_stops_the_start(tmp_path):
    with pytest.raises(StartRefused, match="MODELS_DIR"):
        discover(load_settings(models_dir=tmp_path / "nowhere"))


def test_a_backend_that_fails_to_say_is_unavailable_and_stops_nothing(tmp_path):
    class Confused(Backend):
        provider = "confused"
        lane = Lane.CPU

        def availability(self, model):
            raise ZeroDivisionError

        def render(self, model, shot, control):
            return AVAILABLE

    card = discover(load_settings()).model("stub:animatic").card
    model = Model("confused:x", card, Confused(BackendConfig(weights_dir=tmp_path)))
    assert model.availability() == Availability(False, "its backend failed; the log says more")


MOVER = CARD.format(name="mover").replace("title =", 'keyframe_model = "{}"\ntitle =')
BEST = "preference = 99\n"


@pytest.mark.parametrize(("keyframe_model", "problem"), [
    ("stub:still", None),
    ("stub:none", "it needs a reference image: there is no stub:none, which would draw one"),
    ("local:svd-xt", "it needs a reference image: local:svd-xt, which would draw one, cannot run: "),
])
def test_a_model_that_moves_images_says_why_text_alone_does_not_do(tmp_path, keyframe_model, problem):
    found = registry(tmp_path, mover=BEST + MOVER.format(keyframe_model))
    said = found.text_problem(found.model("stub:mover"))
    assert (said is None) if problem is None else said.startswith(problem)
    assert found.default(None).id == ("stub:mover" if problem is None else "stub:animatic")
    assert found.default(None, from_image=True).id == "stub:mover"


def test_a_model_with_no_keyframe_model_needs_an_image(tmp_path):
    found = registry(tmp_path, mover=BEST + CARD.format(name="mover"))
    assert found.text_problem(found.model("stub:mover")) == "it needs a reference image"
    assert found.text_problem(found.model("stub:animatic")) is None
    assert found.text_problem(found.model("stub:still")) is None
    assert found.default(None).id == "stub:animatic"


PARTICULAR = """
from pathlib import Path
from vidgen.backend import AVAILABLE, Backend
from vidgen.cards import BrokenCard
from vidgen.types import Lane

class Particular(Backend):
    provider = "{provider}"
    lane = Lane.CPU

    def cards(self):
        return sorted(Path(__file__).parent.glob("*.toml"))

    def check(self, model):
        if "artist" not in model.backend:
            raise BrokenCard(f"{{model.source.name}}: backend.artist: is missing")

    def availability(self, model):
        return AVAILABLE

    def render(self, model, shot, control):
        raise NotImplementedError
"""


def installed(folder: Path, monkeypatch, provider: str = "particular", **cards: str) -> Registry:
    """The registry beside a package with a particular backend and these cards."""
    metadata = folder / "particular-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: particular\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[vidgen.backends]\nparticular = {folder.name}:Particular\n")
    (folder / f"{folder.name}.py").write_text(PARTICULAR.format(provider=provider))
    for name, text in cards.items():
        (folder / f"{name}.toml").write_text(text.replace('"stub"', '"particular"'))
    monkeypatch.syspath_prepend(str(folder))
    return discover(load_settings(_env_file=None))


def test_a_backend_brings_cards_along_and_refuses_those_that_it_cannot_read(tmp_path, monkeypatch):
    signed = CARD.format(name="signed") + '[backend]\nartist = "me"\n'
    found = installed(tmp_path / "cards_a", monkeypatch, signed=signed, unsigned=CARD.format(name="unsigned"))
    assert found.runnable("particular:signed").card.title == "A card"
    unsigned = found.model("particular:unsigned").availability()
    assert unsigned.reason == "its card is broken: unsigned.toml: backend.artist: is missing"


def test_a_backend_whose_entry_point_has_another_name_is_not_used(tmp_path, monkeypatch):
    found = installed(tmp_path / "cards_b", monkeypatch, provider="other")
    assert not [model for model in found.models() if model.id.startswith(("particular", "other"))]


def test_broken_cards_of_one_name_are_all_listed_and_say_no_path(tmp_path):
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).mkdir()           # a folder is no card
    found = registry(tmp_path)
    assert found.model("broken:a").availability().reason == "its card is broken: a.toml: cannot be read: Is a directory"
    assert str(tmp_path) not in found.model("broken:b").problem
