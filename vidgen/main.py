"""Starts the server: settings, workspace, engine, application, uvicorn, in this order, and back."""

import gc
import logging
import sys

from vidgen import logs
from vidgen.api.app import create_app
from vidgen.api.keys import keys_of
from vidgen.api.serve import Server, allow_many_files, bind, port_of, way_out
from vidgen.engine.engine import Engine
from vidgen.engine.limits import refuse_contradictions
from vidgen.engine.vram import START_WAIT_S, Vram
from vidgen.errors import DiskLow, StartRefused
from vidgen.media.files import Workspace
from vidgen.registry import Registry, discover
from vidgen.settings import Settings, load_settings, url_of

log = logging.getLogger("vidgen.main")

MB = 1_000_000
SWITCH_INTERVAL_S = 0.0005
"""How long a thread may keep the interpreter from another that wants it. With renders on the CPU lane, Python's 5 ms
make each request wait several times that."""

REFUSED = 2
"""Exit code where the server cannot start as it is configured."""


def main(**overrides: object) -> int:
    """Serve until a signal ends it. Returns the exit code: 0, or 2 where the start was refused.

    :param overrides: settings that win over the environment and ``.env``.
    """
    try:
        settings = load_settings(**overrides)
        logs.configure(settings.log_level, settings.log_format)
        serve(settings)
    except (StartRefused, DiskLow) as e:
        print(f"vidgen cannot start: {e.detail}", file=sys.stderr)
        return REFUSED
    return 0


def serve(settings: Settings) -> None:
    """Serve until a signal ends it.

    :raises StartRefused: in words for the person who starts it.
    """
    vram = Vram(settings.gpu_device)
    refuse_contradictions(settings, vram.read(wait_s=START_WAIT_S))
    workspace = Workspace(settings.workspace_dir, settings.min_free_mb * MB)
    workspace.prepare()
    bound = [] if settings.api_port else bind(settings.api_host, 0)
    workspace.lock(url_of(settings.api_host, port_of(bound) or settings.api_port))
    try:
        bound = bound or bind(settings.api_host, settings.api_port)
        keys, key_file = keys_of(settings)
        registry = discover(settings, vram.problem)
        refuse_default(settings.default_model, registry)
        engine = Engine(settings, registry, workspace, vram=vram)
        engine.start()
        port = port_of(bound)
        server = Server(create_app(engine, keys), lambda: _announce(settings, port, key_file))
        with way_out(server, engine.hurry):
            allow_many_files()
            sys.setswitchinterval(SWITCH_INTERVAL_S)
            settle_garbage()
            try:
                server.run(bound)
            finally:
                log.info("stopping", extra={"grace_s": settings.drain_s})
                engine.close(settings.drain_s)
    finally:
        workspace.unlock()
    log.info("stopped")


def refuse_default(model_id: str | None, registry: Registry) -> None:
    """Refuse a default model with which no job could ever be taken. One that only cannot run now is left to say so.

    :raises StartRefused: it is not there, or makes no video.
    """
    makes_video = {model.id: model.card is None or model.card.makes_video for model in registry.models()}
    if model_id is None or makes_video.get(model_id):
        return
    what = f"{model_id} makes images, not video" if model_id in makes_video else f"there is no model {model_id!r}"
    there = ", ".join(each for each, does in makes_video.items() if does)
    raise StartRefused(f"bad settings:\n  DEFAULT_MODEL: {what}; there are {there}")


def settle_garbage() -> None:
    """What the imports made stays for good: the collector need not look at it again. Nor now: of 120,000 objects it
    would find a few hundred, in a tenth of the time that the start takes.
    """
    gc.freeze()
    gc.enable()


def _announce(settings: Settings, port: int, key_file) -> None:
    url = url_of(settings.api_host, port)
    log.info("serving", extra={"url": url, "host": settings.api_host, "port": port})
    print(f"vidgen serves on {url} (open it in a browser; the API is described at {url}/docs)", flush=True)
    if key_file is not None:
        print(
            f"Callers from other machines need this key, which is kept in {key_file}:\n"
            f"  X-API-Key: {key_file.read_text().strip()}", flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
