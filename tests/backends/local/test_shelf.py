"""Weights that stay in RAM when their model leaves the device."""

import shutil
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from backends.local import LocalBackend
from backends.local.loaded import Loaded, load
from backends.local.render import render_frames
from backends.local.residence import Residence
from backends.local.shelf import Shelf
from backends.local.table import read_table
from tests.backends.local.rig import CARDS, Rig, Said, shot_of
from tests.backends.local.test_frames import same
from vidgen.backend import WHOLE, BackendConfig
from vidgen.cards import Card
from vidgen.errors import Cancelled, OutOfVram, StepFailed
from vidgen.weights import Lock, write_lock

TURBO, XL = CARDS["sd-turbo"], CARDS["sdxl-turbo"]
ROOM = 10**9


@pytest.fixture
def weights(rig: Rig, tmp_path: Path) -> Path:
    """A folder of this test's own with the weights of both models."""
    for card in (TURBO, XL):
        shutil.copytree(rig.folder(card), tmp_path / card.name)
    return tmp_path


def loaded(weights: Path, shelf: Shelf, card: Card = TURBO, control: Said | None = None, mode: str = WHOLE) -> Loaded:
    config = BackendConfig(weights, device="cpu")
    return load(card, read_table(card), config, mode, control or Said(), shelf)


def shelve(shelf: Shelf, model: Loaded) -> bool:
    """Whether there was room."""
    shelved = model.shelve()
    if shelved is not None:
        shelf.put(model.card.id, shelved)
    return shelved is not None


def test_a_model_from_the_shelf_is_the_one_that_was_put_there(rig: Rig, weights: Path):
    shelf = Shelf(ROOM)
    model = loaded(weights, shelf)
    assert shelf.bytes == 0
    assert shelve(shelf, model) and shelf.bytes == model.bytes > 1000
    shot = shot_of(TURBO)
    again = loaded(weights, shelf, control=(said := Said()))
    assert again is model and shelf.bytes == 0
    assert not said.steps
    assert same(render_frames(again, shot, Said())[0], rig.plainly(TURBO, shot))


@pytest.mark.parametrize("mode", ["two_pass", "sequential"])
def test_it_comes_back_in_the_mode_that_is_asked_for(rig: Rig, weights: Path, mode: str):
    shelf = Shelf(ROOM)
    shelve(shelf, model := loaded(weights, shelf, mode="group"))
    assert not any("forward" in vars(part) and hasattr(part, "_hf_hook") for part in model.networks()["unet"].modules())
    again = loaded(weights, shelf, mode=mode)
    assert again is model and again.mode == mode
    assert same(render_frames(again, shot_of(TURBO), Said())[0], rig.plainly(TURBO, shot_of(TURBO)))


def test_the_least_recently_used_makes_way(weights: Path):
    shelf = Shelf(ROOM)
    sizes = [model.bytes for model in (loaded(weights, shelf), loaded(weights, shelf, XL))]
    shelf = Shelf(max(sizes))
    assert shelve(shelf, loaded(weights, shelf)) and shelve(shelf, loaded(weights, shelf, XL))
    assert shelf.bytes == sizes[1]
    assert shelf.take(TURBO.id) is None and shelf.take(XL.id) is not None


def test_what_is_larger_than_the_shelf_is_given_back(weights: Path):
    size = loaded(weights, Shelf(0)).bytes
    shelf = Shelf(size - 1)
    assert not shelve(shelf, model := loaded(weights, shelf))
    assert shelf.bytes == 0 and not model.networks()
    shelf = Shelf(size)
    assert shelve(shelf, loaded(weights, shelf))


def test_what_is_dropped_gives_its_room_back(weights: Path):
    shelf = Shelf(loaded(weights, Shelf(0)).bytes)
    for drop in (lambda: shelf.drop(TURBO.id), shelf.drop_all, lambda: loaded(weights, shelf).release()):
        model = loaded(weights, shelf)
        values = weakref.ref(model.networks()["unet"].conv_in.weight)
        assert shelve(shelf, model), "the room of the one before is still taken"
        assert values() is not None
        drop()
        assert shelf.bytes == 0 and shelf.take(TURBO.id) is None
        assert values() is None, "the weights are still in memory"


