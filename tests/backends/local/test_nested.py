"""A render that runs inside of a step of another: either comes out as if it had been alone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.local import LocalBackend
from backends.local.footprint import MODES
from tests.backends.local.rig import CARDS, Rig, Said, rendered, shot_of
from vidgen.backend import WHOLE
from vidgen.cards import Card
from vidgen.errors import Cancelled, StepFailed
from vidgen.types import RenderSpec

SVD, TURBO, LTX = CARDS["svd"], CARDS["sd-turbo"], CARDS["ltx-video"]
STEPS = 3
PAIRS = [(SVD, SVD), (SVD, TURBO), (TURBO, TURBO), (TURBO, LTX), (LTX, LTX), (LTX, SVD)]

each_pair = pytest.mark.parametrize(("outer", "inner"), PAIRS, ids=lambda card: card.name)


@pytest.fixture(scope="module")
def backend(rig: Rig) -> Iterator[LocalBackend]:
    backend = rig.together(SVD, TURBO, LTX)
    yield backend
    for card in (SVD, TURBO, LTX):
        backend.unload(card)


@pytest.fixture(scope="module")
def alone(backend: LocalBackend, tmp_path_factory) -> Callable[[Card], tuple[bytes, Said]]:
    """The file that an undisturbed render of the card's outer or inner shot makes, and what its control is told."""
    folder, known = tmp_path_factory.mktemp("alone"), {}

    def alone(shot_of_card: Callable[[Card, Path], RenderSpec], card: Card) -> tuple[bytes, Said]:
        if (key := (shot_of_card.__name__, card.id)) not in known:
            shot, said = shot_of_card(card, folder / "alone"), Said()
            rendered(backend, card, shot, said)
            known[key] = shot.output.read_bytes(), said
        return known[key]

    return alone


def outer_shot(card: Card, folder: Path) -> RenderSpec:
    return shot_of(card, folder.with_suffix(".outer"), num_inference_steps=STEPS)


def inner_shot(card: Card, folder: Path) -> RenderSpec:
    return shot_of(card, folder.with_suffix(".inner"), num_inference_steps=2, seed=99, prompt="a white horse")


class Interrupting(Said):
    """A control in whose denoising step *number* something else runs, as in the inference process."""

    def __init__(self, number: int, run: Callable[[], Any]):
        super().__init__()
        self._number = number
        self._run = run
        self.lives_inside = 0

    def step(self, phase: str, i: int, n: int, preview: Any = None) -> None:
        super().step(phase, i, n, preview)
        if (phase, i) == ("render", self._number):
            told = len(self.steps), self.lives
            self._run()
            assert (len(self.steps), self.lives) == told, "the outer render was told of what was not its own"


@each_pair
@pytest.mark.parametrize("number", range(1, STEPS + 1))
def test_both_are_as_if_they_had_been_alone(backend, alone, tmp_path, outer: Card, inner: Card, number: int):
    inside, shots = Said(), (outer_shot(outer, tmp_path / "a"), inner_shot(inner, tmp_path / "b"))
    said = Interrupting(number, lambda: rendered(backend, inner, shots[1], inside))
    result = rendered(backend, outer, shots[0], said)
    for shot, card, told, make in zip(shots, (outer, inner), (said, inside), (outer_shot, inner_shot), strict=True):
        made, undisturbed = alone(make, card)
        assert shot.output.read_bytes() == made
        assert told.steps == undisturbed.steps and told.lives == undisturbed.lives
    assert result.measured["interrupted_seconds"] > 0


@pytest.mark.parametrize("mode", MODES[1:])
def test_in_every_mode(rig: Rig, tmp_path, mode: str):
    """The networks of one model are taken from under the outer render, and come back."""
    backend = rig.fresh(SVD)
    backend.load(SVD, mode, Said())
    shots = [make(SVD, tmp_path / name) for make in (outer_shot, inner_shot) for name in ("alone", "nested")]
    for shot in shots[::2]:
        rendered(backend, SVD, shot)
    rendered(backend, SVD, shots[1], Interrupting(2, lambda: rendered(backend, SVD, shots[3])))
    assert backend.held().models == {SVD.id: mode}
    for undisturbed, nested in (shots[:2], shots[2:]):
        assert nested.output.read_bytes() == undisturbed.output.read_bytes()


def test_only_what_was_interrupted_says_so(backend, tmp_path):
    inside = []
    said = Interrupting(2, lambda: inside.append(rendered(backend, TURBO, inner_shot(TURBO, tmp_path / "b"))))
    rendered(backend, SVD, outer_shot(SVD, tmp_path / "a"), said)
    assert "interrupted_seconds" not in inside[0].measured
    assert "interrupted_seconds" not in rendered(backend, SVD, outer_shot(SVD, tmp_path / "a")).measured


