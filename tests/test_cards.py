"""What a card makes of a request."""

import pytest

from vidgen.cards import Card, Parameter, Range
from vidgen.errors import InvalidInput
from vidgen.request import JobRequest


@pytest.fixture
def card() -> Card:
    return Card(
        provider="test", name="model", title="Test", description="a video model with rules",
        capabilities={"text_to_video": True},
        width={"default": 832, "min": 64, "max": 1024, "step": 32},
        height={"default": 480, "min": 64, "max": 1024, "step": 32},
        frames={"default": 81, "min": 1, "max": 121, "step": 4},
        fps={"default": 16, "min": 1, "max": 30},
        parameters={
            "strength": {"type": "number", "description": "how much", "default": 0.5, "min": 0, "max": 1},
            "style": {"type": "string", "description": "which", "choices": ["ink", "oil"]},
            "fail": {"type": "boolean", "description": "for tests", "testing": True},
        },
    )


def ask(**values) -> JobRequest:
    return JobRequest(user_prompt="a forest", **values)


def fields(card: Card, **values) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        card.resolve(ask(**values), 1)
    return dict(caught.value.fields)


def test_what_the_request_leaves_out_is_filled_from_the_card(card):
    effective = card.resolve(ask(), 7)
    assert (effective.width, effective.height, effective.num_frames, effective.fps) == (832, 480, 81, 16)
    assert (effective.seed, effective.parameters) == (7, {"strength": 0.5})


def test_what_the_request_says_wins(card):
    effective = card.resolve(ask(num_frames=5, width=64, parameters={"strength": 1, "style": "ink"}), 7)
    assert (effective.num_frames, effective.width) == (5, 64)
    assert effective.parameters == {"strength": 1, "style": "ink"}


def test_a_value_that_the_model_cannot_make_names_the_nearest_that_it_can(card):
    found = fields(card, num_frames=80, width=1000)
    assert "the nearest is 81" in found["num_frames"]
    assert "the nearest is 992" in found["width"]


@pytest.mark.parametrize(("values", "field"), [
    ({"parameters": {"stregth": 1}}, "parameters.stregth"),
    ({"parameters": {"strength": 2}}, "parameters.strength"),
    ({"parameters": {"strength": "much"}}, "parameters.strength"),
    ({"parameters": {"strength": True}}, "parameters.strength"),
    ({"parameters": {"style": "chalk"}}, "parameters.style"),
    ({"parameters": {"fail": True}}, "parameters.fail"),
    ({"num_inference_steps": 5}, "num_inference_steps"),
    ({"negative_prompt": "people"}, "negative_prompt"),
    ({"reference_image": "upload_1"}, "reference_image"),
    ({"fps": 31}, "fps"),
])
def test_nothing_is_silently_ignored(card, values, field):
    found = fields(card, **values)
    assert set(found) == {field}


def test_every_wrong_field_is_named_at_once(card):
    assert set(fields(card, fps=99, num_frames=2, parameters={"x": 1})) == {"fps", "num_frames", "parameters.x"}


def test_testing_parameters_are_taken_only_where_allowed(card):
    assert card.resolve(ask(parameters={"fail": True}), 1, testing=True).parameters["fail"] is True


@pytest.mark.parametrize(("value", "nearest"), [(0, 1), (1, 1), (2, 1), (3, 5), (4, 5), (9, 9), (500, 9)])
def test_the_nearest_legal_value_is_legal(value, nearest):
    rule = Range(default=5, min=1, max=12, step=4)
    assert rule.nearest(value) == nearest
    assert rule.allows(nearest)


def test_seconds_become_the_nearest_number_of_frames(card):
    assert card.frames_for(5.0, 16) == 81
    assert card.frames_for(0.01, 16) == 1


def test_a_parameter_says_itself_as_json_schema():
    parameter = Parameter(type="integer", description="motion", default=127, min=1, max=255)
    assert parameter.schema() == {
        "type": "integer", "description": "motion", "default": 127, "minimum": 1, "maximum": 255,
    }


SIZES = [(1280, 704), (704, 1280), (832, 480)]


@pytest.fixture
def sized() -> Card:
    return Card(
        provider="test", name="sized", title="Test", description="a video model that makes a few sizes",
        capabilities={"text_to_video": True}, sizes=SIZES,
        width={"default": 1280, "min": 704, "max": 1280, "step": 32},
        height={"default": 704, "min": 480, "max": 1280, "step": 32},
        frames={"default": 5, "min": 1, "max": 9, "step": 4}, fps={"default": 8, "min": 1, "max": 30},
    )


@pytest.mark.parametrize(("values", "size"), [
    ({}, (1280, 704)), ({"width": 704}, (704, 1280)), ({"height": 480}, (832, 480)),
    ({"width": 832, "height": 480}, (832, 480)),
])
def test_where_only_some_sizes_are_made_one_side_is_enough_to_name_one(sized, values, size):
    effective = sized.resolve(ask(**values), 1)
    assert (effective.width, effective.height) == size


@pytest.mark.parametrize(("values", "field", "nearest"), [
    ({"width": 1280, "height": 480}, "width", "1280 x 704"), ({"width": 704, "height": 1184}, "width", "704 x 1280"),
    ({"height": 512}, "height", "1280 x 704"),
])
def test_a_size_that_is_not_made_names_the_nearest_that_is(sized, values, field, nearest):
    found = fields(sized, **values)
    assert found[field].endswith(f"the nearest is {nearest}")


@pytest.mark.parametrize(("card_name", "size", "nearest"), [
    ("card", (1024, 576), (1024, 576)), ("card", (2048, 1152), (1024, 576)), ("card", (100, 30), (96, 64)),
    ("sized", (1024, 576), (1280, 704)), ("sized", (500, 900), (704, 1280)),
])
def test_the_nearest_size_has_the_nearest_shape(request, card_name, size, nearest):
    assert request.getfixturevalue(card_name).nearest_size(*size) == nearest


@pytest.mark.parametrize(("sizes", "said"), [
    ([(1280, 704), (64, 64)], "64 x 64 is outside"), ([(832, 480)], "defaults of .width. and .height. are not among"),
])
def test_sizes_that_contradict_the_bounds_are_refused(sized, sizes, said):
    with pytest.raises(ValueError, match=said):
        Card(**{**sized.model_dump(), "sizes": sizes})
