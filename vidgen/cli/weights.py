"""The weights of local models on this machine; no server is asked."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidgen.cli import outcome
from vidgen.cli.command import command
from vidgen.cli.session import Session

if TYPE_CHECKING:
    from vidgen.cards import Card
    from vidgen.weights.commands import Act

app = typer.Typer(name="weights", help="The weights of local models on this machine.")

Names = Annotated[list[str] | None, typer.Argument(metavar="[MODEL]...", help="A card's name or id: svd-xt")]
Every = Annotated[bool, typer.Option("--all", help="Every model that has weights")]
Folder = Annotated[Path | None, typer.Option("--weights-dir", show_default=False, help="Instead of WEIGHTS_DIR")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would come, and fetch nothing")]


@app.callback(invoke_without_command=True)
def start(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


def list_(session: Session, weights_dir: Folder = None) -> None:
    """Say which models have weights, and which are here."""
    from vidgen.weights import commands

    cards, place = _known(weights_dir)
    if not session.json:
        return session.table(commands.HEADER, [commands.row(card, place) for card in cards])
    names = [name.lower() for name in commands.HEADER]
    return session.result([dict(zip(names, commands.row(card, place), strict=True)) for card in cards])


def download(
    session: Session, models: Names = None, every: Every = False, dry_run: DryRun = False, weights_dir: Folder = None
) -> None:
    """Fetch weights from the hub; goes on where it was stopped."""
    from vidgen.weights import commands

    cards, place = _known(weights_dir)
    act = commands.foresee if dry_run else commands.download
    try:
        _each(session, commands.chosen(models or [], cards, every=every), act, place)
    except KeyboardInterrupt:
        session.note("stopped; what has come is kept, and the same command goes on from there")
        raise typer.Exit(outcome.STOPPED) from None


def verify(session: Session, models: Names = None, every: Every = False, weights_dir: Folder = None) -> None:
    """Hash weights against their lock files, offline; of all models that are here, where none is named."""
    from vidgen.weights import commands

    cards, place = _known(weights_dir)
    named = models or every
    cards = commands.chosen(models or [], cards, every=every) if named else commands.here(cards, place)
    _each(session, cards, commands.check, place)


def _known(weights_dir: Path | None) -> tuple[list["Card"], Path]:
    from vidgen.settings import load_settings
    from vidgen.weights.commands import cards_with_weights

    settings = load_settings(**({"weights_dir": weights_dir} if weights_dir else {}))
    return list(cards_with_weights(settings)), settings.weights_dir


def _each(session: Session, cards: Sequence["Card"], act: "Act", place: Path) -> None:
    """:raises typer.Exit: it failed for one of them; each was told."""
    from vidgen.weights import commands
    from vidgen.weights.report import Lines, Report

    if not (cards or session.json):
        session.line("no weights are here")
    failed = commands.each(cards, act, place, Report if session.json else Lines)
    if session.json:
        session.result([{"model": card.name, "ok": card.name not in failed, "problem": failed.get(card.name)}
                        for card in cards])
    if failed:
        raise typer.Exit(outcome.FAILED)


command(app, "list")(list_)
command(app)(download)
command(app)(verify)