@pytest.mark.parametrize(("phase", "number", "e"), [
    ("alive", 5, Cancelled("stop")), ("render", 1, ZeroDivisionError()), ("decode", 1, StepFailed("no")),
], ids=["alive", "render", "decode"])
@pytest.mark.parametrize(("outer", "inner"), [(SVD, SVD), (TURBO, SVD), (LTX, LTX)], ids=lambda card: card.name)
def test_an_inner_one_that_ends_early_harms_nobody(backend, alone, tmp_path, outer, inner, phase, number, e):
    def run() -> None:
        with pytest.raises(type(e)):
            rendered(backend, inner, inner_shot(inner, tmp_path / "b"), Said(
                lambda name, i: e if name == phase and i >= number else None))

    shot = outer_shot(outer, tmp_path / "a")
    rendered(backend, outer, shot, Interrupting(2, run))
    assert shot.output.read_bytes() == alone(outer_shot, outer)[0]
    again = inner_shot(inner, tmp_path / "b")
    rendered(backend, inner, again)
    assert again.output.read_bytes() == alone(inner_shot, inner)[0]


@pytest.mark.parametrize(("inner", "e"), [(TURBO, StepFailed("no")), (SVD, Cancelled("stop"))], ids=["other", "same"])
def test_an_outer_one_that_ends_right_after_leaves_the_models_good(backend, alone, tmp_path, inner: Card, e):
    def run() -> None:
        rendered(backend, inner, inner_shot(inner, tmp_path / "b"))
        raise e

    with pytest.raises(type(e)):
        rendered(backend, SVD, outer_shot(SVD, tmp_path / "a"), Interrupting(1, run))
    for card in {inner.id: inner, SVD.id: SVD}.values():
        shot = inner_shot(card, tmp_path / "c")
        rendered(backend, card, shot)
        assert shot.output.read_bytes() == alone(inner_shot, card)[0]


def test_a_model_that_is_loaded_inside_leaves_the_outers_where_it_is(rig: Rig, alone, tmp_path):
    backend = rig.together(SVD)
    rig.folder(TURBO)
    shot, inner = outer_shot(SVD, tmp_path / "a"), inner_shot(TURBO, tmp_path / "b")

    def run() -> None:
        backend.load(TURBO, WHOLE, Said())
        rendered(backend, TURBO, inner)
        backend.unload(TURBO)

    result = rendered(backend, SVD, shot, Interrupting(1, run))
    assert backend.held().models == {SVD.id: WHOLE}
    assert shot.output.read_bytes() == alone(outer_shot, SVD)[0]
    assert inner.output.read_bytes() == alone(inner_shot, TURBO)[0]
    assert result.measured["interrupted_seconds"] > 0


def test_a_model_that_cannot_be_loaded_inside_harms_nobody(rig: Rig, alone, tmp_path):
    backend = rig.together(SVD)

    def run() -> None:
        with pytest.raises(Cancelled):
            backend.load(TURBO, WHOLE, Said(lambda phase, i: Cancelled("stop") if i == 2 else None))

    shot = outer_shot(SVD, tmp_path / "a")
    rendered(backend, SVD, shot, Interrupting(1, run))
    assert backend.held().models == {SVD.id: WHOLE}
    assert shot.output.read_bytes() == alone(outer_shot, SVD)[0]


@pytest.mark.parametrize("keep", [False, True])
def test_a_model_that_renders_is_never_taken_away(backend, alone, tmp_path, keep: bool):
    def run() -> None:
        with pytest.raises(AssertionError, match="local:svd is rendering"):
            backend.unload(SVD, keep=keep)
        assert SVD.id in backend.held().models

    shot = outer_shot(SVD, tmp_path / "a")
    rendered(backend, SVD, shot, Interrupting(1, run))
    assert shot.output.read_bytes() == alone(outer_shot, SVD)[0]


def test_a_model_that_renders_keeps_its_mode(backend, alone, tmp_path):
    shot = outer_shot(SVD, tmp_path / "a")
    said = Interrupting(1, lambda: backend.load(SVD, "two_pass", Said()))
    assert rendered(backend, SVD, shot, said).made["mode"] == WHOLE
    assert backend.held().models[SVD.id] == WHOLE
    assert shot.output.read_bytes() == alone(outer_shot, SVD)[0]


@pytest.mark.parametrize(("outer", "inner"), [(LTX, LTX), (TURBO, SVD)], ids=lambda card: card.name)
def test_nothing_stays_hooked(backend, tmp_path, outer: Card, inner: Card):
    decodes = {card.id: vars(vae_of(backend, card)).get("decode") for card in (outer, inner)}
    hooks = {card.id: hooks_of(backend, card) for card in (outer, inner)}
    rendered(backend, outer, outer_shot(outer, tmp_path / "a"), Interrupting(
        1, lambda: rendered(backend, inner, inner_shot(inner, tmp_path / "b"))))
    for card in (outer, inner):
        assert vars(vae_of(backend, card)).get("decode") is decodes[card.id]
        assert hooks_of(backend, card) == hooks[card.id]


def vae_of(backend: LocalBackend, card: Card) -> Any:
    return backend._models[card.id].networks()["vae"]


def hooks_of(backend: LocalBackend, card: Card) -> int:
    parts = [part for network in backend._models[card.id].networks().values() for part in network.modules()]
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in parts)