def test_copies_of_loaded_models_take_room_too():
    shelf = Shelf(100)
    assert shelf.reserve(60) and not shelf.reserve(41) and shelf.reserve(40)
    shelf.give_back(60)
    assert shelf.reserve(60) and not shelf.reserve(1)
    assert shelf.bytes == 0


def lock(weights: Path) -> None:
    write_lock(TURBO, weights, Lock(repository="a/b", revision="c" * 40, files={}))


def rewrite(weights: Path) -> None:
    file = next((weights / TURBO.name / "unet").glob("*.safetensors"))
    file.write_bytes(bytes(file.read_bytes()))


def lose(weights: Path) -> None:
    (weights / TURBO.name / "scheduler/scheduler_config.json").touch()


@pytest.mark.parametrize("change", [lock, rewrite, lose])
def test_weights_whose_files_have_changed_are_read_again(weights: Path, change: Callable[[Path], None]):
    shelf = Shelf(ROOM)
    shelve(shelf, model := loaded(weights, shelf))
    change(weights)
    again = loaded(weights, shelf, control=(said := Said()))
    assert again is not model and said.of("load")[-1] == (5, 5)
    assert not model.networks(), "the old ones are still in memory"


def test_a_card_that_has_changed_is_loaded_anew(weights: Path):
    shelf = Shelf(ROOM)
    shelve(shelf, model := loaded(weights, shelf))
    table = {**TURBO.backend, "scheduler": {"class": "DDIMScheduler"}}
    assert loaded(weights, shelf, TURBO.model_copy(update={"backend": table})) is not model


def test_without_room_on_the_device_it_stays_on_the_shelf_for_another_mode(weights: Path):
    shelf = Shelf(ROOM)
    shelve(shelf, model := loaded(weights, shelf))
    unet = model.networks()["unet"]
    unet.conv_in.bias = torch.nn.Parameter(unet.conv_in.bias.data.as_subclass(Full))
    with pytest.raises(OutOfVram, match="it needs more memory than there is"):
        loaded(weights, shelf)
    assert shelf.bytes == model.bytes
    assert loaded(weights, shelf, mode="component") is model and model.mode == "component"


class Full(torch.Tensor):
    """A tensor for which there is no room."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is torch.Tensor.to:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().__torch_function__(function, types, args, kwargs or {})


def test_without_room_for_another_mode_of_a_loaded_model_it_is_kept_on_the_shelf(weights: Path):
    backend = LocalBackend(BackendConfig(weights, device="cpu", ram_cache_bytes=ROOM))
    backend.load(TURBO, "component", Said())
    model = backend._models[TURBO.id]
    unet = model.networks()["unet"]
    unet.conv_in.bias = torch.nn.Parameter(unet.conv_in.bias.data.as_subclass(Full))
    with pytest.raises(OutOfVram):
        backend.load(TURBO, WHOLE, Said())
    assert not backend.held().models and backend.held().shelf_bytes == model.bytes
    backend.load(TURBO, "component", said := Said())
    assert backend._models[TURBO.id] is model and not said.of("load")


@pytest.mark.parametrize("e", [Cancelled("stop"), StepFailed("no"), KeyboardInterrupt()], ids=["stop", "no", "other"])
def test_whatever_ends_a_load_nothing_of_the_model_stays_in_memory(weights: Path, monkeypatch, e: BaseException):
    """Also while the error is still being looked at."""
    read: list[weakref.ref] = []

    def residence(network: torch.nn.Module, device: torch.device) -> Residence:
        read.append(weakref.ref(network))
        return Residence(network, device)

    monkeypatch.setattr("backends.local.loaded.Residence", residence)
    with pytest.raises(type(e)) as caught:
        loaded(weights, Shelf(ROOM), control=Said(lambda phase, i: e if i == 5 else None))
    assert caught.value.__traceback__ and len(read) == 3
    assert not any(network() for network in read)


def test_running_out_while_it_is_read_leaves_nothing(weights: Path):
    shelf = Shelf(ROOM)
    with pytest.raises(OutOfVram):
        loaded(weights, shelf, control=Said(
            lambda phase, i: torch.OutOfMemoryError("CUDA out of memory") if i == 3 else None
        ))
    assert shelf.bytes == 0 and shelf.take(TURBO.id) is None
    assert loaded(weights, shelf).mode == WHOLE
