"""Loading modes: every one gives the frames of the whole model but for rounding, and is really in effect."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import diffusers
import numpy
import pytest
import torch
from torch import nn

from backends.local import modes
from backends.local.account import Account
from backends.local.footprint import COMPONENT, GROUP, MODES, OFFLOADED, SEQUENTIAL, TWO_PASS
from backends.local.ladder import DENOISERS
from backends.local.layout import read_layout
from backends.local.loaded import Loaded, load
from backends.local.loading import load_parts, options_of
from backends.local.render import render_frames
from backends.local.residence import Residence
from backends.local.shelf import Shelf
from backends.local.table import read_table
from backends.local.watch import blocks
from tests.backends.local.rig import CARDS, Rig, Said, one_of_each_class, shot_of
from tests.backends.local.test_frames import same
from tests.backends.local.test_residence import ELSEWHERE, places
from vidgen.backend import WHOLE, BackendConfig
from vidgen.cards import Card
from vidgen.errors import Cancelled
from vidgen.types import RenderSpec

EACH_CLASS = pytest.mark.parametrize("card", one_of_each_class(), ids=lambda card: card.name)
SVD = CARDS["svd"]
def in_mode(rig: Rig, card: Card, mode: str = WHOLE) -> Loaded:
    """The card's model by itself, in no backend."""
    rig.folder(card)
    config = BackendConfig(rig.weights, device="cpu")
    return load(card, read_table(card), config, mode, Said(), Shelf(0))


def elsewhere(
    rig: Rig, mode: str, device: torch.device = ELSEWHERE, half: bool = False, **options: Any
) -> Loaded:
    """SVD on a device that is not the host."""
    table, layout = read_table(SVD), read_layout(rig.folder(SVD))
    parts = load_parts(layout, table, torch.device("cpu"), Said())
    networks = {name: part.half() if half else part for name, part in parts.items() if isinstance(part, nn.Module)}
    residences = {name: Residence(network, device) for name, network in networks.items()}
    for residence in residences.values():
        residence.keep()
    cls = diffusers.StableVideoDiffusionPipeline
    loaded = Loaded(SVD, table, parts, {cls: options_of(cls, layout, parts)}, residences, **options)
    loaded.place(mode)
    return loaded


def quick(card: Card) -> RenderSpec:
    """A shot of one step; of two where the scheduler divides by zero otherwise."""
    return shot_of(card, num_inference_steps=2 if card.name == "ltx-video" else 1)


def frames(loaded: Loaded, shot: RenderSpec, control: Said | None = None):
    return render_frames(loaded, shot, control or Said())[0]


def difference(ours, theirs) -> int:
    return max(int(numpy.abs(a.astype(int) - b).max()) for a, b in zip(ours, theirs, strict=True))


@EACH_CLASS
def test_each_mode_gives_the_same_frames(rig: Rig, card: Card):
    """The batches show that two passes are in effect, and that the card says where there is anything to split."""
    loaded = in_mode(rig, card)
    batches, made = {}, {}
    for mode in MODES:
        loaded.set_mode(mode)
        with counted(loaded) as batches[mode]:
            made[mode], _, said = render_frames(loaded, quick(card), Said())
        assert said == {"mode": mode}
    assert difference(made[TWO_PASS], made[WHOLE]) <= 2
    assert all(same(made[mode], made[TWO_PASS]) for mode in OFFLOADED)
    batched = read_table(card).memory.batched_guidance
    assert batches == {WHOLE: {2 if batched else 1}, TWO_PASS: {1}, **dict.fromkeys(OFFLOADED, {1})}


@contextmanager
def counted(loaded: Loaded) -> Iterator[set[int]]:
    """The sizes of the batches that the denoiser computes inside."""
    seen: set[int] = set()
    denoiser = next(loaded.networks()[name] for name in DENOISERS if name in loaded.networks())
    hook = denoiser.register_forward_pre_hook(
        lambda _, args, kwargs: seen.add(len([*args, *kwargs.values()][0])), with_kwargs=True
    )
    yield seen
    hook.remove()


NETWORKS = frozenset({"unet", "vae", "image_encoder"})


class Trace:
    """Which networks of a model that is on the host are on the device, and which were while an inner block of each
    computed.
    """

    def __init__(self, loaded: Loaded):
        self.seen: dict[str, set[frozenset[str]]] = {}
        self._networks = loaded.networks()
        self._home = {name: places(network) for name, network in self._networks.items()}
        for name, network in self._networks.items():
            inner = network.decoder if name == "vae" else blocks(network)[0]
            inner.register_forward_pre_hook(lambda *_, name=name: self.seen.setdefault(name, set()).add(self.now()))

    def now(self) -> frozenset[str]:
        return frozenset(name for name, network in self._networks.items() if places(network) != self._home[name])


@pytest.mark.parametrize(("mode", "beside"), [(WHOLE, NETWORKS), (TWO_PASS, NETWORKS), (COMPONENT, frozenset())])
def test_which_networks_are_on_the_device(rig: Rig, mode: str, beside: frozenset[str]):
    """While one computes, and when the request has ended."""
    loaded = elsewhere(rig, COMPONENT)
    trace = Trace(loaded)
    loaded.set_mode(mode)
    made = frames(loaded, quick(SVD))
    assert trace.seen == {name: {beside | {name}} for name in NETWORKS}
    assert trace.now() == beside
    assert difference(made, rig.plainly(SVD, quick(SVD))) <= 2


