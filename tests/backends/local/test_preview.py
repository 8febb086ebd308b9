"""Previews by themselves: when they are due, what they read, what they draw."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch

from backends.local.latent_rgb import KNOWN, SDXL, factors_of, some_factors, to_rgb
from backends.local.preview import FRAMES, Previews, estimate, in_frames, spread
from tests.backends.local.rig import CARDS, shot_of

SHOT = shot_of(CARDS["svd"], width=96, height=64, num_frames=17)


@dataclass
class Vae:
    """What a preview asks of a VAE; of a class that nobody has fitted factors for."""

    config: SimpleNamespace
    spatial_compression_ratio: int = 32
    temporal_compression_ratio: int = 8


def vae(channels: int) -> Vae:
    return Vae(SimpleNamespace(latent_channels=channels))


@dataclass
class Clock:
    now: float = 0.0
    asked: list = field(default_factory=list)

    def __call__(self) -> float:
        return self.now


def step_of(sample: torch.Tensor) -> dict:
    return {"self": SimpleNamespace(config=SimpleNamespace()), "sample": sample}


def test_at_most_one_a_second():
    clock = Clock()
    previews = Previews(vae(4), SHOT, clock=clock)
    latents, taken = torch.rand(1, 4, 8, 8), []
    for clock.now in (0.0, 0.3, 0.9, 1.1, 1.9, 2.2, 9.0):
        if previews.of(step_of(latents), (latents,)) is not None:
            taken.append(clock.now)
    assert taken == [0.0, 1.1, 2.2, 9.0]


def test_latents_that_cannot_be_read_have_no_preview_and_harm_nothing(caplog):
    previews = Previews(vae(4), SHOT)
    assert previews.of(step_of(torch.rand(3)), (torch.rand(3),)) is None
    previews = Previews(SimpleNamespace(), SHOT)
    assert previews.of(step_of(torch.rand(3)), (torch.rand(3),)) is None
    assert "no previews" in caplog.text


@pytest.mark.parametrize(("shape", "frames"), [
    ((1, 4, 8, 12), (1, 4, 8, 12)),                         # an image
    ((1, 4, 5, 8, 12), (5, 4, 8, 12)),                      # channels first
    ((1, 5, 4, 8, 12), (5, 4, 8, 12)),                      # frames first
    ((1, 3 * 2 * 3, 4), (3, 4, 2, 3)),                      # packed: 17 frames of 96 x 64 in steps of 8 and 32
    ((1, 7, 4), None),
    ((1, 5, 8, 12), None),
])
def test_orders_of_latents(shape, frames):
    found = in_frames(torch.rand(shape), vae(4), SHOT)
    assert frames == (None if found is None else tuple(found.shape))


def test_orders_of_latents_keep_what_is_where():
    video = torch.rand(3, 4, 2, 3)
    for latents in (video[None], video.movedim(1, 0)[None], video.movedim(1, -1).reshape(1, -1, 4)):
        assert torch.equal(in_frames(latents, vae(4), SHOT), video)


def test_the_first_and_the_last_frame_are_among_those_shown():
    assert spread(25, FRAMES) == [0, 5, 10, 14, 19, 24]
    assert spread(1, FRAMES) == [0] and spread(3, FRAMES) == [0, 1, 2]


@pytest.mark.parametrize("name", [
    "EulerDiscreteScheduler", "UniPCMultistepScheduler", "FlowMatchEulerDiscreteScheduler", "DDIMScheduler",
])
def test_the_clean_latents_are_estimated_rather_than_the_noisy_ones_shown(name):
    """Where the network is right about the noise, the estimate is the picture after a single step."""
    import diffusers

    flow = {"prediction_type": "flow_prediction", "use_flow_sigmas": True} if "UniPC" in name else {}
    scheduler = getattr(diffusers, name)(**flow)
    scheduler.set_timesteps(10)
    timestep = scheduler.timesteps[3]
    picture, noise = torch.rand(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    noisy = (
        scheduler.add_noise(picture, noise, timestep[None]) if hasattr(scheduler, "add_noise")
        else scheduler.scale_noise(picture, timestep[None], noise)
    )
    said = noise - picture if flow or "Flow" in name else noise
    output = scheduler.step(said, timestep, noisy, return_dict=False)
    step = {"self": scheduler, "sample": noisy, "model_output": said}
    assert torch.allclose(estimate(step, output), picture, atol=1e-3)
    assert not torch.allclose(output[0], picture, atol=0.1)


def test_every_published_table_has_three_colours_for_each_channel():
    sizes = sorted(len(table) - 1 for tables in KNOWN.values() for table in tables)
    assert sizes == [4, 4, 4, 16, 16, 16, 32, 48, 128]
    assert all(len(column) == 3 for tables in KNOWN.values() for table in tables for column in table)


def test_sdxls_vae_is_told_from_stable_diffusions():
    from diffusers import AutoencoderKL

    small = {"block_out_channels": (4,), "norm_num_groups": 1}
    assert factors_of(AutoencoderKL(scaling_factor=0.13025, **small), 4) is SDXL
    assert factors_of(AutoencoderKL(scaling_factor=0.18215, **small), 4) is not SDXL


def test_a_latent_space_that_nobody_fitted_is_projected_on_three_directions():
    columns = torch.tensor(some_factors(16)[1:])
    assert torch.allclose(columns.T @ columns, torch.eye(3), atol=1e-6)
    colours = to_rgb(torch.rand(2, 8, 8, 16), vae(16))
    assert colours.shape == (2, 8, 8, 3) and colours.min() >= 0 and colours.max() <= 1
