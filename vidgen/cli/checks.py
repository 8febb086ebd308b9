"""What ``vidgen doctor`` looks at, one function a subject. Nothing is changed, no key is shown, no model is loaded."""

import errno
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

from vidgen.settings import Settings

GOOD, WARNING, BAD = "good", "warning", "bad"
MB = 1_000_000
ROOMY_BYTES = 20_000 * MB
"""Weights of one large model and the videos of a while; less is worth a word."""

LIBRARIES = ("torch", "diffusers", "transformers", "accelerate")
INSTALL = "make install on a machine with an NVIDIA driver, or pip install 'vidgen[local]'"
ANSWER_S = 5.0
TRIAL_PX, TRIAL_FRAMES = 64, 5


@dataclass(frozen=True, slots=True)
class Finding:
    state: str                              # GOOD, WARNING or BAD
    what: str
    said: str
    advice: str = ""                        # what to do, where it is not good


def look_over(settings: Settings) -> Iterator[Finding]:
    """Everything, in the order in which one thing needs another."""
    yield python()
    yield ffmpeg(settings)
    yield from gpu(settings)
    yield from libraries()
    yield disk("workspace", settings.workspace_dir, settings.min_free_mb * MB)
    yield from keys(settings)
    yield from weights(settings)
    yield port(settings)


def python() -> Finding:
    return Finding(GOOD, "python", ".".join(map(str, sys.version_info[:3])))


def ffmpeg(settings: Settings) -> Finding:
    """Whether it is there and encodes."""
    from vidgen.errors import VidgenError
    from vidgen.media import ffmpeg as program
    from vidgen.media.video import ClipWriter, inspect
    from vidgen.types import EncoderSettings

    encoder = EncoderSettings(settings.encoder_preset, settings.encoder_crf, settings.encoder_threads)
    try:
        with TemporaryDirectory() as scratch:
            clip = Path(scratch) / "trial.mp4"
            with ClipWriter(clip, width=TRIAL_PX, height=TRIAL_PX, fps=8, encoder=encoder) as writer:
                for shade in range(TRIAL_FRAMES):
                    writer.write(bytes([shade * 50]) * (TRIAL_PX * TRIAL_PX * 3))
            inspect(clip, num_frames=TRIAL_FRAMES)
        return Finding(GOOD, "ffmpeg", f"{program.version()} encodes H.264")
    except VidgenError as e:
        advice = "reinstall imageio-ffmpeg, or name another ffmpeg in IMAGEIO_FFMPEG_EXE"
        return Finding(BAD, "ffmpeg", e.detail, advice)


def gpu(settings: Settings) -> Iterator[Finding]:
    """The device that local models run on, and its driver."""
    from vidgen.engine.vram import START_WAIT_S, Vram
    from vidgen.weights.report import size_text

    reading = Vram(settings.gpu_device).read(wait_s=START_WAIT_S)
    if settings.gpu_device == "cpu":
        yield Finding(GOOD, "GPU", "not used: GPU_DEVICE=cpu, and a shot takes hours with a real model")
    elif reading.problem is not None:
        asked_for = settings.gpu_device != "auto"
        yield Finding(BAD if asked_for else WARNING, "GPU", reading.problem,
                      "local models need one; hosted models and the stub do not")
    else:
        free = f"{size_text(reading.free_bytes)} of {size_text(reading.total_bytes)} free"
        yield Finding(GOOD, "GPU", f"{reading.name}, {free}")
        yield Finding(GOOD, "driver", reading.driver or "unknown")
        yield from _torch_for(reading.name)


def _torch_for(name: str | None) -> Iterator[Finding]:
    if (_version("torch") or "").endswith("+cpu"):
        yield Finding(BAD, "torch", f"this build cannot use {name}", "reinstall torch without the CPU index")


def libraries() -> Iterator[Finding]:
    """What local models are rendered with; found, not imported."""
    for name in LIBRARIES:
        if found := _version(name):
            yield Finding(GOOD, name, found)
        else:
            yield Finding(WARNING, name, "is not installed, so no local model can run", INSTALL)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def disk(what: str, place: Path, floor_bytes: int) -> Finding:
    """Whether there is room, and whether we may write."""
    from vidgen.weights.report import size_text

    there = next(path for path in (place.absolute(), *place.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    said = f"{place}: {size_text(free)} free"
    if not there.is_dir():
        return Finding(BAD, what, f"{there} is no folder", "change WORKSPACE_DIR")
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding(BAD, what, f"{there} cannot be written to", "change its owner, or WORKSPACE_DIR")
    if free < floor_bytes:
        return Finding(BAD, what, f"{said}, less than MIN_FREE_MB", "make room: no jobs are taken")
    if free < ROOMY_BYTES:
        return Finding(WARNING, what, said, "make room before large weights are fetched")
    return Finding(GOOD, what, said)


def keys(settings: Settings) -> Iterator[Finding]:
    """Which are set; none is shown, and none is tried."""
    wanted = {
        "ANTHROPIC_API_KEY": (settings.anthropic_api_key, "storyboards are written by the built-in rules"),
        "REPLICATE_API_TOKEN": (settings.replicate_api_token, "hosted models cannot run"),
    }
    for name, (key, without) in wanted.items():
        if key is not None and key.get_secret_value():
            yield Finding(GOOD, name, "is set")
        else:
            yield Finding(WARNING, name, f"is not set: {without}", f"put it into .env as {name}")
    if not settings.loopback_only:
        own = "set" if settings.api_keys else "not set: the server makes one and prints it"
        yield Finding(GOOD, "API_KEYS", f"{own}; {settings.api_host} is open to other machines")


def weights(settings: Settings) -> Iterator[Finding]:
    """Of each card that has some."""
    from vidgen.weights import command, problem
    from vidgen.weights.commands import cards_with_weights

    for card in cards_with_weights(settings):
        if (wrong := problem(card, settings.weights_dir)) is None:
            yield Finding(GOOD, f"weights {card.name}", "are here")
        else:
            said = wrong.removesuffix(f"; run: {command(card)}")
            yield Finding(WARNING, f"weights {card.name}", said, f"vidgen weights download {card.name}")


def port(settings: Settings) -> Finding:
    """Free, or taken by a server of ours, or by something else."""
    host, number = settings.api_host, settings.api_port
    what = f"port {number}"
    if not number:
        return Finding(GOOD, "port", "any that is free")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(address)
    except OSError as e:
        why = f"cannot be listened on at {host}: {e.strerror}"
        return _taken(settings, what, why) if e.errno == errno.EADDRINUSE else Finding(BAD, what, why, _advice(e))
    return Finding(GOOD, what, "is free")


def _advice(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "set API_PORT to 1024 or above"
    return "set API_HOST to an address of this machine, such as 127.0.0.1"


def _taken(settings: Settings, what: str, why: str) -> Finding:
    from vidgen.client import Client, ClientError
    from vidgen.settings import url_of

    try:
        with Client(url_of(settings.api_host, settings.api_port), timeout_s=ANSWER_S) as client:
            health = client.health()
        said, reasons = f"vidgen {health['version']} serves there and is {health['status']}", health["reasons"]
    except (ClientError, KeyError, TypeError):      # nobody, or a server of another kind
        return Finding(BAD, what, why, "end the program that has it, or set API_PORT")
    return Finding(WARNING, what, f"{said}: {'; '.join(reasons)}") if reasons else Finding(GOOD, what, said)
