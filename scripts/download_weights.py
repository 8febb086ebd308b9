"""Fetch the weights of models from the Hugging Face hub, check them, or say what there is.

    python scripts/download_weights.py svd-xt sd-turbo      fetch what is missing of them; goes on where it was stopped
    python scripts/download_weights.py --list               every model that has weights
    python scripts/download_weights.py --dry-run svd-xt     what would come: files, sizes, licence; fetches nothing
    python scripts/download_weights.py --verify             hash what is here against the lock files, with no network

A MODEL is a card's name or its id: svd-xt, local:svd-xt. HF_TOKEN holds the token for gated models, HF_ENDPOINT names
a mirror. Exit code: 0; 1 where something failed; 2 where this was called wrongly; 130 where Ctrl-C stopped it.
"""

import argparse
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from vidgen.cards import BrokenCard, Card, read_card
from vidgen.errors import StartRefused
from vidgen.settings import Settings, load_settings
from vidgen.weights import WeightsError, folder, problem
from vidgen.weights.fetch import fetch, look
from vidgen.weights.hub import Hub
from vidgen.weights.report import Lines, described, files_text, size_text
from vidgen.weights.verify import verify

FAILED, STOPPED = 1, 130

Act = Callable[[Card, Path], None]
"""Something done for one model.

:raises WeightsError: it failed.
"""


def main() -> int:
    parser = _parser()
    asked = parser.parse_args()
    try:
        settings = load_settings(**({"weights_dir": asked.weights_dir} if asked.weights_dir else {}))
        cards = list(_cards(settings))
    except StartRefused as e:
        parser.error(e.detail)
    if asked.list:
        _print_list(cards, settings.weights_dir)
        return 0
    try:
        return _each(_chosen(parser, asked, cards, settings.weights_dir), _act(asked), settings.weights_dir)
    except KeyboardInterrupt:
        print("\nstopped; what has come is kept, and the same command goes on from there", file=sys.stderr)
        return STOPPED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help="a card's name or id")
    parser.add_argument("--all", action="store_true", help="every model that has weights")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="say which models there are, and which are here")
    what.add_argument("--dry-run", action="store_true", help="ask the hub what would come, and fetch nothing")
    what.add_argument("--verify", action="store_true", help="hash what is here against the lock files, offline")
    parser.add_argument("--weights-dir", type=Path, metavar="DIR", help="instead of the setting WEIGHTS_DIR")
    return parser


# which models


def _cards(settings: Settings) -> Iterator[Card]:
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


def _chosen(
    parser: argparse.ArgumentParser, asked: argparse.Namespace, cards: Sequence[Card], weights_dir: Path
) -> list[Card]:
    if asked.all and asked.models:
        parser.error("either --all or names")
    if asked.all:
        return list(cards)
    if asked.verify and not asked.models:
        return [card for card in cards if folder(card, weights_dir).is_dir()]
    if not asked.models:
        parser.error("name a model (make weights MODEL=svd-xt), or give --all; --list says which there are")
    return list({card.id: card for card in (_named(parser, name, cards) for name in asked.models)}.values())


def _named(parser: argparse.ArgumentParser, name: str, cards: Sequence[Card]) -> Card:
    found = [card for card in cards if name in (card.name, card.id)]
    if not found:
        parser.error(f"no card that names weights is called {name!r}; there are {', '.join(c.name for c in cards)}")
    if len(found) > 1:
        parser.error(f"{name!r} is more than one: {', '.join(card.id for card in found)}")
    return found[0]


# what is done


def _each(cards: Sequence[Card], act: Act, weights_dir: Path) -> int:
    """Do it for every model; one that fails does not stop the others."""
    failed = []
    if not cards:
        print("no weights are here")
    for card in cards:
        try:
            act(card, weights_dir)
        except (WeightsError, OSError) as e:
            failed.append(card.name)
            print(f"{card.name}: {e}", file=sys.stderr, flush=True)
    if failed and len(cards) > 1:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return FAILED if failed else 0


def _act(asked: argparse.Namespace) -> Act:
    return _dry_run if asked.dry_run else _verify if asked.verify else _fetch


def _fetch(card: Card, weights_dir: Path) -> None:
    files = fetch(card, weights_dir, Hub(), Lines()).files
    print(f"  {card.name} is whole: {files_text(len(files))} in {folder(card, weights_dir)}, each as the hub lists it")


def _dry_run(card: Card, weights_dir: Path) -> None:
    report = Lines()
    plan = look(card, weights_dir, Hub())
    report.plan(plan)
    for file in plan.files:
        report.line(file.path, file.size, _state(file.size, plan.here[file.path]))
    print("  nothing was fetched")


def _state(size: int, here: int) -> str:
    if here == size > 0:
        return "is here"
    return f"to be fetched, {size_text(here)} of it are here" if here else "to be fetched"


def _verify(card: Card, weights_dir: Path) -> None:
    print(card.name)
    if wrong := verify(card, weights_dir, Lines()):
        raise WeightsError("\n  ".join(["not whole", *wrong]))
    print(f"  {card.name} is whole")


def _print_list(cards: Sequence[Card], weights_dir: Path) -> None:
    rows = [("MODEL", "SIZE", "HERE", "REPOSITORY", "LICENCE")]
    rows += [_row(card, weights_dir) for card in cards]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())


def _row(card: Card, weights_dir: Path) -> tuple[str, ...]:
    here = "yes" if problem(card, weights_dir) is None else "part" if folder(card, weights_dir).is_dir() else "no"
    size = size_text(card.weights.size_gb * 1e9) if card.weights.size_gb else "?"
    return card.name, size, here, card.weights.repository, described(card, card.weights.gated)


if __name__ == "__main__":
    sys.exit(main())
