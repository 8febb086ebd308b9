"""The cards of hosted models, held against what was published of each model's inputs.

``tests/data/hosted`` has the facts of each schema, names, types and bounds, and where they were read.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.replicate import ReplicateBackend
from backends.replicate.inputs import inputs_of
from backends.replicate.promises import read_table
from vidgen.backend import BackendConfig
from vidgen.cards import BrokenCard, Card, read_card
from vidgen.request import MAX_SEED, JobRequest
from vidgen.types import CameraMove, RenderSpec

CARDS = {
    card.name: card for file in sorted((Path(__file__).resolve().parents[2] / "backends" / "models").glob("*.toml"))
    if (card := read_card(file)).provider == "replicate"
}
SCHEMAS = {
    file.stem: json.loads(file.read_text())
    for file in sorted((Path(__file__).resolve().parents[1] / "data" / "hosted").glob("*.json"))
}
KINDS = {"string": str, "integer": int, "number": (int, float), "boolean": bool}
IMAGE = "https://example.invalid/image.png"
every = pytest.mark.parametrize("name", CARDS)


def lengths_of(card: Card) -> list[int]:
    """Every number of frames that *card* offers."""
    frames = card.frames
    return list(range(int(frames.min), int(frames.max) + 1, int(frames.step) or 1)) if frames else [1]


def ends_of(card: Card) -> Iterator[dict[str, Any]]:
    """What a job can ask for beside size and length, at the ends of what *card* allows."""
    for key, parameter in card.parameters.items():
        kind = KINDS[parameter.type]
        ends = (False, True) if kind is bool else (parameter.min, parameter.max)
        yield from ({"parameters": {key: int(end) if kind is int else end}} for end in ends)
    if card.fps:
        yield from ({"fps": rate} for rate in (card.fps.min, card.fps.max))
    if card.steps:
        yield from ({"num_inference_steps": int(steps)} for steps in (card.steps.min, card.steps.max))
    if card.capabilities.negative_prompt:
        yield {"negative_prompt": "people"}


def shot(card: Card, image: str | None = None, **asked: Any) -> RenderSpec:
    """A shot of *card* as a job that asks for *asked* gives it to a backend."""
    effective = card.resolve(JobRequest(user_prompt="a forest", **asked), MAX_SEED)
    return RenderSpec(
        job_id="job", shot_id="shot_001", index=0, num_shots=1, prompt="a forest", caption="a forest",
        camera_move=CameraMove.STATIC, seed=effective.seed, width=effective.width, height=effective.height,
        num_frames=effective.num_frames, fps=effective.fps, num_inference_steps=effective.num_inference_steps,
        negative_prompt=effective.negative_prompt, parameters=effective.parameters, style={},
        image=Path(image) if image else None, focus=(0.5, 0.5), output=Path("clip.mp4"),
    )


def sent(card: Card, image: str | None = IMAGE, **asked: Any) -> dict[str, Any]:
    return inputs_of(read_table(card), shot(card, image, **asked), image)


def complaints(schema: dict[str, Any], inputs: dict[str, Any]) -> Iterator[str]:
    """What the service would refuse of *inputs*."""
    yield from (f"{name} is missing" for name in schema["required"] if name not in inputs)
    for name, value in inputs.items():
        rule = schema["inputs"].get(name)
        if rule is None:
            yield f"there is no input {name}"
        elif isinstance(value, bool) != (rule["type"] == "boolean") or not isinstance(value, KINDS[rule["type"]]):
            yield f"{name} is {value!r}, not a {rule['type']}"
        elif "enum" in rule and value not in rule["enum"]:
            yield f"{name} is {value!r}, not one of {rule['enum']}"
        elif not rule.get("minimum", value) <= value <= rule.get("maximum", value):
            yield f"{name} is {value!r}, outside of the bounds"


def test_no_card_is_shipped_without_its_schema():
    assert CARDS.keys() == SCHEMAS.keys()
    assert {"svd-xt", "flux-schnell"} <= CARDS.keys()


@every
def test_the_backend_takes_the_card_and_needs_only_a_token(name, tmp_path):
    backend = ReplicateBackend(BackendConfig(tmp_path, tokens={"replicate": "token"}))
    backend.check(CARDS[name])
    assert backend.availability(CARDS[name]).ok
    assert not ReplicateBackend(BackendConfig(tmp_path)).availability(CARDS[name]).ok
    sourceless = {key: value for key, value in CARDS[name].backend.items() if key != "source"}
    with pytest.raises(BrokenCard, match="source"):
        backend.check(CARDS[name].model_copy(update={"backend": sourceless}))


@every
def test_the_card_names_where_its_schema_was_read(name):
    table, schema = read_table(CARDS[name]), SCHEMAS[name]
    assert (table.model, table.source) == (schema["model"], schema["source"])
    assert table.source.startswith("https://") and schema["read"] >= "2026-11-23" and schema["kind"]


@every
def test_only_inputs_of_the_schema_are_mapped(name):
    table = read_table(CARDS[name])
    rows = [table.input, *table.sizes.values(), *table.lengths.values()]
    assert {key for row in rows for key in row} <= SCHEMAS[name]["inputs"].keys()


@every
def test_its_parameters_are_those_of_the_schema(name):
    table = read_table(CARDS[name])
    inputs = {field: where for where, field in table.asked.items()}
    for key, parameter in CARDS[name].parameters.items():
        rule = SCHEMAS[name]["inputs"][inputs.get(key, key)]
        assert (parameter.type, parameter.default) == (rule["type"], rule.get("default")), key
        assert rule.get("minimum", parameter.min) in (parameter.min, None), key
        assert rule.get("maximum", parameter.max) in (parameter.max, None), key
        assert parameter.choices == rule.get("enum"), key


@every
def test_every_size_and_length_that_it_offers_is_one_that_the_service_takes(name):
    card, schema = CARDS[name], SCHEMAS[name]
    for width, height in card.sizes:
        asked = {"width": width, "height": height}
        lengths = [asked | {"num_frames": frames} for frames in lengths_of(card)] if card.makes_video else [asked]
        wrong = [complaint for one in lengths for complaint in complaints(schema, sent(card, **one))]
        assert wrong == [], (width, height)


@every
def test_the_ends_of_every_other_range_are_taken_too(name):
    card, schema = CARDS[name], SCHEMAS[name]
    for asked in ({}, *ends_of(card)):
        assert list(complaints(schema, sent(card, **asked))) == [], asked


def test_the_held_up_schema_refuses_what_the_service_would():
    schema = SCHEMAS["wan-2.2-t2v-fast"]
    good = sent(CARDS["wan-2.2-t2v-fast"], image=None)
    assert list(complaints(schema, good)) == []
    for wrong in ({"num_frames": 80}, {"num_frames": 81.5}, {"num_frames": True}, {"go_fast": 1}, {"length": 5},
                  {"aspect_ratio": "1:1"}):
        assert list(complaints(schema, good | wrong)) != [], wrong
    assert list(complaints(schema, {})) == ["prompt is missing"]


@every
def test_a_model_that_takes_an_image_names_a_hosted_one_that_makes_it(name):
    can, maker = CARDS[name].capabilities, CARDS[name].keyframe_model
    if can.image_to_video:
        assert maker and CARDS[maker.removeprefix("replicate:")].capabilities.text_to_image
    else:
        assert maker is None


@pytest.mark.parametrize("name", [name for name, card in CARDS.items() if card.capabilities.text_to_video])
def test_no_image_is_sent_where_there_is_none(name):
    without = sent(CARDS[name], image=None)
    assert IMAGE not in without.values()
    assert (IMAGE in sent(CARDS[name]).values()) is CARDS[name].capabilities.image_to_video
    assert list(complaints(SCHEMAS[name], without)) == []


def test_the_hosted_model_that_serves_a_job_that_names_none_takes_text_images_and_little_money():
    videos = sorted((card for card in CARDS.values() if card.makes_video), key=lambda card: -card.preference)
    best = videos[0]
    assert best.preference > videos[1].preference
    assert best.capabilities.text_to_video and best.capabilities.image_to_video and best.capabilities.reads_text
    effective = best.resolve(JobRequest(user_prompt="a forest"), 1)
    assert read_table(best).cost_usd(None, effective.num_frames / effective.fps) <= 0.25


def test_the_svd_card_asks_for_25_frames_of_the_pinned_version_at_the_rate_that_its_file_will_have():
    card = CARDS["svd-xt"]
    assert read_table(card).version.startswith("3f0457e4")
    inputs = sent(card)
    assert inputs["video_length"].startswith(f"{card.frames.default:g}_frames_with_svd_xt")
    assert inputs["frames_per_second"] + 1 == card.fps.default      # the model's code writes one more than it is asked
    assert not card.capabilities.reads_text and "a forest" not in inputs.values()


def test_hosted_models_need_no_gpu_and_officials_no_version():
    for card in CARDS.values():
        assert (card.memory.vram_gb, card.memory.ram_gb) == (0.0, 1.0), card.id
        assert (read_table(card).version is None) is (card.name != "svd-xt"), card.id
