"""What a render is reckoned to need: by mode, by size, by device."""

import math
from pathlib import Path

import pytest

from backends.local import LocalBackend
from backends.local.footprint import ALLOCATOR, GB, MODES, RUNTIME_GB, SEQUENTIAL, TWO_PASS, footprint_of, modes_of
from backends.local.table import read_table
from tests.backends.local.rig import CARDS, shot_of
from vidgen.backend import WHOLE, BackendConfig, Footprint
from vidgen.cards import BrokenCard, Card
from vidgen.types import RenderSpec

SVD, TURBO, HUNYUAN = CARDS["svd-xt"], CARDS["sd-turbo"], CARDS["hunyuanvideo-1.5-t2v"]
EACH = pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: card.name)
MEGABYTE = 1e-3 * GB


def default_shot(card: Card, **changes) -> RenderSpec:
    """A shot with the card's defaults."""
    values = {"width": int(card.width.default), "height": int(card.height.default),
              "num_frames": int(card.frames.default) if card.frames else 1}
    return shot_of(card, **{**values, **changes})


def peak(card: Card, mode: str = WHOLE, device: str = "auto", **changes) -> int:
    return footprint_of(card, default_shot(card, **changes), mode, device).peak_bytes


def tensors(peak_bytes: int) -> float:
    """GB of tensors that a peak stands for."""
    return (peak_bytes / GB - RUNTIME_GB) / ALLOCATOR


@EACH
def test_the_card_says_what_is_reckoned_at_its_defaults(card: Card):
    reckoned = {mode: math.ceil(10 * peak(card, mode) / GB) / 10 for mode in modes_of(card, "auto")}
    assert card.memory.vram_gb_by_mode == reckoned
    assert card.memory.vram_gb == reckoned[WHOLE]


@EACH
def test_every_card_has_all_figures(card: Card):
    memory = read_table(card).memory
    assert {"vae", memory.denoiser} < memory.weights.keys()
    assert memory.encode > 0
    assert (memory.chunk == "decode_chunk_size") == ("decode_chunk_size" in card.parameters)
    assert (memory.mask > 0) == card.name.startswith("hunyuan")


@EACH
def test_weights_are_those_of_the_networks(card: Card):
    """Of the files that are fetched, where those have the precision that is loaded."""
    by_files = card.weights.size_gb * 1e9 / GB
    if read_table(card).variant == "fp16" or card.name.startswith("cogvideox"):
        assert sum(read_table(card).memory.weights.values()) == pytest.approx(by_files, rel=0.06)


@EACH
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_no_mode_needs_more_than_the_one_before(card: Card, device: str):
    modes = modes_of(card, device)
    peaks = [peak(card, mode, device) for mode in modes]
    assert modes[0] == WHOLE and list(modes) == [mode for mode in MODES if mode in modes]
    assert peaks == sorted(peaks, reverse=True)
    assert device == "cpu" or peaks[-1] < peaks[0]


@EACH
@pytest.mark.parametrize("mode", MODES)
def test_more_pixels_or_frames_never_need_less(card: Card, mode: str):
    widths = [peak(card, mode, width=width) for width in (256, 512, 768, 1024, 1280)]
    assert widths == sorted(widths) and widths[0] < widths[-1]
    frames = [peak(card, mode, num_frames=frames) for frames in (5, 14, 25, 49, 121, 257)]
    assert frames == sorted(frames)


@pytest.mark.parametrize("card", [CARDS["svd"], CARDS["svd-xt"], CARDS["svd-xt-1-1"]], ids=lambda card: card.name)
@pytest.mark.parametrize("mode", MODES)
def test_a_larger_chunk_needs_more_up_to_all_frames(card: Card, mode: str):
    peaks = [peak(card, mode, parameters={"decode_chunk_size": chunk}) for chunk in (1, 8, 12, 14)]
    assert peaks == sorted(peaks) and peaks[0] < peaks[1] < peaks[2] < peaks[3]
    most = int(card.frames.default)
    assert peak(card, mode, parameters={"decode_chunk_size": most}) == peak(
        card, mode, parameters={"decode_chunk_size": 99})


# SVD's figures, as computed from its module tree


def svd(mode: str, chunk: int) -> float:
    return tensors(peak(SVD, mode, parameters={"decode_chunk_size": chunk}))


def test_svds_weights_are_its_parameters_in_half_precision():
    parameters = {"unet": 1_524_623_082, "vae": 97_742_847, "image_encoder": 632_076_800}
    said = read_table(SVD).memory.weights
    assert said == {name: pytest.approx(2 * count / GB, abs=0.001) for name, count in parameters.items()}
    assert footprint_of(SVD, None, WHOLE, "auto").resident_bytes == pytest.approx(4.20 * GB, abs=5 * MEGABYTE)


def test_svds_peaks_are_those_of_the_step_or_of_the_chunk():
    weights, unet, vae = 4.20, 2.84, 0.18
    assert svd(WHOLE, 1) == pytest.approx(weights + 7.7, abs=0.01)
    assert svd(TWO_PASS, 1) == pytest.approx(weights + 7.7 / 2, abs=0.01)
    assert svd(WHOLE, 8) == svd(TWO_PASS, 8) == pytest.approx(weights + 8 * 1.125, abs=0.01)
    assert svd("component", 1) == pytest.approx(unet + 7.7 / 2, abs=0.01)
    assert svd("component", 8) == svd(SEQUENTIAL, 8) == pytest.approx(vae + 8 * 1.125, abs=0.01)
    assert svd("group", 1) == pytest.approx(0.2 * unet + 7.7 / 2, abs=0.01)
    assert svd(WHOLE, 25) == pytest.approx(weights + 28.1, abs=0.1)


