"""Pipelines with random values: complete, in the released layout, and alive: what goes in changes what comes out."""

import json
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from PIL import Image

from scripts.make_test_weights import PIPELINES, main, make
from scripts.testweights import full_size, tokenizers
from scripts.testweights.cogvideox import IMAGE_PX
from scripts.testweights.parts import values_of
from vidgen.cards import read_card

ROOT = Path(__file__).resolve().parents[2]
FP16 = ("StableVideoDiffusionPipeline", "StableDiffusionPipeline", "StableDiffusionXLPipeline")
STILLS = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
FRAMES = 9                                  # 8n + 1 and 4n + 1
HUNYUAN_IMAGE = "HunyuanVideo15ImageToVideoPipeline"
GIVEN_PX, CHOSEN_PX = (96, 64), (48, 32)     # HunyuanVideo 1.5's image-to-video chooses its size by the image
MOST_BYTES = {"HunyuanVideo15Pipeline": 12e6, "HunyuanVideo15ImageToVideoPipeline": 12e6}
"""One layer of this family is 2048 wide whatever its configuration says."""

WEIGHTS = "diffusion_pytorch_model.safetensors"
SPLIT = {"diffusion_pytorch_model-00001-of-00002.safetensors", "diffusion_pytorch_model-00002-of-00002.safetensors",
         "diffusion_pytorch_model.safetensors.index.json", "config.json"}
CLIP = {"vocab.json", "merges.txt", "special_tokens_map.json", "tokenizer_config.json"}
T5 = {"spiece.model", "added_tokens.json", "special_tokens_map.json", "tokenizer_config.json"}
UMT5 = {"spiece.model", "tokenizer.json", "special_tokens_map.json", "tokenizer_config.json"}

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"     # diffusers and NumPy 2
)
each = pytest.mark.parametrize("name", PIPELINES)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a class's pipeline, written once."""
    folders = {}

    def made(name: str) -> Path:
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name)
            make(name, folders[name])
        return folders[name]

    return made


