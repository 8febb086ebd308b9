"""What the backend says in the server: cheap, and without torch."""

import json
import shutil
from pathlib import Path

import pytest

from backends.local import LocalBackend
from backends.local.installed import diffusers_names
from tests.backends.local.rig import CARDS, ROOT, Rig, shot_of
from vidgen.backend import BackendConfig, Held
from vidgen.cards import BrokenCard, Card
from vidgen.weights import Lock, folder, write_lock

SVD, TURBO = CARDS["svd-xt"], CARDS["sd-turbo"]


def backend(weights: Path, device: str = "cpu") -> LocalBackend:
    return LocalBackend(BackendConfig(weights, device=device))


# cards


@pytest.mark.parametrize(("changes", "said"), [
    ({"pipeline": "NoSuchPipeline"}, "backend.pipeline: diffusers has no class 'NoSuchPipeline'"),
    ({"image_pipeline": "WanPipelin"}, "backend.image_pipeline: diffusers has no class 'WanPipelin'"),
    ({"pipeline": "UNet2DModel"}, "backend.pipeline: 'UNet2DModel' is of another kind"),
    ({"pipeline": "os.system"}, "backend.pipeline: String should match pattern"),
    ({"scheduler": {"class": "SlowScheduler"}}, "backend.scheduler.class: diffusers has no class 'SlowScheduler'"),
    ({"dtype": "float64"}, "backend.dtype: Input should be 'float16', 'bfloat16' or 'float32'"),
    ({"dtypes": {"vae": "int8"}}, "backend.dtypes.vae: Input should be"),
    ({"family": "svd_xt"}, "backend.family: Value error, there is no family 'svd_xt'"),
    ({"pipelines": "x"}, "backend.pipelines: Extra inputs are not permitted"),
    ({"names": {"fps": "vae.fps"}}, "backend.names.fps: String should match pattern"),
    ({"names": {"fsp": "frame_rate"}}, "backend.names.fsp: neither a job nor this card has a 'fsp'"),
    ({"arguments": {"width": 512}}, "backend.arguments.width: a job says that itself"),
    ({"arguments": {"motion_bucket_id": 1}}, "backend.arguments.motion_bucket_id: a job says that itself"),
    ({"arguments": {"output_type": "pil"}}, "backend: 'output_type' is the backend's own business"),
])
def test_a_bad_table_is_named_by_file_and_field(tmp_path, changes, said: str):
    card = SVD.model_copy(update={"backend": {**SVD.backend, **changes}})
    with pytest.raises(BrokenCard) as broken:
        backend(tmp_path).check(card)
    assert str(broken.value).startswith(f"local-svd-xt.toml: {said}")


def test_a_card_without_a_table_is_broken(tmp_path):
    with pytest.raises(BrokenCard, match=r"^local-svd-xt\.toml: backend\.pipeline: Field required"):
        backend(tmp_path).check(SVD.model_copy(update={"backend": {}}))


@pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: card.name)
def test_every_card_here_is_good_and_says_what_it_needs(tmp_path, card: Card):
    backend(tmp_path).check(card)
    assert card.weights and card.licence and card.licence.url
    assert card.memory.vram_gb_by_mode["whole"] == card.memory.vram_gb > 0 and card.weights.size_gb > 0
    assert "model_index.json" in card.weights.files
    assert not any(pattern.endswith((".bin", ".ckpt", ".pt", ".pth")) for pattern in card.weights.files)
    assert card.source.read_text().startswith("# Source")
    if card.keyframe_model:
        assert card.keyframe_model.removeprefix("local:") in CARDS


# availability


def test_what_is_missing_is_said_in_the_order_in_which_it_has_to_be_got(rig: Rig, tmp_path):
    assert backend(tmp_path).availability(TURBO).reason == "its weights are not here; run: make weights MODEL=sd-turbo"
    rig.copy(TURBO, tmp_path)
    assert backend(tmp_path).availability(TURBO).ok
    (tmp_path / "sd-turbo/tokenizer/vocab.json").unlink()
    reason = backend(tmp_path).availability(TURBO).reason
    assert reason.startswith("its weights are not whole: tokenizer/ has no vocabulary")
    assert reason.endswith("run: make weights MODEL=sd-turbo")
    shutil.rmtree(tmp_path / "sd-turbo/unet")
    assert "unet/ is missing" in backend(tmp_path).availability(TURBO).reason


