"""A render that is stopped leaves its model as it was; one that fails leaves none."""

import diffusers
import pytest
import torch

from backends.local.layout import read_layout
from backends.local.loaded import Loaded
from backends.local.loading import load_parts, options_of
from backends.local.render import render_frames
from backends.local.table import read_table
from tests.backends.local.rig import CARDS, Rig, Said, one_of_each_class, rendered, shot_of
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
    loaded = rig.loaded(card)
    with pytest.raises(Cancelled):
        rig.frames(card, shot, at(phase, number))
    assert rig.loaded(card) is loaded
    assert torch.is_grad_enabled()
    assert same(rig.frames(card, shot), rig.plainly(card, shot))


def test_a_cancel_while_loading_leaves_nothing_loaded(rig: Rig, tmp_path):
    backend = rig.fresh(TURBO)
    parts = 5
    for phase, i in (("load", 0), ("load", 2), ("alive", 1), ("load", parts)):
        with pytest.raises(Cancelled):
            backend.load(TURBO, WHOLE, at(phase, i))
        assert not backend.held().models
    backend.load(TURBO, WHOLE, said := Said())
    assert said.notes == ["on_cpu"]
    assert said.of("load") == [(i, parts) for i in range(parts + 1)]
    assert backend.held().models == {TURBO.id: WHOLE}
    backend.load(TURBO, WHOLE, again := Said())
    assert again.steps == [], "what is loaded was loaded again"
    backend.unload(TURBO)
    assert not backend.held().models
    backend.unload(TURBO)


def test_a_cancel_while_encoding_leaves_no_file_and_the_model(rig: Rig, tmp_path):
    shot = shot_of(SVD, tmp_path / "clip.part", num_inference_steps=1)
    backend = rig.backend(SVD)
    with pytest.raises(Cancelled):
        rendered(backend, SVD, shot, at("encode", 5))
    assert not list(tmp_path.iterdir())
    assert SVD.id in backend.held().models
    clip = rendered(backend, SVD, shot, said := Said())
    assert said.of("encode") == [(i, shot.num_frames) for i in range(1, shot.num_frames + 1)]
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
    assert not backend.held().models
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
    assert not backend.held().models
    with pytest.raises(OutOfVram):
        backend.load(TURBO, WHOLE, at("load", 3, torchs_own))


def test_a_stop_while_decoding_frees_the_frames_that_a_causal_vae_keeps(rig: Rig):
    card = CARDS["wan2.2-ti2v-5b"]
    with pytest.raises(Cancelled):
        rig.frames(card, shot_of(card), at("decode", 12))
    vae = rig.loaded(card).networks()["vae"]
    assert not any(isinstance(kept, torch.Tensor) for kept in vae._feat_map)


def test_several_models_are_loaded_beside_each_other_and_a_failure_takes_one(rig: Rig, tmp_path):
    backend = rig.together(SVD, TURBO)
    shots = {card.id: shot_of(card, tmp_path / f"{card.name}.part", num_inference_steps=1) for card in (SVD, TURBO)}
    for card in (SVD, TURBO, SVD):
        rendered(backend, card, shots[card.id], said := Said())
        assert not said.of("load")
    with pytest.raises(ZeroDivisionError):
        backend.render(TURBO, shots[TURBO.id], at("render", 1, ZeroDivisionError()))
    assert backend.held().models == {SVD.id: WHOLE}
    rendered(backend, SVD, shots[SVD.id], said := Said())
    assert not said.of("load")


def test_an_earlier_version_of_the_card_makes_way(rig: Rig, tmp_path):
    backend, newer = rig.together(TURBO), TURBO.model_copy(update={"revision": "2"})
    backend.render(newer, shot_of(newer, tmp_path / "picture.part"), said := Said())
    assert said.of("load")[-1] == (5, 5)
    assert backend.held().models == {TURBO.id: WHOLE}


def test_what_is_held_on_a_cpu_is_what_the_models_take(rig: Rig):
    backend = rig.together(TURBO)
    one = backend.held()
    backend.load(SVD, WHOLE, Said())
    both = backend.held()
    assert 0 < one.device_bytes < both.device_bytes
    assert (both.spare_bytes, both.shelf_bytes) == (0, 0)
    backend.unload(SVD)
    assert backend.held() == one


def test_a_model_that_is_let_go_may_stay_in_ram_and_is_there_again_at_once(rig: Rig):
    backend = rig.together(TURBO, ram_cache_bytes=2**30)
    loaded = backend.held()
    backend.unload(TURBO, keep=True)
    shelved = backend.held()
    assert not shelved.models and shelved.device_bytes == 0 and shelved.shelf_bytes == loaded.device_bytes
    backend.load(TURBO, WHOLE, said := Said())
    assert not said.of("load") and backend.held() == loaded
    backend.unload(TURBO, keep=True)
    backend.unload(TURBO)
    assert backend.held().shelf_bytes == 0


def test_the_file_is_written_after_the_frames_are_made_and_beside_the_next(rig: Rig, tmp_path):
    """On a thread of its own, from the frames that were made: the next render is done before it begins."""
    from concurrent.futures import ThreadPoolExecutor

    backend = rig.backend(SVD)
    shots = [shot_of(SVD, tmp_path / f"{seed}.part", num_inference_steps=1, seed=seed) for seed in (1, 2)]
    first = backend.render(SVD, shots[0], said := Said())
    assert not list(tmp_path.iterdir()) and not said.of("encode")
    second = backend.render(SVD, shots[1], Said())
    with ThreadPoolExecutor(1) as finisher:
        assert finisher.submit(first).result().num_frames == (n := shots[0].num_frames)
    assert said.of("encode") == [(i, n) for i in range(1, n + 1)]
    second()
    again = shot_of(SVD, tmp_path / "again.part", num_inference_steps=1, seed=1)
    rendered(backend, SVD, again)
    assert again.output.read_bytes() == shots[0].output.read_bytes() != shots[1].output.read_bytes()


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
