"""Words for a terminal, whatever they are written in."""

import pytest
from rich.cells import cell_len

from vidgen.cli.text import fitted, printable


@pytest.mark.parametrize("text", ["می\u200cخواهم", "👨\u200d👩\u200d👧", "é", "e\u0301"])
def test_words_are_shown_as_they_read(text):
    assert printable(text) == text


def test_a_line_fits_its_terminal_whatever_its_characters_take():
    assert fitted("a" * 40, 40) == "a" * 40
    assert fitted("海" * 20, 40) == "海" * 20
    assert cell_len(fitted("海" * 21, 40)) <= 40 and fitted("海" * 21, 40).endswith("海…")
