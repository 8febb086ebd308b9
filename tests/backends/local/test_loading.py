"""Weights that cannot be loaded are refused in words; what is loaded comes from the folder alone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from backends.local.layout import read_layout
from backends.local.loading import load_parts
from backends.local.table import read_table
from tests.backends.local.rig import CARDS, Rig, Said, rendered, shot_of
from vidgen.backend import WHOLE, BackendConfig
from vidgen.cards import Card
from vidgen.errors import Cancelled, StepFailed

TURBO, SVD = CARDS["sd-turbo"], CARDS["svd"]
UNET = "unet/diffusion_pytorch_model.fp16.safetensors"


def refusal(rig: Rig, card: Card, tmp_path: Path, spoil: Callable[[Path], object]) -> StepFailed:
    """What loading the card's weights says, once *spoil* has been at them."""
    from backends.local import LocalBackend

    weights = rig.copy(card, tmp_path)
    spoil(weights / card.name)
    with pytest.raises(StepFailed) as failed:
        LocalBackend(BackendConfig(weights, device="cpu")).load(card, WHOLE, Said())
    assert not failed.value.retryable
    assert str(tmp_path) not in failed.value.detail
    return failed.value


def as_pickle(folder: Path) -> None:
    """The UNet's weights as a pickle that tells when it is opened."""
    weights = folder / UNET
    weights.unlink()
    bomb = f"c__builtin__\neval\n(S'open({str(folder / 'opened')!r}, \"w\")'\ntR."
    weights.with_suffix(".bin").write_bytes(bomb.encode())
    (folder / "unet/diffusion_pytorch_model.bin").write_bytes(bomb.encode())


def test_a_pickle_is_never_loaded(rig: Rig, tmp_path):
    said = refusal(rig, TURBO, tmp_path, as_pickle).detail
    assert f"{UNET} is missing" in said
    assert "unet/diffusion_pytorch_model.bin is a pickle, and such files are never loaded" in said
    assert not (tmp_path / TURBO.name / "opened").exists()


def test_a_pickle_beside_good_weights_is_left_alone(rig: Rig, tmp_path):
    from backends.local import LocalBackend

    weights = rig.copy(TURBO, tmp_path)
    (weights / TURBO.name / "unet/diffusion_pytorch_model.fp16.bin").write_bytes(b"no pickle at all")
    backend = LocalBackend(BackendConfig(weights, device="cpu"))
    backend.load(TURBO, WHOLE, Said())
    assert TURBO.id in backend.held().models


def cut(folder: Path) -> None:
    file = folder / UNET
    file.write_bytes(file.read_bytes()[:-100])


def lack_a_tensor(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / UNET)
    del tensors["conv_in.weight"]
    save_file(tensors, folder / UNET, {"format": "pt"})


def of_another_shape(folder: Path) -> None:
    config = json.loads((folder / "unet/config.json").read_text())
    (folder / "unet/config.json").write_text(json.dumps({**config, "block_out_channels": [16, 16, 16, 16]}))


def index(folder: Path, **entries: object) -> None:
    file = folder / "model_index.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **entries}))


@pytest.mark.parametrize(("spoil", "said"), [
    (lambda folder: (folder / UNET).unlink(), f"{UNET} is missing"),
    (cut, f"{UNET} is not whole"),
    (lambda folder: (folder / UNET).write_bytes(b""), f"{UNET} is not whole"),
    (lambda folder: (folder / UNET).write_bytes(b"\xff" * 99), f"{UNET} is not whole"),
    (lack_a_tensor, "the weights of unet lack conv_in.weight"),
    (of_another_shape, "unet cannot be loaded from its weights; the log says more"),
    (lambda folder: (folder / "unet/config.json").write_text("{"), "unet cannot be loaded from its weights"),
    (lambda folder: (folder / "scheduler/scheduler_config.json").unlink(), "scheduler cannot be loaded"),
    (lambda folder: (folder / "tokenizer").rename(folder / "x"), "tokenizer/ is missing"),
    (lambda folder: (folder / "tokenizer/merges.txt").unlink(), r"tokenizer/ has no vocabulary \(one of tokenizer"),
    (lambda folder: (folder / "tokenizer/vocab.json").write_bytes(b""), "tokenizer/ has no vocabulary"),
    (lambda folder: (folder / "model_index.json").unlink(), "model_index.json of the weights is missing"),
    (lambda folder: (folder / "model_index.json").write_text("[]"), "model_index.json of the weights is missing or"),
    (lambda folder: index(folder, unet=["os", "system"]), "unet is a system of os, which is not among the installed"),
    (lambda folder: index(folder, unet=["diffusers", "NoSuchModel"]), "unet is a NoSuchModel of diffusers"),
    (lambda folder: index(folder, vae=None), "StableDiffusionPipeline needs vae, which these weights do not have"),
])
def test_spoiled_weights_are_refused_by_name(rig: Rig, tmp_path, spoil, said: str):
    import re

    assert re.search(said, refusal(rig, TURBO, tmp_path, spoil).detail)


def test_a_split_component_with_a_part_missing(rig: Rig, tmp_path):
    def split(folder: Path) -> None:
        from diffusers import UNet2DConditionModel

        unet = UNet2DConditionModel.from_pretrained(folder / "unet", variant="fp16")
        (folder / UNET).unlink()
        unet.save_pretrained(folder / "unet", variant="fp16", max_shard_size="100KB")
        sorted((folder / "unet").glob("*-00002-of-*.safetensors"))[0].unlink()

    assert "unet/diffusion_pytorch_model.fp16-00002-of-" in refusal(rig, TURBO, tmp_path, split).detail


