"""Progress, signs of life and previews from inside of a pipeline."""

import io
import itertools

import pytest
from PIL import Image

from backends.local.meter import Meter
from backends.local.preview import Previews
from backends.local.watch import Watch
from tests.backends.local.rig import CARDS, STEPS, Rig, Said, one_of_each_class, shot_of
from vidgen.cards import Card

EACH_CLASS = pytest.mark.parametrize("card", one_of_each_class(), ids=lambda card: card.name)


@EACH_CLASS
def test_every_denoising_step_is_reported_once(rig: Rig, card: Card):
    assert rig.told(card).of("render") == [(i, STEPS) for i in range(1, STEPS + 1)]


@EACH_CLASS
def test_decoding_is_reported_forwards_to_its_end(rig: Rig, card: Card):
    said = rig.told(card)
    units = said.of("decode")
    total = units[0][1]
    assert len(units) > 2
    assert {n for _, n in units} == {total}
    assert [i for i, _ in units] == sorted({i for i, _ in units})
    assert units[0] == (0, total) and units[-1] == (total, total)
    assert [phase for phase, _, _ in said.steps] == ["render"] * STEPS + ["decode"] * len(units)


@EACH_CLASS
def test_there_are_signs_of_life_within_every_step(rig: Rig, card: Card):
    """More than ten before the first step, which has the text or the image before it, and in each of the others."""
    assert all(later - earlier > 10 for earlier, later in itertools.pairwise(rig.told(card).lives_at_steps))


def test_a_scheduler_that_makes_more_steps_than_were_asked_for_says_how_many(rig: Rig):
    """Heun's makes two of every step but the last."""
    card = CARDS["sd-turbo"]
    heun = card.model_copy(update={"backend": {**card.backend, "scheduler": {"class": "HeunDiscreteScheduler"}}})
    said = Said()
    rig.frames(heun, shot_of(heun, num_inference_steps=3), said)
    assert said.of("render") == [(i, 5) for i in range(1, 6)]


@EACH_CLASS
def test_previews_are_small_webps_that_move(rig: Rig, card: Card):
    picture = Image.open(io.BytesIO(rig.told(card).previews[0]))
    assert picture.format == "WEBP" and max(picture.size) == 256
    assert (getattr(picture, "n_frames", 1) > 1) == card.makes_video


def test_a_pipeline_without_a_vae_has_no_decoding_to_report(rig: Rig):
    watch = Watch(said := Said(), Previews(None, shot_of(CARDS["svd"])), Meter(None))
    with watch.networks([]), watch.decoder(None):
        watch.step("render", 1, 1)
    assert said.steps == [("render", 1, 1)]


def test_nothing_stays_hooked(rig: Rig):
    card = CARDS["sd-turbo"]
    rig.frames(card, shot_of(card))
    for network in rig.loaded(card).networks().values():
        assert "decode" not in vars(network)
        assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())


def test_pipelines_can_still_ask_what_their_scheduler_takes():
    import copy
    import inspect

    from diffusers import DDIMScheduler

    from backends.local.watch import _report_steps

    plain, reporting, steps = DDIMScheduler(), DDIMScheduler(), []
    _report_steps(reporting, lambda arguments, output: steps.append(arguments["timestep"]))
    assert inspect.signature(reporting.step) == inspect.signature(plain.step)
    assert isinstance(reporting, DDIMScheduler)
    twin = copy.deepcopy(reporting)
    for scheduler in (reporting, twin):
        import torch

        scheduler.set_timesteps(2)
        scheduler.step(torch.zeros(1), 500, torch.zeros(1))
    assert steps == [500, 500]
