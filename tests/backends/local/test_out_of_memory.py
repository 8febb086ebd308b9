"""Running out of memory inside of a network: it computes once more, one mode lower, and the request goes on."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from backends.local.footprint import COMPONENT, GROUP, MODES, OFFLOADED, SEQUENTIAL, TWO_PASS
from backends.local.loaded import Loaded
from backends.local.render import render_frames
from backends.local.watch import blocks
from tests.backends.local.rig import CARDS, Rig, Said, shot_of
from tests.backends.local.test_frames import same
from tests.backends.local.test_modes import difference, elsewhere, in_mode
from vidgen.backend import WHOLE
from vidgen.errors import Cancelled
from vidgen.types import RenderSpec

SVD, COGVIDEOX = CARDS["svd"], CARDS["cogvideox-5b"]
STEPS, CHUNK = 3, 4
FRAMES = 10                                 # in three chunks: a first, one in the middle, a shorter last


class Told(Said):
    """Keeps what is noted, in words."""

    def note(self, code: str, message: str) -> None:
        self.notes.append(f"{code}: {message}")


def shot(**changes) -> RenderSpec:
    return shot_of(
        SVD, num_inference_steps=STEPS, num_frames=FRAMES, parameters={"decode_chunk_size": CHUNK}, **changes
    )


@contextmanager
def scarce(part: nn.Module, *calls: int, before: Callable[[], object] = lambda: None) -> Iterator[list[int]]:
    """Inside, *part* of a network finds no memory at these calls of it; the calls so far are counted from 1."""
    made: list[int] = []

    def compute(*_: object) -> None:
        made.append(len(made) + 1)
        if made[-1] in calls:
            before()
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    hook = part.register_forward_pre_hook(compute)
    try:
        yield made
    finally:
        hook.remove()


@pytest.fixture(scope="module")
def svd(rig: Rig) -> Loaded:
    return in_mode(rig, SVD)


@pytest.fixture
def model(svd: Loaded) -> Loaded:
    """One for all tests, as in a server, whole again before each: what the one before left behind would show."""
    svd.set_mode(WHOLE)
    return svd


@pytest.fixture(scope="module")
def undisturbed(rig: Rig) -> dict[str, list]:
    """The frames of the shot in each of a CPU's modes."""
    return {mode: render_frames(in_mode(rig, SVD, mode), shot(), Said())[0] for mode in (WHOLE, TWO_PASS)}


def part_of(model: Loaded, name: str) -> nn.Module:
    """What computes once in each call of the network: of the VAE's encoder, of its decoder, of the others."""
    vae = model.networks()["vae"]
    parts = {"vae encode": vae.encoder, "decode": vae.decoder}
    return parts.get(name) or model.networks()[name].get_submodule(
        {"unet": "conv_in", "image_encoder": "visual_projection"}[name]
    )


@pytest.mark.parametrize(("part", "call", "where", "adapt"), [
    ("image_encoder", 1, "image_encoder", False), ("vae encode", 1, "vae encode", False),
    *[("unet", i, f"render {i} of {STEPS}", False) for i in range(1, STEPS + 1)],
    ("unet", STEPS, f"render {STEPS} of {STEPS}", True),
])
def test_a_network_that_runs_out_goes_on_in_two_passes(model: Loaded, undisturbed, part, call, where, adapt: bool):
    with scarce(part_of(model, part), call):
        made, _, said = render_frames(model, shot(adapt=adapt), told := Told())
    assert said == {"mode": TWO_PASS, "ran_out": [f"{where}: whole -> two_pass"]}
    assert told.notes == [f"out_of_memory: ran out of memory at {where}; goes on in two passes"]
    assert told.of("render") == [(i, STEPS) for i in range(1, STEPS + 1)]
    assert difference(made, undisturbed[WHOLE]) <= 2
    if call == 1:                           # nothing was denoised before it
        assert same(made, undisturbed[TWO_PASS])
    the_next_is_untouched(model, undisturbed)


def the_next_is_untouched(model: Loaded, undisturbed) -> None:
    """In the mode that worked."""
    made, _, said = render_frames(model, shot(), told := Told())
    assert said == {"mode": model.mode} and not told.notes
    assert same(made, undisturbed[model.mode])


