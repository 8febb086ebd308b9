"""Fetch the weights of models from the Hugging Face hub, check them, or say what there is.

    python scripts/download_weights.py svd-xt sd-turbo      fetch what is missing of them; goes on where it was stopped
    python scripts/download_weights.py --list               every model that has weights
    python scripts/download_weights.py --dry-run svd-xt     what would come: files, sizes, licence; fetches nothing
    python scripts/download_weights.py --verify             hash what is here against the lock files, with no network

A MODEL is a card's name or its id: svd-xt, local:svd-xt. HF_TOKEN holds the token for gated models, HF_ENDPOINT names
a mirror. Exit code: 0; 1 where something failed; 2 where this was called wrongly; 130 where Ctrl-C stopped it.
``vidgen weights`` does the same.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vidgen.cards import Card
from vidgen.errors import InvalidInput, StartRefused
from vidgen.settings import load_settings
from vidgen.weights import commands

FAILED, STOPPED = 1, 130


def main() -> int:
    parser = _parser()
    asked = parser.parse_args()
    try:
        settings = load_settings(**({"weights_dir": asked.weights_dir} if asked.weights_dir else {}))
        cards = list(commands.cards_with_weights(settings))
        if asked.list:
            _print_list(cards, settings.weights_dir)
            return 0
        return _each(_chosen(asked, cards, settings.weights_dir), _act(asked), settings.weights_dir)
    except (InvalidInput, StartRefused) as e:
        parser.error(e.detail)
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


def _chosen(asked: argparse.Namespace, cards: Sequence[Card], weights_dir: Path) -> list[Card]:
    if asked.verify and not asked.models and not asked.all:
        return commands.here(cards, weights_dir)
    return commands.chosen(asked.models, cards, every=asked.all)


def _each(cards: Sequence[Card], act: commands.Act, weights_dir: Path) -> int:
    if not cards:
        print("no weights are here")
    return FAILED if commands.each(cards, act, weights_dir) else 0


def _act(asked: argparse.Namespace) -> commands.Act:
    return commands.foresee if asked.dry_run else commands.check if asked.verify else commands.download


def _print_list(cards: Sequence[Card], weights_dir: Path) -> None:
    rows = [commands.HEADER, *(commands.row(card, weights_dir) for card in cards)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
