"""A render that is stopped leaves its model as it was; one that fails leaves none."""

import diffusers
import pytest
import torch

from backends.local.layout import read_layout
from backends.local.loaded import Loaded
from backends.local.loading import load_parts, options_of
from backends.local.render import render_frames
from backends.local.table import read_table
from tests.backends.local.rig import CARDS, Rig, Said, one_of_each_class, shot_of
from tests.backends.local.test_frames import same
from vidgen.backend import WHOLE
from vidgen.cards import Card
from vidgen.errors import Cancelled, OutOfVram

EACH_CLASS = pytest.mark.parametrize("card", one_of_each_class(), ids=lambda card: card.name)
SVD, TURBO = CARDS["svd"], CARDS["sd-turbo"]


def at(phase: str, number: int, e: BaseException | None = None) -> Said:
    """A control that stops the render at this call."""
    return Said(lambda name, i: (e or Cancelled("stop")) if name == phase and i >= number else None)


@EACH_CLASS
@pytest.mark.parametrize(("phase", "number"), [("render", 1), ("decode", 1), ("alive", 25)])
def test_the_next_render_is_as_if_nothing_had_been(rig: Rig, card: Card, phase: str, number: int):
    shot = shot_of(card)
    loaded = rig.backend(card)._loaded
    with pytest.raises(Cancelled):
        rig.frames(card, shot, at(phase, number))
    assert rig.backend(card)._loaded is loaded
    assert torch.is_grad_enabled()
    assert same(rig.frames(card, shot), rig.plainly(card, shot))


def test_a_cancel_while_loading_leaves_nothing_loaded(rig: Rig, tmp_path):
    backend = rig.fresh(TURBO)
    parts = 5
    for phase, i in (("load", 0), ("load", 2), ("alive", 1), ("load", parts)):
        with pytest.raises(Cancelled):
            backend.load(TURBO, WHOLE, at(phase, i))
        assert backend._loaded is None
    backend.load(TURBO, WHOLE, said := Said())
    assert said.notes == ["on_cpu"]
    assert said.of("load") == [(i, parts) for i in range(parts + 1)]
    backend.unload(TURBO)
    assert backend._loaded is None


def test_a_cancel_while_encoding_leaves_no_file_and_the_model(rig: Rig, tmp_path):
    shot = shot_of(SVD, tmp_path / "clip.part", num_inference_steps=1)
    backend = rig.backend(SVD)
    with pytest.raises(Cancelled):
        backend.render(SVD, shot, at("encode", 5))
    assert not list(tmp_path.iterdir())
    assert backend._loaded is not None
    clip = backend.render(SVD, shot, said := Said())
    assert said.of("encode") == [(i, 14) for i in range(1, 15)]
    assert clip.path.stat().st_size > 1000


def test_a_picture_that_is_stopped_leaves_no_file(rig: Rig, tmp_path):
    with pytest.raises(Cancelled):
        rig.backend(TURBO).render(TURBO, shot_of(TURBO, tmp_path / "picture.part"), at("encode", 1))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("phase", ["render", "decode", "alive"])
def test_a_failure_drops_the_model_and_the_next_render_loads_it_again(rig: Rig, tmp_path, phase: str):
    backend, shot = rig.fresh(TURBO), shot_of(TURBO, tmp_path / "picture.part")
    with pytest.raises(ZeroDivisionError):
        backend.render(TURBO, shot, at(phase, 2, ZeroDivisionError()))
    assert backend._loaded is None
    backend.render(TURBO, shot, said := Said())
    assert said.of("load")[-1] == (5, 5)
    assert same([pixels(shot.output)], rig.plainly(TURBO, shot))


def test_no_memory_on_the_gpu_is_said_in_words_and_drops_the_model(rig: Rig, tmp_path, caplog):
    backend = rig.fresh(TURBO)
    torchs_own = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has …")
    with pytest.raises(OutOfVram, match="it needs more memory than there is on this GPU") as failed:
        backend.render(TURBO, shot_of(TURBO, tmp_path / "picture.part"), at("render", 1, torchs_own))
    assert failed.value.code == "out_of_memory" and "CUDA" not in failed.value.detail
    assert "Tried to allocate 20.00 GiB" in caplog.text
    assert backend._loaded is None
    with pytest.raises(OutOfVram):
        backend.load(TURBO, WHOLE, at("load", 3, torchs_own))


def test_a_stop_while_decoding_frees_the_frames_that_a_causal_vae_keeps(rig: Rig):
    card = CARDS["wan2.2-ti2v-5b"]
    with pytest.raises(Cancelled):
        rig.frames(card, shot_of(card), at("decode", 12))
    vae = rig.backend(card)._loaded.networks()["vae"]
    assert not any(isinstance(kept, torch.Tensor) for kept in vae._feat_map)


def test_another_model_takes_the_place_of_the_first(rig: Rig, tmp_path):
    rig.folder(TURBO)
    backend = rig.fresh(SVD)
    backend.load(SVD, WHOLE, Said())
    backend.render(TURBO, shot_of(TURBO, tmp_path / "picture.part"), said := Said())
    assert said.of("load")[-1] == (5, 5)
    assert backend._loaded.card == TURBO


def test_svds_vae_is_float16_again_after_a_stop_inside_its_encoder(rig: Rig):
    """In half precision, as on a GPU: the pipeline lifts the VAE to float32 for the image, and a stop leaves it there.
    """
    loaded = in_half_precision(rig, SVD)
    vae, dtypes = loaded.networks()["vae"], []
    said = Said(lambda phase, i: dtypes.append(vae.dtype) or (Cancelled("stop") if i == 6 else None))
    with pytest.raises(Cancelled):
        render_frames(loaded, shot_of(SVD), said)
    assert dtypes[-1] == torch.float32, "the stop was not inside the encoder"
    assert {tensor.dtype for tensor in vae.state_dict().values()} == {torch.float16}


def in_half_precision(rig: Rig, card: Card) -> Loaded:
    table, layout = read_table(card), read_layout(rig.folder(card))
    parts = load_parts(layout, table, torch.device("cpu"), Said())
    for part in parts.values():
        if isinstance(part, torch.nn.Module):
            part.half()
    cls = getattr(diffusers, table.pipeline)
    return Loaded(card, table, parts, {cls: options_of(cls, layout, parts)})


def pixels(path):
    import numpy
    from PIL import Image

    return numpy.asarray(Image.open(path))
