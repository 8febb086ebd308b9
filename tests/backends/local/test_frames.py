"""The frames that reach the encoder are, bit for bit, those of a plain call of diffusers."""

from dataclasses import replace

import numpy
import pytest

from tests.backends.local.rig import CARDS, Rig, Said, one_of_each_class, shot_of, with_weights
from vidgen.cards import Card
from vidgen.errors import StepFailed


def each(cards: list[Card]):
    return pytest.mark.parametrize("card", cards, ids=lambda card: card.name)


def same(ours, theirs) -> bool:
    return len(ours) == len(theirs) and all(numpy.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@each(with_weights())
def test_equal_to_plain_diffusers(rig: Rig, card: Card):
    """With the number of frames that the card has, where it leaves no choice."""
    fixed = card.frames and card.frames.min == card.frames.max
    shot = shot_of(card, num_frames=int(card.frames.default)) if fixed else shot_of(card)
    frames = rig.frames(card, shot)
    assert same(frames, rig.plainly(card, shot))
    assert frames[0].shape == (shot.height, shot.width, 3) and frames[0].dtype == numpy.uint8
    assert frames[0].std() > 1, "the test weights make a plain surface"


@each([card for card in with_weights() if card.capabilities.text_to_video and card.capabilities.image_to_video])
def test_equal_without_an_image_too(rig: Rig, card: Card):
    shot = shot_of(card, image=None)
    assert same(rig.frames(card, shot), rig.plainly(card, shot))


@each(one_of_each_class())
def test_one_request_leaves_nothing_for_the_next(rig: Rig, card: Card):
    first, second = shot_of(card), shot_of(card, seed=7, prompt="a white horse", num_inference_steps=3)
    other = rig.frames(card, second)
    assert same(other, rig.plainly(card, second))
    assert same(alone := rig.frames(card, first), rig.plainly(card, first))
    assert not same(alone, other)


def test_a_decoding_in_tiles_is_equal_too_and_never_goes_back(rig: Rig):
    """Wider than one tile, which has 256 pixels."""
    card = CARDS["hunyuanvideo-1.5-t2v"]
    whole = card.model_copy(update={"backend": {**card.backend, "family": None}})
    shot = shot_of(card, width=272, num_frames=5)
    assert same(frames := rig.frames(card, shot, said := Said()), rig.plainly(card, shot))
    assert not same(frames, rig.plainly(whole, shot))
    units = [i for i, _ in said.of("decode")]
    assert units == sorted(set(units)) and units[-1] == said.of("decode")[-1][1]


@pytest.mark.parametrize(("name", "chunk"), [("svd", 1), ("svd", 3), ("svd", 10), ("svd-xt", 3)])
def test_svd_decodes_in_chunks_as_the_pipeline_does(rig: Rig, name: str, chunk: int):
    card = CARDS[name]
    shot = shot_of(card, parameters={"decode_chunk_size": chunk}, num_inference_steps=1)
    assert same(frames := rig.frames(card, shot), rig.plainly(card, shot))
    assert not same(frames, rig.plainly(card, shot_of(card, num_inference_steps=1)))


@pytest.mark.parametrize("given", [
    {"motion_bucket_id": 20}, {"noise_aug_strength": 0.5}, {"min_guidance_scale": 2.5}, {"max_guidance_scale": 1},
    {"fps": 24.0},
], ids=lambda given: next(iter(given)))
def test_everything_that_conditions_svd_reaches_it(rig: Rig, given):
    card = CARDS["svd"]
    changes = given if "fps" in given else {"parameters": given}
    shot = shot_of(card, num_inference_steps=1, **changes)
    assert same(frames := rig.frames(card, shot), rig.plainly(card, shot))
    assert not same(frames, rig.plainly(card, shot_of(card, num_inference_steps=1)))


def test_a_scheduler_of_the_cards_own(rig: Rig):
    card = CARDS["sd-turbo"]
    table = {**card.backend, "scheduler": {"class": "DDIMScheduler", "timestep_spacing": "linspace"}}
    other = card.model_copy(update={"backend": table})
    shot = shot_of(other)
    assert same(frames := rig.frames(other, shot), rig.plainly(other, shot))
    assert not same(frames, rig.frames(card, shot))


def test_a_parameter_can_set_the_scheduler_of_one_request(rig: Rig):
    card = CARDS["sd-turbo"]
    number = {"type": "number", "default": 0.02, "description": "the last beta"}
    other = type(card)(**{
        **card.model_dump(), "parameters": {"last": number},
        "backend": {**card.backend, "names": {"last": "scheduler.beta_end"}},
    })
    shots = [shot_of(other, parameters={"last": last}) for last in (0.02, 0.012)]
    assert same(changed := rig.frames(other, shots[0]), rig.plainly(other, shots[0]))
    assert not same(changed, rig.frames(other, shots[1]))


def test_an_image_is_cut_to_shape_and_never_stretched(rig: Rig, tmp_path):
    """A wide picture whose middle is all that a square shows: the same frames as from that middle alone."""
    from PIL import Image

    card = CARDS["svd"]
    middle = Image.effect_noise((64, 64), 80).convert("RGB")
    wide = Image.new("RGB", (200, 64), "red")
    wide.paste(middle, (68, 0))
    middle.save(tmp_path / "middle.png")
    wide.save(tmp_path / "wide.png")
    shots = [shot_of(card, width=64, height=64, image=tmp_path / name) for name in ("middle.png", "wide.png")]
    assert same(rig.frames(card, shots[0]), rig.frames(card, shots[1]))
    left = replace(shots[1], focus=(0.0, 0.5))
    assert not same(rig.frames(card, left), rig.frames(card, shots[0]))


@pytest.mark.parametrize(("card", "image", "said"), [
    ("svd", None, "this model needs an image to start from"),
    ("sd-turbo", "given", "this model takes no image"),
])
def test_an_image_too_many_or_too_few(rig: Rig, tmp_path, card: str, image, said: str):
    from PIL import Image

    Image.new("RGB", (9, 9)).save(tmp_path / "given", "PNG")
    with pytest.raises(StepFailed, match=said) as failed:
        rig.frames(CARDS[card], shot_of(CARDS[card], image=image and tmp_path / image))
    assert not failed.value.retryable


def test_values_that_are_not_numbers_are_not_encoded_as_black():
    import torch

    from backends.local.render import to_bytes

    broken = torch.full((1, 3, 8, 8), 0.5)
    broken[0, 0, 0, 0] = float("nan")
    with pytest.raises(StepFailed, match="not numbers"):
        to_bytes(broken)


def test_frames_become_bytes_a_few_at_a_time_and_stay_in_order():
    import torch

    from backends.local.render import AT_ONCE, _in_bytes, to_bytes

    batch = torch.rand(2 * AT_ONCE + 3, 3, 8, 8)
    frames = list(_in_bytes(iter([batch, batch[:1]])))
    assert same(frames, [*to_bytes(batch), *to_bytes(batch[:1])])
    assert max(len(frame.base) for frame in frames) == AT_ONCE


def test_a_pipeline_that_makes_another_size_is_refused(rig: Rig):
    card = CARDS["sd-turbo"]
    other = card.model_copy(update={"backend": {**card.backend, "names": {"width": "height", "height": "width"}}})
    with pytest.raises(StepFailed, match="made frames of 1 x 64 x 128 pixels, not 1 x 128 x 64"):
        rig.frames(other, shot_of(other, width=128, height=64))

