"""The server itself, in this process."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vidgen.cli.options import given
from vidgen.cli.outcome import BadInput
from vidgen.cli.session import Session


def _setting(help: str) -> Any:
    return typer.Option(show_default=False, help=help)


def serve(
    session: Session,
    host: Annotated[str | None, _setting("API_HOST: beyond loopback a key is needed")] = None,
    port: Annotated[int | None, _setting("API_PORT: 0 takes a free one")] = None,
    workspace: Annotated[Path | None, _setting("WORKSPACE_DIR")] = None,
    weights_dir: Annotated[Path | None, _setting("WEIGHTS_DIR")] = None,
    models_dir: Annotated[Path | None, _setting("MODELS_DIR: your own cards")] = None,
    device: Annotated[str | None, _setting("GPU_DEVICE: auto, a number, or cpu")] = None,
    log_level: Annotated[str | None, _setting("LOG_LEVEL")] = None,
) -> None:
    """Start the server; Ctrl-C lets it end in order. Options win over the environment and .env."""
    if session.json:
        raise BadInput("json", "serve has no result; LOG_FORMAT=json makes its log JSON")
    import gc

    gc.disable()                            # for the imports' sake, a tenth of the start; main switches it on again
    from vidgen import main

    code = main.main(**given(
        api_host=host, api_port=port, workspace_dir=workspace, weights_dir=weights_dir, models_dir=models_dir,
        gpu_device=device, log_level=log_level,
    ))
    raise typer.Exit(code)
