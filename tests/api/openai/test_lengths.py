"""Seconds as shots and frames: the total comes nearest, on every card that there is."""

from pathlib import Path

import pytest

from vidgen.api.openai.lengths import lengths_for
from vidgen.cards import read_card
from vidgen.errors import InvalidInput
from vidgen.request import MAX_SHOTS

CARDS = {
    card.id: card for file in sorted((Path(__file__).parents[3] / "backends/models").glob("*.toml"))
    if (card := read_card(file)).makes_video
}


def test_the_figures_of_one_card():
    svd, film = CARDS["local:svd-xt"], CARDS["stub:animatic"]
    assert lengths_for(4, film, 8) == {"max_shots": 1, "num_frames": 32}
    assert lengths_for(4, svd, 7) == {"max_shots": 1, "num_frames": 25}
    assert lengths_for(12, svd, 7) == {"max_shots": 3, "num_frames": 25}
    assert lengths_for(4, film, 8, num_frames=10) == {"max_shots": 3, "num_frames": 10}


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_no_other_choice_comes_nearer(card):
    fps = float(card.fps.default)
    made = {int(card.frames.nearest(n)) for n in range(int(card.frames.min), int(card.frames.max) + 1)}
    for seconds in (0.5, 1, 4, 8, 12, 20):
        try:
            chosen = lengths_for(seconds, card, fps)
        except InvalidInput:
            assert seconds * fps > MAX_SHOTS * max(made)
            continue
        off = abs(chosen["max_shots"] * chosen["num_frames"] - seconds * fps)
        assert chosen["num_frames"] in made
        assert off <= min(abs(n * f - seconds * fps) for n in range(1, MAX_SHOTS + 1) for f in made) + 1e-9


def test_what_is_out_of_reach_says_how_far_it_goes():
    with pytest.raises(InvalidInput, match=r"seconds: local:svd-xt makes at most 42.86 s \(12 shots of 25 frames"):
        lengths_for(43, CARDS["local:svd-xt"], 7)