CHUNKS = -(-FRAMES // CHUNK)


@pytest.mark.parametrize("chunk", range(1, CHUNKS + 1))
def test_a_chunk_that_runs_out_is_decoded_once_more(model: Loaded, undisturbed, chunk: int):
    with scarce(part_of(model, "decode"), chunk) as decoded:
        made, _, said = render_frames(model, shot(), told := Told())
    where = f"decode {chunk} of {CHUNKS}"
    assert said == {"mode": TWO_PASS, "ran_out": [f"{where}: whole -> two_pass"]}
    assert told.notes == [f"out_of_memory: ran out of memory at {where}; goes on in two passes"]
    assert len(decoded) == CHUNKS + 1
    assert same(made, undisturbed[WHOLE])
    the_next_is_untouched(model, undisturbed)


@pytest.mark.parametrize("chunk", range(1, CHUNKS + 1))
def test_where_the_video_may_change_a_chunk_that_runs_out_is_halved(model: Loaded, undisturbed, chunk: int):
    done = (chunk - 1) * CHUNK
    half = min(CHUNK, FRAMES - done) // 2
    with scarce(part_of(model, "decode"), chunk):
        made, _, said = render_frames(model, shot(adapt=True), told := Told())
    where = f"decode {chunk} of {CHUNKS}"
    assert said == {
        "mode": WHOLE, "parameters": {"decode_chunk_size": half}, "ran_out": [f"{where}: decode_chunk_size 4 -> {half}"]
    }
    assert told.notes == [f"out_of_memory: ran out of memory at {where}; goes on with decode_chunk_size {half}"]
    assert len(made) == FRAMES and same(made[:done], undisturbed[WHOLE][:done])
    assert told.of("decode")[-1][0] == told.of("decode")[-1][1]
    the_next_is_untouched(model, undisturbed)


def test_chunks_are_halved_down_to_one_frame_and_then_the_mode_is_lowered(model: Loaded, rig: Rig):
    with scarce(part_of(model, "decode"), 1, 2, 3):
        made, _, said = render_frames(model, shot(adapt=True), Said())
    assert said == {"mode": TWO_PASS, "parameters": {"decode_chunk_size": 1}, "ran_out": [
        "decode 1 of 3: decode_chunk_size 4 -> 2", "decode 1 of 3: decode_chunk_size 2 -> 1",
        "decode 1 of 3: whole -> two_pass",
    ]}
    alone = shot_of(SVD, num_inference_steps=STEPS, num_frames=FRAMES, parameters={"decode_chunk_size": 1})
    assert same(made, rig.plainly(SVD, alone))


def test_a_text_to_video_model_too(rig: Rig):
    loaded = in_mode(rig, COGVIDEOX)
    film = shot_of(COGVIDEOX)
    with scarce(blocks(loaded.networks()["transformer"])[0], 2):
        made, _, said = render_frames(loaded, film, Said())
    assert said == {"mode": TWO_PASS, "ran_out": ["render 2 of 2: whole -> two_pass"]}
    assert difference(made, rig.plainly(COGVIDEOX, film)) <= 2
    with scarce(loaded.networks()["vae"].decoder, 1), pytest.raises(torch.OutOfMemoryError):
        render_frames(loaded, film, Said())
    assert difference(render_frames(loaded, film, Said())[0], made) <= 2


def test_with_no_mode_left_it_is_an_error_and_the_next_render_is_untouched(model: Loaded, undisturbed):
    with scarce(part_of(model, "unet"), 2, 3), pytest.raises(torch.OutOfMemoryError):
        render_frames(model, shot(), Said())
    the_next_is_untouched(model, undisturbed)


def test_other_errors_are_not_tried_again(model: Loaded, undisturbed):
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    hook = part_of(model, "unet").register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="illegal"):
        render_frames(model, shot(), Said())
    hook.remove()
    assert model.mode == WHOLE
    the_next_is_untouched(model, undisturbed)


# all the way down, as on a GPU


def on_a_gpu(rig: Rig, **options) -> Loaded:
    """SVD with every mode to sink through, on a device that is not the host."""
    return elsewhere(rig, WHOLE, rungs=tuple(mode for mode in MODES if mode != SEQUENTIAL), **options)


def test_it_sinks_through_every_mode_and_stays_where_it_worked(rig: Rig, undisturbed):
    model = on_a_gpu(rig)
    with scarce(part_of(model, "unet"), 2, 3, 4) as computed:
        made, _, said = render_frames(model, shot(), Said())
    assert said == {"mode": GROUP, "ran_out": [
        "render 2 of 3: whole -> two_pass", "render 2 of 3: two_pass -> component", "render 2 of 3: component -> group",
    ]}
    assert len(computed) == 1 + 3 + 2 + 2
    assert difference(made, undisturbed[WHOLE]) <= 2
    made, _, said = render_frames(model, shot(), Said())
    assert said == {"mode": GROUP} and same(made, undisturbed[TWO_PASS])