def plain(folder: Path, name: str):
    """The pipeline as diffusers alone loads it."""
    import diffusers
    import torch

    variant = "fp16" if name in FP16 else None
    pipeline = diffusers.DiffusionPipeline.from_pretrained(
        folder, variant=variant, use_safetensors=True, local_files_only=True, dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def render(pipeline, prompt: str, colour: tuple[int, int, int]) -> numpy.ndarray:
    """What *pipeline* makes in two steps: [frames, height, width, 3], 0 to 1."""
    import inspect

    import torch

    takes = inspect.signature(pipeline.__call__).parameters
    width, height = IMAGE_PX
    image = Image.new("RGB", GIVEN_PX if type(pipeline).__name__ == HUNYUAN_IMAGE else IMAGE_PX, colour)
    given = {"prompt": prompt, "image": image, "width": width, "height": height,
             "num_frames": FRAMES, "num_inference_steps": 2, "output_type": "np"}
    result = pipeline(**{k: v for k, v in given.items() if k in takes}, generator=torch.Generator().manual_seed(1))
    return numpy.asarray(result.frames[0] if hasattr(result, "frames") else result.images)


@each
def test_plain_diffusers_renders_what_was_asked_for(made, name):
    pipeline = plain(made(name), name)
    assert type(pipeline).__name__ == name
    frames = render(pipeline, "a red lighthouse", (200, 30, 90))
    width, height = CHOSEN_PX if name == HUNYUAN_IMAGE else IMAGE_PX
    assert frames.shape == (1 if name in STILLS else FRAMES, height, width, 3)
    assert numpy.isfinite(frames).all()
    assert frames.std() > 0.1 and ((frames > 0) & (frames < 1)).mean() > 0.25, "the frames are nearly plain"
    if name not in STILLS:
        assert abs(numpy.diff(frames, axis=0)).mean() > 0.01, "the frames are all alike"
    reads_text = name != "StableVideoDiffusionPipeline"
    other = render(pipeline, "two dogs in the snow" if reads_text else "", (200, 30, 90) if reads_text else (0, 90, 10))
    assert abs(other - frames).mean() > 1e-3, "what goes in does not matter"


@pytest.mark.parametrize("name", [name for name in PIPELINES if "ImageToVideo" in name])
def test_the_image_matters(made, name):
    pipeline = plain(made(name), name)
    one, other = (render(pipeline, "a ship at sea", colour) for colour in ((255, 255, 255), (0, 30, 80)))
    assert abs(one - other).mean() > 1e-3


@each
def test_tokenizers_know_words(made, name):
    import transformers

    index = json.loads((made(name) / "model_index.json").read_text())
    for part in (part for part in index if part.startswith("tokenizer")):
        tokenizer = getattr(transformers, index[part][1]).from_pretrained(made(name) / part)
        one, other = (tokenizer(text)["input_ids"] for text in ("a red lighthouse", "two dogs in the snow"))
        assert one != other
        assert tokenizer.unk_token_id is None or one.count(tokenizer.unk_token_id) <= 1     # CLIP ends with it
        assert len(set(one)) >= 3
        assert max(one + other) < tokenizers.TOKENS


def test_the_text_around_a_prompt_is_as_long_as_hunyuan_cuts_off(made):
    folder = made("HunyuanVideo15Pipeline")
    pipeline = plain(folder, "HunyuanVideo15Pipeline")
    talk = [{"role": "system", "content": pipeline.system_message}, {"role": "user", "content": "red"}]
    ids = pipeline.tokenizer.apply_chat_template(talk, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert pipeline.tokenizer.decode(ids[pipeline.prompt_template_encode_start_idx:]).startswith("red<|im_end|>")


@pytest.mark.parametrize(("name", "folder", "files"), [
    ("StableVideoDiffusionPipeline", "unet", {"config.json", "diffusion_pytorch_model.fp16.safetensors"}),
    ("StableVideoDiffusionPipeline", "image_encoder", {"config.json", "model.fp16.safetensors"}),
    ("StableVideoDiffusionPipeline", "feature_extractor", {"preprocessor_config.json"}),
    ("StableDiffusionPipeline", "tokenizer", CLIP),
    ("StableDiffusionXLPipeline", "tokenizer_2", CLIP),
    ("StableDiffusionXLPipeline", "text_encoder_2", {"config.json", "model.fp16.safetensors"}),
    ("WanPipeline", "tokenizer", UMT5),
    ("WanPipeline", "transformer", SPLIT),
    ("WanPipeline", "vae", {"config.json", WEIGHTS}),
    ("LTXPipeline", "tokenizer", T5),
    ("CogVideoXPipeline", "tokenizer", T5),
    ("CogVideoXImageToVideoPipeline", "scheduler", {"scheduler_config.json"}),
    ("HunyuanVideo15Pipeline", "guider", {"guider_config.json"}),
    ("HunyuanVideo15Pipeline", "tokenizer", CLIP | {"added_tokens.json", "chat_template.jinja"}),
    ("HunyuanVideo15Pipeline", "tokenizer_2", {"special_tokens_map.json", "tokenizer_config.json"}),
])
def test_files_have_the_released_names(made, name, folder, files):
    assert {file.name for file in (made(name) / folder).iterdir()} == files


@each
def test_small(made, name):
    size = sum(file.stat().st_size for file in made(name).rglob("*") if file.is_file())
    assert size < MOST_BYTES.get(name, 5e6)


@pytest.mark.parametrize("name", ["StableDiffusionPipeline", "WanPipeline"])
def test_the_seed_decides_every_byte(made, tmp_path, name):
    make(name, tmp_path / "again")
    make(name, tmp_path / "other", seed=1)
    first, again, other = contents(made(name)), contents(tmp_path / "again"), contents(tmp_path / "other")
    assert again == first
    changed = {file for file in first if other[file] != first[file]}
    assert changed == {file for file in first if file.suffix == ".safetensors"} | {Path("README.md")}


def contents(folder: Path) -> dict[Path, bytes]:
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_class_without_test_weights(tmp_path):
    with pytest.raises(KeyError):
        make("FluxPipeline", tmp_path)


def test_full_size_is_svd_xts_size():
    parts = full_size.svd_xt().parts
    assert parts["unet"].parameters() == full_size.UNET_PARAMETERS == 1_524_623_082
    assert parts["vae"].parameters() == full_size.VAE_PARAMETERS == 97_742_847
    assert parts["image_encoder"].parameters() == full_size.IMAGE_ENCODER_PARAMETERS == 632_076_800


def test_what_is_streamed_is_a_safetensors_file(tmp_path):
    import torch
    from safetensors.torch import load_file

    shapes = {"conv.weight": (4, 3, 3, 3), "norm.weight": (5,), "mix": (1,)}
    full_size.stream(tmp_path / "x.safetensors", shapes, seed=3)
    read = load_file(tmp_path / "x.safetensors")
    assert set(read) == set(shapes)
    assert all(torch.equal(read[name], values_of(name, shape, 3).half()) for name, shape in shapes.items())


def command(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "make_test_weights.py", *arguments], capture_output=True, text=True
    )


def test_the_list_names_cards_and_classes():
    done = command("--list")
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in ("svd-xt", "wan2.2-ti2v-5b", *PIPELINES))


def test_the_command_writes_a_cards_folder_once(tmp_path):
    done = command("local:sd-turbo", "--into", str(tmp_path), "--seed", "5")
    assert done.returncode == 0, done.stderr
    index = json.loads((tmp_path / "sd-turbo" / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"
    assert "Not a trained model" in (tmp_path / "sd-turbo" / "README.md").read_text()
    again = command("sd-turbo", "--into", str(tmp_path))
    assert again.returncode == 2 and "is not empty" in again.stderr


def test_toys_are_models_of_their_own(tmp_path, monkeypatch):
    """The command as above, in this process, which has torch already."""
    arguments = ["svd-xt", "--into", str(tmp_path / "weights"), "--toys", str(tmp_path / "models")]
    monkeypatch.setattr(sys, "argv", ["make_test_weights.py", *arguments])
    assert main() == 0
    card = read_card(tmp_path / "models" / "toy-svd-xt.toml")
    assert (card.id, card.keyframe_model, card.speed) == ("local:toy-svd-xt", "local:toy-sd-turbo", None)
    assert (tmp_path / "weights" / "toy-svd-xt" / "model_index.json").is_file()


@pytest.mark.parametrize("arguments", [["nonsense"], ["stub:animatic"], ["FluxPipeline"], []])
def test_the_command_refuses(tmp_path, arguments):
    done = command(*arguments, "--into", str(tmp_path))
    assert done.returncode == 2 and "--list" in done.stderr
    assert not any(tmp_path.iterdir())