def test_a_failure_of_the_device_is_not_said_to_be_the_files(rig: Rig):
    def settle(name: str, network: object) -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")

    layout, table = read_layout(rig.folder(TURBO)), read_table(TURBO)
    with pytest.raises(RuntimeError, match="unspecified launch failure"):
        load_parts(layout, table, torch.device("cpu"), Said(), settle)


@pytest.mark.parametrize(("changes", "said"), [
    ({"arguments": {"guidance": 2}}, "backend.arguments.guidance: StableDiffusionPipeline takes no 'guidance'"),
    ({"names": {"fps": "frame_rate"}}, "backend.names.fps: StableDiffusionPipeline takes no 'frame_rate'"),
    ({"scheduler": {"no_such_key": 1}}, "backend.scheduler.no_such_key: EulerDiscreteScheduler takes no"),
    ({"names": {"prompt": "scheduler.no_such_key"}}, "backend.names.prompt: EulerDiscreteScheduler takes no"),
    ({"dtypes": {"vea": "float32"}}, "backend.dtypes.vea: these weights have no vea"),
    ({"names": {"prompt": "guider.scale"}}, "backend.names.prompt: these weights have no guider"),
])
def test_a_card_that_gives_what_the_pipeline_does_not_take(rig: Rig, changes, said: str):
    card = TURBO.model_copy(update={"backend": {**TURBO.backend, **changes}})
    with pytest.raises(StepFailed) as failed:
        rig.fresh(card).load(card, WHOLE, Said())
    assert failed.value.detail.startswith(f"local-sd-turbo.toml: {said}") and not failed.value.retryable


@pytest.mark.parametrize(("changes", "said"), [
    ({"parameters": {"magic": {"type": "integer", "default": 1, "description": "x"}}}, "parameters.magic"),
    ({"capabilities": {"text_to_image": True, "negative_prompt": True}}, None),
])
def test_a_cards_parameters_and_capabilities_are_checked_too(rig: Rig, changes, said: str | None):
    card = Card(**{**TURBO.model_dump(), **changes})
    if said is None:
        rig.fresh(card).load(card, WHOLE, Said())
        return
    with pytest.raises(StepFailed, match=said):
        rig.fresh(card).load(card, WHOLE, Said())


def test_a_capability_that_the_pipeline_does_not_have(rig: Rig):
    card = Card(**{**SVD.model_dump(), "capabilities": {"image_to_video": True, "negative_prompt": True}})
    with pytest.raises(StepFailed, match=r"capabilities\.negative_prompt: StableVideoDiffusionPipeline takes no"):
        rig.fresh(card).load(card, WHOLE, Said())


def test_a_long_load_is_heard_and_can_be_stopped_between_two_pieces_of_a_file(tmp_path):
    import os

    from backends.local.readahead import CHUNK_BYTES, read_ahead

    file, lives = tmp_path / "large", []
    with file.open("wb") as opened:
        opened.truncate(3 * CHUNK_BYTES + 1)
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    read_ahead([file, file], lambda: lives.append(1))
    assert len(lives) == 8
    with pytest.raises(Cancelled):
        read_ahead([file], Said(lambda phase, i: Cancelled("stop") if i == 3 else None).alive)


def test_a_loading_mode_that_is_not_there(rig: Rig):
    with pytest.raises(StepFailed, match="local:sd-turbo cannot be loaded in the mode 'folded'"):
        rig.fresh(TURBO).load(TURBO, "folded", Said())


def test_nothing_is_fetched_and_no_file_outside_is_read(rig: Rig, tmp_path, python):
    """In a process of its own that may open no socket: a whole render."""
    rig.folder(TURBO)
    assert python(f"""
import socket, sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise AssertionError(event)
sys.addaudithook(refuse)
from pathlib import Path
from tests.backends.local.rig import CARDS, Said, shot_of
from backends.local import LocalBackend
from vidgen.backend import BackendConfig
card = CARDS["sd-turbo"]
backend = LocalBackend(BackendConfig(Path({str(rig.weights)!r}), device="cpu"))
print(backend.render(card, shot_of(card, Path({str(tmp_path / "picture.part")!r})), Said()).width)
""") == "64"


def test_what_a_render_measures_is_in_its_result(rig: Rig, tmp_path):
    backend = rig.fresh(SVD)
    shot = shot_of(SVD, tmp_path / "clip.part", num_inference_steps=1)
    first, second = rendered(backend, SVD, shot).measured, rendered(backend, SVD, shot).measured
    assert set(first) == {"load_seconds", "denoise_seconds", "decode_seconds", "encode_seconds"}
    assert set(second) == set(first) - {"load_seconds"}
    assert all(value > 0 for value in [*first.values(), *second.values()])


def test_the_clip_is_what_the_encoder_makes_of_those_frames(rig: Rig, tmp_path):
    from vidgen.media.video import ClipWriter, inspect
    from vidgen.types import EncoderSettings

    shot = shot_of(SVD, tmp_path / "clip.part", num_inference_steps=1)
    clip = rendered(rig.backend(SVD), SVD, shot)
    size = {"width": shot.width, "height": shot.height}
    with ClipWriter(tmp_path / "plain.mp4", **size, fps=7, encoder=EncoderSettings()) as writer:
        for frame in rig.plainly(SVD, shot):
            writer.write(frame.copy().data)
    assert clip.path.read_bytes() == (tmp_path / "plain.mp4").read_bytes()
    assert inspect(clip.path).num_frames == clip.num_frames == shot.num_frames