def test_the_last_mode_too(rig: Rig, undisturbed):
    model = elsewhere(rig, GROUP, torch.device("cpu"), rungs=MODES)
    with scarce(part_of(model, "unet"), 1):
        made, _, said = render_frames(model, shot(), Said())
    assert said == {"mode": SEQUENTIAL, "ran_out": ["render 1 of 3: group -> sequential"]}
    assert same(made, undisturbed[TWO_PASS])


def test_what_is_not_needed_leaves_the_device_before_the_next_try(rig: Rig, undisturbed):
    """The other networks of this model, other models, and what the failed try had computed."""
    freed, there, activations = [], [], []
    model = on_a_gpu(rig, free_others=lambda: freed.append(True))
    decoder, weight = part_of(model, "decode"), next(model.networks()["unet"].parameters())
    on_device = weight.data_ptr()

    def run_out() -> None:
        held = torch.rand(8)
        activations.append(weakref.ref(held))
        raise torch.OutOfMemoryError("CUDA out of memory")

    def look(*_: object) -> None:
        there.append((weight.data_ptr() == on_device, [kept() is not None for kept in activations]))

    look()
    with scarce(decoder, 1, before=run_out):
        decoder.register_forward_pre_hook(look)
        made, *_ = render_frames(model, shot(), Said())
    assert there == [(True, []), *[(False, [False])] * CHUNKS]
    assert freed == [True]
    assert same(made, undisturbed[WHOLE])


def test_a_request_inside_of_another_leaves_the_other_in_its_mode(model: Loaded, undisturbed):
    inner: list = []

    def run_inside(phase: str, i: int) -> None:
        if (phase, i) == ("render", 1) and not inner:
            with scarce(part_of(model, "unet"), 1):
                inner.append(render_frames(model, shot(), Said()))

    outer, _, said = render_frames(model, shot(), told := Told(run_inside))
    assert said == {"mode": WHOLE} and not told.notes
    assert inner[0][2] == {"mode": TWO_PASS, "ran_out": ["render 1 of 3: whole -> two_pass"]}
    assert same(inner[0][0], undisturbed[TWO_PASS])
    assert same(outer, undisturbed[WHOLE])


@pytest.mark.parametrize(("before", "calls", "after"), [
    (WHOLE, (1, 2, 3), GROUP), (COMPONENT, (1,), GROUP), (TWO_PASS, (1,), COMPONENT),
])
def test_it_does_so_wherever_the_inner_one_has_put_the_weights(rig, undisturbed, before: str, calls, after: str):
    """And where it ends early. What the mode keeps on the device comes back when it computes."""
    model, inside = on_a_gpu(rig), []
    model.set_mode(before)

    def run_inside(phase: str, i: int) -> None:
        if phase == "render" and not inside:
            inside.append(None)
            with scarce(part_of(model, "unet"), *calls), pytest.raises(Cancelled):
                render_frames(model, shot(), Said(stop))
            inside.append(model.mode)

    def stop(phase: str, i: int) -> Exception | None:
        if phase != "render":
            return None
        inside.append(model.mode)
        return Cancelled("stop")

    outer, _, said = render_frames(model, shot(), Said(run_inside))
    assert inside == [None, after, before]
    assert said == {"mode": before}
    assert same(outer, undisturbed[WHOLE if before == WHOLE else TWO_PASS])


def test_the_other_sinks_for_itself_where_its_mode_does_not_fit(model: Loaded, undisturbed):
    inside: list = []

    def run_inside(phase: str, i: int) -> None:
        if (phase, i) == ("render", 1) and not inside:
            inside.append(render_frames(model, shot(), Said())[2])

    with scarce(part_of(model, "unet"), 2, 2 + 2 * STEPS + 1):
        _, _, said = render_frames(model, shot(), Said(run_inside))
    assert inside == [{"mode": TWO_PASS, "ran_out": ["render 1 of 3: whole -> two_pass"]}]
    assert said == {"mode": TWO_PASS, "ran_out": ["render 2 of 3: whole -> two_pass"]}
    the_next_is_untouched(model, undisturbed)


@pytest.mark.parametrize("mode", OFFLOADED)
def test_a_request_inside_of_another_in_a_mode_that_moves_weights(rig: Rig, undisturbed, mode: str):
    model, inner = in_mode(rig, SVD, mode), []

    def run_inside(phase: str, i: int) -> None:
        if phase == "render" and not inner:
            inner.append(render_frames(model, shot(), Said())[0])

    outer = render_frames(model, shot(), Said(run_inside))[0]
    assert same(inner[0], undisturbed[TWO_PASS]) and same(outer, undisturbed[TWO_PASS])
