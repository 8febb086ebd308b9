"""Options that several commands have, and how what is written becomes what is sent.

What a field may hold, the server says: the same words as everywhere. Here only the shape is read.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vidgen.cli.outcome import BadInput

COMPLETION_S = 1.0
MAX_COMPLETIONS = 50

_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
_FRACTION = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


def number(text: str) -> int | float | str:
    """*text* as a number; what is none is sent as it is, and refused in the server's words."""
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _FRACTION.fullmatch(text) else text


def complete_model(incomplete: str) -> list[str]:
    return [id for id in _offered(lambda client: [model.id for model in client.models()]) if id.startswith(incomplete)]


def complete_job(incomplete: str) -> list[str]:
    from itertools import islice

    newest = _offered(lambda client: [job.id for job in islice(client.jobs(), MAX_COMPLETIONS)])
    return [id for id in newest if id.startswith(incomplete)]


def _offered(ask: Any) -> Sequence[str]:
    """What the server offers; nothing where it does not answer, since a shell has no place for words."""
    from vidgen.cli.session import Session

    try:
        with Session().client(timeout_s=COMPLETION_S) as client:
            return ask(client)
    except Exception:
        return []


def _option(*names: str, **more: Any) -> Any:
    return typer.Option(*names, show_default=False, **more)


Image = Annotated[Path | None, _option("--image", "-i", exists=True, dir_okay=False, help="The reference image")]
Model = Annotated[str | None, _option("--model", "-m", autocompletion=complete_model, help="vidgen models lists them")]
Number = Annotated[Any | None, _option(parser=number, metavar="N")]
Output = Annotated[Path | None, _option("--output", "-o", help="Where the video goes: a file, or a folder")]
Force = Annotated[bool, _option("--force", help="Write over a file that is there")]
Detach = Annotated[bool, _option("--detach", "--no-wait", help="Post it, print its id, and do not wait")]
JobId = Annotated[str, typer.Argument(metavar="ID", autocompletion=complete_job)]
JobIds = Annotated[list[str], typer.Argument(metavar="ID...", autocompletion=complete_job)]
Parameters = Annotated[list[str] | None, _option(
    "--param", "-p", metavar="NAME=VALUE", help="One of the model's own, which vidgen models MODEL lists; repeatable"
)]


def numeric(*names: str, help: str) -> Any:
    """An option that holds a number."""
    return Annotated[Any, _option(*names, parser=number, metavar="N", help=help)]


def pairs(field: str, given: Iterable[str] | None, *, text: bool = False) -> dict[str, Any]:
    """``name=value`` as a mapping.

    :param text: whether values are text; else they are read as JSON where they are that.
    """
    found: dict[str, Any] = {}
    for pair in given or ():
        name, equals, value = pair.partition("=")
        if not (equals and name):
            raise BadInput(field, f"{pair!r} is not NAME=VALUE")
        if name in found:
            raise BadInput(field, f"{name} is given twice")
        found[name] = value if text else _value(value)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def read_json(field: str, path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as e:
        raise BadInput(field, f"{path} cannot be read: {e.strerror}") from e
    except (ValueError, RecursionError) as e:
        raise BadInput(field, f"{path} is not JSON") from e


def check_output(path: Path, force: bool) -> None:
    """Before anything is rendered: whether a file can go there.

    :raises BadInput: something is there already, or the folder is not.
    """
    if path.is_dir():
        return
    if path.exists() and not path.is_file():
        raise BadInput("output", f"{path} is no file")
    if path.exists() and not force:
        raise BadInput("output", f"{path} is there already; --force writes over it")
    if not path.absolute().parent.is_dir():
        raise BadInput("output", f"there is no folder {path.parent}")


def given(**fields: Any) -> dict[str, Any]:
    """Those that were given: the server has its own defaults."""
    return {name: value for name, value in fields.items() if value not in (None, {}, [])}
