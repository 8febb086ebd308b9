"""Where a prompt is broken into clauses, and where it is not."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidgen.engine.planning.clauses import split
from vidgen.request import MAX_SHOTS


@pytest.mark.parametrize(("prompt", "clauses"), [
    ("A cat sleeps. A dog barks! Does a bird sing?", ["A cat sleeps.", "A dog barks!", "Does a bird sing?"]),
    ("A cat sleeps; a dog barks", ["A cat sleeps", "a dog barks"]),
    ("A cat sleeps, and then wakes", ["A cat sleeps", "wakes"]),
    ("A cat sleeps -> the cat wakes", ["A cat sleeps", "the cat wakes"]),
    ("The sun sets, while fishermen mend nets", ["The sun sets", "fishermen mend nets"]),
    ("a lighthouse, a storm and a ship", ["a lighthouse", "a storm", "a ship"]),
    ("Waves, birds singing, mist rising over rocks", ["Waves, birds singing", "mist rising over rocks"]),
    ("1. A cat sleeps\n2. A dog barks\n3) Both eat", ["A cat sleeps", "A dog barks", "Both eat"]),
    ("- a cat\n- a dog", ["a cat", "a dog"]),
    ("Shot 1: a cat\nShot 2: a dog", ["a cat", "a dog"]),
    ("First, a cat wakes. After that, it eats. Finally it sleeps.", ["a cat wakes.", "it eats.", "it sleeps."]),
    ("一只狐狸在雪中奔跑，然后跳过小溪。太阳升起", ["一只狐狸在雪中奔跑", "跳过小溪。", "太阳升起"]),
    ("夕焼けの海、波の音、カモメ", ["夕焼けの海", "波の音", "カモメ"]),
    ("Un zorro corre, luego salta un arroyo; amanece", ["Un zorro corre", "salta un arroyo", "amanece"]),
    ("Das Schiff läuft ein, und dann regnet es", ["Das Schiff läuft ein", "regnet es"]),
    ("सूरज उगता है। पक्षी गाते हैं।", ["सूरज उगता है।", "पक्षी गाते हैं।"]),
    ("غروب الشمس، ثم تظهر القافلة", ["غروب الشمس", "تظهر القافلة"]),
    # and what is one picture stays one
    ("A red, shiny car drives down the road", None),
    ("In a dark, glowing cave, a dragon sleeps", None),
    ("A man with a long, grey beard", None),
    ("A cat and a dog play", None),
    ('A sign reading "Stop. Go back; now" hangs there', None),
    ("Dr. Jones walks with J. R. Smith at 3.5 km/h", None),
    ("Every now and then it rains", None),
    ("después de llover", None),
])
def test_where_a_prompt_is_broken(prompt, clauses):
    assert [clause.text for clause in split(prompt, 3)] == (clauses or [prompt])


def test_a_line_that_an_editor_wrapped_is_one_sentence():
    prompt = "An old fisherman in a yellow coat rows his small boat\nacross a lake at dawn.\nA heron watches."
    assert [clause.text for clause in split(prompt, 3)] == [
        "An old fisherman in a yellow coat rows his small boat across a lake at dawn.", "A heron watches.",
    ]


WORDS = st.lists(st.sampled_from(["blorp", "zint", "Krava", "mellun", "oodle", "trask", "vin"]), min_size=1, max_size=9)
MARKS = st.sampled_from([", ", ". ", "; ", " and ", "\n", " — ", " then "])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(WORDS, MARKS), min_size=1, max_size=12), st.integers(1, MAX_SHOTS))
def test_no_word_of_the_prompt_is_lost_or_cut(parts, max_shots):
    prompt = "".join(" ".join(words) + mark for words, mark in parts) + "vin"
    clauses = " ".join(clause.text for clause in split(prompt, max_shots))
    kept = [word for word in re.findall(r"\w+", clauses) if word not in ("and", "then")]
    assert kept == [word for words, _ in parts for word in words] + ["vin"]
