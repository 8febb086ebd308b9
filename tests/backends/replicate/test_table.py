"""Cards of hosted models: what is refused, by file and field, and what a shot becomes."""

import re

import pytest

from backends.replicate import table as table_module
from backends.replicate.inputs import digest_of, inputs_of
from backends.replicate.promises import read_table
from tests.backends.replicate.conftest import IMAGE_CARD, VERSION, VIDEO_CARD
from vidgen.cards import BrokenCard, Card, read_card

FRAMES = "[frames]\ndefault = 25\nmin = 25\nmax = 25\n"
MORE_FRAMES = "[frames]\ndefault = 24\nmin = 24\nmax = 72\nstep = 24\n"
FPS = "[fps]\ndefault = 7\nmin = 1\nmax = 30\nstep = 1\n"
ONE_FPS = "[fps]\ndefault = 24\nmin = 24\nmax = 24\n"
WIDTH = "[width]\ndefault = 64\nmin = 64\nmax = 64\n"
TWO_WIDTHS = "[width]\ndefault = 64\nmin = 36\nmax = 64\nstep = 28\n"
SIZES = '[backend.sizes]\n"64x36" = { shape = "wide" }\n'


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([('source = "https://example.com/schema"\n', "")], "backend.source: Field required"),
        ([("https://example.com/schema", "http://example.com")], "backend.source: "),
        ([('model = "someone/model"', 'model = "someone"')], "backend.model: "),
        ([(VERSION, "latest")], "backend.version: "),
        ([('version = "', 'revision = "')], "backend.revision: "),
        ([("price_per_predict", "price_per_run_usd = 1\nprice_per_predict")], "backend: Value error, there can be one"),
        ([("price_per_predict_second_usd = 0.002", "price_per_run_usd = -1")], "backend.price_per_run_usd: "),
        ([('prompt = "$prompt"', 'prompt = "$text"')], "backend.input.prompt: $text is neither"),
        ([('fps = "$fps"', 'guidance = 3')], "parameters.guidance: backend.input.guidance says otherwise"),
        ([("[parameters.motion]", "[parameters.seconds]"), ("$motion", "$seconds")], "parameters.seconds: a shot has"),
        ([('input_image = "$image"\n', "")], "capabilities.image_to_video: "),
        ([("image_to_video = true\n", "")], "capabilities.image_to_video: "),
        ([("negative_prompt = true\n", "")], "capabilities.negative_prompt: "),
        ([('prompt = "$prompt"\n', "", )], "capabilities.reads_text: "),
        ([('fps = "$fps"\n', "")], "fps: "),
        ([(FRAMES, MORE_FRAMES)], "backend.lengths: "),
        ([(FRAMES, MORE_FRAMES.replace("step = 24", "step = 16")), (FPS, ONE_FPS), ('"25_frames"', '"$seconds"')],
         "frames: whole seconds"),
        ([(WIDTH, TWO_WIDTHS)], "backend.sizes: "),
        ([("", "[backend.lengths]\n\"24\" = { n = 1 }\n")], "backend.lengths: an entry for 25"),
        ([("", SIZES.replace("36", "37"))], "backend.sizes: an entry for 64x36"),
        ([("", SIZES + '"9x9" = { shape = "small" }\n')], "backend.sizes.9x9: the card does not offer it"),
        ([(WIDTH, TWO_WIDTHS), ("", SIZES)], "sizes: "),
        ([("", '[backend.sizes]\n"64x36" = {}\n')], "backend.sizes.64x36: "),
    ],
)
def test_a_card_that_does_not_keep_its_promises_is_refused_by_file_and_field(backend, tmp_path, changes, said):
    text = VIDEO_CARD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1) if old else text + new
    path = tmp_path / "mine.toml"
    path.write_text(text)
    card = read_card(path)
    with pytest.raises(BrokenCard) as broken:
        backend.check(card)
    assert str(broken.value).startswith(f"mine.toml: {said}"), broken.value


def docs_card(tmp_path) -> Card:
    """The card that the module's docstring shows."""
    shown = re.search(r"::\n\n((?:    .*\n|\n)+)", table_module.__doc__)[1].replace("\n    ", "\n").strip()
    path = tmp_path / "example.toml"
    path.write_text(shown.replace("64 hex digits", VERSION))
    return read_card(path)


def test_the_card_of_the_docstring_is_a_good_one(tmp_path, spec):
    card = docs_card(tmp_path)
    shot = spec(width=720, height=1280, num_frames=240, fps=24.0, seed=2**32 - 1, parameters={"guidance": 2.5})
    assert inputs_of(read_table(card), shot, None) == {
        "prompt": "a forest at dawn", "duration": 10, "seed": (2**32 - 1) % 2147483648, "go_fast": False,
        "guidance": 2.5, "aspect_ratio": "9:16", "resolution": "720p", "mode": "long",
    }


def test_what_a_shot_has_is_sent_and_what_it_has_not_is_left_out(card, make_card, spec):
    table = read_table(card)
    sent = inputs_of(table, spec(parameters={"motion": 9}, fps=7.5), None)
    assert sent == {
        "prompt": "a forest at dawn", "seed": 7, "fps": 7.5, "motion_bucket_id": 9, "video_length": "25_frames",
    }
    assert inputs_of(table, spec(), "https://a.example/1")["input_image"] == "https://a.example/1"


def test_the_digest_tells_models_and_inputs_apart(card, make_card):
    table, other = read_table(card), read_table(make_card(VIDEO_CARD, (VERSION, "4a" * 32)))
    digests = {digest_of(table, {"a": 1}), digest_of(table, {"a": 2}), digest_of(other, {"a": 1})}
    assert len(digests) == 3
    assert digest_of(table, {"a": 1, "b": 2}) == digest_of(table, {"b": 2, "a": 1})


@pytest.mark.parametrize(
    ("price", "cost"),
    [("price_per_run_usd = 0.3", 0.3), ("price_per_predict_second_usd = 0.3", 3.0),
     ("price_per_output_second_usd = 0.3", 1.5), ("", None)],
)
def test_the_cost_is_by_the_cards_price(make_card, price, cost):
    table = read_table(make_card(IMAGE_CARD, ("price_per_run_usd = 0.003", price)))
    assert table.cost_usd(10.0, 5.0) == (None if cost is None else pytest.approx(cost))


def test_the_cost_by_time_is_unknown_while_the_time_is(make_card):
    assert read_table(make_card()).cost_usd(None, 5.0) is None