def test_in_groups_only_the_vae_is_moved_as_a_whole(rig: Rig):
    loaded = elsewhere(rig, COMPONENT)
    home = places(vae := loaded.networks()["vae"])
    seen = []
    for part in (vae.decoder, blocks(loaded.networks()["unet"])[0]):
        part.register_forward_pre_hook(lambda *_: seen.append(places(vae) != home))
    loaded.set_mode(GROUP)
    frames(loaded, quick(SVD))
    assert seen == [False, False, True, True], "two passes, two chunks"
    assert places(vae) == home


def hooks_of(network: nn.Module) -> set[str]:
    """What libraries have hung on the layers of *network*."""
    registries = [part._diffusers_hook for part in network.modules() if hasattr(part, "_diffusers_hook")]
    names = {name for registry in registries for name in registry.hooks}
    return names | ({"accelerate"} if any(hasattr(part, "_hf_hook") for part in network.modules()) else set())


def test_libraries_move_the_large_networks_and_let_go_of_them(rig: Rig):
    loaded = in_mode(rig, SVD)
    for mode, expected in [(GROUP, {"group_offloading"}), (SEQUENTIAL, {"accelerate"}), (GROUP, {"group_offloading"})]:
        loaded.set_mode(mode)
        hooks = {name: hooks_of(network) for name, network in loaded.networks().items()}
        assert hooks == {"unet": expected, "image_encoder": expected, "vae": set()}
        on_meta = {name for name, network in loaded.networks().items() if next(network.parameters()).is_meta}
        assert on_meta == ({"unet", "image_encoder"} if mode == SEQUENTIAL else set())
    loaded.set_mode(WHOLE)
    assert not any(hooks_of(network) for network in loaded.networks().values())
    shot = quick(SVD)
    assert same(frames(loaded, shot), rig.plainly(SVD, shot))


@pytest.mark.parametrize("mode", [GROUP, SEQUENTIAL])
def test_a_network_that_a_library_hooks_only_in_part_is_unhooked(rig: Rig, monkeypatch, mode: str):
    loaded = in_mode(rig, SVD)

    def hook_halfway(mode: str, residence: Residence) -> None:
        apply(mode, residence)
        raise torch.OutOfMemoryError("CUDA out of memory")

    apply = modes._apply
    monkeypatch.setattr(modes, "_apply", hook_halfway)
    with pytest.raises(torch.OutOfMemoryError):
        loaded.set_mode(mode)
    assert any(hooks_of(network) for network in loaded.networks().values())
    loaded.set_mode(WHOLE)
    assert not any(hooks_of(network) for network in loaded.networks().values())
    assert not any(value.is_meta for network in loaded.networks().values() for value in network.parameters())


def test_a_network_whose_layers_are_used_without_being_called_is_moved_as_one(rig: Rig):
    """Siglip's last layer computes with the weights inside of torch's own attention."""
    loaded = in_mode(rig, CARDS["hunyuanvideo-1.5-i2v"], SEQUENTIAL)
    assert hooks_of(loaded.networks()["text_encoder"]) and not hooks_of(loaded.networks()["image_encoder"])


@pytest.mark.parametrize(("mode", "at"), [(COMPONENT, 60), (GROUP, 60), (SEQUENTIAL, 3), (SEQUENTIAL, 60)])
def test_a_stop_within_a_network_leaves_the_next_render_as_it_was(rig: Rig, mode: str, at: int):
    """The third sign of life is in the image encoder, the sixtieth in the UNet."""
    loaded = in_mode(rig, SVD, mode)
    with pytest.raises(Cancelled):
        frames(loaded, quick(SVD), Said(lambda phase, i: Cancelled("stop") if phase == "alive" and i == at else None))
    assert same(frames(loaded, quick(SVD)), in_two_passes(rig))


@cache
def in_two_passes(rig: Rig):
    return frames(in_mode(rig, SVD, TWO_PASS), quick(SVD))


def test_the_pipeline_computes_on_our_device_wherever_its_weights_are(rig: Rig):
    loaded = in_mode(rig, SVD, SEQUENTIAL)
    with loaded.request(loaded.classes[0], {}, Account(Said())) as pipeline:
        assert isinstance(pipeline, diffusers.StableVideoDiffusionPipeline)
        assert type(pipeline).__name__ == "StableVideoDiffusionPipeline"
        assert next(pipeline.unet.parameters()).is_meta
        assert pipeline._execution_device == pipeline.device == torch.device("cpu")


def test_the_host_has_one_copy_that_takes_the_casts_of_a_pipeline(rig: Rig):
    """In half precision, as on a GPU: SVD's pipeline lifts the VAE to float32 for the image, wherever it is then."""
    loaded = elsewhere(rig, COMPONENT, half=True)
    vae, seen = loaded.networks()["vae"], []
    home = places(vae)

    def denoise(*_: object) -> None:
        seen.append((vae.dtype, places(vae) == home))
        raise Cancelled("half precision takes half a minute on a CPU")

    vae.encoder.register_forward_pre_hook(lambda *_: seen.append((vae.dtype, places(vae) == home)))
    loaded.networks()["unet"].register_forward_pre_hook(denoise)
    with pytest.raises(Cancelled):
        frames(loaded, quick(SVD))
    assert seen == [(torch.float32, False), (torch.float16, True)]
