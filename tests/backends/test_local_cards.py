"""The cards of local models, held against the pipelines that they name."""

import inspect
from pathlib import Path

import pytest
from PIL import Image

from backends.local import LocalBackend
from backends.local.families import family
from backends.local.table import read_table
from scripts.make_test_weights import PIPELINES, make
from scripts.testweights.cards import small_card
from scripts.testweights.cogvideox import IMAGE_PX
from vidgen.backend import BackendConfig
from vidgen.cards import Card, read_card
from vidgen.errors import InvalidInput
from vidgen.request import JobRequest

MODELS = Path(__file__).resolve().parents[2] / "backends" / "models"
CARDS = {card.name: card for card in map(read_card, sorted(MODELS.glob("local-*.toml")))}
ROUNDED = [name for name, card in CARDS.items() if card.frames and card.frames.step]
"""Video models whose number of frames has a rule."""

HUNYUAN_480P = 640                          # the size around which its 480p models choose theirs
UNWANTED = ("model.ckpt", "unet/pytorch_model.bin", "vae/diffusion_pytorch_model.bin", "ltx-video-2b-v0.9.safetensors")

every = pytest.mark.parametrize("name", CARDS)
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"     # diffusers and NumPy 2
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a card's test weights, written once; nobody changes it."""
    folders = {}

    def made(card: Card) -> Path:
        pipeline = card.backend["pipeline"]
        if pipeline not in folders:
            make(pipeline, folder := tmp_path_factory.mktemp(pipeline))
            folders[pipeline] = folder
        return folders[pipeline]

    return made


@pytest.fixture(scope="module")
def pipelines(made):
    """A card's test pipelines: one of each class that it names, over the same components."""
    import diffusers
    import torch

    loaded = {}

    def pipelines(card: Card) -> list:
        if card.name not in loaded:
            loaded[card.name] = [
                getattr(diffusers, cls).from_pretrained(
                    made(card), variant=card.backend.get("variant"), use_safetensors=True, dtype=torch.float32
                ) for cls in read_table(card).pipelines.values()
            ]
        return loaded[card.name]

    return pipelines


def classes_of(card: Card) -> list[type]:
    import diffusers

    return [getattr(diffusers, name) for name in read_table(card).pipelines.values()]


def render(pipeline, frames: int) -> list:
    takes = inspect.signature(pipeline.__call__).parameters
    given = {"prompt": "a dog", "image": Image.new("RGB", IMAGE_PX), "width": IMAGE_PX[0], "height": IMAGE_PX[1],
             "num_frames": frames, "num_inference_steps": 2, "output_type": "pil"}
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(**{key: value for key, value in given.items() if key in takes}).frames[0]


@every
def test_says_where_its_figures_come_from(name):
    head = CARDS[name].source.read_text().split('provider = "local"')[0]
    assert head.startswith("# Sources: ") and CARDS[name].weights.repository in head.replace("\n# ", "")


@every
def test_there_are_test_weights_of_its_class(name):
    assert CARDS[name].backend["pipeline"] in PIPELINES


@every
def test_the_same_card_for_test_weights_needs_little_memory(name, tmp_path):
    (file := tmp_path / "small.toml").write_text(small_card(name, "small", "local", keyframe_model="local:other"))
    card, backend = read_card(file), LocalBackend(BackendConfig(tmp_path, device="cpu"))
    backend.check(card)
    assert card.id == "local:small" and card.keyframe_model in (None, "local:other")
    assert backend.modes(card) == backend.modes(CARDS[name])
    assert backend.footprint(card, None).peak_bytes < 2**30 < backend.footprint(CARDS[name], None).peak_bytes


@every
def test_what_it_gives_is_taken(name):
    from diffusers import ClassifierFreeGuidance

    card, table = CARDS[name], read_table(CARDS[name])
    given = {*card.parameters, *table.names, *table.arguments}
    for cls in classes_of(card):
        parts = {"guider": ClassifierFreeGuidance, "scheduler": None, "": cls.__call__}
        for key in given:
            part, _, theirs = table.names.get(key, key).rpartition(".")
            if parts[part] is not None:
                assert theirs in inspect.signature(parts[part]).parameters, f"{cls.__name__} takes no {theirs}"


