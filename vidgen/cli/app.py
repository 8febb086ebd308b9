"""All commands, and how they end."""

import logging
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated

import typer

from vidgen import __version__
from vidgen.cli import doctor, edits, generate, jobs, models, outcome, recipe, reproduce, serve, watch, weights
from vidgen.cli.command import ApiKey, Json, Url, command, remember
from vidgen.cli.completion import words_whole
from vidgen.cli.text import printable

app = typer.Typer(
    name="vidgen", help="Make videos of words and images, on this machine or on a server.",
    rich_markup_mode=None, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]},
)


def run(arguments: Sequence[str] | None = None) -> int:
    """See :func:`vidgen.cli.main`."""
    logging.getLogger("vidgen").addHandler(logging.NullHandler())      # what went wrong is said in a line of ours
    _prepare_streams()
    try:
        with words_whole():
            code = app(arguments, prog_name="vidgen", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else outcome.OK
    except BrokenPipeError:                 # whoever read us has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return outcome.FAILED
    except typer.TyperException as e:
        return _said(e.exit_code, _usage(e))
    except typer.Abort:
        return outcome.STOPPED
    except Exception as e:
        if (found := outcome.of(e)) is None:
            raise
        return _said(*found)


def _prepare_streams() -> None:
    """Have every stream take any text, and those that were closed lead nowhere."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, closefd=False))
        if isinstance(stream := getattr(sys, name), TextIOWrapper):
            stream.reconfigure(errors="replace")


def _said(code: int, line: str) -> int:
    print(f"vidgen: {line}", file=sys.stderr, flush=True)
    return code


def _usage(error: typer.TyperException) -> str:
    """What is wrong with the command line, and where to read on."""
    param, context = getattr(error, "param", None), getattr(error, "ctx", None)
    said = f"{param.name}: {error.message}" if param is not None and error.message else error.format_message()
    said = said.replace("Input should be", "must be")           # as the server says it
    more = f" ({context.command_path} --help says more)" if context is not None else ""
    return printable(said.rstrip(".")) + more


def _show_version(asked: bool) -> None:
    if asked:
        print(f"vidgen {__version__}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say which, and end")]


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context, url: Url = None, api_key: ApiKey = None, json: Json = False, version: Version = False
) -> None:
    remember(context, url, api_key, json)
    if context.invoked_subcommand is None:
        print(context.get_help())


command(app)(serve.serve)
command(app)(generate.generate)
command(app)(models.models)
command(app)(jobs.jobs)
command(app)(jobs.show)
command(app)(watch.watch)
command(app)(jobs.cancel)
command(app)(jobs.delete)
command(app)(edits.edit)
command(app)(edits.retry)
command(app)(recipe.recipe)
command(app)(reproduce.reproduce)
command(app)(doctor.doctor)
app.add_typer(weights.app)
