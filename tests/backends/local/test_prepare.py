"""What is made ready on another thread, before a shot's turn."""

import json
import os
from dataclasses import replace

import pytest
from PIL import Image

from backends.local import LocalBackend
from backends.local.prepare import Images
from tests.backends.local.rig import CARDS, Rig, rendered, shot_of
from vidgen.backend import BackendConfig

SVD, TURBO = CARDS["svd"], CARDS["sd-turbo"]


def test_the_next_shots_image_is_found_ready(tmp_path):
    """Its file is overwritten behind the backend's back; what was prepared is what is used, once."""
    file, shot = tmp_path / "image.png", shot_of(SVD, image=tmp_path / "image.png")
    Image.new("RGB", (80, 64), "red").save(file)
    written = file.stat().st_mtime_ns
    images = Images()
    images.prepare(shot)
    Image.new("RGB", (80, 64), "blue").save(file)
    os.utime(file, ns=(written, written))
    red, blue = images.take(shot), images.take(shot)
    assert red.size == blue.size == (shot.width, shot.height)
    assert red.getpixel((5, 5)) == (255, 0, 0) and blue.getpixel((5, 5)) == (0, 0, 255)


@pytest.mark.parametrize("changes", [{"width": 64}, {"focus": (0.0, 0.0)}, {"image": "other"}, {"image": None}])
def test_what_was_prepared_for_another_shot_stays_for_that_one(tmp_path, changes):
    for name in ("image", "other"):
        Image.effect_noise((80, 64), 80).convert("RGB").save(tmp_path / name, "PNG")
    if changes.get("image"):
        changes = {"image": tmp_path / changes["image"]}
    shot = shot_of(SVD, image=tmp_path / "image")
    other = replace(shot, **changes)
    images, plain = Images(), Images()
    images.prepare(shot)
    for each in (other, shot):
        ours, theirs = images.take(each), plain.take(each)
        assert (ours and ours.tobytes()) == (theirs and theirs.tobytes())


def test_an_image_that_was_written_anew_is_read_anew(tmp_path):
    file, shot, images = tmp_path / "image.png", shot_of(SVD, image=tmp_path / "image.png"), Images()
    Image.new("RGB", (64, 64), "red").save(file)
    images.prepare(shot)
    Image.new("RGB", (64, 64), "blue").save(file)
    os.utime(file, ns=(1, 1))
    assert images.take(shot).getpixel((0, 0)) == (0, 0, 255)


def test_a_render_uses_what_was_prepared_for_it(rig: Rig, tmp_path):
    backend, file = rig.backend(SVD), tmp_path / "image.png"
    shots = [shot_of(SVD, tmp_path / name, image=file, num_inference_steps=1) for name in "ab"]
    Image.effect_noise((64, 64), 80).convert("RGB").save(file)
    rendered(backend, SVD, shots[0])
    written = file.stat().st_mtime_ns
    backend.prepare(SVD, shots[1])
    Image.new("RGB", (64, 64), "blue").save(file)
    os.utime(file, ns=(written, written))
    rendered(backend, SVD, shots[1])
    assert shots[0].output.read_bytes() == shots[1].output.read_bytes()


def test_what_cannot_be_prepared_is_left_to_the_render(tmp_path):
    shot = shot_of(SVD, image=tmp_path / "missing.png")
    backend = LocalBackend(BackendConfig(tmp_path, device="cpu"))
    backend.prepare(SVD, shot)
    (tmp_path / "missing.png").write_text("no image")
    backend.prepare(SVD, shot)


def test_the_weights_of_a_model_that_is_not_loaded_are_read(rig: Rig, python):
    """All of its networks' files, and nothing heavy is imported for it."""
    folder = rig.folder(TURBO)
    said = json.loads(python(f"""
import json, sys
opened = set()
sys.addaudithook(lambda event, arguments: event == "open" and opened.add(str(arguments[0])))
from pathlib import Path
from backends.local import LocalBackend
from tests.backends.local.rig import CARDS, shot_of
from vidgen.backend import BackendConfig
card = CARDS["sd-turbo"]
LocalBackend(BackendConfig(Path({str(rig.weights)!r}), device="cpu")).prepare(card, shot_of(card))
print(json.dumps([sorted(name for name in opened if name.endswith(".safetensors")), "diffusers" in sys.modules]))
"""))
    assert said == [sorted(map(str, folder.rglob("*.safetensors"))), False]
