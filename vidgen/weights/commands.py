"""What a person asks of weights, of several models at once: list, download, verify. For a terminal; the command line
and ``scripts/download_weights.py`` both call this.
"""

import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from vidgen.cards import BrokenCard, Card, read_card
from vidgen.errors import InvalidInput
from vidgen.settings import Settings
from vidgen.weights.errors import WeightsError
from vidgen.weights.fetch import fetch, look
from vidgen.weights.hub import Hub
from vidgen.weights.lock import folder, problem
from vidgen.weights.report import Lines, Report, described, files_text, size_text
from vidgen.weights.verify import verify

HEADER = ("MODEL", "SIZE", "HERE", "REPOSITORY", "LICENCE")

Act = Callable[[Card, Path, Report], str]
"""Something done for one model; gives what there is to say at its end.

:raises WeightsError: it failed.
"""


# which models


def cards_with_weights(settings: Settings) -> Iterator[Card]:
    """The cards that name weights, built-in ones and those of MODELS_DIR; a broken one is said to be."""
    spec = importlib.util.find_spec("backends")
    folders = [Path(place) / "models" for place in spec.submodule_search_locations] if spec else []
    for place in [*folders, *([settings.models_dir] if settings.models_dir else [])]:
        for file in sorted(place.glob("*.toml")):
            try:
                card = read_card(file)
            except BrokenCard as e:
                print(f"a card is broken and left out: {e}", file=sys.stderr)
                continue
            if card.weights is not None:
                yield card


def chosen(names: Sequence[str], cards: Sequence[Card], *, every: bool) -> list[Card]:
    """The cards that *names* name, or every one.

    :param names: cards' names or ids.
    :raises InvalidInput: one is not known, or means more than one card; or both are asked for, or nothing.
    """
    if every and names:
        raise InvalidInput.of("model", "either --all or names")
    if not (every or names):
        raise InvalidInput.of("model", "name a model, or give --all; the list says which there are")
    return list(cards) if every else list({card.id: card for card in (_named(name, cards) for name in names)}.values())


def here(cards: Sequence[Card], weights_dir: Path) -> list[Card]:
    """Those of which something is on the disk."""
    return [card for card in cards if folder(card, weights_dir).is_dir()]


def _named(name: str, cards: Sequence[Card]) -> Card:
    found = [card for card in cards if name in (card.name, card.id)]
    if not found:
        there = ", ".join(card.name for card in cards)
        raise InvalidInput.of("model", f"no card that names weights is called {name!r}; there are {there}")
    if len(found) > 1:
        raise InvalidInput.of("model", f"{name!r} is more than one: {', '.join(card.id for card in found)}")
    return found[0]


# what is done


def each(cards: Sequence[Card], act: Act, weights_dir: Path, report: Callable[[], Report] = Lines) -> dict[str, str]:
    """Do it for every model; one that fails does not stop the others.

    :param report: made anew for each.
    :returns: what went wrong, by the model's name.
    """
    failed: dict[str, str] = {}
    for card in cards:
        told = report()
        try:
            told.say(act(card, weights_dir, told))
        except (WeightsError, OSError) as e:
            failed[card.name] = str(e)
            print(f"{card.name}: {e}", file=sys.stderr, flush=True)
    if failed and len(cards) > 1:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return failed


def download(card: Card, weights_dir: Path, report: Report) -> str:
    files = fetch(card, weights_dir, Hub(), report).files
    return f"{card.name} is whole: {files_text(len(files))} in {folder(card, weights_dir)}, each as the hub lists it"


def foresee(card: Card, weights_dir: Path, report: Report) -> str:
    """What a download would fetch."""
    plan = look(card, weights_dir, Hub())
    report.plan(plan)
    for file in plan.files:
        report.line(file.path, file.size, _state(file.size, plan.here[file.path]))
    return "nothing was fetched"


def check(card: Card, weights_dir: Path, report: Report) -> str:
    """Hash what is here against the lock, offline."""
    report.begin(card.name)
    if wrong := verify(card, weights_dir, report):
        raise WeightsError("\n  ".join(["not whole", *wrong]))
    return f"{card.name} is whole"


def row(card: Card, weights_dir: Path) -> tuple[str, ...]:
    """A line of the list, under :data:`HEADER`."""
    size = size_text(card.weights.size_gb * 1e9) if card.weights.size_gb else "?"
    return card.name, size, state(card, weights_dir), card.weights.repository, described(card, card.weights.gated)


def state(card: Card, weights_dir: Path) -> str:
    """How much of the model's weights is on the disk: ``yes``, ``part`` or ``no``."""
    if problem(card, weights_dir) is None:
        return "yes"
    return "part" if folder(card, weights_dir).is_dir() else "no"


def _state(size: int, there: int) -> str:
    if there == size > 0:
        return "is here"
    return f"to be fetched, {size_text(there)} of it are here" if there else "to be fetched"