# what differs between models


def test_two_passes_are_for_those_whose_branches_are_one_batch():
    assert {name for name, card in CARDS.items() if TWO_PASS in modes_of(card, "cpu")} == {
        "svd", "svd-xt", "svd-xt-1-1", "ltx-video", "cogvideox-5b", "cogvideox-5b-i2v",
    }


def test_a_mask_grows_with_the_square():
    all_frames, some = (tensors(peak(HUNYUAN, "component", num_frames=frames)) for frames in (121, 61))
    less = 61 / 121
    assert all_frames - some == pytest.approx((1 - less**2) * 13.0 + (1 - less) * 2.5, abs=0.01)


def test_what_decodes_a_few_frames_at_a_time_needs_as_much_for_few():
    card = CARDS["wan2.2-ti2v-5b"]
    assert peak(card, num_frames=5) == peak(card)


def test_what_stays_when_nothing_renders():
    assert [footprint_of(SVD, None, mode, "auto").resident_bytes > 0 for mode in MODES] == [
        True, True, False, False, False]


def test_offloaded_weights_are_in_ram():
    card = CARDS["wan2.2-ti2v-5b"]
    whole, component = (footprint_of(card, None, mode, "auto").ram_bytes for mode in (WHOLE, "component"))
    assert whole == 17 * GB and component == pytest.approx((22.53 + 2) * GB, rel=1e-6)


# on the CPU, in float32


def test_on_a_cpu_values_are_twice_as_wide_and_ram_is_the_devices_memory():
    said = footprint_of(SVD, default_shot(SVD), WHOLE, "cpu")
    assert said.resident_bytes == pytest.approx(2 * 4.20 * GB, abs=10 * MEGABYTE)
    assert said.ram_bytes == 0
    assert tensors(said.peak_bytes) == pytest.approx(2 * tensors(peak(SVD)), rel=1e-6)


def test_a_network_that_computes_in_float32_anyway_is_no_wider_there():
    weights = read_table(CARDS["wan2.2-ti2v-5b"]).memory.weights
    said = footprint_of(CARDS["wan2.2-ti2v-5b"], None, WHOLE, "cpu").resident_bytes / GB
    assert said == pytest.approx(2 * (weights["text_encoder"] + weights["transformer"]) + weights["vae"])


# a lighter render


def test_lighter_halves_the_chunk_down_to_one():
    backend, shot, chunks = LocalBackend(BackendConfig(Path())), default_shot(SVD), []
    while (shot := backend.lighter(SVD, shot)) is not None:
        chunks.append(shot.parameters["decode_chunk_size"])
        assert shot.parameters["motion_bucket_id"] == 127
    assert chunks == [4, 2, 1]


def test_lighter_begins_with_what_there_is_to_decode():
    card = CARDS["svd"]
    shot = default_shot(card, parameters={"decode_chunk_size": 99})
    assert LocalBackend(BackendConfig(Path())).lighter(card, shot).parameters["decode_chunk_size"] == 7


def test_where_nothing_can_be_changed_there_is_nothing_lighter():
    assert LocalBackend(BackendConfig(Path())).lighter(TURBO, default_shot(TURBO)) is None


# cards that say less, and such as are wrong


def silent(**memory) -> Card:
    """SVD's card with totals alone."""
    table = {name: value for name, value in SVD.backend.items() if name != "memory"}
    return Card(**{**SVD.model_dump(), "backend": table, "memory": memory})


def test_a_card_with_totals_alone_has_one_mode_and_its_total():
    card = silent(vram_gb=10.0, ram_gb=3.0)
    assert modes_of(card, "auto") == modes_of(card, "cpu") == (WHOLE,)
    assert footprint_of(card, default_shot(card), WHOLE, "auto") == Footprint(5 * GB, 10 * GB, 3 * GB)
    assert footprint_of(card, default_shot(card), WHOLE, "cpu") == Footprint(10 * GB, 20 * GB, 0)
    assert LocalBackend(BackendConfig(Path())).lighter(card, default_shot(card)) is None


def test_a_card_that_says_nothing_needs_nothing():
    assert footprint_of(silent(), default_shot(SVD), WHOLE, "auto").peak_bytes == 0


@pytest.mark.parametrize(("changes", "said"), [
    ({"denoiser": "transformer"}, "backend.memory: Value error, denoiser: there are no weights of 'transformer'"),
    ({"weights": {}}, "backend.memory.weights: Dictionary should have at least 1 item"),
    ({"weights": {"unet": 0}}, "backend.memory.weights.unet: Input should be greater than 0"),
    ({"denoise": float("nan")}, "backend.memory.denoise: Input should be a finite number"),
    ({"mask": 99.0}, "backend.memory: Value error, mask: it is a part of denoise, and larger"),
    ({"chunk": "chunks"}, "backend.memory.chunk: this card has no integer parameter 'chunks'"),
    ({"chunk": "noise_aug_strength"}, "backend.memory.chunk: this card has no integer parameter 'noise_aug_strength'"),
    ({"upscale": 1}, "backend.memory.upscale: Extra inputs are not permitted"),
])
def test_wrong_figures_are_named_by_file_and_field(tmp_path, changes, said: str):
    memory = {**SVD.backend["memory"], **changes}
    card = SVD.model_copy(update={"backend": {**SVD.backend, "memory": memory}})
    with pytest.raises(BrokenCard) as broken:
        LocalBackend(BackendConfig(tmp_path)).check(card)
    assert str(broken.value).startswith(f"local-svd-xt.toml: {said}")
