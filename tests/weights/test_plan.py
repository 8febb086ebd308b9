import pytest

from vidgen.weights import WeightsError
from vidgen.weights.plan import Listing, RemoteFile, matches, needed, refusal


@pytest.mark.parametrize(("path", "pattern", "is_meant"), [
    ("unet/config.json", "unet/config.json", True),
    ("unet/config.json", "*.json", True),
    ("unet/deep/config.json", "unet/*.json", True),
    ("unet/deep/config.json", "unet/", True),
    ("unet2/config.json", "unet/", False),
    ("unet/w.fp16.safetensors", "*.FP16.safetensors", False),
    ("unet/w.safetensors", "unet/w.fp16.safetensors", False),
])
def test_patterns_are_read_as_the_hubs_client_reads_them(path, pattern, is_meant):
    from huggingface_hub.utils import filter_repo_objects

    assert matches(path, pattern) is is_meant
    assert bool([*filter_repo_objects([path], allow_patterns=[pattern])]) is is_meant


@pytest.mark.parametrize("name", [
    "a.bin", "a.pt", "a.pth", "a.ckpt", "a.pkl", "a.pickle", "a.msgpack", "a.h5", "deep/A.BIN", "a.safetensors.pt",
])
def test_names_of_pickles_are_refused(name):
    assert "pickle" in refusal(name)


@pytest.mark.parametrize("name", [
    "../a.json", "/etc/a.json", "a/../../b.json", "a//b.json", "./a.json", "a/. /b.json", "C:\\a.json", "a\\b.json",
    "c:a.json", "a\x1b[2Jb.json", "a\nb.json", "", ".part/a.json",
])
def test_names_that_are_no_safe_paths_are_refused(name):
    assert refusal(name) == "its name is not safe as a path"


@pytest.mark.parametrize("name", [
    "model_index.json", "unet/w-00001-of-00002.safetensors", "tokenizer/spiece.model", "pytorch_model.bin.index.json",
    "a b/ü (1)+v2.txt", ".gitattributes",
])
def test_other_names_are_not(name):
    assert refusal(name) is None


def test_an_unsafe_name_is_refused_before_anything_is_fetched(setting):
    listing = Listing("lab/clip", "0" * 40, False, (RemoteFile("../../.bashrc", 3, None, "1" * 40),))
    with pytest.raises(WeightsError, match=r"clip.toml: weights.files: '../../.bashrc' in lab/clip is not fetched"):
        needed(setting.card(patterns=["*"]), listing)


def test_a_file_that_two_patterns_mean_is_fetched_once_and_small_files_come_first(setting):
    sizes = {"unet/w.safetensors": 10**9, "unet/config.json": 10, "model_index.json": 20}
    listing = Listing("lab/clip", "0" * 40, False, tuple(RemoteFile(p, n, None, "1" * 40) for p, n in sizes.items()))
    files = needed(setting.card(patterns=["*.json", "unet/", "model_index.json"]), listing)
    assert [file.path for file in files] == ["unet/config.json", "model_index.json", "unet/w.safetensors"]
