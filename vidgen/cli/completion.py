"""The shell's completion where a word holds a colon, as every model's id does: bash takes it for three words."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO


@contextmanager
def words_whole() -> Iterator[None]:
    """For the time of the block, where bash asks what a word may become: put words together again that it split
    (``stub``, ``:``, ``ani``), and answer with what follows their last colon, which is all that bash replaces.
    """
    split, at = os.environ.get("COMP_WORDS", "").split("\n"), os.environ.get("COMP_CWORD", "")
    if os.environ.get("_VIDGEN_COMPLETE") != "complete_bash" or ":" not in split or not at.isdecimal():
        yield
        return
    words = _joined(split[:int(at) + 1])
    os.environ |= {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    known = words[-1][:words[-1].rfind(":") + 1]
    try:
        with redirect_stdout(StringIO()) as said:
            yield
    finally:
        print(*(line.removeprefix(known) for line in said.getvalue().splitlines()), sep="\n")


def _joined(split: list[str]) -> list[str]:
    words: list[str] = []
    for word in split:
        if words and (word == ":" or words[-1].endswith(":")):
            words[-1] += word
        else:
            words.append(word)
    return words