@pytest.mark.parametrize("name", [name for name, card in CARDS.items() if "flow_shift" in card.parameters])
def test_the_shift_is_the_schedulers(name, pipelines):
    part, key = CARDS[name].backend["names"]["flow_shift"].split(".")
    assert part == "scheduler"
    for pipeline in pipelines(CARDS[name]):
        assert key in pipeline.scheduler.config


@pytest.mark.parametrize("name", ROUNDED)
def test_every_length_is_one_that_the_pipeline_makes(name, pipelines):
    rule = CARDS[name].frames
    for pipeline in pipelines(CARDS[name]):
        factor = getattr(pipeline, "vae_scale_factor_temporal", 0) or pipeline.vae_temporal_compression_ratio
        assert (rule.min - 1) % factor == (rule.default - 1) % factor == rule.step % factor == 0
        for frames in (int(rule.min), int(rule.min + rule.step)):
            assert len(render(pipeline, frames)) == frames


@every
def test_every_size_is_one_that_the_pipeline_makes(name, pipelines):
    card = CARDS[name]
    for pipeline in pipelines(card):
        multiple = size_multiple(pipeline)
        for side in (card.width, card.height):
            assert side.min % multiple == 0 and (side.step % multiple == 0 or side.min == side.max)


def size_multiple(pipeline) -> int:
    """Pixels: what one token of the denoising network covers."""
    names = ("vae_scale_factor_spatial", "vae_spatial_compression_ratio", "vae_scale_factor")
    vae = next(getattr(pipeline, name) for name in names if hasattr(pipeline, name))
    patch = pipeline.transformer.config.patch_size if hasattr(pipeline, "transformer") else 1
    return vae * (patch if isinstance(patch, int) else patch[-1])


def test_hunyuan_chooses_the_size_of_an_image_that_has_it_already():
    from diffusers.pipelines.hunyuan_video1_5.image_processor import HunyuanVideo15ImageProcessor

    sizes = CARDS["hunyuanvideo-1.5-i2v"].sizes
    chosen = [
        HunyuanVideo15ImageProcessor().calculate_default_height_width(height, width, HUNYUAN_480P)[::-1]
        for width, height in sizes
    ]
    assert chosen == sizes


@pytest.mark.parametrize(("name", "asked", "nearest"), [
    ("wan2.2-ti2v-5b", {"num_frames": 120}, "121"), ("wan2.2-ti2v-5b", {"width": 1270}, "1280"),
    ("ltx-video", {"num_frames": 160}, "161"), ("cogvideox-5b", {"num_frames": 45}, "49"),
    ("cogvideox-5b-i2v", {"width": 1280}, "720"), ("hunyuanvideo-1.5-t2v", {"num_frames": 119}, "121"),
    ("hunyuanvideo-1.5-i2v", {"width": 848, "height": 496}, "848 x 480"),
])
def test_what_it_cannot_make_is_refused_with_the_nearest(name, asked, nearest):
    with pytest.raises(InvalidInput, match=f"the nearest is {nearest}$"):
        CARDS[name].resolve(JobRequest(user_prompt="a dog", **asked), seed=1)


@every
def test_its_patterns_fetch_what_loading_needs_and_no_more(name, made):
    from huggingface_hub.utils import filter_repo_objects

    card = CARDS[name]
    folder = made(card)
    needed = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()} - {"README.md"}
    fetched = set(filter_repo_objects([*needed, *UNWANTED], allow_patterns=card.weights.files))
    assert fetched == needed


@pytest.mark.parametrize("name", [name for name, card in CARDS.items() if card.backend.get("family") == "tiled"])
def test_tiles_are_switched_on_and_matter(name, pipelines):
    import torch

    pipeline = pipelines(CARDS[name])[0]
    vae = pipeline.vae
    side = vae.tile_latent_min_width + 2
    latents = torch.randn((1, vae.config.latent_channels, 1, 4, side), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = vae.decode(latents).sample
        family("tiled").prepare(pipeline)
        tiled = vae.decode(latents).sample
        vae.disable_tiling()
    assert tiled.shape == whole.shape and not torch.equal(tiled, whole)
