"""How a function becomes a command: the options that all of them have, and the session made of them."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from vidgen.cli.session import Session

COMMON = "All commands"
Url = Annotated[str | None, typer.Option(
    "--url", metavar="URL", rich_help_panel=COMMON, show_default=False,
    help="The server; else VIDGEN_URL, else API_HOST and API_PORT of the environment or .env",
)]
ApiKey = Annotated[str | None, typer.Option(
    "--api-key", metavar="KEY", rich_help_panel=COMMON, show_default=False,
    help="Better in VIDGEN_API_KEY, where no list of processes shows it",
)]
Json = Annotated[bool, typer.Option(
    "--json", rich_help_panel=COMMON, show_default=False, help="JSON on standard output, and nothing else there"
)]
SHARED = {"url": (Url, None), "api_key": (ApiKey, None), "json": (Json, False)}


def remember(context: typer.Context, url: Url = None, api_key: ApiKey = None, json: Json = False) -> None:
    """Options before the command's name."""
    context.obj = Session(url, api_key, json)


def command(app: typer.Typer, name: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a command of *app*; its first parameter is the :class:`Session`.

    The options of :data:`SHARED` may stand before the command's name and after it; the later one counts.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        def run(context: typer.Context, **given: Any) -> None:
            shared = {option: given.pop(option) or getattr(context.obj, option) for option in SHARED}
            function(Session(**shared), **given)

        run.__doc__ = function.__doc__
        run.__name__ = function.__name__
        run.__signature__ = _signature(function)
        app.command(name)(run)
        return function

    return register


def _signature(function: Callable[..., None]) -> inspect.Signature:
    """That of the command line: the function's own parameters between the context and what is shared."""
    kind = inspect.Parameter.KEYWORD_ONLY
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    context = inspect.Parameter("context", kind, annotation=typer.Context)
    shared = [
        inspect.Parameter(name, kind, annotation=annotation, default=default)
        for name, (annotation, default) in SHARED.items()
    ]
    return inspect.Signature([context, *(each.replace(kind=kind) for each in own), *shared])
