"""Names and text of a form, as fields of their types."""

import pytest

from vidgen.api.openai.form import nested
from vidgen.api.openai.typed import typed
from vidgen.errors import InvalidInput
from vidgen.request import JobRequest

SCHEMA = JobRequest.model_json_schema()


@pytest.mark.parametrize(("items", "tree"), [
    ([("a", "1"), ("b", "")], {"a": "1", "b": ""}),
    ([("a[b]", "1"), ("a[c][d]", "2")], {"a": {"b": "1", "c": {"d": "2"}}}),
    ([("a[]", "1"), ("a[]", "2")], {"a": {"0": "1", "1": "2"}}),
    ([("a", "1"), ("a", "2")], {"a": ["1", "2"]}),
    ([("s[][x]", "1"), ("s[][x]", "2"), ("s[][y]", "3"), ("s[][y]", "4")],
     {"s": {"0": {"x": "1", "y": "3"}, "1": {"x": "2", "y": "4"}}}),
])
def test_names_become_a_tree(items, tree):
    assert nested(items) == tree


@pytest.mark.parametrize(("items", "field"), [
    ([("a", "1"), ("a[b]", "2")], "a.b"), ([("a[b]", "1"), ("a", "2")], "a"), ([("a[b", "1")], "a[b"),
    ([("a" + "[b]" * 6, "1")], "a" + "[b]" * 6), ([("s[][x]", "1"), ("s[][x]", "2"), ("s[][y]", "3")], "s"),
    ([("s[][x][]", "1")], "s.x"), ([("", "1")], ""), ([("[a]", "1")], "[a]"),
])
def test_names_that_mean_nothing_are_refused(items, field):
    with pytest.raises(InvalidInput) as caught:
        print(nested(items))
    assert caught.value.fields[0].field == field


@pytest.mark.parametrize(("sent", "read"), [
    ({"seed": "7", "fps": "12.5", "save_frames": "true"}, {"seed": 7, "fps": 12.5, "save_frames": True}),
    ({"seed": "7.0"}, {"seed": 7}),
    ({"seed": "seven", "fps": "nan", "save_frames": "1"}, {"seed": "seven", "fps": "nan", "save_frames": "1"}),
    ({"negative_prompt": "12", "fit": "adapt"}, {"negative_prompt": "12", "fit": "adapt"}),
    ({"focus": {"0": "0.25", "1": "1"}}, {"focus": [0.25, 1]}),
    ({"focus": {"1": "1", "0": "0.25"}}, {"focus": [0.25, 1]}),
    ({"focus": ["0.25", "1"]}, {"focus": [0.25, 1]}),
    ({"focus": "[0.25, 1]"}, {"focus": [0.25, 1]}),
    ({"style_preferences": {"mood": "7"}}, {"style_preferences": {"mood": "7"}}),
    ({"style_preferences": '{"mood": "7"}'}, {"style_preferences": {"mood": "7"}}),
    ({"storyboard": {"title": "1", "shots": {"0": {"description": "2", "seed": "3"}}}},
     {"storyboard": {"title": "1", "shots": [{"description": "2", "seed": 3}]}}),
    ({"unknown": {"a": "1"}}, {"unknown": {"a": "1"}}),
])
def test_text_is_read_by_the_schema(sent, read):
    found = typed(sent, SCHEMA, SCHEMA)
    assert (found, str(found)) == (read, str(read))


def test_what_is_no_list_is_given_once():
    with pytest.raises(InvalidInput, match="seed: is given twice"):
        typed({"seed": ["1", "2"]}, SCHEMA, SCHEMA)


def test_broken_json_names_its_field():
    with pytest.raises(InvalidInput, match="storyboard: is not JSON: see character 1"):
        typed({"storyboard": "{nothing}"}, SCHEMA, SCHEMA)
