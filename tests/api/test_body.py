"""JSON bodies, read strictly."""

import pytest

from vidgen.api.body import parse_json
from vidgen.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, null, true, "x"]}', {"a": [1, 2.5, None, True, "x"]}),
        ('"\\ud83c\\udf05"', "\U0001f305"), ("-9223372036854775807", -(2**63 - 1)), ("1e3", 1000.0), ("  {} ", {}),
    ],
)
def test_what_is_json_is_taken(text, value):
    assert parse_json(text.encode()) == value


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"{'a': 1}", b"[1,]", b"NaN", b"-Infinity", b"1e400", b"9" * 30, b"9" * 10_000, b'"\\udc00"',
        b"\xff\xfe", b'{"a": 1, "a": 1}', b'{"\\ud800": 1}', b"[" * 200 + b"]" * 200, b"[" * 100_000,
    ],
)
def test_what_is_not_is_refused(data):
    with pytest.raises(InvalidInput) as refused:
        parse_json(data)
    assert refused.value.fields[0].field in ("body", "a")


def test_a_duplicate_among_many_is_found():
    names = ",".join(f'"k{n}": {n}' for n in range(50_000))
    with pytest.raises(InvalidInput) as refused:
        parse_json(f'{{{names}, "k7": 0}}'.encode())
    assert refused.value.fields[0] == ("k7", "is given twice")