def test_without_a_gpu_it_says_what_the_cpu_costs(tmp_path):
    problem = "there is no NVIDIA GPU here"
    for device in ("auto", "0"):
        config = BackendConfig(tmp_path, device=device, device_problem=lambda: problem)
        said = LocalBackend(config).availability(SVD).reason
        assert said == f"{problem}; GPU_DEVICE=cpu renders on the CPU, where a shot takes hours"


def test_a_gpu_is_asked_about_each_time(rig: Rig, tmp_path):
    rig.copy(TURBO, tmp_path)
    problems = iter([None, "the GPU is lost", None])
    here = LocalBackend(BackendConfig(tmp_path, device_problem=lambda: next(problems)))
    assert [here.availability(TURBO).ok for _ in range(3)] == [True, False, True]


def test_without_the_libraries_a_good_card_is_unavailable_and_not_broken(python, tmp_path):
    said = python(f"""
import importlib.machinery, json, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "diffusers"): raise ModuleNotFoundError(name)
find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name in ("torch", "diffusers") else find(name, *rest))
from pathlib import Path
from tests.backends.local.rig import CARDS
from backends.local import LocalBackend
from vidgen.backend import BackendConfig
backend = LocalBackend(BackendConfig(Path({str(tmp_path)!r}), device="cpu"))
backend.check(CARDS["svd"])
print(backend.availability(CARDS["svd"]).reason)
""")
    assert said.startswith("it needs torch and diffusers; pip install -e '.[local]'")


# what the recipe says


def test_the_revision_is_the_locks(rig: Rig, tmp_path):
    assert backend(tmp_path).revision(TURBO) == "main (unlocked)"
    folder(TURBO, tmp_path).mkdir()
    write_lock(TURBO, tmp_path, Lock(repository="stabilityai/sd-turbo", revision="b261bac6", files={}))
    assert backend(tmp_path).revision(TURBO) == "b261bac6"


def test_versions_are_those_of_the_libraries_and_what_else_the_bits_depend_on(tmp_path):
    import diffusers
    import torch
    import transformers

    assert backend(tmp_path).versions() == {
        "torch": torch.__version__, "diffusers": diffusers.__version__, "transformers": transformers.__version__,
        "device": "cpu, 1 threads",
    }
    assert backend(tmp_path, "auto").versions()["device"] == "cuda"


def test_the_device_decides_the_modes_and_whose_memory_is_reckoned(tmp_path):
    shot = shot_of(SVD, width=1024, height=576)
    on_gpu, on_cpu = (backend(tmp_path, device) for device in ("auto", "cpu"))
    assert on_gpu.modes(SVD) == ("whole", "two_pass", "component", "group", "sequential")
    assert on_cpu.modes(SVD) == ("whole", "two_pass")
    needs = {each: each.footprint(SVD, shot) for each in (on_gpu, on_cpu)}
    assert needs[on_gpu].ram_bytes == 8 * 2**30 and needs[on_cpu].ram_bytes == 0
    assert needs[on_gpu].resident_bytes < needs[on_gpu].peak_bytes < needs[on_cpu].peak_bytes


def test_nothing_is_held_where_nothing_was_loaded(tmp_path):
    for device in ("auto", "cpu"):
        assert backend(tmp_path, device).held() == Held(models={})


def test_nothing_of_this_imports_torch(rig: Rig, python):
    rig.folder(TURBO)
    heavy = ["torch", "diffusers", "transformers", "accelerate", "safetensors", "numpy", "PIL", "huggingface_hub"]
    said = python(f"""
import json, sys
from pathlib import Path
from backends.local import LocalBackend
from vidgen.backend import BackendConfig
from vidgen.cards import read_card
for device in ("cpu", "auto"):
    backend = LocalBackend(BackendConfig(Path({str(rig.weights)!r}), device=device))
    for file in sorted(Path({str(ROOT / "backends/models")!r}).glob("local-*.toml")):
        card = read_card(file)
        backend.check(card), backend.availability(card), backend.revision(card), backend.footprint(card, None)
        backend.modes(card)
    backend.versions()
print(json.dumps([name for name in {heavy} if name in sys.modules]))
""")
    assert json.loads(said) == []


def test_the_names_of_diffusers_are_all_there():
    import diffusers

    names = diffusers_names()
    assert {card.backend["pipeline"] for card in CARDS.values()} <= names
    assert {name for name in names if name.endswith(("Pipeline", "Scheduler"))} <= set(dir(diffusers))
