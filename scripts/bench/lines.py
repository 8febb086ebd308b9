"""What the report's own programs are told, and what they answer: a line of JSON each."""

import json
import sys
from collections.abc import Iterator
from typing import Any


def orders() -> Iterator[dict[str, Any]]:
    """What this program is told, until nobody is there any more."""
    for line in sys.stdin:
        yield json.loads(line)


def answer(said: Any) -> None:
    """Its answer to what it was told last."""
    print(json.dumps(said), flush=True)
