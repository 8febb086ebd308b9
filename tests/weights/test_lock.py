"""The cheap look at a model's folder, where no lock says what stands in it."""

import json

import pytest

from vidgen.weights import Lock, LockedFile, lock_file, problem, write_lock

INDEX = {
    "_class_name": "Clip", "_diffusers_version": "0.42.1", "image_size": [64, 64], "flag": True, "none": [None, None],
    "unet": ["diffusers", "UNet"], "tokenizer": ["transformers", "CLIPTokenizer"],
}
PARTS = {"weight_map": {"a": "w-1.safetensors", "b": "w-2.safetensors"}}


@pytest.fixture
def place(setting):
    """A complete folder that came without a lock."""
    place = setting.weights / "clip"
    for path, text in {
        "model_index.json": json.dumps(INDEX), "unet/config.json": "{}", "unet/w-1.safetensors": "",
        "unet/w-2.safetensors": "", "unet/w.safetensors.index.json": json.dumps(PARTS), "tokenizer/config.json": "{}",
    }.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text)
    return place


def test_a_complete_folder_needs_no_lock(setting, place):
    assert problem(setting.card(), setting.weights) is None


@pytest.mark.parametrize(("gone", "named"), [
    (["model_index.json"], "model_index.json is missing"),
    (["tokenizer/config.json"], "tokenizer/ is missing"),
    (["unet/w-2.safetensors"], "unet/w-2.safetensors is missing"),
    (["unet/w-1.safetensors", "unet/w-2.safetensors", "unet/w.safetensors.index.json"], "unet/ has no safetensors"),
], ids=["index", "component", "part", "weights"])
def test_what_is_missing_is_named_with_the_command(setting, place, gone, named):
    for path in gone:
        (place / path).unlink()
    said = problem(setting.card(), setting.weights)
    assert said == f"its weights are not whole: {named}; run: make weights MODEL=clip"


@pytest.mark.parametrize("index", ["[]", "nonsense", '{"unet": []}'])
def test_an_index_that_is_none_breaks_nothing(setting, place, index):
    (place / "model_index.json").write_text(index)
    problem(setting.card(), setting.weights)


def test_a_download_that_was_cut_short_is_told_from_a_folder_without_a_lock(setting, place):
    (place / ".part").mkdir()
    said = problem(setting.card(), setting.weights)
    assert said == "a download of its weights was cut short; run: make weights MODEL=clip"


def test_a_folder_that_is_not_there(setting):
    assert problem(setting.card(), setting.weights) == "its weights are not here; run: make weights MODEL=clip"


@pytest.mark.parametrize(("path", "size", "named"), [
    ("unet/config.json", 3, "unet/config.json has 2 bytes, not 3"),
    ("vae/w.safetensors", 3, "vae/w.safetensors is missing"),
])
def test_a_lock_is_compared_by_sizes(setting, place, path, size, named):
    lock = Lock(repository="lab/clip", revision="1", files={path: LockedFile(size=size, sha256="0")})
    write_lock(setting.card(), setting.weights, lock)
    assert named in problem(setting.card(), setting.weights)
    assert [path.name for path in setting.weights.iterdir() if path.is_file()] == ["clip.lock.json"]


def test_a_lock_that_cannot_be_read_is_none(setting, place):
    lock_file(setting.card(), setting.weights).write_bytes(b"\xff")
    assert problem(setting.card(), setting.weights) is None
