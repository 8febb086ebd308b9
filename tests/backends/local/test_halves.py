"""Guidance in two passes: what is split, what is not, and what comes out."""

import pytest
import torch

from backends.local.halves import in_halves


def test_what_belongs_to_the_batch_is_split_and_the_rest_is_not():
    sample, seen = torch.arange(8.0).reshape(2, 4), []

    def call(sample, t, extra, *, added, rope):
        seen.append((sample.shape[0], t, extra.tolist(), added["ids"].tolist(), added["word"], rope))
        return sample * 2, None

    table = torch.ones(5, 3), torch.ones(5, 3)
    doubled, nothing = in_halves(
        call, (sample, torch.tensor(7), torch.tensor([10, 20])),
        {"added": {"ids": torch.tensor([[1], [2]]), "word": "x"}, "rope": table},
    )
    assert doubled.equal(sample * 2) and nothing is None
    assert seen == [(1, 7, [10], [[1]], "x", table), (1, 7, [20], [[2]], "x", table)]


def test_an_output_of_diffusers_own_stays_one():
    from diffusers.models.modeling_outputs import Transformer2DModelOutput

    sample = torch.rand(4, 3)
    made = in_halves(lambda hidden_states: Transformer2DModelOutput(hidden_states), (), {"hidden_states": sample})
    assert isinstance(made, Transformer2DModelOutput) and made.sample.equal(sample)


@pytest.mark.parametrize(("batch", "passes"), [(1, [1]), (2, [1, 1]), (3, [3])])
def test_a_batch_of_odd_size_stays_whole(batch: int, passes: list[int]):
    seen = []
    in_halves(lambda sample: seen.append(len(sample)) or (sample,), (torch.rand(batch, 2),), {})
    assert seen == passes
