"""The lock beside a model's weights, and the cheap look that says whether the files are there."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from vidgen.cards import Card

INDEX = "model_index.json"
"""What every diffusers pipeline's folder has: which component is of which class."""

WEIGHTS_INDEX = ".safetensors.index.json"
"""The end of the name of the file that lists a split component's parts."""

PART = ".part"
"""The folder within a model's folder that holds what a download has not finished."""


class LockedFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int                               # bytes
    sha256: str


class Lock(BaseModel):
    """What stands in a model's folder; written once every file has been checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    repository: str
    revision: str                           # the commit
    files: dict[str, LockedFile]            # by path in the folder, with "/"


def folder(card: Card, weights_dir: Path) -> Path:
    """Where the model's files are."""
    return weights_dir / card.name


def lock_file(card: Card, weights_dir: Path) -> Path:
    return weights_dir / f"{card.name}.lock.json"


def command(card: Card) -> str:
    """What fetches the model's weights."""
    return f"make weights MODEL={card.name}"


def read_lock(card: Card, weights_dir: Path) -> Lock | None:
    """The model's lock; None where there is none, or none that can be read."""
    try:
        return Lock.model_validate_json(lock_file(card, weights_dir).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError):
        return None


def write_lock(card: Card, weights_dir: Path, lock: Lock) -> None:
    """Publish the lock by rename."""
    final = lock_file(card, weights_dir)
    temporary = final.with_name(f".{final.name}.part")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(lock.model_dump_json(indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


def problem(card: Card, weights_dir: Path) -> str | None:
    """Why the model's weights cannot be loaded; None where every file is there, in its size. Hashes nothing."""
    place = folder(card, weights_dir)
    if not place.is_dir():
        return f"its weights are not here; run: {command(card)}"
    lock = read_lock(card, weights_dir)
    if lock is None and (place / PART).is_dir():
        return f"a download of its weights was cut short; run: {command(card)}"
    missing = next(_changed(place, lock) if lock else _absent(place), None)
    return None if missing is None else f"its weights are not whole: {missing}; run: {command(card)}"


def _changed(place: Path, lock: Lock) -> Iterator[str]:
    """What differs from the lock."""
    for name, file in lock.files.items():
        try:
            size = (place / name).stat().st_size
        except OSError:
            yield f"{name} is missing"
        else:
            if size != file.size:
                yield f"{name} has {size} bytes, not {file.size}"


def _absent(place: Path) -> Iterator[str]:
    """What is missing from a folder that came without a lock, as far as its own indexes tell."""
    index = _json(place / INDEX)
    if index is None:
        yield f"{INDEX} is missing"
        return
    for name, value in index.items():
        if _is_component(value) and not any((place / name).glob("*")):
            yield f"{name}/ is missing"
    for config in place.glob("*/config.json"):
        if config.parent.name in index and _is_model(index[config.parent.name]) and not _has_weights(config.parent):
            yield f"{config.parent.name}/ has no safetensors"
    for parts in place.glob(f"*/*{WEIGHTS_INDEX}"):
        for part in sorted(set((_json(parts) or {}).get("weight_map", {}).values())):
            if not (parts.parent / part).is_file():
                yield f"{parts.parent.name}/{part} is missing"


def _is_component(value: object) -> bool:
    """Whether a line of a pipeline's index says of which library and class a component is."""
    return isinstance(value, list) and len(value) == 2 and all(isinstance(word, str) for word in value)


def _is_model(value: object) -> bool:
    """Whether a component has weights; the others are made from their files of settings and words."""
    return _is_component(value) and not value[1].endswith(("Tokenizer", "TokenizerFast", "Processor", "Scheduler"))


def _has_weights(folder: Path) -> bool:
    return any(folder.glob("*.safetensors"))


def _json(path: Path) -> dict | None:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
